//! Minimal filtering of weight gradients: Winograd's F(3, 4) along planes and rows takes 36 products
//! for the 9 taps of 16 outputs, instead of 144.
//!
//! With d the 6 inputs that 4 outputs read along an axis and g the gradients of these,
//! the 3 taps are `T ((G g) * (D d))`; the matrices are in [`of_inputs`], [`of_gradients`] and
//! [`taps`], for the points 0, 1, -1, 2, -1/2 and infinity, which round less than 2 and -2.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::interleave::LANES;
use super::launch::{Place, element, unit};
use super::outer::{Sums, SumsLaunch};
use crate::kernel::shape::Conv;

/// Outputs of a block along an axis, and the inputs that these read.
const SIDE: usize = 4;
const READ: usize = SIDE + 2;
/// Products of a block.
pub(super) const POINTS: usize = READ * READ;

type Four = Vector<f32, Const<4>>;

/// A slab of blocks in memory.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Slab {
    channels: u32,
    size_z: u32,
    size_y: u32,
    size_x: u32,
    /// Coordinates of the first voxel of the first block.
    z: i32,
    y: i32,
    /// Blocks along the planes of a sample, and along rows.
    layers: u32,
    rows: u32,
    /// The first layer of the slab, counted through the samples, and how many it has.
    first: u32,
    depth: u32,
}

/// `D`.
#[cube]
fn of_inputs(
    x: &Array<Four>,
    #[comptime] at: usize,
    #[comptime] step: usize,
    #[comptime] point: usize,
) -> Four {
    let a = x[at];
    let b = x[comptime!(at + step)];
    let c = x[comptime!(at + 2 * step)];
    let d = x[comptime!(at + 3 * step)];
    let e = x[comptime!(at + 4 * step)];
    let f = x[comptime!(at + 5 * step)];
    let two = Four::new(2.0);
    let three = Four::new(3.0);
    let odd = d - b;
    let even = e - c;
    match point {
        0 => (a - c + even) * two - odd * three,
        1 => (c + d) * three - (even + odd) * two,
        2 => (c - d) * three + (even - odd) * two,
        3 => even * two + odd,
        4 => odd * two - even,
        _ => (f - d - odd) * two - even * three,
    }
}

/// `G`, its rows in whole numbers; [`taps`] has the factors.
#[cube]
fn of_gradients(
    x: &Array<Four>,
    #[comptime] at: usize,
    #[comptime] step: usize,
    #[comptime] point: usize,
) -> Four {
    let a = x[at];
    let b = x[comptime!(at + step)];
    let c = x[comptime!(at + 2 * step)];
    let d = x[comptime!(at + 3 * step)];
    let two = Four::new(2.0);
    let four = Four::new(4.0);
    match point {
        0 => a,
        1 => (a + c) + (b + d),
        2 => (a + c) - (b + d),
        3 => (a + b * two) + (c + d * two) * four,
        4 => (a * two - b) * four + (c * two - d),
        _ => d,
    }
}

/// `T`.
#[cube]
fn taps(
    x: &Array<f32>,
    #[comptime] at: usize,
    #[comptime] step: usize,
    #[comptime] tap: usize,
) -> f32 {
    let b = x[comptime!(at + step)];
    let c = x[comptime!(at + 2 * step)];
    let d = x[comptime!(at + 3 * step)];
    let e = x[comptime!(at + 4 * step)];
    let sum = (b + c) * comptime!(1.0f32 / 6.0);
    let thirtieth = 1.0f32 / 30.0;
    match tap {
        0 => x[at] * 0.5 + sum + (d + e * 4.0) * thirtieth,
        1 => (b - c) * comptime!(1.0f32 / 6.0) + (d - e) * (thirtieth * 2.0),
        _ => sum + (d * 4.0 + e) * thirtieth + x[comptime!(at + 5 * step)] * 0.5,
    }
}

/// A point of one axis.
#[cube]
fn of(
    x: &Array<Four>,
    #[comptime] at: usize,
    #[comptime] step: usize,
    #[comptime] side: usize,
    #[comptime] point: usize,
) -> Four {
    if comptime!(side == READ) {
        of_inputs(x, at, step, point)
    } else {
        of_gradients(x, at, step, point)
    }
}

