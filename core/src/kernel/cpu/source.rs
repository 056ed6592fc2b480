//! What a kernel reads: one or two tensors as if their channels were joined, with what is done to
//! their values on the way in, or slabs of planes as if they were one tensor.

use super::dense::volume;
use super::pointwise::{self, vectored};
use crate::nn::Activation;

/// Numbers per channel of a [`Part`]'s maps: origin, scale, shift.
pub(crate) const MAP: usize = 3;

/// What is done to the values of one channel: `activation((x - origin) * scale + shift)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prologue {
    /// Origin, scale and shift.
    pub(crate) map: [f32; MAP],
    pub(crate) activation: Option<Activation>,
}

impl Prologue {
    /// Maps `values` in place.
    pub(crate) fn apply(&self, values: &mut [f32]) {
        pointwise::map(self.map, self.activation, values);
    }
}

/// One tensor of a [`Source`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// `[batch, channels, depth, height, width]`.
    pub(crate) values: &'a [f32],
    pub(crate) channels: usize,
    /// `[batch, channels, MAP]`, and the activation after it.
    pub(crate) maps: Option<(&'a [f32], Option<Activation>)>,
}

/// Planes of a [`Source`] that are a tensor of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slab<'a> {
    /// `[batch, channels, planes, height, width]`.
    pub(crate) values: &'a [f32],
    pub(crate) planes: usize,
    /// The first plane's place among those of all slabs.
    pub(crate) first: usize,
}

/// The input of a kernel: `[batch, channels, depth, height, width]`, whose channels are those of
/// one tensor or of two, one after the other, or whose planes are those of several.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    first: Part<'a>,
    second: Option<Part<'a>>,
    /// In their order; none where the parts have all planes.
    slabs: &'a [Slab<'a>],
    size: [usize; 3],
}

impl<'a> Source<'a> {
    /// The values of one tensor as they are.
    pub(crate) fn plain(values: &'a [f32], channels: usize, size: [usize; 3]) -> Self {
        let first = Part {
            values,
            channels,
            maps: None,
        };
        Self::new(first, None, size)
    }

    pub(crate) fn new(first: Part<'a>, second: Option<Part<'a>>, size: [usize; 3]) -> Self {
        Self {
            first,
            second,
            slabs: &[],
            size,
        }
    }

    /// Slabs of planes, for dense convolutions alone.
    pub(crate) fn slabs(slabs: &'a [Slab<'a>], channels: usize, size: [usize; 3]) -> Self {
        Self {
            slabs,
            ..Self::plain(&[], channels, size)
        }
    }

    /// Channels of all tensors.
    pub(crate) fn channels(&self) -> usize {
        self.first.channels + self.second.map_or(0, |part| part.channels)
    }

    /// Voxels of a channel.
    pub(crate) fn voxels(&self) -> usize {
        volume(self.size)
    }

    /// Values of all tensors.
    pub(crate) fn len(&self) -> usize {
        if let Some(slab) = self.slabs.first() {
            return slab.values.len() / slab.planes.max(1) * self.size[0];
        }
        self.first.values.len() + self.second.map_or(0, |part| part.values.len())
    }

    /// What follows the maps of each tensor that has them.
    pub(crate) fn activations(&self) -> impl Iterator<Item = Option<Activation>> {
        let parts = [Some(self.first), self.second];
        parts
            .into_iter()
            .flatten()
            .filter_map(|part| Some(part.maps?.1))
    }

    /// One channel of one sample.
    pub(crate) fn channel(&self, sample: usize, channel: usize) -> Channel<'a> {
        let (part, channel) = match self.second {
            Some(second) if channel >= self.first.channels => {
                (second, channel - self.first.channels)
            }
            _ => (self.first, channel),
        };
        let index = sample * part.channels + channel;
        if !self.slabs.is_empty() {
            return Channel {
                slabs: self.slabs,
                index,
                ..Channel::plain(&[], self.size)
            };
        }
        let len = volume(self.size);
        let prologue = part.maps.map(|(maps, activation)| {
            let map = &maps[index * MAP..][..MAP];
            Prologue {
                map: [map[0], map[1], map[2]],
                activation,
            }
        });
        Channel {
            prologue,
            ..Channel::plain(&part.values[index * len..][..len], self.size)
        }
    }
}

/// One channel of one sample of a [`Source`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel<'a> {
    /// The values before the prologue; none where planes are in slabs.
    pub(crate) values: &'a [f32],
    pub(crate) size: [usize; 3],
    pub(crate) prologue: Option<Prologue>,
    slabs: &'a [Slab<'a>],
    /// The channel's place in each slab.
    index: usize,
}

impl<'a> Channel<'a> {
    /// A channel whose values are read as they are.
    pub(crate) fn plain(values: &'a [f32], size: [usize; 3]) -> Self {
        Self {
            values,
            size,
            prologue: None,
            slabs: &[],
            index: 0,
        }
    }

    /// The channel without its prologue.
    pub(crate) fn unmapped(self) -> Self {
        Self {
            prologue: None,
            ..self
        }
    }

    /// The plane at depth `z`, before the prologue.
    #[inline]
    pub(crate) fn plane(&self, z: usize) -> &'a [f32] {
        let area = self.size[1] * self.size[2];
        match self.slabs.iter().rfind(|slab| slab.first <= z) {
            None => &self.values[z * area..][..area],
            Some(slab) => {
                let plane = self.index * slab.planes + z - slab.first;
                &slab.values[plane * area..][..area]
            }
        }
    }

    /// The row at depth `z` and height `y`, before the prologue.
    #[inline]
    pub(crate) fn row(&self, z: usize, y: usize) -> &'a [f32] {
        let width = self.size[2];
        &self.plane(z)[y * width..][..width]
    }

    /// Fills `out` from the rows of a plane that begin at depth `z` and height `y`, with the
    /// prologue applied.
    pub(crate) fn rows(&self, [z, y]: [usize; 2], out: &mut [f32]) {
        out.copy_from_slice(&self.plane(z)[y * self.size[2]..][..out.len()]);
        if let Some(prologue) = &self.prologue {
            prologue.apply(out);
        }
    }

    /// Fills `out` from the voxels `start..` in memory order, with the prologue applied.
    pub(crate) fn range(&self, start: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.values[start..][..out.len()]);
        if let Some(prologue) = &self.prologue {
            prologue.apply(out);
        }
    }

    /// Fills `out` from the row at `z` and `y`: its values `start`, `start + step` and so on, with
    /// the prologue applied.
    pub(crate) fn read(&self, [z, y]: [usize; 2], start: usize, step: usize, out: &mut [f32]) {
        if out.is_empty() {
            return;
        }
        let row = &self.row(z, y)[start..];
        if step == 1 {
            out.copy_from_slice(&row[..out.len()]);
        } else if step == 2 {
            evens(row, out);
        } else {
            for (value, from) in out.iter_mut().zip(row.iter().step_by(step)) {
                *value = *from;
            }
        }
        if let Some(prologue) = &self.prologue {
            prologue.apply(out);
        }
    }
}

/// Every second value of `row` from its first on.
fn evens(row: &[f32], out: &mut [f32]) {
    let (pairs, rest) = row.as_chunks::<2>();
    let whole = out.len().min(pairs.len());
    let (body, last) = out.split_at_mut(whole);
    vectored(
        #[inline(always)]
        || {
            for (value, pair) in body.iter_mut().zip(pairs) {
                *value = pair[0];
            }
        },
    );
    last.copy_from_slice(&rest[..last.len()]);
}
