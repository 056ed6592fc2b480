//! Minimal filtering of weight gradients: Winograd's F(3, 2) along planes and rows takes 16 products
//! for the 9 taps of 4 outputs, instead of 36.
//!
//! With d the 4 inputs that 2 outputs read along an axis and g the gradients of these,
//! the 3 taps are `T ((G g) * (D d))`; the matrices are in [`of_inputs`], [`of_gradients`] and
//! [`taps`].

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::interleave::LANES;
use super::launch::{Place, unit};
use super::outer::{Sums, SumsLaunch};
use crate::kernel::shape::Conv;

/// Products of a block of two by two outputs.
pub(super) const POINTS: usize = 16;
/// Blocks along the rows that an invocation takes, of four columns each.
const RUN: usize = 2;

/// A slab of blocks in memory.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Slab {
    channels: u32,
    /// Number of the first channel of the batch.
    first_channel: u32,
    size_z: u32,
    size_y: u32,
    size_x: u32,
    /// Coordinates of the first voxel of the first block.
    z: i32,
    y: i32,
    x: i32,
    /// Blocks along planes and rows, and columns.
    layers: u32,
    rows: u32,
    columns: u32,
}

/// `D`.
#[cube]
fn of_inputs(
    a: Vector<f32, Const<4>>,
    b: Vector<f32, Const<4>>,
    c: Vector<f32, Const<4>>,
    d: Vector<f32, Const<4>>,
    #[comptime] point: usize,
) -> Vector<f32, Const<4>> {
    match point {
        0 => a - c,
        1 => b + c,
        2 => c - b,
        _ => d - b,
    }
}

/// `G`.
#[cube]
fn of_gradients(
    a: Vector<f32, Const<4>>,
    b: Vector<f32, Const<4>>,
    #[comptime] point: usize,
) -> Vector<f32, Const<4>> {
    match point {
        0 => a,
        1 => (a + b) * Vector::new(0.5),
        2 => (a - b) * Vector::new(0.5),
        _ => b,
    }
}

/// `T`.
#[cube]
fn taps(a: f32, b: f32, c: f32, d: f32, #[comptime] tap: usize) -> f32 {
    match tap {
        0 => a + b + c,
        1 => b - c,
        _ => b + c + d,
    }
}