/// `[point][layer][row][vector of channels][column]` from `[channel][voxel]`: the blocks, of which
/// those of inputs are `READ` wide and the others `SIDE`, zeros beyond the tensor. The tensor comes
/// in vectors of four columns, or of one.
#[cube(launch_unchecked)]
fn transform<F: Float, N: Size>(
    x: &[Vector<F, N>],
    out: &mut [Four],
    slab: Slab,
    #[comptime] side: usize,
    #[define(F)] _element: ElemType,
) {
    let width = N::value().comptime();
    let vectors = slab.channels.div_ceil(4);
    let fours = slab.size_x.div_ceil(4);
    let units = fours * vectors * slab.rows * slab.depth;
    let at = unit();
    if at < units {
        let column = at % fours * 4;
        let rest = at / fours;
        let first_channel = rest % vectors * 4;
        let rest = rest / vectors;
        let row = rest % slab.rows;
        let layer = slab.first + rest / slab.rows;
        let sample = layer / slab.layers * slab.channels;
        let from_z = slab.z + (layer % slab.layers * comptime!(SIDE as u32)) as i32;
        let from_y = slab.y + (row * comptime!(SIDE as u32)) as i32;
        // By point, line and channel, four columns each.
        let mut half = Array::<Four>::new(comptime!(READ * side * LANES));
        #[unroll]
        for line in 0..side {
            let y = (from_y + comptime!(line as i32)) as u32;
            let mut window = Array::<Four>::new(comptime!(side * LANES));
            #[unroll]
            for plane in 0..side {
                let z = (from_z + comptime!(plane as i32)) as u32;
                let line_in = z < slab.size_z && y < slab.size_y;
                #[unroll]
                for lane in 0..LANES {
                    let channel = first_channel + comptime!(lane as u32);
                    let voxel = ((sample + channel) * slab.size_z + z) * slab.size_y + y;
                    let voxel = voxel * slab.size_x + column;
                    let channel_in = line_in && channel < slab.channels;
                    let mut values = Four::new(0.0);
                    #[unroll]
                    for i in 0..comptime!(4 / width) {
                        let ahead = comptime!((i * width) as u32);
                        let inside = channel_in && column + ahead < slab.size_x;
                        let from = select(inside, voxel + ahead, 0u32) / comptime!(width as u32);
                        let read = Vector::<f32, N>::cast_from(x[from as usize]);
                        let read = select(inside, read, Vector::new(0.0));
                        #[unroll]
                        for j in 0..width {
                            values.insert(comptime!(i * width + j), read.extract(j));
                        }
                    }
                    window[comptime!(plane * LANES + lane)] = values;
                }
            }
            #[unroll]
            for point in 0..READ {
                #[unroll]
                for lane in 0..LANES {
                    half[comptime!((point * side + line) * LANES + lane)] =
                        of(&window, lane, LANES, side, point);
                }
            }
        }
        #[unroll]
        for point in 0..POINTS {
            let mut values = Array::<Four>::new(LANES);
            #[unroll]
            for lane in 0..LANES {
                let first = comptime!(point / READ * side * LANES + lane);
                values[lane] = of(&half, first, LANES, side, comptime!(point % READ));
            }
            #[unroll]
            for i in 0..4usize {
                let mut voxel = Four::new(0.0);
                #[unroll]
                for lane in 0..LANES {
                    voxel.insert(lane, values[lane].extract(i));
                }
                let to = (units * comptime!(point as u32) + at) * 4 + comptime!(i as u32);
                out[to as usize] = voxel;
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
        let mut totals = Array::<f32>::new(POINTS);
        #[unroll]
        for point in 0..POINTS {
            totals[point] = 0.0;
        }
        for share in 0..sums.shares {
            #[unroll]
            for point in 0..POINTS {
                let row = (share * comptime!(POINTS as u32) + comptime!(point as u32))
                    * sums.in_padded
                    + input;
                totals[point] += partial[((row * 3 + column) * sums.out_padded + output) as usize];
            }
        }
        let base = (output * sums.inputs + input) * 27 + column;
        let mut half = Array::<f32>::new(comptime!(3 * READ));
        #[unroll]
        for plane in 0..3usize {
            #[unroll]
            for i in 0..READ {
                half[comptime!(plane * READ + i)] = taps(&totals, i, READ, plane);
            }
        }
        #[unroll]
        for plane in 0..3usize {
            #[unroll]
            for row in 0..3usize {
                out[(base + comptime!((plane * 9 + row * 3) as u32)) as usize] =
                    taps(&half, comptime!(plane * READ), 1usize, row);
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
        && depth > 2
        && height > 2
}

/// Blocks of four planes and four rows of outputs, of all columns.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    /// Blocks along the planes of a sample, and along rows.
    pub(super) layers: usize,
    pub(super) rows: usize,
    /// The first of the layers, counted through the samples, and how many.
    pub(super) first: usize,
    pub(super) depth: usize,
}

/// Columns of a transformed tensor with so many voxels in a row.
pub(super) fn columns(voxels: usize) -> usize {
    voxels.next_multiple_of(4)
}

impl Blocks {
    /// All layers of a convolution.
    pub(super) fn of(conv: &Conv) -> Self {
        let [layers, rows] = [0, 1].map(|axis: usize| conv.out_size()[axis].div_ceil(SIDE));
        Self {
            layers,
            rows,
            first: 0,
            depth: conv.batch * layers,
        }
    }

    /// The inputs of the blocks, transformed.
    pub(super) fn inputs(&self, place: &Place<'_>, conv: &Conv, input: &CubeTensor) -> CubeTensor {
        let [z, y, _] = conv.extent.map(|axis| -(axis.low as i32));
        self.transformed(place, input, [conv.inputs, READ], conv.in_size(), [z, y])
    }

    /// The gradients of the blocks, transformed.
    pub(super) fn gradients(
        &self,
        place: &Place<'_>,
        conv: &Conv,
        gradient: &CubeTensor,
    ) -> CubeTensor {
        self.transformed(
            place,
            gradient,
            [conv.outputs, SIDE],
            conv.out_size(),
            [0, 0],
        )
    }

    fn transformed(
        &self,
        place: &Place<'_>,
        x: &CubeTensor,
        [channels, side]: [usize; 2],
        size: [usize; 3],
        first: [i32; 2],
    ) -> CubeTensor {
        let fours = columns(size[2]) / 4;
        let units = self.depth * self.rows * channels.div_ceil(LANES) * fours;
        let out = place.empty([POINTS * units * 4 * LANES]);
        let width = if size[2].is_multiple_of(4) { 4 } else { 1 };
        // SAFETY: the kernel reads no voxel beyond the tensor, and writes within its blocks.
        unsafe {
            transform::launch_unchecked(
                place.client(),
                place.grid(units, 1),
                place.workgroup(),
                width,
                x.clone().into_buffer_arg(),
                out.clone().into_buffer_arg(),
                SlabLaunch::new(
                    channels as u32,
                    size[0] as u32,
                    size[1] as u32,
                    size[2] as u32,
                    first[0],
                    first[1],
                    self.layers as u32,
                    self.rows as u32,
                    self.first as u32,
                    self.depth as u32,
                ),
                side,
                element(x),
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
