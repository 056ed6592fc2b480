//! Sums over the voxels of each channel.

use super::parallel::{Shared, for_each};
use super::pointwise::vectored;

/// Independent partial sums, enough to fill vectors and to keep rounding small.
const LANES: usize = 64;

/// Floats that are added in single precision before the sum goes on in double.
const RUN: usize = 4096;

/// Sum of `values`, in an order that depends on their number alone.
fn sum(values: &[f32]) -> f64 {
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
