//! Instance normalisation with activation, forward and backward.
//!
//! A channel is read twice, for its sums and to write the result; many channels are one task each,
//! few ones are cut into parts.

use macerator::{Scalar, Simd, Vector, WithSimd, vload_unaligned, vstore_unaligned};

use super::curve::{Curve, with_curve};
use super::moments::{Moments, PACKED};
use super::parallel::{Shared, filled, for_each};
use super::pointwise::Mapped;
use super::stream::{Each, Streams, rest};
use super::tile::Machine;
use crate::nn::Activation;

/// Floats whose sum is taken in single precision, small enough for the first-level cache.
const CHUNK: usize = 4096;

/// Tasks aimed at, and the least floats of one.
const TASKS: usize = 16;
const LEAST: usize = 16 * CHUNK;

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

/// Parts of every channel, by their number and size alone.
#[derive(Clone, Copy)]
struct Parts {
    count: usize,
    /// Floats of a channel and of a part.
    voxels: usize,
    len: usize,
}

impl Parts {
    fn new(channels: usize, voxels: usize) -> Self {
        let wanted = TASKS.div_ceil(channels.max(1)).min(voxels / LEAST).max(1);
        let len = voxels.div_ceil(wanted).next_multiple_of(CHUNK);
        Self {
            count: voxels.div_ceil(len).max(1),
            voxels,
            len,
        }
    }

    /// Where part `part` of channel `index` lies.
    fn range(&self, index: usize, part: usize) -> std::ops::Range<usize> {
        let from = (part * self.len).min(self.voxels);
        let to = (from + self.len).min(self.voxels);
        index * self.voxels + from..index * self.voxels + to
    }

    /// For every channel, `sum` of its parts, then `write` of its parts. Channels that are one part
    /// go through both at once, while they are in cache.
    fn run(
        &self,
        channels: usize,
        sum: impl Fn(usize, usize) + Send + Sync,
        write: impl Fn(usize, usize) + Send + Sync,
    ) {
        if self.count == 1 {
            for_each(channels, |index| {
                sum(index, 0);
                write(index, 0);
            });
        } else {
            let tasks = channels * self.count;
            for_each(tasks, |task| sum(task / self.count, task % self.count));
            for_each(tasks, |task| write(task / self.count, task % self.count));
        }
    }
}

impl Norm {
    fn parts(&self, len: usize) -> Parts {
        let count = self.batch * self.channels;
        Parts::new(count, len / count.max(1))
    }

