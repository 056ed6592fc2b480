//! The weights' transform: 27 taps to 64 points.

use super::super::memory::Lent;
use super::super::parallel::{Shared, filled, for_each};
use super::super::pointwise::vectored;
use super::APART;
use super::transform::POINTS;

/// Channels whose weights are transformed together.
pub(super) const WIDE: usize = 8;

/// Weights in points: `[plane of points][block of outputs][point][input][output in block]`.
pub(crate) struct Filter {
    data: Lent,
    inputs: usize,
    outputs: usize,
    blocks: usize,
}

/// Where the weights are.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) values: &'a [f32],
    /// From one output channel's to the next.
    pub(crate) output_stride: usize,
    /// From one input channel's to the next.
    pub(crate) input_stride: usize,
    /// Whether the taps are in reverse order on every axis.
    pub(crate) flipped: bool,
}

pub(super) type Lanes = [f32; WIDE];

impl Filter {
    /// Transforms weights for these blocks of output channels.
    pub(crate) fn new(weights: Weights<'_>, inputs: usize, blocks: &[[usize; 2]]) -> Self {
        let outputs = blocks.last().map_or(0, |block| block[1]);
        let len = 4 * (inputs * outputs + APART * blocks.len()) * POINTS;
        let mut filter = Self {
            data: Lent::new(Vec::new()),
            inputs,
            outputs,
            blocks: blocks.len(),
        };
        let write = |data: Shared<'_>| {
            for_each(blocks.len(), |b| {
                let [first, last] = blocks[b];
                let len = POINTS * point(inputs, last - first);
                let planes = std::array::from_fn(|plane| {
                    // SAFETY: a task writes its own block of every plane of points.
                    unsafe { data.row(filter.start(plane, b, first), len) }
                });
                transform(weights, inputs, [first, last], planes);
            });
        };
        // SAFETY: the blocks of the planes are all points.
        filter.data = Lent::new(unsafe { filled(len, write) });
        filter
    }

    fn start(&self, plane: usize, block: usize, first: usize) -> usize {
        let per_plane = (self.inputs * self.outputs + APART * self.blocks) * POINTS;
        plane * per_plane + (self.inputs * first + APART * block) * POINTS
    }

    /// Weights of all points of one plane for the block that starts at output `first`.
    pub(crate) fn block(&self, plane: usize, block: usize, first: usize) -> &[f32] {
        &self.data[self.start(plane, block, first)..]
    }
}

/// Floats from one point's weights of a block to the next.
pub(crate) fn point(inputs: usize, block: usize) -> usize {
    inputs * block + APART
}

/// Writes the points of a block's weights, and zeros between them.
fn transform(
    weights: Weights<'_>,
    inputs: usize,
    [first, last]: [usize; 2],
    mut planes: [&mut [f32]; 4],
) {
    let (block, point) = (last - first, point(inputs, last - first));
    for plane in &mut planes {
        for point in plane.chunks_exact_mut(point) {
            point[inputs * block..].fill(0.0);
        }
    }
    vectored(
        #[inline(always)]
        || {
            for i in 0..inputs {
                let mut taps = [[0.0; WIDE]; 27];
                for o in 0..block {
                    let from = (first + o) * weights.output_stride + i * weights.input_stride;
                    let values = &weights.values[from..from + 27];
                    for (tap, value) in taps.iter_mut().zip(values) {
                        tap[o] = *value;
                    }
                }
                if weights.flipped {
                    taps.reverse();
                }
                let points = to_points(&taps);
                for (index, value) in points.iter().enumerate() {
                    let at = index % POINTS * point + i * block;
                    planes[index / POINTS][at..at + block].copy_from_slice(&value[..block]);
                }
            }
        },
    );
}

/// Three taps to four points along the axis of this stride, in groups.
#[inline(always)]
pub(in super::super) fn spread<const N: usize>(
    a: &[f32; N],
    b: &[f32; N],
    c: &[f32; N],
) -> [[f32; N]; 4] {
    let (mut sum, mut difference) = ([0.0; N], [0.0; N]);
    for o in 0..N {
        let ends = (a[o] + c[o]) * 0.5;
        let middle = b[o] * 0.5;
        sum[o] = ends + middle;
        difference[o] = ends - middle;
    }
    [*a, sum, difference, *c]
}

#[inline(always)]
fn to_points(taps: &[Lanes; 27]) -> [Lanes; 64] {
    let mut width = [[0.0; WIDE]; 36];
    for row in 0..9 {
        let [a, b, c] = [row * 3, row * 3 + 1, row * 3 + 2];
        for (w, value) in spread(&taps[a], &taps[b], &taps[c]).into_iter().enumerate() {
            width[row * 4 + w] = value;
        }
    }
    let mut height = [[0.0; WIDE]; 48];
    for d in 0..3 {
        for w in 0..4 {
            let a = d * 12 + w;
            for (h, value) in spread(&width[a], &width[a + 4], &width[a + 8])
                .into_iter()
                .enumerate()
            {
                height[(d * 4 + h) * 4 + w] = value;
            }
        }
    }
    let mut points = [[0.0; WIDE]; 64];
    for hw in 0..16 {
        for (d, value) in spread(&height[hw], &height[16 + hw], &height[32 + hw])
            .into_iter()
            .enumerate()
        {
            points[d * 16 + hw] = value;
        }
    }
    points
}
