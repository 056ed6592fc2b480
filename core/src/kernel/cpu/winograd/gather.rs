//! Copies of what a task's tiles read, split so that every element of all tiles is a constant
//! offset, with the transform along depth applied on the way.

use super::super::pointwise::vectored;
use super::super::source::{Channel, MAP};
use crate::nn::Activation;

/// One axis of what is read: tile `j` of residue `base` reads the voxels
/// `base + dilation * (2 * j + k) - low`, zero outside `0..size`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) size: usize,
    pub(crate) low: isize,
    pub(crate) dilation: usize,
}

impl Line {
    fn voxel(&self, base: usize, step: usize) -> Option<usize> {
        let at = (base + self.dilation * step).cast_signed() - self.low;
        (0..self.size.cast_signed())
            .contains(&at)
            .then_some(at.cast_unsigned())
    }
}

/// Depth and height of a row, and its factor.
type Place = ([usize; 2], f32);

/// Two of a tile's planes with their factors.
pub(crate) type Combination = [(usize, f32); 2];

/// Where tiles lie in a copy: tile row `j` of tile plane `d` starts at `(d * rows + j) * pitch`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slab {
    pub(crate) planes: usize,
    pub(crate) rows: usize,
    /// Places of a row.
    pub(crate) pitch: usize,
    /// Places of one parity.
    pub(crate) len: usize,
}

/// Channels that are copied together, where channels are neighbours.
pub(crate) const TOGETHER: usize = 16;

/// Copies tiles of a sample.
pub(crate) struct Gather {
    pub(crate) lines: [Line; 3],
    /// Residues along depth and height.
    pub(crate) base: [usize; 2],
    /// First tile along depth and height.
    pub(crate) first: [usize; 2],
    pub(crate) slab: Slab,
}

/// A row of zeros, voxels, zeros.
#[derive(Clone, Copy)]
struct Span {
    from: usize,
    to: usize,
    /// First voxel.
    start: usize,
}

impl Gather {
    /// Floats of a row of both column parities.
    pub(crate) fn row_len(&self) -> usize {
        2 * self.slab.pitch
    }

    /// Copies `channel` with `planes` of every tile combined: `[row parity][column parity][slab]`.
    pub(crate) fn fill(
        &self,
        channel: &Channel<'_>,
        planes: Combination,
        copy: &mut [f32],
        row: &mut [f32],
    ) {
        match Map::of(channel) {
            None => self.fill_mapped(channel, Identity, planes, copy, row),
            Some(map) => self.fill_mapped(channel, map, planes, copy, row),
        }
    }

    fn fill_mapped(
        &self,
        channel: &Channel<'_>,
        map: impl Apply,
        planes: Combination,
        copy: &mut [f32],
        row: &mut [f32],
    ) {
        let Slab { pitch, len, .. } = self.slab;
        vectored(
            #[inline(always)]
            || {
                let span = self.span();
                row[..span.from].fill(0.0);
                row[span.to..].fill(0.0);
                self.each_row(
                    planes,
                    #[inline(always)]
                    |parity, at, sources| {
                        let half = &mut copy[2 * parity * len..][..2 * len];
                        let (left, right) = half.split_at_mut(len);
                        let (left, right) = (&mut left[at..at + pitch], &mut right[at..at + pitch]);
                        if combine(channel, map, sources, span, row) {
                            split(row, left, right, self.lines[2].dilation);
                        } else {
                            left.fill(0.0);
                            right.fill(0.0);
                        }
                    },
                );
            },
        );
    }

