//! Channels of two tensors one after the other, and apart again; some planes of a tensor.

use std::ops::Range;

use super::parallel::{filled, for_each};

/// Two tensors of the same batch and size, whose channels follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Join {
    pub(crate) batch: usize,
    pub(crate) channels: [usize; 2],
    /// Voxels of a channel.
    pub(crate) voxels: usize,
}

impl Join {
    /// `[batch, channels[0] + channels[1], ..]`.
    pub(crate) fn forward(&self, parts: [&[f32]; 2]) -> Vec<f32> {
        let [first, second] = self.channels;
        let all = first + second;
        self.copied(all, |sample, channel| match channel.checked_sub(first) {
            None => (parts[0], sample * first + channel),
            Some(channel) => (parts[1], sample * second + channel),
        })
    }

    /// One part's share of the gradient.
    pub(crate) fn backward(&self, part: usize, gradient: &[f32]) -> Vec<f32> {
        let [first, second] = self.channels;
        let skipped = if part == 0 { 0 } else { first };
        self.copied(self.channels[part], |sample, channel| {
            (gradient, sample * (first + second) + skipped + channel)
        })
    }

    /// `[batch, channels, ..]` of the channels that `from` names.
    fn copied<'a>(
        &self,
        channels: usize,
        from: impl Fn(usize, usize) -> (&'a [f32], usize) + Sync + Send,
    ) -> Vec<f32> {
        let (count, voxels) = (self.batch * channels, self.voxels);
        // SAFETY: the channels are all elements.
        unsafe {
            filled(count * voxels, |out| {
                for_each(count, |index| {
                    let (values, at) = from(index / channels, index % channels);
                    // SAFETY: no other task writes the channel.
                    out.write(index * voxels, 1, &values[at * voxels..][..voxels]);
                });
            })
        }
    }
}

/// Some `planes` of `channels` channels of `size`.
pub(crate) fn planes(
    values: &[f32],
    channels: usize,
    size: [usize; 3],
    planes: Range<usize>,
) -> Vec<f32> {
    let [depth, height, width] = size;
    let (area, count) = (height * width, planes.len());
    // SAFETY: the planes of all channels are all elements.
    unsafe {
        filled(channels * count * area, |out| {
            for_each(channels * count, |index| {
                let (channel, plane) = (index / count, planes.start + index % count);
                let from = (channel * depth + plane) * area;
                // SAFETY: no other task writes the plane.
                out.write(index * area, 1, &values[from..from + area]);
            });
        })
    }
}
