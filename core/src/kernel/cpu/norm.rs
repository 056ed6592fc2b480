//! Instance normalisation with activation, forward and backward.

use super::parallel::{Shared, filled, for_each};
use super::pointwise::{self, vectored};
use super::reduce::{dot_and_sum, sum};
use crate::nn::Activation;

/// Floats handled at once between two steps, small enough for the first-level cache.
const CHUNK: usize = 4096;

/// Statistics kept per channel.
pub(crate) const KEPT: usize = 3;

/// Normalisation of every channel of every sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) eps: f64,
    pub(crate) activation: Option<Activation>,
}

/// Gradients of [`Norm::backward`].
pub(crate) struct NormGradients {
    pub(crate) data: Vec<f32>,
    /// `[channels]`.
    pub(crate) weight: Vec<f32>,
    /// `[channels]`.
    pub(crate) bias: Vec<f32>,
}

impl Norm {
    fn voxels(&self, len: usize) -> usize {
        len / (self.batch * self.channels).max(1)
    }

    /// The output, and `[batch * channels, KEPT]`: the mean in two parts, 1 / standard deviation.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        weight: Option<&[f32]>,
        bias: Option<&[f32]>,
    ) -> (Vec<f32>, Vec<f32>) {
        let voxels = self.voxels(x.len());
        let mut statistics = vec![0.0; self.batch * self.channels * KEPT];
        let kept = Shared::new(&mut statistics);
        let write = |out: Shared<'_>| {
            for_each(self.batch * self.channels, |index| {
                let x = &x[index * voxels..][..voxels];
                // SAFETY: each task writes its own channel of its own sample.
                let kept = unsafe { kept.row(index * KEPT, KEPT) };
                let (mean, variance) = moments(x);
                let inverse = 1.0 / (variance + self.eps).sqrt();
                let high = mean as f32;
                kept.copy_from_slice(&[high, (mean - f64::from(high)) as f32, inverse as f32]);
                let (scale, shift) = self.affine(index, weight, bias, kept);
                let mut near = [0.0; CHUNK];
                for (chunk, x) in x.chunks(CHUNK).enumerate() {
                    let y = &mut near[..x.len()];
                    affine(x, y, kept[0], scale, shift);
                    if let Some(activation) = self.activation {
                        pointwise::apply(activation, y);
                    }
                    // SAFETY: as above.
                    unsafe { out.write(index * voxels + chunk * CHUNK, 1, y) };
                }
            });
        };
        // SAFETY: the chunks of the channels are all elements.
        (unsafe { filled(x.len(), write) }, statistics)
    }

    /// Scale and shift from the input less the mean's first part to the activation's argument.
    fn affine(
        &self,
        index: usize,
        weight: Option<&[f32]>,
        bias: Option<&[f32]>,
        kept: &[f32],
    ) -> (f32, f32) {
        let channel = index % self.channels;
        let scale = kept[2] * weight.map_or(1.0, |weight| weight[channel]);
        (
            scale,
            bias.map_or(0.0, |bias| bias[channel]) - kept[1] * scale,
        )
    }

    /// Gradients from the output's gradient and the statistics of the forward pass.
    pub(crate) fn backward(
        &self,
        x: &[f32],
        weight: Option<&[f32]>,
        bias: Option<&[f32]>,
        statistics: &[f32],
        gradient: &[f32],
    ) -> NormGradients {
        let voxels = self.voxels(x.len());
        let count = self.batch * self.channels;
        let mut data = vec![0.0; x.len()];
        let mut sums = vec![0.0; count * 2];
        let (out, shared) = (Shared::new(&mut data), Shared::new(&mut sums));
        for_each(count, |index| {
            let x = &x[index * voxels..][..voxels];
            let dy = &gradient[index * voxels..][..voxels];
            // SAFETY: each task writes its own channel of its own sample.
            let (dx, sums) = unsafe { (out.row(index * voxels, voxels), shared.row(index * 2, 2)) };
            let kept = &statistics[index * KEPT..][..KEPT];
            let (scale, shift) = self.affine(index, weight, bias, kept);
            let (rest, inverse) = (f64::from(kept[1]), f64::from(kept[2]));
            // First the gradient before the activation, with its sum and that of its product
            // with the input; then the gradient of the normalisation, in place.
            let (mut total, mut product) = (0.0, 0.0);
            let mut argument = [0.0; CHUNK];
            let chunks = x
                .chunks(CHUNK)
                .zip(dy.chunks(CHUNK))
                .zip(dx.chunks_mut(CHUNK));
            for ((x, dy), dx) in chunks {
                dx.copy_from_slice(dy);
                if let Some(activation) = self.activation {
                    let argument = &mut argument[..x.len()];
                    affine(x, argument, kept[0], scale, shift);
                    pointwise::chain(activation, argument, dx);
                }
                let (dot, sum) = dot_and_sum(x, dx, kept[0]);
                total += sum;
                product += dot;
            }
            let normalised = (product - rest * total) * inverse;
            sums.copy_from_slice(&[normalised as f32, total as f32]);
            let n = voxels as f64;
            let slope = -f64::from(scale) * inverse * normalised / n;
            let offset = -f64::from(scale) * total / n - slope * rest;
            combine(x, dx, kept[0], [scale, slope as f32, offset as f32]);
        });
        let mut result = NormGradients {
            data,
            weight: vec![0.0; self.channels],
            bias: vec![0.0; self.channels],
        };
        for (index, pair) in sums.chunks_exact(2).enumerate() {
            result.weight[index % self.channels] += pair[0];
            result.bias[index % self.channels] += pair[1];
        }
        result
    }
}

/// Mean and biased variance, chunk by chunk: the data is read once, and no large numbers cancel.
fn moments(x: &[f32]) -> (f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for chunk in x.chunks(CHUNK) {
        let n = chunk.len() as f64;
        let chunk_mean = sum(chunk) / n;
        let centred = centred_squares(chunk, chunk_mean as f32);
        // The chunk's mean is rounded there; its square comes off again.
        let rounding = chunk_mean - f64::from(chunk_mean as f32);
        let delta = chunk_mean - mean;
        let all = count + n;
        squares += centred - n * rounding * rounding + delta * delta * count * n / all;
        mean += delta * n / all;
        count = all;
    }
    (
        mean,
        if count > 0.0 {
            (squares / count).max(0.0)
        } else {
            0.0
        },
    )
}

fn centred_squares(x: &[f32], mean: f32) -> f64 {
    const LANES: usize = 64;
    let mut total = 0.0;
    vectored(
        #[inline(always)]
        || {
            let mut lanes = [0.0_f32; LANES];
            let (chunks, rest) = x.as_chunks::<LANES>();
            for chunk in chunks {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    *lane += (x - mean) * (x - mean);
                }
            }
            total = lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
            total += rest
                .iter()
                .map(|&x| f64::from((x - mean) * (x - mean)))
                .sum::<f64>();
        },
    );
    total
}

/// `y = (x - origin) * scale + shift`.
fn affine(x: &[f32], y: &mut [f32], origin: f32, scale: f32, shift: f32) {
    vectored(
        #[inline(always)]
        || {
            for (y, x) in y.iter_mut().zip(x) {
                *y = (x - origin) * scale + shift;
            }
        },
    );
}

/// `dx = scale * dx + slope * (x - origin) + offset`.
fn combine(x: &[f32], dx: &mut [f32], origin: f32, [scale, slope, offset]: [f32; 3]) {
    vectored(
        #[inline(always)]
        || {
            for (dx, x) in dx.iter_mut().zip(x) {
                *dx = scale * *dx + (slope * (x - origin) + offset);
            }
        },
    );
}
