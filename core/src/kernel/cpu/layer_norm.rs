//! Layer normalisation of the channels of every voxel, forward and backward.
//!
//! Channels lie far apart, so a task takes a few hundred voxels and goes over their channels row
//! by row.

use super::parallel::{Shared, filled, for_each, with_scratch};
use super::pointwise::vectored;

/// Most voxels of a task; all its channels are to stay in the second-level cache.
const MOST_VOXELS: usize = 1024;
const TASK_FLOATS: usize = 96 * 1024;

/// Layer normalisation of `[batch, channels, voxels]`.
pub(crate) struct LayerNorm<'a> {
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) voxels: usize,
    pub(crate) eps: f64,
    /// Scale, `[channels]`.
    pub(crate) weight: Option<&'a [f32]>,
}

/// Gradients of the data, of scale and shift.
pub(crate) struct Gradients {
    pub(crate) data: Vec<f32>,
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// The voxels of a task: first channel's place in the data, and their number.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    count: usize,
    /// Place of the first voxel's statistics.
    at: usize,
}

impl LayerNorm<'_> {
    fn part_voxels(&self) -> usize {
        (TASK_FLOATS / self.channels.max(1))
            .clamp(64, MOST_VOXELS)
            .min(self.voxels.max(1))
    }

    fn parts(&self) -> usize {
        self.batch * self.voxels.div_ceil(self.part_voxels())
    }

    fn part(&self, task: usize) -> Part {
        let (size, per_sample) = (self.part_voxels(), self.parts() / self.batch);
        let (sample, first) = (task / per_sample, task % per_sample * size);
        Part {
            start: sample * self.channels * self.voxels + first,
            count: size.min(self.voxels - first),
            at: sample * self.voxels + first,
        }
    }

    /// A channel of a part.
    fn row<'a>(&self, x: &'a [f32], part: Part, channel: usize) -> &'a [f32] {
        &x[part.start + channel * self.voxels..][..part.count]
    }

    fn weight(&self, channel: usize) -> f32 {
        self.weight.map_or(1.0, |weight| weight[channel])
    }

    /// The output; mean and 1 / standard deviation of every voxel, `[2, batch, voxels]`.
    pub(crate) fn forward(&self, x: &[f32], bias: Option<&[f32]>) -> (Vec<f32>, Vec<f32>) {
        let all = self.batch * self.voxels;
        let mut statistics = vec![0.0; 2 * all];
        let (means, scales) = statistics.split_at_mut(all);
        let (means, scales) = (Shared::new(means), Shared::new(scales));
        let inverse = 1.0 / self.channels as f32;
        let write = |out: Shared<'_>| {
            for_each(self.parts(), |task| {
                let part = self.part(task);
                // SAFETY: parts share no voxels.
                let mean = unsafe { means.row(part.at, part.count) };
                // SAFETY: as above.
                let scale = unsafe { scales.row(part.at, part.count) };
                vectored(
                    #[inline(always)]
                    || {
                        for c in 0..self.channels {
                            for (mean, x) in mean.iter_mut().zip(self.row(x, part, c)) {
                                *mean += x;
                            }
                        }
                        mean.iter_mut().for_each(|mean| *mean *= inverse);
                        for c in 0..self.channels {
                            let values = self.row(x, part, c).iter().zip(&*mean);
                            for (scale, (x, mean)) in scale.iter_mut().zip(values) {
                                *scale += (x - mean) * (x - mean);
                            }
                        }
                        for scale in scale.iter_mut() {
                            *scale = (*scale * inverse + self.eps as f32).sqrt().recip();
                        }
                        for c in 0..self.channels {
                            let (weight, bias) = (self.weight(c), bias.map_or(0.0, |b| b[c]));
                            let from = part.start + c * self.voxels;
                            // SAFETY: parts share no voxels.
                            let y = unsafe { out.row(from, part.count) };
                            let values = self.row(x, part, c).iter().zip(&*mean).zip(&*scale);
                            for (y, ((x, mean), scale)) in y.iter_mut().zip(values) {
                                *y = (x - mean) * scale * weight + bias;
                            }
                        }
                    },
                );
            });
        };
        // SAFETY: the parts are all voxels, and each task writes all channels.
        let out = unsafe { filled(x.len(), write) };
        (out, statistics)
    }

    /// Gradients from the output's, `dy`, with the statistics of the forward pass.
    pub(crate) fn backward(&self, x: &[f32], statistics: &[f32], dy: &[f32]) -> Gradients {
        let (means, scales) = statistics.split_at(self.batch * self.voxels);
        let (parts, channels) = (self.parts(), self.channels);
        let mut sums = vec![0.0; 2 * parts * channels];
        let shared = Shared::new(&mut sums);
        let inverse = 1.0 / channels as f32;
        let write = |out: Shared<'_>| {
            for_each(parts, |task| {
                let part = self.part(task);
                let mean = &means[part.at..][..part.count];
                let scale = &scales[part.at..][..part.count];
                // SAFETY: each task has its own sums.
                let sums = unsafe { shared.row(task * 2 * channels, 2 * channels) };
                let (of_weight, of_bias) = sums.split_at_mut(channels);
                with_scratch(3 * part.count, |scratch| {
                    scratch.fill(0.0);
                    let (plain, rest) = scratch.split_at_mut(part.count);
                    let (product, normal) = rest.split_at_mut(part.count);
                    vectored(
                        #[inline(always)]
                        || {
                            for c in 0..channels {
                                let dy = self.row(dy, part, c);
                                let values = self.row(x, part, c).iter().zip(mean).zip(scale);
                                for (normal, ((x, mean), scale)) in normal.iter_mut().zip(values) {
                                    *normal = (x - mean) * scale;
                                }
                                of_weight[c] = dot(dy, normal);
                                of_bias[c] = total(dy);
                                let weight = self.weight(c);
                                let to = plain.iter_mut().zip(product.iter_mut());
                                for ((plain, product), (dy, normal)) in
                                    to.zip(dy.iter().zip(&*normal))
                                {
                                    *plain += dy * weight;
                                    *product += dy * weight * normal;
                                }
                            }
                            plain.iter_mut().for_each(|v| *v *= inverse);
                            product.iter_mut().for_each(|v| *v *= inverse);
                            for c in 0..channels {
                                let weight = self.weight(c);
                                let from = part.start + c * self.voxels;
                                // SAFETY: parts share no voxels.
                                let dx = unsafe { out.row(from, part.count) };
                                let of_voxel = mean.iter().zip(scale);
                                let sums = plain.iter().zip(&*product);
                                let values = self.row(x, part, c).iter().zip(self.row(dy, part, c));
                                let inputs = values.zip(of_voxel).zip(sums);
                                for (dx, (((x, dy), (mean, scale)), (plain, product))) in
                                    dx.iter_mut().zip(inputs)
                                {
                                    let normal = (x - mean) * scale;
                                    *dx = scale * (dy * weight - plain - normal * product);
                                }
                            }
                        },
                    );
                });
            });
        };
        // SAFETY: the parts are all voxels, and each task writes all channels.
        let data = unsafe { filled(x.len(), write) };
        let sum = |first: usize| -> Vec<f32> {
            let of_channel = |c| sums.iter().skip(first + c).step_by(2 * channels);
            (0..channels)
                .map(|c| of_channel(c).map(|&v| f64::from(v)).sum::<f64>() as f32)
                .collect()
        };
        Gradients {
            data,
            weight: sum(0),
            bias: sum(channels),
        }
    }
}

/// Independent partial sums.
const LANES: usize = 32;

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    lanes.iter().sum::<f32>() + rest.sum::<f32>()
}

#[inline(always)]
fn total(a: &[f32]) -> f32 {
    let (a, rest) = a.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for a in a {
        for (lane, a) in lanes.iter_mut().zip(a) {
            *lane += a;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}