/// `[point][block][column][vector of channels]` from `[channel][voxel]`: the blocks of `side`
/// planes and rows that begin two apart, zeros beyond the tensor. The tensor comes in vectors of
/// four columns, or of one.
#[cube(launch_unchecked)]
fn transform<N: Size>(
    x: &[Vector<f32, N>],
    out: &mut [Vector<f32, Const<4>>],
    slab: Slab,
    #[comptime] side: usize,
) {
    let width = N::value().comptime();
    let vectors = slab.channels.div_ceil(4);
    let runs = slab.rows.div_ceil(comptime!(RUN as u32));
    let fours = slab.columns / 4;
    let at = unit();
    if at < fours * vectors * runs * slab.layers {
        let column = at % fours * 4;
        let rest = at / fours;
        let vector = rest % vectors;
        let rest = rest / vectors;
        let first = rest % runs * comptime!(RUN as u32);
        let layer = rest / runs;
        let lines = comptime!(2 * RUN + side - 2);
        // By plane, line and column, four channels each.
        let mut window = Array::<Vector<f32, Const<4>>>::new(comptime!(side * lines * 4));
        #[unroll]
        for plane in 0..side {
            let from_z = (slab.z + (2 * layer) as i32 + plane as i32) as u32;
            #[unroll]
            for line in 0..lines {
                let from_y = (slab.y + (2 * first) as i32 + line as i32) as u32;
                let line_in = from_z < slab.size_z && from_y < slab.size_y;
                let mut values = Array::<Vector<f32, N>>::new(comptime!(16 / width));
                #[unroll]
                for lane in 0..LANES {
                    let channel = vector * 4 + comptime!(lane as u32);
                    let row = (slab.first_channel + channel) * slab.size_z + from_z;
                    let row = (row * slab.size_y + from_y) * slab.size_x;
                    #[unroll]
                    for i in 0..comptime!(4 / width) {
                        let from_x =
                            (slab.x + column as i32 + comptime!((i * width) as i32)) as u32;
                        let inside = line_in && from_x < slab.size_x && channel < slab.channels;
                        let from = select(inside, row + from_x, 0u32) / comptime!(width as u32);
                        values[comptime!(lane * (4 / width) + i)] =
                            select(inside, x[from as usize], Vector::new(0.0));
                    }
                }
                #[unroll]
                for i in 0..4usize {
                    let mut four = Vector::<f32, Const<4>>::new(0.0);
                    #[unroll]
                    for lane in 0..LANES {
                        let value = values[comptime!(lane * (4 / width) + i / width)];
                        four.insert(lane, value.extract(comptime!(i % width)));
                    }
                    window[comptime!((plane * lines + line) * 4 + i)] = four;
                }
            }
        }
        let point_step = slab.layers * slab.rows * slab.columns * vectors;
        #[unroll]
        for block in 0..RUN {
            let row = first + comptime!(block as u32);
            if row < slab.rows {
                let line = ((layer * slab.rows + row) * slab.columns + column) * vectors + vector;
                #[unroll]
                for i in 0..4usize {
                    let mut half = Array::<Vector<f32, Const<4>>>::new(comptime!(4 * side));
                    #[unroll]
                    for point in 0..4usize {
                        #[unroll]
                        for line in 0..side {
                            let at = comptime!((2 * block + line) * 4 + i);
                            half[comptime!(point * side + line)] = if comptime!(side == 4) {
                                of_inputs(
                                    window[at],
                                    window[comptime!(4 * lines + at)],
                                    window[comptime!(8 * lines + at)],
                                    window[comptime!(12 * lines + at)],
                                    point,
                                )
                            } else {
                                of_gradients(window[at], window[comptime!(4 * lines + at)], point)
                            };
                        }
                    }
                    let to = line + comptime!(i as u32) * vectors;
                    #[unroll]
                    for point in 0..16usize {
                        let at = comptime!(point / 4 * side);
                        let value = if comptime!(side == 4) {
                            of_inputs(
                                half[at],
                                half[comptime!(at + 1)],
                                half[comptime!(at + 2)],
                                half[comptime!(at + 3)],
                                comptime!(point % 4),
                            )
                        } else {
                            of_gradients(half[at], half[comptime!(at + 1)], comptime!(point % 4))
                        };
                        out[(to + comptime!(point as u32) * point_step) as usize] = value;
                    }
                }
            }
        }
    }
}

/// `[output][input][3][3][3]` from sums of points.
#[cube(launch)]
fn gather(partial: &[f32], out: &mut [f32], sums: Sums) {
    let at = unit();
    if at < sums.outputs * sums.inputs * 3 {
        // Neighbours read neighbours.
        let output = at % sums.outputs;
        let column = at / sums.outputs % 3;
        let input = at / sums.outputs / 3;
        let mut totals = Array::<f32>::new(16usize);
        #[unroll]
        for point in 0..16usize {
            totals[point] = 0.0;
        }
        for share in 0..sums.shares {
            #[unroll]
            for point in 0..16usize {
                let row = (share * 16 + comptime!(point as u32)) * sums.in_padded + input;
                totals[point] += partial[((row * 3 + column) * sums.out_padded + output) as usize];
            }
        }
        let base = (output * sums.inputs + input) * 27 + column;
        let mut half = Array::<f32>::new(12usize);
        #[unroll]
        for plane in 0..3usize {
            #[unroll]
            for i in 0..4usize {
                half[comptime!(plane * 4 + i)] = taps(
                    totals[i],
                    totals[comptime!(i + 4)],
                    totals[comptime!(i + 8)],
                    totals[comptime!(i + 12)],
                    plane,
                );
            }
        }
        #[unroll]
        for plane in 0..3usize {
            #[unroll]
            for row in 0..3usize {
                out[(base + comptime!((plane * 9 + row * 3) as u32)) as usize] = taps(
                    half[comptime!(plane * 4)],
                    half[comptime!(plane * 4 + 1)],
                    half[comptime!(plane * 4 + 2)],
                    half[comptime!(plane * 4 + 3)],
                    row,
                );
            }
        }
    }
}

