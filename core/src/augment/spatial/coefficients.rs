//! B-spline coefficients of the part of an image that a coordinate map reaches.

use super::super::lines::{LANES, Lines};
use super::super::range::clipped;
use super::super::spline::{End, SETTLED, coefficients, mirrored, weights};

/// Coefficients of a box of voxels.
pub(super) struct Coefficients {
    data: Vec<f32>,
    shape: [usize; 3],
    first: [usize; 3],
    /// The image's outermost voxel centres, counted from the box's first voxel.
    low: [f32; 3],
    high: [f32; 3],
}

impl Coefficients {
    /// Those that values within `bounds` need, in an image that is mirrored about its ends.
    pub(super) fn new(image: &[f32], shape: [usize; 3], bounds: [[f64; 2]; 3]) -> Self {
        let mut ends = [[End::Mirror; 2]; 3];
        let (mut first, mut size) = ([0; 3], [0; 3]);
        for a in 0..3 {
            // A cut end is far enough from what is needed for the filter to have settled.
            let last = shape[a] as f64 - 1.0;
            let low = bounds[a][0].clamp(0.0, last) as usize;
            let high = bounds[a][1].clamp(0.0, last) as usize;
            let from = low.saturating_sub(SETTLED + 1);
            let to = shape[a].min(high + SETTLED + 3);
            if from > 0 {
                ends[a][0] = End::Continued;
            }
            if to < shape[a] {
                ends[a][1] = End::Continued;
            }
            (first[a], size[a]) = (from, to - from);
        }
        let [nx, ny, nz] = size;
        let mut data = Vec::with_capacity(nx * ny * nz);
        for z in 0..nz {
            let plane = data.len();
            for y in 0..ny {
                let row = shape[0] * (first[1] + y + shape[1] * (first[2] + z)) + first[0];
                data.extend_from_slice(&image[row..row + nx]);
            }
            // While the plane is near.
            filter(&mut data[plane..], [nx, ny, 1], 0, ends[0]);
            filter(&mut data[plane..], [nx, ny, 1], 1, ends[1]);
        }
        filter(&mut data, size, 2, ends[2]);
        Self {
            data,
            shape: size,
            first,
            low: first.map(|f| -(f as f32)),
            high: [0, 1, 2].map(|a| (shape[a] - 1 - first[a]) as f32),
        }
    }

    /// The box's first voxel in the image.
    pub(super) fn origin(&self) -> [f64; 3] {
        self.first.map(|f| f as f64)
    }

    /// The values at positions counted from the box's first voxel, in a range; `outside` for
    /// those beyond the image.
    pub(super) fn values(
        &self,
        positions: [&[f32]; 3],
        range: [f32; 2],
        outside: f32,
        out: &mut [f32],
    ) {
        let mut taps = Taps::default();
        for (c, out) in out.chunks_mut(CHUNK).enumerate() {
            let part = positions.map(|p| &p[c * CHUNK..c * CHUNK + out.len()]);
            taps.fill(part);
            for (i, out) in out.iter_mut().enumerate() {
                let p = part.map(|p| p[i]);
                let inside = (0..3).all(|a| p[a] >= self.low[a] && p[a] <= self.high[a]);
                *out = if inside {
                    clipped(self.value(&taps, i), range)
                } else {
                    outside
                };
            }
        }
    }

    #[inline]
    fn value(&self, taps: &Taps, i: usize) -> f32 {
        let [nx, ny, nz] = self.shape;
        let [x, y, z] = [0, 1, 2].map(|a| taps.cells[a][i] as usize);
        if x == 0 || y == 0 || z == 0 || x + 2 >= nx || y + 2 >= ny || z + 2 >= nz {
            return self.at_edge([x, y, z], taps.of(i));
        }
        let weight = |a: usize, k: usize| taps.weights[a][k][i];
        let (plane, reach) = (nx * ny, 3 * nx + 4);
        let first = x - 1 + nx * (y - 1) + plane * (z - 1);
        let mut sums = [0.0f32; 4];
        for dz in 0..4 {
            let start = first + dz * plane;
            let rows = &self.data[start..start + reach];
            let mut plane = [0.0f32; 4];
            for dy in 0..4 {
                if let Some(row) = rows.get(dy * nx..).and_then(|r| r.first_chunk::<4>()) {
                    let w = weight(1, dy);
                    for (sum, v) in plane.iter_mut().zip(row) {
                        *sum += w * v;
                    }
                }
            }
            let w = weight(2, dz);
            for (sum, v) in sums.iter_mut().zip(plane) {
                *sum += w * v;
            }
        }
        (sums[0] * weight(0, 0) + sums[1] * weight(0, 1))
            + (sums[2] * weight(0, 2) + sums[3] * weight(0, 3))
    }

    /// The value where coefficients beyond the image are needed.
    #[cold]
    fn at_edge(&self, cell: [usize; 3], weights: [[f32; 4]; 3]) -> f32 {
        let index = |a: usize, d: usize| {
            let i = cell[a] as isize + d as isize - 1;
            mirrored(i, self.shape[a])
        };
        let [nx, ny, _] = self.shape;
        let mut sum = 0.0;
        for (dz, wz) in weights[2].into_iter().enumerate() {
            for (dy, wy) in weights[1].into_iter().enumerate() {
                let row = nx * (index(1, dy) + ny * index(2, dz));
                for (dx, wx) in weights[0].into_iter().enumerate() {
                    sum += wz * wy * wx * self.data[row + index(0, dx)];
                }
            }
        }
        sum
    }
}

/// Positions for which taps are computed at once.
const CHUNK: usize = 64;

/// The cells in which positions lie, and the weights of the coefficients about them.
struct Taps {
    cells: [[i32; CHUNK]; 3],
    weights: [[[f32; CHUNK]; 4]; 3],
}

impl Default for Taps {
    fn default() -> Self {
        Self {
            cells: [[0; CHUNK]; 3],
            weights: [[[0.0; CHUNK]; 4]; 3],
        }
    }
}

impl Taps {
    /// Positions below 0 get taps that mean nothing.
    fn fill(&mut self, positions: [&[f32]; 3]) {
        for (a, positions) in positions.into_iter().enumerate() {
            let (cells, [first, second, third, last]) = (&mut self.cells[a], &mut self.weights[a]);
            for (i, &p) in positions.iter().take(CHUNK).enumerate() {
                cells[i] = p as i32;
                [first[i], second[i], third[i], last[i]] = weights(p - cells[i] as f32);
            }
        }
    }

    fn of(&self, i: usize) -> [[f32; 4]; 3] {
        [0, 1, 2].map(|a| [0, 1, 2, 3].map(|k| self.weights[a][k][i]))
    }
}

/// Turns samples into coefficients along one axis.
fn filter(data: &mut [f32], shape: [usize; 3], axis: usize, ends: [End; 2]) {
    let lines = Lines::new(shape, axis);
    let mut rows = vec![[0.0; LANES]; lines.len()];
    for block in lines.blocks() {
        lines.load(data, block, 0, &mut rows);
        coefficients(&mut rows, ends);
        lines.store(data, block, &rows);
    }
}
