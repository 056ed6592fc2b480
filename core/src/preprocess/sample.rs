//! Reading an image between its voxels, at the voxels of another grid.
//!
//! Positions are computed in `f64` for each voxel (not accumulated along a row); a row of the
//! target that misses the source costs nothing.

use std::ops::Range;

use crate::label::{Label, RunnerUp};
use crate::volume::Affine;

use super::error::{PlanError, checked_voxels, filled};

/// A straight run of sample positions: `origin + i * step`, in voxels of the source.
struct Line {
    origin: [f64; 3],
    step: [f64; 3],
}

impl Line {
    /// Row `(j, k)` of a target whose voxels `map` takes to the source.
    fn new(map: &Affine, j: usize, k: usize) -> Self {
        Self {
            origin: map.apply([0.0, j as f64, k as f64]),
            step: map.0.map(|row| row[0]),
        }
    }

    /// Position of sample `i`.
    fn at(&self, i: usize) -> [f64; 3] {
        let i = i as f64;
        [0, 1, 2].map(|a| self.origin[a] + i * self.step[a])
    }

    /// The samples of `0..n` that may lie in `low..=high[a]` along every axis `a`, to within
    /// rounding errors.
    fn inside(&self, n: usize, low: f64, high: [f64; 3]) -> Range<usize> {
        let (mut from, mut to) = (0.0f64, n as f64);
        for (a, &high) in high.iter().enumerate() {
            let (o, s) = (self.origin[a], self.step[a]);
            if s == 0.0 {
                if o < low || o > high {
                    return 0..0;
                }
            } else {
                let (x, y) = ((low - o) / s, (high - o) / s);
                from = from.max(x.min(y).ceil());
                to = to.min(x.max(y).floor() + 1.0);
            }
        }
        if from < to {
            from as usize..to as usize
        } else {
            0..0
        }
    }
}

/// A range one sample longer at both ends, within `0..n`.
fn widened(r: &Range<usize>, n: usize) -> Range<usize> {
    r.start.saturating_sub(1)..(r.end + 1).min(n)
}

/// Values of the source voxels nearest to each voxel of a target of shape `target`; `outside`
/// where there is none. `map` takes target voxels to source voxels.
pub(super) fn nearest<T: Copy>(
    source: &[T],
    shape: [usize; 3],
    target: [usize; 3],
    map: &Affine,
    outside: T,
) -> Result<Vec<T>, PlanError> {
    within(shape, target, map, outside, |p| {
        // The cast rounds down.
        let [x, y, z] = p.map(|c| (c + 0.5) as usize);
        source[x + shape[0] * (y + shape[1] * z)]
    })
}

/// For each voxel of a target of shape `target` the label that has the greatest trilinear weight
/// among the source voxels about it; of equals the nearest. Where `second` is given, a source voxel
/// counts for two labels by their shares. 0 where the source does not reach. `map` takes target
/// voxels to source voxels.
pub(super) fn vote(
    labels: &[Label],
    second: Option<&[RunnerUp]>,
    shape: [usize; 3],
    target: [usize; 3],
    map: &Affine,
) -> Result<Vec<Label>, PlanError> {
    within(shape, target, map, 0, |p| {
        heaviest(labels, second, shape, p)
    })
}

/// `value` of the position in the source of each target voxel that lies in a source voxel.
fn within<T: Copy>(
    shape: [usize; 3],
    target: [usize; 3],
    map: &Affine,
    outside: T,
    value: impl Fn([f64; 3]) -> T,
) -> Result<Vec<T>, PlanError> {
    let mut out = filled(checked_voxels(target)?, outside)?;
    let high = shape.map(|n| n as f64 - 0.5);
    for (row, values) in out.chunks_exact_mut(target[0]).enumerate() {
        let line = Line::new(map, row % target[1], row / target[1]);
        for i in widened(&line.inside(target[0], -0.5, high), target[0]) {
            let p = line.at(i);
            // What is no number is outside as well.
            if (0..3).all(|a| p[a] + 0.5 >= 0.0 && p[a] + 0.5 < shape[a] as f64) {
                values[i] = value(p);
            }
        }
    }
    Ok(out)
}

