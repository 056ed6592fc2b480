//! The exact Euclidean distance transform with voxel spacing, in linear time.
//!
//! Squared distances are separable: first along x, where a row is scanned in both directions, then
//! along y and z by the lower envelope of parabolas (Felzenszwalb and Huttenlocher 2012).

use super::MetricError;

/// Lines that are copied out of the volume at once: neighbours share cache lines.
const BLOCK: usize = 32;

/// The squared distance in mm^2 from every voxel to the nearest one of which `is_seed` (by index,
/// first axis fastest), between voxel centres; infinite where there is no seed. `spacing` are the
/// edge lengths of a voxel in mm.
///
/// # Errors
///
/// [`MetricError::Spacing`] for voxels without size; [`MetricError::OutOfMemory`] where four bytes
/// a voxel are not there.
pub fn squared_distances(
    is_seed: impl Fn(usize) -> bool,
    shape: [usize; 3],
    spacing: [f64; 3],
) -> Result<Vec<f32>, MetricError> {
    if !spacing.iter().all(|s| s.is_finite() && *s > 0.0) {
        return Err(MetricError::Spacing(spacing));
    }
    let voxels = shape.iter().fold(1usize, |n, &s| n.saturating_mul(s));
    let mut out: Vec<f32> = Vec::new();
    out.try_reserve_exact(voxels)
        .map_err(|_| MetricError::OutOfMemory {
            bytes: voxels.saturating_mul(size_of::<f32>()),
        })?;
    out.resize(voxels, f32::INFINITY);
    if voxels == 0 {
        return Ok(out);
    }
    for (row, line) in out.chunks_exact_mut(shape[0]).enumerate() {
        scan(line, row * shape[0], spacing[0], &is_seed);
    }
    let mut envelope = Envelope::default();
    for (axis, stride) in [(1, shape[0]), (2, shape[0] * shape[1])] {
        if shape[axis] > 1 {
            along(&mut out, shape[axis], stride, spacing[axis], &mut envelope);
        }
    }
    Ok(out)
}

/// Distances along one row, whose first voxel has index `start`.
fn scan(line: &mut [f32], start: usize, spacing: f64, is_seed: impl Fn(usize) -> bool) {
    let mut last = None;
    for (x, v) in line.iter_mut().enumerate() {
        if is_seed(start + x) {
            last = Some(x);
        }
        if let Some(last) = last {
            *v = (x - last) as f32;
        }
    }
    let mut next = None;
    for (x, v) in line.iter_mut().enumerate().rev() {
        if *v == 0.0 {
            next = Some(x);
        }
        if let Some(next) = next {
            *v = v.min((next - x) as f32);
        }
        let mm = f64::from(*v) * spacing;
        *v = (mm * mm) as f32;
    }
}

/// Takes the minimum along one axis of `n` voxels whose neighbours are `stride` values apart.
fn along(values: &mut [f32], n: usize, stride: usize, spacing: f64, envelope: &mut Envelope) {
    envelope.prepare(n, spacing);
    let mut block = vec![0.0; n * BLOCK];
    for plane in values.chunks_exact_mut(n * stride) {
        for first in (0..stride).step_by(BLOCK) {
            let width = BLOCK.min(stride - first);
            for (q, row) in plane.chunks_exact(stride).enumerate() {
                for (i, &v) in row[first..first + width].iter().enumerate() {
                    block[i * n + q] = v;
                }
            }
            for line in block.chunks_exact_mut(n).take(width) {
                envelope.apply(line);
            }
            for (q, row) in plane.chunks_exact_mut(stride).enumerate() {
                for (i, v) in row[first..first + width].iter_mut().enumerate() {
                    *v = block[i * n + q];
                }
            }
        }
    }
}

/// A parabola of the envelope: where it stands, its height there, its value at 0, and from where
/// on it is the lowest.
#[derive(Clone, Copy)]
struct Parabola {
    at: usize,
    height: f64,
    intercept: f64,
    from: f64,
}

/// The lower envelope of parabolas along a line.
#[derive(Default)]
struct Envelope {
    parabolas: Vec<Parabola>,
    /// `1 / (2 i spacing)`.
    halves: Vec<f64>,
    positions: Vec<f64>,
}

