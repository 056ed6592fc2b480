//! Planes of k-space weighted along one axis.
//!
//! Weights that depend on one coordinate of k-space leave the other two axes as they are, so a
//! three-dimensional transform, the weights and the way back are the same as all of it on the
//! lines along one axis. Two real lines share one transform: with `z = a + ib` the results for the
//! weights and for their mirror image, added and subtracted, give both lines' results apart.

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use super::lines::{LANES, Lines, Row};
use super::range::{clip, limits};

/// Multiplies planes of k-space by `weights` (as FFTs order frequencies) along an axis and takes
/// the magnitude; the image keeps its range. Images with negative voxels are lifted to 0 for it.
pub(super) fn weigh_planes(image: &mut [f32], shape: [usize; 3], axis: usize, weights: &[f32]) {
    let lines = Lines::new(shape, axis);
    let n = lines.len();
    if weights.len() != n || n == 0 || image.is_empty() {
        return;
    }
    let range = limits(image);
    let lift = (-range[0]).max(0.0);
    let mut planner = FftPlanner::new();
    let (forward, inverse) = (planner.plan_fft_forward(n), planner.plan_fft_inverse(n));
    // Both transforms are of one length; the mean of the two results halves again.
    let scale = 0.5 / n as f32;
    let plain: Vec<f32> = weights.iter().map(|w| w * scale).collect();
    let turned: Vec<f32> = (0..n).map(|k| plain[(n - k) % n]).collect();
    let pairs = LANES / 2;
    let mut spectrum = vec![Complex::default(); n * pairs];
    let mut other = spectrum.clone();
    let scratch = scratch(&*forward).max(scratch(&*inverse));
    let mut scratch = vec![Complex::default(); scratch];
    let mut rows: Vec<Row> = vec![[0.0; LANES]; n];
    for block in lines.blocks() {
        lines.load(image, block, 0, &mut rows);
        for (p, line) in spectrum.chunks_exact_mut(n).enumerate() {
            for (z, row) in line.iter_mut().zip(&rows) {
                *z = Complex::new(row[2 * p] + lift, row[2 * p + 1] + lift);
            }
        }
        forward.process_with_scratch(&mut spectrum, &mut scratch);
        for (line, other) in spectrum.chunks_exact_mut(n).zip(other.chunks_exact_mut(n)) {
            for k in 0..n {
                other[k] = line[k] * turned[k];
                line[k] *= plain[k];
            }
        }
        inverse.process_with_scratch(&mut spectrum, &mut scratch);
        inverse.process_with_scratch(&mut other, &mut scratch);
        let lines_of = spectrum.chunks_exact(n).zip(other.chunks_exact(n));
        for (p, (line, other)) in lines_of.enumerate() {
            for ((row, u), v) in rows.iter_mut().zip(line).zip(other) {
                row[2 * p] = length(u.re + v.re, u.im - v.im) - lift;
                row[2 * p + 1] = length(u.im + v.im, v.re - u.re) - lift;
            }
        }
        lines.store(image, block, &rows);
    }
    clip(image, range);
}

fn scratch(fft: &dyn Fft<f32>) -> usize {
    fft.get_inplace_scratch_len()
}

/// The length of `(a, b)`, without the care that [`f32::hypot`] takes near the type's limits.
#[inline]
fn length(a: f32, b: f32) -> f32 {
    (a * a + b * b).sqrt()
}