/// The label with the greatest trilinear weight about a position within half a voxel of the source.
fn heaviest(
    labels: &[Label],
    second: Option<&[RunnerUp]>,
    shape: [usize; 3],
    p: [f64; 3],
) -> Label {
    let stride = [1, shape[0], shape[0] * shape[1]];
    let (mut first, mut next, mut share) = (0, [0; 3], [0.0; 3]);
    for a in 0..3 {
        let c = p[a].clamp(0.0, (shape[a] - 1) as f64);
        let low = c as usize;
        first += low * stride[a];
        share[a] = c - low as f64;
        next[a] = if low + 1 < shape[a] { stride[a] } else { 0 };
    }
    let bit = |corner: usize, a: usize| (corner >> a) & 1;
    let corners: [usize; 8] = std::array::from_fn(|corner| {
        first + (0..3).map(|a| bit(corner, a) * next[a]).sum::<usize>()
    });
    let firsts = corners.map(|voxel| labels[voxel]);
    // No second label outweighs the first of all.
    if firsts.iter().all(|label| *label == firsts[0]) {
        return firsts[0];
    }
    let seconds = second.map(|second| corners.map(|voxel| second[voxel]));
    let weights: [f64; 8] = std::array::from_fn(|corner| {
        let shares = (0..3).map(|a| match bit(corner, a) {
            1 => share[a],
            _ => 1.0 - share[a],
        });
        shares.product()
    });
    let weight = |label: Label| -> f64 {
        let of = |corner: usize| {
            let other = seconds.map(|s| s[corner]).unwrap_or_default();
            let mut of = 0.0;
            if firsts[corner] == label {
                of += 1.0 - other.share();
            }
            if other.label == label {
                of += other.share();
            }
            weights[corner] * of
        };
        (0..8).map(of).sum()
    };
    let nearest = (0..3)
        .map(|a| usize::from(share[a] >= 0.5) << a)
        .sum::<usize>();
    let mut best = (firsts[nearest], weight(firsts[nearest]));
    let seconds = seconds.iter().flatten().map(|s| s.label);
    for label in firsts.into_iter().chain(seconds) {
        let of = weight(label);
        if of > best.1 {
            best = (label, of);
        }
    }
    best.0
}

/// What lies beyond the outermost voxel centres of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Border {
    /// Zeros: values fall to 0 within one voxel.
    Zero,
    /// The border voxel to half a voxel out, where the image ends, then 0.
    Clamp,
}

/// Trilinear values of `source` at each voxel of a target of shape `target`, `finish` applied.
/// `map` takes target voxels to source voxels.
pub(super) fn trilinear(
    source: &[f32],
    shape: [usize; 3],
    target: [usize; 3],
    map: &Affine,
    border: Border,
    finish: impl Fn(f32) -> f32,
) -> Result<Vec<f32>, PlanError> {
    let mut out = filled(checked_voxels(target)?, finish(0.0))?;
    let reach = match border {
        Border::Zero => 1.0,
        Border::Clamp => 0.5,
    };
    let cell = Cell::new(source, shape);
    for (row, values) in out.chunks_exact_mut(target[0]).enumerate() {
        let line = Line::new(map, row % target[1], row / target[1]);
        let near = line.inside(target[0], -reach, shape.map(|n| n as f64 - 1.0 + reach));
        let near = widened(&near, target[0]);
        let inner = line.inside(target[0], 0.0, shape.map(|n| n as f64 - 1.0));
        let inner = inner.start.max(near.start)..inner.end.min(near.end);
        let edges = if inner.is_empty() {
            [near.clone(), 0..0]
        } else {
            [near.start..inner.start, inner.end..near.end]
        };
        for i in edges.into_iter().flatten() {
            let p = line.at(i);
            let v = match border {
                Border::Zero => cell.fading(p),
                Border::Clamp => cell.clamped(p),
            };
            values[i] = finish(v);
        }
        for i in inner {
            values[i] = finish(cell.inner(line.at(i)));
        }
    }
    Ok(out)
}

/// A source image with what it takes to find the eight voxels about a position.
struct Cell<'a> {
    data: &'a [f32],
    shape: [usize; 3],
    /// Largest first voxel of a cell along each axis.
    last: [usize; 3],
    /// Distance in `data` to the second voxel of a cell; 0 along an axis of one voxel.
    next: [usize; 3],
}

impl<'a> Cell<'a> {
    fn new(data: &'a [f32], shape: [usize; 3]) -> Self {
        let stride = [1, shape[0], shape[0] * shape[1]];
        Self {
            data,
            shape,
            last: shape.map(|n| n.saturating_sub(2)),
            next: [0, 1, 2].map(|a| if shape[a] > 1 { stride[a] } else { 0 }),
        }
    }

    /// Value at a position between the outermost voxel centres (to within rounding errors).
    #[inline(always)]
    fn inner(&self, p: [f64; 3]) -> f32 {
        let [x, y, z] = [0, 1, 2].map(|a| (p[a] as usize).min(self.last[a]));
        let at = x + self.shape[0] * (y + self.shape[1] * z);
        let [fx, fy, fz] = [
            (p[0] - x as f64) as f32,
            (p[1] - y as f64) as f32,
            (p[2] - z as f64) as f32,
        ];
        let [dx, dy, dz] = self.next;
        let edge = |at: usize| {
            let (a, b) = (self.data[at], self.data[at + dx]);
            a + (b - a) * fx
        };
        let face = |at: usize| {
            let (a, b) = (edge(at), edge(at + dy));
            a + (b - a) * fy
        };
        let (a, b) = (face(at), face(at + dz));
        a + (b - a) * fz
    }

