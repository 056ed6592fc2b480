//! The sum of two tensors, then an activation of two straight lines.

use macerator::{Scalar, Simd, Vector};

use super::parallel::{Shared, filled, for_each};
use super::source::MAP;
use super::stream::{Each, Streams};
use super::tile::Machine;

/// A tensor whose values are mapped as they are read, see
/// [`Normalized`](crate::kernel::Normalized).
#[derive(Clone, Copy)]
pub(crate) struct Summand<'a> {
    pub(crate) values: &'a [f32],
    /// Origin, scale and shift of every channel of every sample.
    pub(crate) maps: Option<&'a [f32]>,
    /// Slope of the mapped values below zero, from 0 to 1.
    pub(crate) slope: f32,
}

/// `max(v, slope * v)` of the sum `v` of two mapped values.
struct Sum {
    maps: [[f32; MAP]; 2],
    slopes: [f32; 2],
    slope: f32,
}

impl Each<2> for Sum {
    #[inline(always)]
    fn each<S: Simd>(&self, values: [Vector<S, f32>; 2]) -> Vector<S, f32> {
        let part = |i: usize| {
            let [origin, scale, shift] = self.maps[i].map(|value| value.splat());
            bent((values[i] - origin).mul_add(scale, shift), self.slopes[i])
        };
        bent(part(0) + part(1), self.slope)
    }
}

#[inline(always)]
fn bent<S: Simd>(value: Vector<S, f32>, slope: f32) -> Vector<S, f32> {
    value
        .gt(0.0_f32.splat())
        .select(value, value * slope.splat())
}

/// The sum of two tensors of so many channels in all samples, with `slope` below zero.
pub(crate) fn residual_sum(parts: [Summand<'_>; 2], channels: usize, slope: f32) -> Vec<f32> {
    let machine = Machine::detect();
    let count = parts[0].values.len();
    let volume = count / channels.max(1);
    let write = |out: Shared<'_>| {
        for_each(channels, |index| {
            let start = index * volume;
            let map = |part: &Summand<'_>| match part.maps {
                Some(maps) => std::array::from_fn(|i| maps[index * MAP + i]),
                None => [0.0, 1.0, 0.0],
            };
            let each = Sum {
                maps: parts.each_ref().map(map),
                slopes: parts.map(|part| part.slope),
                slope,
            };
            let from = parts.map(|part| &part.values[start..start + volume]);
            // SAFETY: the target has room for the channel, which no other task writes.
            let streams = unsafe { Streams::new(from, out.target(start, volume)) };
            streams.map(&machine, &each);
        });
    };
    // SAFETY: the channels are all elements.
    unsafe { filled(count, write) }
}