    /// The output, and `[batch * channels, KEPT]`: the mean in two parts, 1 / standard deviation.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        weight: Option<&[f32]>,
        bias: Option<&[f32]>,
    ) -> (Vec<f32>, Vec<f32>) {
        with_curve!(self.activation, curve => self.forward_with(curve, x, weight, bias))
    }

    fn forward_with(
        &self,
        curve: impl Curve,
        x: &[f32],
        weight: Option<&[f32]>,
        bias: Option<&[f32]>,
    ) -> (Vec<f32>, Vec<f32>) {
        let machine = Machine::detect();
        let parts = self.parts(x.len());
        let channels = self.batch * self.channels;
        let mut statistics = vec![0.0; channels * KEPT];
        let mut sums = vec![0.0; channels * parts.count * PACKED];
        let (kept, sums) = (Shared::new(&mut statistics), Shared::new(&mut sums));
        let write = |out: Shared<'_>| {
            parts.run(
                channels,
                |index, part| {
                    let mut moments = Moments::default();
                    for chunk in x[parts.range(index, part)].chunks(CHUNK) {
                        moments.merge(Moments::of(chunk));
                    }
                    let at = (index * parts.count + part) * PACKED;
                    // SAFETY: each task writes the sums of its own part.
                    unsafe { sums.write(at, 1, &moments.pack()) };
                },
                |index, part| {
                    // SAFETY: all sums of the channel are written.
                    let sums =
                        unsafe { sums.row(index * parts.count * PACKED, parts.count * PACKED) };
                    let mut moments = Moments::default();
                    for part in sums.chunks_exact(PACKED) {
                        moments.merge(Moments::unpack(part));
                    }
                    let found = moments.statistics(self.eps);
                    if part == 0 {
                        // SAFETY: each channel has one first part.
                        unsafe { kept.write(index * KEPT, 1, &found) };
                    }
                    let map = self.map(index, weight, bias, &found);
                    let range = parts.range(index, part);
                    let to = out.target(range.start, range.len());
                    // SAFETY: the target has room for the part, which no other task writes.
                    let streams = unsafe { Streams::new([&x[range]], to) };
                    streams.map(&machine, &Mapped { curve, map });
                },
            );
        };
        // SAFETY: the parts of the channels are all elements.
        (unsafe { filled(x.len(), write) }, statistics)
    }

    /// Origin, scale and shift from the input to the activation's argument.
    fn map(
        &self,
        index: usize,
        weight: Option<&[f32]>,
        bias: Option<&[f32]>,
        kept: &[f32],
    ) -> [f32; 3] {
        let channel = index % self.channels;
        let scale = kept[2] * weight.map_or(1.0, |weight| weight[channel]);
        let bias = bias.map_or(0.0, |bias| bias[channel]);
        [kept[0], scale, bias - kept[1] * scale]
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
        with_curve!(self.activation, curve => {
            self.backward_with(curve, x, weight, bias, statistics, gradient)
        })
    }

    fn backward_with<C: Curve>(
        &self,
        curve: C,
        x: &[f32],
        weight: Option<&[f32]>,
        bias: Option<&[f32]>,
        statistics: &[f32],
        gradient: &[f32],
    ) -> NormGradients {
        let machine = Machine::detect();
        let parts = self.parts(x.len());
        let channels = self.batch * self.channels;
        assert_eq!(x.len(), gradient.len());
        let mut sums = vec![0.0; channels * parts.count * PAIR];
        let mut totals = vec![0.0; channels * 2];
        let (sums, shared) = (Shared::new(&mut sums), Shared::new(&mut totals));
        let map = |index: usize| {
            let kept = &statistics[index * KEPT..][..KEPT];
            self.map(index, weight, bias, kept)
        };
        let write = |out: Shared<'_>| {
            parts.run(
                channels,
                // The sum of the gradient before the activation, and of its product with the input.
                |index, part| {
                    let range = parts.range(index, part);
                    let mut both = [0.0; 2];
                    for start in range.clone().step_by(CHUNK) {
                        let chunk = start..(start + CHUNK).min(range.end);
                        let sums = Sums {
                            x: &x[chunk.clone()],
                            gradient: &gradient[chunk.clone()],
                            keep: out.target(chunk.start, chunk.len()),
                            map: map(index),
                            curve,
                        };
                        // SAFETY: the architecture was detected; the target is the part's.
                        let found = unsafe { machine.arch.dispatch(sums) };
                        both[0] += found[0];
                        both[1] += found[1];
                    }
                    let at = (index * parts.count + part) * PAIR;
                    // SAFETY: each task writes the sums of its own part.
                    unsafe { sums.write(at, 1, &pack(both)) };
                },
                |index, part| {
                    // SAFETY: all sums of the channel are written.
                    let sums = unsafe { sums.row(index * parts.count * PAIR, parts.count * PAIR) };
                    let (mut total, mut product) = (0.0, 0.0);
                    for part in sums.chunks_exact(PAIR) {
                        total += f64::from(part[0]) + f64::from(part[1]);
                        product += f64::from(part[2]) + f64::from(part[3]);
                    }
                    let kept = &statistics[index * KEPT..][..KEPT];
                    let (rest, inverse) = (f64::from(kept[1]), f64::from(kept[2]));
                    let normalised = (product - rest * total) * inverse;
                    if part == 0 {
                        let pair = [normalised as f32, total as f32];
                        // SAFETY: each channel has one first part.
                        unsafe { shared.write(index * 2, 1, &pair) };
                    }
                    let map = map(index);
                    let scale = f64::from(map[1]);
                    let n = parts.voxels as f64;
                    let slope = -scale * inverse * normalised / n;
                    let offset = -scale * total / n - slope * rest;
                    let range = parts.range(index, part);
                    let to = out.target(range.start, range.len());
                    let linear = [slope as f32, offset as f32];
                    // SAFETY: the target has room for the part, which no other task writes; what
                    // `Sums` kept there is read back.
                    unsafe {
                        if !C::CHEAP {
                            let kept = std::slice::from_raw_parts(to, range.len());
                            Streams::new([&x[range], kept], to)
                                .map(&machine, &Combine { map, linear });
                        } else {
                            Streams::new([&x[range.clone()], &gradient[range]], to)
                                .map(&machine, &Recompute { map, linear, curve });
                        }
                    }
                },
            );
        };
        // SAFETY: the parts of the channels are all elements.
        let data = unsafe { filled(x.len(), write) };
        let mut result = NormGradients {
            data,
            weight: vec![0.0; self.channels],
            bias: vec![0.0; self.channels],
        };
        for (index, pair) in totals.chunks_exact(2).enumerate() {
            result.weight[index % self.channels] += pair[0];
            result.bias[index % self.channels] += pair[1];
        }
        result
    }
}