    /// Value at any position of an image that is surrounded by zeros.
    fn fading(&self, p: [f64; 3]) -> f32 {
        let base = p.map(f64::floor);
        let mut sum = 0.0;
        for corner in 0..8u8 {
            let up = [0, 1, 2].map(|a| f64::from(corner >> a & 1));
            let at = [0, 1, 2].map(|a| base[a] + up[a]);
            if (0..3).all(|a| at[a] >= 0.0 && at[a] < self.shape[a] as f64) {
                let weight: f64 = (0..3).map(|a| 1.0 - (p[a] - at[a]).abs()).product();
                let [x, y, z] = at.map(|c| c as usize);
                sum += weight * f64::from(self.data[x + self.shape[0] * (y + self.shape[1] * z)]);
            }
        }
        sum as f32
    }

    /// Value at any position of an image whose border voxels reach half a voxel out.
    fn clamped(&self, p: [f64; 3]) -> f32 {
        if (0..3).all(|a| p[a] >= -0.5 && p[a] <= self.shape[a] as f64 - 0.5) {
            self.inner([0, 1, 2].map(|a| p[a].clamp(0.0, self.shape[a] as f64 - 1.0)))
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [5, 4, 3];

    fn ramp() -> Vec<f32> {
        (0..60)
            .map(|i| (i % 5) as f32 + 10.0 * (i / 5 % 4) as f32 + 100.0 * (i / 20) as f32)
            .collect()
    }

    #[test]
    fn linear_images_are_exact_inside() -> Result<(), PlanError> {
        let map = Affine([
            [0.3, -0.2, 0.1, 0.9],
            [0.1, 0.4, -0.1, 0.6],
            [0.05, 0.1, 0.3, 0.2],
        ]);
        let target = [6, 4, 3];
        let out = trilinear(&ramp(), SHAPE, target, &map, Border::Zero, |v| v)?;
        let mut inside = 0;
        for (i, v) in out.iter().enumerate() {
            let p = map.apply([i % 6, i / 6 % 4, i / 24].map(|c| c as f64));
            if (0..3).all(|a| p[a] >= 0.0 && p[a] <= SHAPE[a] as f64 - 1.0) {
                inside += 1;
                let expected = p[0] + 10.0 * p[1] + 100.0 * p[2];
                assert!((f64::from(*v) - expected).abs() < 1e-4, "{p:?}");
            }
        }
        assert!(inside > 40);
        Ok(())
    }

    #[test]
    fn borders_fade_or_hold() -> Result<(), PlanError> {
        let source = [8.0f32; 8];
        let shape = [2; 3];
        // Positions -1.25, -0.75, -0.25, ... along x, in the middle of y and z.
        let map = Affine([[0.5, 0., 0., -1.25], [0., 1., 0., 0.5], [0., 0., 1., 0.5]]);
        let run = |border| trilinear(&source, shape, [8, 1, 1], &map, border, |v| v);
        assert_eq!(run(Border::Zero)?, [0., 2., 6., 8., 8., 6., 2., 0.]);
        assert_eq!(run(Border::Clamp)?, [0., 0., 8., 8., 8., 8., 0., 0.]);
        let near = nearest(&source, shape, [8, 1, 1], &map, 1.0)?;
        assert_eq!(near, [1., 1., 8., 8., 8., 8., 1., 1.]);
        Ok(())
    }

    #[test]
    fn one_voxel_thick_images_work() -> Result<(), PlanError> {
        let out = trilinear(
            &[3.0, 5.0],
            [2, 1, 1],
            [3, 2, 1],
            &Affine([[0.5, 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.]]),
            Border::Zero,
            |v| v,
        )?;
        assert_eq!(out, [3., 4., 5., 0., 0., 0.]);
        Ok(())
    }

    #[test]
    fn maps_that_are_not_numbers_give_the_outside() -> Result<(), PlanError> {
        let map = Affine([[f64::NAN; 4]; 3]);
        assert_eq!(nearest(&ramp(), SHAPE, [2, 2, 2], &map, 7.0)?, [7.0; 8]);
        Ok(())
    }

    #[test]
    fn flips_and_shifts_are_exact() -> Result<(), PlanError> {
        let map = Affine([[-1., 0., 0., 3.], [0., 1., 0., 1.], [0., 0., -1., 2.]]);
        let source = ramp();
        let out = nearest(&source, SHAPE, SHAPE, &map, -1.0)?;
        let linear = trilinear(&source, SHAPE, SHAPE, &map, Border::Zero, |v| v)?;
        for (i, &v) in out.iter().enumerate() {
            let (x, y, z) = (3 - (i % 5) as i64, 1 + i as i64 / 5 % 4, 2 - i as i64 / 20);
            let held = x >= 0 && y < 4;
            let expected = (x + 10 * y + 100 * z) as f32;
            assert_eq!(v, if held { expected } else { -1.0 });
            assert_eq!(linear[i], if held { expected } else { 0.0 });
        }
        Ok(())
    }
}