    /// Copies all channels of a sample so that they are neighbours:
    /// `[row parity][column parity][slab][padded]`, zero from `channels` to `padded`. `rows` has
    /// room for [`TOGETHER`] rows.
    pub(crate) fn fill_channels(
        &self,
        sample: &[f32],
        [channels, padded]: [usize; 2],
        planes: Combination,
        copy: &mut [f32],
        rows: &mut [f32],
    ) {
        let Slab { pitch, len, .. } = self.slab;
        let chunk = self.lines[2].dilation;
        let size = self.lines.map(|line| line.size);
        let volume: usize = size.iter().product();
        let (rows, _) = rows.as_chunks_mut::<TOGETHER>();
        vectored(
            #[inline(always)]
            || {
                let span = self.span();
                for first in (0..padded).step_by(TOGETHER) {
                    let count = TOGETHER.min(channels.saturating_sub(first));
                    rows.as_flattened_mut().fill(0.0);
                    self.each_row(
                        planes,
                        #[inline(always)]
                        |parity, at, sources| {
                            let mut some = false;
                            for c in 0..count {
                                let values = &sample[(first + c) * volume..][..volume];
                                some = combine_into(
                                    &Channel::plain(values, size),
                                    sources,
                                    span,
                                    c,
                                    rows,
                                );
                            }
                            for column in 0..2 {
                                let from = ((2 * parity + column) * len + at) * padded + first;
                                let places = copy[from..].chunks_mut(padded).take(pitch);
                                let mut read = column * chunk;
                                let mut left = chunk;
                                for place in places {
                                    let place = &mut place[..TOGETHER];
                                    if some {
                                        place.copy_from_slice(&rows[read]);
                                    } else {
                                        place.fill(0.0);
                                    }
                                    (read, left) = match left {
                                        1 => (read + 1 + chunk, chunk),
                                        _ => (read + 1, left - 1),
                                    };
                                }
                            }
                        },
                    );
                }
            },
        );
    }

    /// Which places of a row are voxels.
    fn span(&self) -> Span {
        let (line, len) = (&self.lines[2], self.row_len());
        let from = line.low.clamp(0, len.cast_signed()).cast_unsigned();
        let start = (-line.low).max(0).cast_unsigned().min(line.size);
        let to = from + (line.size - start).min(len - from);
        Span { from, to, start }
    }

    /// Calls `body` with row parity, place in the slab, and the two rows to combine: their depth
    /// and height, and factor.
    #[inline(always)]
    fn each_row(
        &self,
        planes: Combination,
        mut body: impl FnMut(usize, usize, [Option<Place>; 2]),
    ) {
        let [line_d, line_h, _] = &self.lines;
        for plane in 0..self.slab.planes {
            for j in 0..self.slab.rows {
                for parity in 0..2 {
                    let y = line_h.voxel(self.base[1], 2 * (self.first[1] + j) + parity);
                    let mut sources = [None; 2];
                    for (source, (step, factor)) in sources.iter_mut().zip(planes) {
                        let step = 2 * (self.first[0] + plane) + step;
                        let z = line_d.voxel(self.base[0], step);
                        if let (Some(z), Some(y), true) = (z, y, factor != 0.0) {
                            *source = Some(([z, y], factor));
                        }
                    }
                    let at = (plane * self.slab.rows + j) * self.slab.pitch;
                    body(parity, at, sources);
                }
            }
        }
    }
}

/// `leaky_relu((x - origin) * scale + shift)`, which is no more than the affine map for slope 1.
#[derive(Clone, Copy)]
pub(crate) struct Map {
    affine: [f32; MAP],
    slope: f32,
}

impl Map {
    /// Whether an activation has this form.
    pub(crate) fn slope(activation: Option<Activation>) -> Option<f32> {
        match activation {
            None => Some(1.0),
            Some(Activation::LeakyRelu { slope }) => Some(slope),
            Some(_) => None,
        }
    }

    fn of(channel: &Channel<'_>) -> Option<Self> {
        let prologue = channel.prologue?;
        Some(Self {
            affine: prologue.map,
            slope: Self::slope(prologue.activation).unwrap_or(1.0),
        })
    }
}

/// What is done to each value.
trait Apply: Copy {
    fn apply(self, value: f32) -> f32;
}

impl Apply for Map {
    #[inline(always)]
    fn apply(self, value: f32) -> f32 {
        let [origin, scale, shift] = self.affine;
        let value = (value - origin) * scale + shift;
        if value > 0.0 {
            value
        } else {
            value * self.slope
        }
    }
}

#[derive(Clone, Copy)]
struct Identity;

impl Apply for Identity {
    #[inline(always)]
    fn apply(self, value: f32) -> f32 {
        value
    }
}