/// Whether the gradient of a convolution is taken this way.
pub(super) fn takes(conv: &Conv) -> bool {
    let [depth, height, _] = conv.out_size();
    conv.extent
        .iter()
        .all(|axis| (axis.kernel, axis.stride, axis.dilation) == (3, 1, 1))
        && depth > 1
        && height > 1
}

/// Blocks of two planes and two rows of outputs.
pub(super) struct Blocks {
    pub(super) batch: usize,
    /// The first of the blocks along the planes, and how many.
    pub(super) first: usize,
    pub(super) layers: usize,
    /// Blocks along the rows.
    pub(super) rows: usize,
}

/// Columns of transformed inputs, and the first, which output column 0 does not read where rows
/// are not begun with a multiple of four.
pub(super) fn columns(conv: &Conv) -> (usize, i32) {
    let low = conv.extent[2].low;
    let lead = low.next_multiple_of(4);
    let read = conv.out_size()[2] + 2 + lead - low;
    (read.next_multiple_of(4), -(lead as i32))
}

/// A tensor whose blocks are transformed.
struct Whole<'a> {
    x: &'a CubeTensor,
    channels: usize,
    size: [usize; 3],
    /// Coordinates of the first voxel of the blocks.
    first: [i32; 3],
    columns: usize,
    /// Planes and rows of a block.
    side: usize,
}

impl Blocks {
    /// The inputs of the blocks, transformed.
    pub(super) fn inputs(&self, place: &Place<'_>, conv: &Conv, input: &CubeTensor) -> CubeTensor {
        let [z, y, _] = conv.extent.each_ref().map(|axis| -(axis.low as i32));
        let (columns, x) = columns(conv);
        let whole = Whole {
            x: input,
            channels: conv.inputs,
            size: conv.in_size(),
            first: [z + 2 * self.first as i32, y, x],
            columns,
            side: 4,
        };
        self.transformed(place, &whole)
    }

    /// The gradients of the blocks, transformed.
    pub(super) fn gradients(
        &self,
        place: &Place<'_>,
        conv: &Conv,
        gradient: &CubeTensor,
    ) -> CubeTensor {
        let size = conv.out_size();
        let whole = Whole {
            x: gradient,
            channels: conv.outputs,
            size,
            first: [2 * self.first as i32, 0, 0],
            columns: size[2].next_multiple_of(4),
            side: 2,
        };
        self.transformed(place, &whole)
    }

    fn transformed(&self, place: &Place<'_>, whole: &Whole<'_>) -> CubeTensor {
        let Whole {
            channels,
            size,
            first,
            columns,
            ..
        } = *whole;
        let vectors = channels.div_ceil(LANES);
        let blocks = self.layers * self.rows;
        let out = place.empty([POINTS * blocks * columns * vectors * LANES]);
        let units = vectors * self.rows.div_ceil(RUN) * self.layers * columns / 4;
        let width = if size[2].is_multiple_of(4) { 4 } else { 1 };
        // SAFETY: the kernel reads no voxel beyond the tensor, and writes within its blocks.
        unsafe {
            transform::launch_unchecked(
                place.client(),
                place.grid(units, 1),
                place.workgroup(),
                width,
                whole.x.clone().into_buffer_arg(),
                out.clone().into_buffer_arg(),
                SlabLaunch::new(
                    channels as u32,
                    (self.batch * channels) as u32,
                    size[0] as u32,
                    size[1] as u32,
                    size[2] as u32,
                    first[0],
                    first[1],
                    first[2],
                    self.layers as u32,
                    self.rows as u32,
                    columns as u32,
                ),
                whole.side,
            );
        }
        out
    }
}

/// The gradient from the sums of all points.
pub(super) fn weights(
    place: &Place<'_>,
    partial: &CubeTensor,
    out: &CubeTensor,
    sums: SumsLaunch,
    conv: &Conv,
) {
    gather::launch(
        place.client(),
        place.grid(conv.outputs * conv.inputs * 3, 1),
        place.workgroup(),
        partial.clone().into_buffer_arg(),
        out.clone().into_buffer_arg(),
        sums,
    );
}