impl Envelope {
    /// Lines of `n` voxels, `spacing` mm apart.
    fn prepare(&mut self, n: usize, spacing: f64) {
        self.halves = (0..n).map(|i| 0.5 / (i as f64 * spacing)).collect();
        self.positions = (0..n).map(|i| i as f64 * spacing).collect();
    }

    /// Replaces the squared distances of a line by the smallest over the line, each plus the
    /// squared way there.
    fn apply(&mut self, line: &mut [f32]) {
        self.parabolas.clear();
        for (at, &value) in line.iter().enumerate() {
            if value == f32::INFINITY {
                continue;
            }
            let height = f64::from(value);
            let intercept = height + self.positions[at] * self.positions[at];
            let mut from = f64::NEG_INFINITY;
            while let Some(last) = self.parabolas.last() {
                from = (intercept - last.intercept) * self.halves[at - last.at];
                if from > last.from {
                    break;
                }
                self.parabolas.pop();
                from = f64::NEG_INFINITY;
            }
            self.parabolas.push(Parabola {
                at,
                height,
                intercept,
                from,
            });
        }
        let Some(mut current) = self.parabolas.first().copied() else {
            return;
        };
        let mut following = self.parabolas[1..].iter();
        let mut next = following.next();
        for (v, &x) in line.iter_mut().zip(&self.positions) {
            while let Some(parabola) = next.filter(|p| p.from < x) {
                current = *parabola;
                next = following.next();
            }
            let way = x - self.positions[current.at];
            *v = (way * way + current.height) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By looking at every seed from every voxel.
    fn brute_force(seeds: &[bool], shape: [usize; 3], spacing: [f64; 3]) -> Vec<f64> {
        let place = |i: usize| {
            [
                i % shape[0],
                i / shape[0] % shape[1],
                i / (shape[0] * shape[1]),
            ]
        };
        let far = |a: usize, b: usize| -> f64 {
            let (p, q) = (place(a), place(b));
            (0..3)
                .map(|k| ((p[k] as f64 - q[k] as f64) * spacing[k]).powi(2))
                .sum()
        };
        let all: Vec<usize> = (0..seeds.len()).filter(|&i| seeds[i]).collect();
        (0..seeds.len())
            .map(|i| all.iter().map(|&s| far(i, s)).fold(f64::INFINITY, f64::min))
            .collect()
    }

    proptest! {
        #[test]
        fn agrees_with_brute_force(
            shape in prop::array::uniform3(1usize..12),
            spacing in prop::array::uniform3(0.1f64..9.0),
            seeds in prop::collection::vec(0u32..1000, 12 * 12 * 12),
            density in 0u32..1000,
        ) {
            let n: usize = shape.iter().product();
            // Few seeds are the harder case: squared twice, most draws have few.
            let limit = density * density / 1000;
            let seeds: Vec<bool> = seeds[..n].iter().map(|&s| s < limit).collect();
            let found = squared_distances(|i| seeds[i], shape, spacing).expect("small");
            for (a, b) in found.iter().zip(brute_force(&seeds, shape, spacing)) {
                let a = f64::from(*a);
                prop_assert!(a == b || (a - b).abs() <= 1e-6 * b, "{a} {b}");
            }
        }
    }

    #[test]
    fn lines_longer_than_a_block_and_no_seeds() {
        let shape = [BLOCK * 2 + 3, 5, 1];
        let n = shape.iter().product();
        let none = squared_distances(|_| false, shape, [1.0; 3]).expect("small");
        assert_eq!(none, vec![f32::INFINITY; n]);
        let one = squared_distances(|i| i == n - 1, shape, [2.0, 1.0, 1.0]).expect("small");
        assert_eq!(one[0], (2.0 * (shape[0] as f32 - 1.0)).powi(2) + 16.0);
        assert!(squared_distances(|_| true, [0, 3, 3], [1.0; 3]).is_ok_and(|d| d.is_empty()));
        let error = squared_distances(|_| true, [1; 3], [1.0, 0.0, 1.0]).expect_err("flat");
        assert!(error.to_string().contains("no size"), "{error}");
    }
}
