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
        copied(self.batch * all, self.voxels, |index| {
            let (sample, channel) = (index / all, index % all);
            match channel.checked_sub(first) {
                None => (parts[0], sample * first + channel),
                Some(channel) => (parts[1], sample * second + channel),
            }
        })
    }

    /// One part's share of the gradient.
    pub(crate) fn backward(&self, part: usize, gradient: &[f32]) -> Vec<f32> {
        let [first, second] = self.channels;
        let skipped = if part == 0 { 0 } else { first };
        let channels = self.channels[part];
        copied(self.batch * channels, self.voxels, |index| {
            let (sample, channel) = (index / channels, index % channels);
            (gradient, sample * (first + second) + skipped + channel)
        })
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
    let count = planes.len();
    copied(channels * count, height * width, |index| {
        let (channel, plane) = (index / count, planes.start + index % count);
        (values, channel * depth + plane)
    })
}

/// `count` pieces of `len` floats, one after the other: `from` names what each is cut from, and its
/// place among the pieces there.
fn copied<'a>(
    count: usize,
    len: usize,
    from: impl Fn(usize) -> (&'a [f32], usize) + Sync + Send,
) -> Vec<f32> {
    // SAFETY: the pieces are all elements.
    unsafe {
        filled(count * len, |out| {
            for_each(count, |index| {
                let (values, at) = from(index);
                // SAFETY: no other task writes the piece.
                out.write(index * len, 1, &values[at * len..][..len]);
            });
        })
    }
}
