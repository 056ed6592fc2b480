//! Coarse lattices that smooth functions are computed on, and their values between the nodes.

use std::ops::Range;

/// Nodes at equal distances along x, y and z.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lattice {
    /// The first node, mm.
    pub(super) origin: [f32; 3],
    /// Distance of nodes, mm.
    pub(super) spacing: f32,
    /// Nodes along each axis.
    pub(super) shape: [usize; 3],
}

impl Lattice {
    /// Where node `i` of an axis is, mm.
    #[inline]
    pub(super) fn position(&self, axis: usize, i: usize) -> f32 {
        self.origin[axis] + self.spacing * i as f32
    }

    /// A lattice that covers a box, mm.
    pub(super) fn covering(low: [f32; 3], high: [f32; 3], spacing: f32) -> Self {
        let nodes = |a: usize| ((high[a] - low[a]) / spacing).ceil().max(1.0) as usize + 1;
        Self {
            origin: low,
            spacing,
            shape: [nodes(0), nodes(1), nodes(2)],
        }
    }

    /// Number of nodes.
    pub(super) fn nodes(&self) -> usize {
        self.shape.iter().product()
    }

    /// The node at or before a position, at most the last but one, and the part of the way to the
    /// next one; positions beyond the ends are taken to the ends.
    #[inline]
    pub(super) fn locate(&self, axis: usize, mm: f32) -> (usize, f32) {
        let last = self.shape[axis].saturating_sub(1);
        let at = ((mm - self.origin[axis]) / self.spacing).clamp(0.0, last as f32);
        let node = (at as usize).min(last.saturating_sub(1));
        (node, at - node as f32)
    }

    /// Trilinear value of a field on the lattice.
    #[inline]
    pub(super) fn sample(&self, field: &[f32], p: [f32; 3]) -> f32 {
        let [(i, u), (j, v), (k, w)] = [0, 1, 2].map(|a| self.locate(a, p[a]));
        let [nx, ny, _] = self.shape;
        let pair = |j: usize, k: usize| {
            let at = i + nx * (j + ny * k);
            field[at] + u * (field[at + 1] - field[at])
        };
        let (a, b) = (pair(j, k), pair(j + 1, k));
        let (c, d) = (pair(j, k + 1), pair(j + 1, k + 1));
        let (near, far) = (a + v * (b - a), c + v * (d - c));
        near + w * (far - near)
    }
}

/// A field on the part of a lattice where it matters, with one value outside.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    start: [usize; 3],
    shape: [usize; 3],
    outside: f32,
    data: Vec<f32>,
}

impl Layer {
    /// Keeps the box of a whole field that holds all nodes below `outside`, and its neighbours.
    pub(super) fn cropped(lattice: &Lattice, field: &[f32], outside: f32) -> Self {
        let [nx, ny, nz] = lattice.shape;
        let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
        for k in 0..nz {
            for j in 0..ny {
                let start = nx * (j + ny * k);
                let row = &field[start..start + nx];
                let Some(first) = row.iter().position(|&v| v < outside) else {
                    continue;
                };
                let last = row.iter().rposition(|&v| v < outside).unwrap_or(first);
                for (a, (from, to)) in [(first, last), (j, j), (k, k)].into_iter().enumerate() {
                    low[a] = low[a].min(from);
                    high[a] = high[a].max(to);
                }
            }
        }
        if low[0] == usize::MAX {
            (low, high) = ([0; 3], [0; 3]);
        }
        let start = low.map(|n| n.saturating_sub(1));
        let range = [0, 1, 2].map(|a| start[a]..(high[a] + 2).min(lattice.shape[a]));
        Self::of_box(lattice, &range, outside, |i| field[i])
    }

    /// The same box as this layer, of another field.
    pub(super) fn like(&self, lattice: &Lattice, field: &[f32], outside: f32) -> Self {
        let range = [0, 1, 2].map(|a| self.start[a]..self.start[a] + self.shape[a]);
        Self::of_box(lattice, &range, outside, |i| field[i])
    }

    /// A function of the number of the node, in a box of nodes.
    pub(super) fn of_box(
        lattice: &Lattice,
        range: &[Range<usize>; 3],
        outside: f32,
        f: impl Fn(usize) -> f32,
    ) -> Self {
        let [nx, ny, _] = lattice.shape;
        let mut data = Vec::with_capacity(range.iter().map(Range::len).product());
        for k in range[2].clone() {
            for j in range[1].clone() {
                let row = nx * (j + ny * k);
                data.extend(range[0].clone().map(|i| f(row + i)));
            }
        }
        Self {
            start: [0, 1, 2].map(|a| range[a].start),
            shape: [0, 1, 2].map(|a| range[a].len()),
            outside,
            data,
        }
    }