/// Floats of two sums between tasks, each in two parts.
const PAIR: usize = 4;

fn pack(sums: [f64; 2]) -> [f32; PAIR] {
    let [total, product] = sums;
    let low = |sum: f64| (sum - f64::from(sum as f32)) as f32;
    [total as f32, low(total), product as f32, low(product)]
}

/// The sum of the gradient before the activation and of its product with the input less the
/// origin; where that gradient costs much, it is kept.
struct Sums<'a, C> {
    x: &'a [f32],
    gradient: &'a [f32],
    keep: *mut f32,
    map: [f32; 3],
    curve: C,
}

impl<C: Curve> Sums<'_, C> {
    /// The input less the origin, and the gradient before the activation.
    #[inline(always)]
    fn terms<S: Simd>(&self, x: Vector<S, f32>, gradient: Vector<S, f32>) -> [Vector<S, f32>; 2] {
        let [origin, scale, shift] = self.map.map(|value| value.splat());
        let x = x - origin;
        let argument = x.mul_add(scale, shift);
        [x, gradient * self.curve.slope(argument)]
    }
}

impl<C: Curve> WithSimd for Sums<'_, C> {
    type Output = [f64; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self) -> [f64; 2] {
        /// Vectors whose sums do not wait for each other.
        const AT_ONCE: usize = 4;
        let lanes = f32::lanes::<S>();
        let len = self.x.len();
        let mut totals = [0.0_f32.splat::<S>(); AT_ONCE];
        let mut products = totals;
        let whole = len / (AT_ONCE * lanes) * AT_ONCE * lanes;
        // SAFETY: both slices and the kept values have `len` floats.
        unsafe {
            for at in (0..whole).step_by(AT_ONCE * lanes) {
                for (v, (total, product)) in totals.iter_mut().zip(&mut products).enumerate() {
                    let at = at + v * lanes;
                    let [x, g] = self.terms(
                        vload_unaligned(self.x.as_ptr().add(at)),
                        vload_unaligned(self.gradient.as_ptr().add(at)),
                    );
                    if !C::CHEAP {
                        vstore_unaligned(self.keep.add(at), g);
                    }
                    *total += g;
                    *product = x.mul_add(g, *product);
                }
            }
            for at in (whole..len).step_by(lanes) {
                let left = lanes.min(len - at);
                let [x, g] = self.terms(
                    rest(self.x.as_ptr().add(at), left),
                    rest(self.gradient.as_ptr().add(at), left),
                );
                if !C::CHEAP {
                    let mut values = [0.0; super::stream::MOST_LANES];
                    vstore_unaligned(values.as_mut_ptr(), g);
                    std::ptr::copy_nonoverlapping(values.as_ptr(), self.keep.add(at), left);
                }
                totals[0] += g;
                products[0] = x.mul_add(g, products[0]);
            }
        }
        let sum = |lanes: [Vector<S, f32>; AT_ONCE]| {
            lanes.into_iter().map(|v| f64::from(v.reduce_add())).sum()
        };
        [sum(totals), sum(products)]
    }
}

/// `scale * g + slope * (x - origin) + offset` from x and g, the gradient before the activation.
struct Combine {
    map: [f32; 3],
    /// Slope and offset.
    linear: [f32; 2],
}

impl Each<2> for Combine {
    #[inline(always)]
    fn each<S: Simd>(&self, [x, gradient]: [Vector<S, f32>; 2]) -> Vector<S, f32> {
        let [origin, scale, _] = self.map.map(|value| value.splat());
        let [slope, offset] = self.linear.map(|value| value.splat());
        gradient.mul_add(scale, (x - origin).mul_add(slope, offset))
    }
}

/// The same from x and the gradient after the activation.
struct Recompute<C> {
    map: [f32; 3],
    linear: [f32; 2],
    curve: C,
}

impl<C: Curve> Each<2> for Recompute<C> {
    #[inline(always)]
    fn each<S: Simd>(&self, [x, gradient]: [Vector<S, f32>; 2]) -> Vector<S, f32> {
        let [origin, scale, shift] = self.map.map(|value| value.splat());
        let [slope, offset] = self.linear.map(|value| value.splat());
        let x = x - origin;
        let gradient = gradient * self.curve.slope(x.mul_add(scale, shift));
        gradient.mul_add(scale, x.mul_add(slope, offset))
    }
}
