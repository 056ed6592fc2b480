//! Trilinear resampling to another size, and its gradient.

use super::dense::volume;
use super::memory;
use super::parallel::{Shared, filled, for_each};
use super::pointwise::vectored;
use crate::kernel::resize::Places;

/// Resampling of every channel of every sample.
pub(crate) struct Resize {
    /// Samples times channels.
    channels: usize,
    from: [usize; 3],
    to: [usize; 3],
    places: [Places; 3],
}

impl Resize {
    pub(crate) fn new(channels: usize, from: [usize; 3], to: [usize; 3]) -> Self {
        Self {
            channels,
            from,
            to,
            places: std::array::from_fn(|axis| Places::new(from[axis], to[axis])),
        }
    }

    pub(crate) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let [_, height, width] = self.from;
        let [_, out_height, out_width] = self.to;
        let [zs, ys, xs] = &self.places;
        let (from, to) = (volume(self.from), volume(self.to));
        let write = |out: Shared<'_>| {
            for_each(self.channels, |index| {
                let x = &x[index * from..][..from];
                let mut plane = vec![0.0; height * width];
                let (mut row, mut result) = (vec![0.0; width], vec![0.0; out_width]);
                for z in 0..zs.len() {
                    let (low, high, share) = zs.at(z);
                    let at = |z: usize| &x[z * height * width..][..height * width];
                    mix(at(low), at(high), share, &mut plane);
                    for y in 0..ys.len() {
                        let (low, high, share) = ys.at(y);
                        let at = |y: usize| &plane[y * width..][..width];
                        mix(at(low), at(high), share, &mut row);
                        for (x, result) in result.iter_mut().enumerate() {
                            let (low, high, share) = xs.at(x);
                            *result = row[low] * (1.0 - share) + row[high] * share;
                        }
                        let start = index * to + (z * out_height + y) * out_width;
                        // SAFETY: each task writes its own channel.
                        unsafe { out.write(start, 1, &result) };
                    }
                }
            });
        };
        // SAFETY: the rows of all channels are all elements.
        unsafe { filled(self.channels * to, write) }
    }

    /// Gradient of the input.
    pub(crate) fn backward(&self, gradient: &[f32]) -> Vec<f32> {
        let [_, height, width] = self.from;
        let [_, out_height, out_width] = self.to;
        let [zs, ys, xs] = &self.places;
        let (from, to) = (volume(self.from), volume(self.to));
        let mut dx = memory::zeros(self.channels * from);
        let shared = Shared::new(&mut dx);
        for_each(self.channels, |index| {
            let gradient = &gradient[index * to..][..to];
            // SAFETY: each task writes its own channel.
            let dx = unsafe { shared.row(index * from, from) };
            let (mut plane, mut row) = (vec![0.0; height * width], vec![0.0; width]);
            for z in 0..zs.len() {
                plane.fill(0.0);
                for y in 0..ys.len() {
                    row.fill(0.0);
                    let gradient = &gradient[(z * out_height + y) * out_width..][..out_width];
                    for (x, gradient) in gradient.iter().enumerate() {
                        let (low, high, share) = xs.at(x);
                        row[low] += gradient * (1.0 - share);
                        row[high] += gradient * share;
                    }
                    let (low, high, share) = ys.at(y);
                    add(&row, 1.0 - share, &mut plane[low * width..][..width]);
                    add(&row, share, &mut plane[high * width..][..width]);
                }
                let (low, high, share) = zs.at(z);
                add(&plane, 1.0 - share, &mut dx[low * height * width..]);
                add(&plane, share, &mut dx[high * height * width..]);
            }
        });
        dx
    }
}

/// `out = low * (1 - share) + high * share`.
fn mix(low: &[f32], high: &[f32], share: f32, out: &mut [f32]) {
    vectored(
        #[inline(always)]
        || {
            for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
                *out = low * (1.0 - share) + high * share;
            }
        },
    );
}

/// `sum += values * share`.
fn add(values: &[f32], share: f32, sum: &mut [f32]) {
    vectored(
        #[inline(always)]
        || {
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum += value * share;
            }
        },
    );
}