    /// Values along a line of x at node positions (`locate`) of x, y and z; false, and nothing
    /// written, where the whole line is outside.
    pub(super) fn line(
        &self,
        xs: &[(usize, f32)],
        (j, v): (usize, f32),
        (k, w): (usize, f32),
        nodes: &mut Vec<f32>,
        out: &mut [f32],
    ) -> bool {
        let [nx, ny, nz] = self.shape;
        let inside = |n: usize, start: usize, count: usize| n >= start && n + 1 < start + count;
        if nx < 2 || !inside(j, self.start[1], ny) || !inside(k, self.start[2], nz) {
            return false;
        }
        let at = nx * (j - self.start[1] + ny * (k - self.start[2]));
        let row = |at: usize| &self.data[at..at + nx];
        let rows = [
            row(at),
            row(at + nx),
            row(at + nx * ny),
            row(at + nx * ny + nx),
        ];
        let weights = [(1.0 - v) * (1.0 - w), v * (1.0 - w), (1.0 - v) * w, v * w];
        nodes.clear();
        nodes.extend((0..nx).map(|i| {
            rows[0][i] * weights[0]
                + rows[1][i] * weights[1]
                + rows[2][i] * weights[2]
                + rows[3][i] * weights[3]
        }));
        for (out, &(i, u)) in out.iter_mut().zip(xs) {
            *out = match inside(i, self.start[0], nx) {
                true => {
                    let i = i - self.start[0];
                    nodes[i] + u * (nodes[i + 1] - nodes[i])
                }
                false => self.outside,
            };
        }
        true
    }

    /// The lattice of its nodes alone.
    pub(super) fn lattice(&self, whole: &Lattice) -> Lattice {
        Lattice {
            origin: [0, 1, 2].map(|a| whole.position(a, self.start[a])),
            spacing: whole.spacing,
            shape: self.shape,
        }
    }

    /// The value outside.
    pub(super) fn outside(&self) -> f32 {
        self.outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_fields_are_exact_between_nodes() {
        let lattice = Lattice {
            origin: [-3.0, 5.0, 1.0],
            spacing: 2.0,
            shape: [6, 7, 8],
        };
        let value = |p: [f32; 3]| 2.0 * p[0] - p[1] + 0.5 * p[2];
        let mut field = Vec::new();
        for k in 0..8 {
            for j in 0..7 {
                field.extend((0..6).map(|i| {
                    value([
                        lattice.position(0, i),
                        lattice.position(1, j),
                        lattice.position(2, k),
                    ])
                }));
            }
        }
        let p = [1.3, 10.9, 7.7];
        assert!((lattice.sample(&field, p) - value(p)).abs() < 1e-4);
        let layer = Layer::cropped(&lattice, &field, 1e9);
        let xs: Vec<_> = [1.3f32, -3.0, 7.0]
            .iter()
            .map(|&x| lattice.locate(0, x))
            .collect();
        let mut out = [0.0; 3];
        let (y, z) = (lattice.locate(1, p[1]), lattice.locate(2, p[2]));
        assert!(layer.line(&xs, y, z, &mut Vec::new(), &mut out));
        for (out, x) in out.iter().zip([1.3, -3.0, 7.0]) {
            assert!((out - value([x, p[1], p[2]])).abs() < 1e-4);
        }
    }

    #[test]
    fn cropped_layers_know_what_is_outside() {
        let lattice = Lattice {
            origin: [0.0; 3],
            spacing: 1.0,
            shape: [9; 3],
        };
        let mut field = vec![5.0; 729];
        field[4 + 9 * (4 + 9 * 4)] = -1.0;
        let layer = Layer::cropped(&lattice, &field, 5.0);
        assert_eq!((layer.start, layer.shape), ([3; 3], [3; 3]));
        let xs: Vec<_> = (0..9).map(|x| lattice.locate(0, x as f32)).collect();
        let mut out = [0.0; 9];
        let at = |v: f32| lattice.locate(1, v);
        assert!(!layer.line(&xs, at(1.0), at(4.0), &mut Vec::new(), &mut out));
        assert!(layer.line(&xs, at(4.0), at(4.0), &mut Vec::new(), &mut out));
        assert_eq!(out, [5.0, 5.0, 5.0, 5.0, -1.0, 5.0, 5.0, 5.0, 5.0]);
    }
}