/// Writes the sum of the sources to `row`; false where there is none.
#[inline(always)]
fn combine(
    channel: &Channel<'_>,
    map: impl Apply,
    sources: [Option<Place>; 2],
    span: Span,
    row: &mut [f32],
) -> bool {
    let out = &mut row[span.from..span.to];
    let count = out.len();
    match sources {
        [Some((a, left)), Some((b, right))] => {
            let [a, b] = [a, b].map(|[z, y]| &channel.row(z, y)[span.start..][..count]);
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *out = left * map.apply(a) + right * map.apply(b);
            }
        }
        [Some(([z, y], factor)), None] | [None, Some(([z, y], factor))] => {
            let values = &channel.row(z, y)[span.start..][..count];
            for (out, &value) in out.iter_mut().zip(values) {
                *out = factor * map.apply(value);
            }
        }
        [None, None] => return false,
    }
    true
}

/// [`combine`] for channel `c` of rows whose channels are neighbours.
#[inline(always)]
fn combine_into(
    channel: &Channel<'_>,
    sources: [Option<Place>; 2],
    span: Span,
    c: usize,
    rows: &mut [[f32; TOGETHER]],
) -> bool {
    let out = &mut rows[span.from..span.to];
    let (count, c) = (out.len(), c % TOGETHER);
    match sources {
        [Some((a, left)), Some((b, right))] => {
            let [a, b] = [a, b].map(|[z, y]| &channel.row(z, y)[span.start..][..count]);
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                out[c] = left * a + right * b;
            }
        }
        [Some(([z, y], factor)), None] | [None, Some(([z, y], factor))] => {
            let values = &channel.row(z, y)[span.start..][..count];
            for (out, value) in out.iter_mut().zip(values) {
                out[c] = factor * value;
            }
        }
        [None, None] => return false,
    }
    true
}

/// Deals chunks of `chunk` floats to `left` and `right` in turn.
#[inline(always)]
fn split(row: &[f32], left: &mut [f32], right: &mut [f32], chunk: usize) {
    match chunk {
        1 => split_by::<1, 2>(row, left, right),
        2 => split_by::<2, 4>(row, left, right),
        4 => split_by::<4, 8>(row, left, right),
        8 => split_by::<8, 16>(row, left, right),
        _ => {
            let chunks = left
                .chunks_exact_mut(chunk)
                .zip(right.chunks_exact_mut(chunk));
            for (pair, (left, right)) in row.chunks_exact(2 * chunk).zip(chunks) {
                left.copy_from_slice(&pair[..chunk]);
                right.copy_from_slice(&pair[chunk..]);
            }
        }
    }
}

/// Small chunks, for which a copy of unknown length costs more than the copy.
#[inline(always)]
fn split_by<const N: usize, const PAIR: usize>(row: &[f32], left: &mut [f32], right: &mut [f32]) {
    let halves = left
        .as_chunks_mut::<N>()
        .0
        .iter_mut()
        .zip(right.as_chunks_mut::<N>().0);
    for (pair, (left, right)) in row.as_chunks::<PAIR>().0.iter().zip(halves) {
        left.copy_from_slice(&pair[..N]);
        right.copy_from_slice(&pair[N..]);
    }
}

/// Chunks of `chunk` floats of `left` and `right` in turn: the inverse of the copy's split.
pub(crate) fn merge(left: &[f32], right: &[f32], row: &mut [f32], chunk: usize) {
    vectored(
        #[inline(always)]
        || match chunk {
            1 => merge_by::<1, 2>(left, right, row),
            2 => merge_by::<2, 4>(left, right, row),
            4 => merge_by::<4, 8>(left, right, row),
            8 => merge_by::<8, 16>(left, right, row),
            _ => {
                let chunks = left.chunks_exact(chunk).zip(right.chunks_exact(chunk));
                for (pair, (left, right)) in row.chunks_exact_mut(2 * chunk).zip(chunks) {
                    pair[..chunk].copy_from_slice(left);
                    pair[chunk..].copy_from_slice(right);
                }
            }
        },
    );
}

#[inline(always)]
fn merge_by<const N: usize, const PAIR: usize>(left: &[f32], right: &[f32], row: &mut [f32]) {
    let halves = left.as_chunks::<N>().0.iter().zip(right.as_chunks::<N>().0);
    for (pair, (left, right)) in row.as_chunks_mut::<PAIR>().0.iter_mut().zip(halves) {
        pair[..N].copy_from_slice(left);
        pair[N..].copy_from_slice(right);
    }
}
