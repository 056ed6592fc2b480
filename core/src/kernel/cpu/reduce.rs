//! Sums over the voxels of each channel.

use super::parallel::{Shared, for_each};
use super::pointwise::vectored;

/// Independent partial sums, enough to fill vectors and to keep rounding small.
const LANES: usize = 64;

/// Floats that are added in single precision before the sum goes on in double.
const RUN: usize = 4096;

/// Sum of `values`, in an order that depends on their number alone.
pub(crate) fn sum(values: &[f32]) -> f64 {
    let mut total = 0.0;
    vectored(
        #[inline(always)]
        || {
            for run in values.chunks(RUN) {
                let mut lanes = [0.0_f32; LANES];
                let (chunks, rest) = run.as_chunks::<LANES>();
                for chunk in chunks {
                    for (lane, value) in lanes.iter_mut().zip(chunk) {
                        *lane += value;
                    }
                }
                let body: f64 = lanes.iter().map(|&lane| f64::from(lane)).sum();
                total += body + rest.iter().map(|&value| f64::from(value)).sum::<f64>();
            }
        },
    );
    total
}

/// `[channels]` from `[batch, channels, voxels]`.
pub(crate) fn per_channel(values: &[f32], batch: usize, channels: usize) -> Vec<f32> {
    let mut sums = vec![0.0; channels];
    if batch * channels == 0 {
        return sums;
    }
    let voxels = values.len() / (batch * channels);
    let shared = Shared::new(&mut sums);
    for_each(channels, |c| {
        let total: f64 = (0..batch)
            .map(|n| sum(&values[(n * channels + c) * voxels..][..voxels]))
            .sum();
        // SAFETY: each task writes its own channel.
        unsafe { shared.row(c, 1) }.copy_from_slice(&[total as f32]);
    });
    sums
}

/// Sum of `(x - origin) * g`, and sum of `g`.
pub(crate) fn dot_and_sum(x: &[f32], g: &[f32], origin: f32) -> (f64, f64) {
    let (mut dot, mut total) = (0.0, 0.0);
    vectored(
        #[inline(always)]
        || {
            let (mut dots, mut sums) = ([0.0_f32; LANES], [0.0_f32; LANES]);
            let (x_chunks, x_rest) = x.as_chunks::<LANES>();
            let (g_chunks, g_rest) = g.as_chunks::<LANES>();
            for (x, g) in x_chunks.iter().zip(g_chunks) {
                for lane in 0..LANES {
                    dots[lane] += (x[lane] - origin) * g[lane];
                    sums[lane] += g[lane];
                }
            }
            dot = dots.iter().map(|&lane| f64::from(lane)).sum::<f64>();
            total = sums.iter().map(|&lane| f64::from(lane)).sum::<f64>();
            for (x, g) in x_rest.iter().zip(g_rest) {
                dot += f64::from((x - origin) * g);
                total += f64::from(*g);
            }
        },
    );
    (dot, total)
}
