//! The convolution kernel: an invocation sums several output channels of a block of planes and
//! rows in registers; neighbouring invocations lie along a row. Sums are in single precision,
//! whatever the input and the output are stored as.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::launch::unit;
use super::pointwise::{Kind, apply};

/// One axis of the outputs, see [`Family`](super::lattice::Family).
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Axis {
    pub(super) lattices: u32,
    /// Blocks of an invocation along the axis, in every lattice.
    pub(super) blocks: u32,
    pub(super) out_size: u32,
    pub(super) out_first: u32,
    pub(super) out_slope: u32,
    pub(super) out_step: u32,
    pub(super) in_size: u32,
    pub(super) in_first: i32,
    pub(super) in_slope: i32,
    pub(super) in_step: i32,
    pub(super) tap_step: i32,
}

/// The other extents.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Extents {
    /// Invocations along the voxels, all batches.
    pub(super) units: u32,
    /// Vectors of input channels that are summed, and those of the tensor.
    pub(super) inputs: u32,
    pub(super) in_channels: u32,
    /// Output channels that are computed, and those of the tensor.
    pub(super) outputs: u32,
    pub(super) out_channels: u32,
    /// Voxels of a channel.
    pub(super) in_voxels: u32,
    pub(super) out_voxels: u32,
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Form {
    /// Vectors of output channels of an invocation.
    pub(super) vectors: usize,
    /// Output planes and rows of an invocation.
    pub(super) depth: usize,
    pub(super) rows: usize,
    pub(super) taps: [usize; 3],
    /// Steps of the input between neighbouring outputs, in taps: planes, rows.
    pub(super) ratio: [usize; 2],
    /// Each output channel reads the input channel of its number.
    pub(super) depthwise: bool,
    /// The eight "channels" of an output are the voxels of a block of two, see
    /// [`transposed2`](super::conv).
    pub(super) spread: bool,
    pub(super) bias: bool,
    pub(super) kind: Kind,
    /// Invocations that share what they load of the weights, or 0.
    pub(super) plane: usize,
}

impl Form {
    /// Planes of taps that are summed from one window. A depthwise kernel has little else to do
    /// than to load, so it holds all planes.
    pub(super) fn inner(&self) -> usize {
        if self.depthwise { self.taps[0] } else { 1 }
    }

    /// Planes and rows of the input that an invocation holds, the steps between them in taps, and
    /// the steps from one output to the next in planes and rows of the window.
    fn window(&self) -> [[usize; 3]; 2] {
        let axis = |outputs: usize, ratio: usize, taps: usize| {
            if taps == 1 {
                [outputs, ratio, 1]
            } else {
                [(outputs - 1) * ratio + taps, 1, ratio]
            }
        };
        [
            axis(self.depth, self.ratio[0], self.inner()),
            axis(self.rows, self.ratio[1], self.taps[1]),
        ]
    }

    /// Vectors of weights for a column of taps of one input channel.
    fn factors(&self) -> usize {
        self.inner() * self.taps[1] * self.vectors
    }

    /// Vectors of weights that an invocation loads itself.
    fn loads(&self) -> usize {
        match self.plane {
            0 => 1,
            plane => self.factors().div_ceil(plane),
        }
    }

    /// Whether the loop over the lanes of the input is unrolled: not where code would be long.
    fn unrolled(&self) -> bool {
        self.taps[1] * self.vectors * self.depth * self.rows <= 64
    }
}

/// The input comes as `[batch][vector of channels][voxel]`, weights as
/// `[block of outputs][vector of inputs][planes of taps][tap x][input][tap z][tap y][vector]`.
#[cube(launch_unchecked)]
pub(super) fn convolution<F: Float, M: Size, N: Size>(
    input: &[Vector<F, M>],
    weight: &[Vector<f32, N>],
    bias: &[f32],
    output: &mut [F],
    z: Axis,
    y: Axis,
    x: Axis,
    extents: Extents,
    slope: f32,
    #[comptime] form: Form,
    #[define(F)] _element: ElemType,
) {
    // Those beyond the last load weights for their neighbours.
    let stores = unit() < extents.units;
    let at = min(unit(), extents.units - 1);
    let vectors = comptime!(form.vectors);
    let depth = comptime!(form.depth);
    let rows = comptime!(form.rows);
    let inner = comptime!(form.inner());
    let [planes, plane_step, _] = comptime!(form.window()[0]);
    let [lines, line_step, _] = comptime!(form.window()[1]);
    let block = CUBE_POS_Z;

    // Lattices vary fastest, so that neighbours in the workgroup are neighbours in memory.
    let along_x = x.lattices * x.blocks;
    let along_y = y.lattices * y.blocks;
    let along_z = z.lattices * z.blocks;
    let qx = at % along_x;
    let qy = at / along_x % along_y;
    let qz = at / (along_x * along_y) % along_z;
    let batch = at / (along_x * along_y * along_z);
    let (rx, jx) = (qx % x.lattices, qx / x.lattices);
    let (ry, jy) = (qy % y.lattices, qy / y.lattices * rows as u32);
    let (rz, jz) = (qz % z.lattices, qz / z.lattices * depth as u32);
    let first_x = x.in_first + x.in_slope * rx as i32 + x.in_step * jx as i32;
    let first_y = y.in_first + y.in_slope * ry as i32 + y.in_step * jy as i32;
    let first_z = z.in_first + z.in_slope * rz as i32 + z.in_step * jz as i32;

    // Where the rows of the window start; zeros are read from the tensor's start.
    let mut line_at = Array::<u32>::new(lines);
    let mut line_in = Array::<bool>::new(lines);
    #[unroll]
    for i in 0..lines {
        let line = (first_y + y.tap_step * comptime!((i * line_step) as i32)) as u32;
        line_at[i] = line * x.in_size;
        line_in[i] = line < y.in_size;
    }
    let in_plane = y.in_size * x.in_size;

    let mut sums = Array::<Vector<f32, N>>::new(comptime!(vectors * depth * rows));
    #[unroll]
    for i in 0..comptime!(vectors * depth * rows) {
        sums[i] = Vector::new(0.0);
    }
    let mut window = Array::<Vector<f32, M>>::new(comptime!(planes * lines));
    let mut values = Array::<f32>::new(comptime!(planes * lines));

    let first_channel = if comptime!(form.depthwise) {
        block
    } else {
        0u32.runtime()
    };
    let deep = comptime!((form.taps[0] / inner) as u32);
    let wide = comptime!(form.taps[2] as u32);
    let lanes_in = M::value().comptime();
    let each = comptime!(form.factors() as u32);
    let mut weight_at = block * extents.inputs * deep * wide * each * comptime!(lanes_in as u32);
    for channel in 0..extents.inputs {
        let base = (batch * extents.in_channels + first_channel + channel) * extents.in_voxels;
        for tap_z in 0..deep {
            for tap_x in 0..wide {
                let column = (first_x + x.tap_step * tap_x as i32) as u32;
                let column_in = column < x.in_size;
                let base = base + column;
                #[unroll]
                for i in 0..planes {
                    let step = tap_z as i32 + comptime!((i * plane_step) as i32);
                    let plane = (first_z + z.tap_step * step) as u32;
                    let plane_in = plane < z.in_size && column_in;
                    let base = base + plane * in_plane;
                    #[unroll]
                    for j in 0..lines {
                        let inside = plane_in && line_in[j];
                        let from = select(inside, base + line_at[j], 0u32);
                        let value = Vector::cast_from(input[from as usize]);
                        window[comptime!(i * lines + j)] = select(inside, value, Vector::new(0.0));
                    }
                }
                if comptime!(form.unrolled()) {
                    #[unroll]
                    for lane in 0..lanes_in {
                        #[unroll]
                        for i in 0..comptime!(planes * lines) {
                            values[i] = window[i].extract(lane);
                        }
                        add_taps(&values, weight, weight_at, &mut sums, form);
                        weight_at += each;
                    }
                } else {
                    for lane in 0..comptime!(lanes_in as u32) {
                        #[unroll]
                        for i in 0..comptime!(planes * lines) {
                            let mut value = window[i].extract(0usize);
                            #[unroll]
                            for other in 1..lanes_in {
                                let chosen = lane == comptime!(other as u32);
                                value = select(chosen, window[i].extract(other), value);
                            }
                            values[i] = value;
                        }
                        add_taps(&values, weight, weight_at, &mut sums, form);
                        weight_at += each;
                    }
                }
            }
        }
    }

    let lanes = N::value().comptime();
    let out_x = x.out_first + x.out_slope * rx + x.out_step * jx;
    let out_y = y.out_first + y.out_slope * ry + y.out_step * jy;
    let out_z = z.out_first + z.out_slope * rz + z.out_step * jz;
    #[unroll]
    for v in 0..vectors {
        #[unroll]
        for lane in 0..lanes {
            let channel =
                block * comptime!((vectors * lanes) as u32) + comptime!((v * lanes + lane) as u32);
            if channel < extents.outputs {
                // A channel of a spread output is a voxel of a block of two.
                let (out_channel, spread) = if comptime!(form.spread) {
                    (channel / 8, channel % 8)
                } else {
                    (channel, 0u32.runtime())
                };
                let shift = if comptime!(form.bias) {
                    bias[out_channel as usize]
                } else {
                    0.0f32.runtime()
                };
                let base = (batch * extents.out_channels + out_channel) * extents.out_voxels;
                #[unroll]
                for i in 0..depth {
                    let plane = out_z + comptime!(i as u32) * z.out_step + spread / 4;
                    #[unroll]
                    for j in 0..rows {
                        let row = out_y + comptime!(j as u32) * y.out_step + spread / 2 % 2;
                        let column = out_x + spread % 2;
                        if stores && plane < z.out_size && row < y.out_size && column < x.out_size {
                            let to = base + (plane * y.out_size + row) * x.out_size + column;
                            let sum = sums[comptime!((v * depth + i) * rows + j)].extract(lane);
                            let value = apply(sum + shift, slope, form.kind);
                            output[to as usize] = F::cast_from(value);
                        }
                    }
                }
            }
        }
    }
}

/// Adds the taps of one input channel, of which `window` holds the values.
#[cube]
fn add_taps<N: Size>(
    window: &Array<f32>,
    weight: &[Vector<f32, N>],
    weight_at: u32,
    sums: &mut Array<Vector<f32, N>>,
    #[comptime] form: Form,
) {
    let vectors = comptime!(form.vectors);
    let depth = comptime!(form.depth);
    let rows = comptime!(form.rows);
    let inner = comptime!(form.inner());
    let taps_y = comptime!(form.taps[1]);
    let [_, _, plane_ratio] = comptime!(form.window()[0]);
    let [lines, _, line_ratio] = comptime!(form.window()[1]);
    let mut held = Array::<Vector<f32, N>>::new(comptime!(form.loads()));
    if comptime!(form.plane > 0) {
        let own = UNIT_POS_X % comptime!(form.plane as u32);
        #[unroll]
        for i in 0..comptime!(form.loads()) {
            let number = own + comptime!((i * form.plane) as u32);
            let number = min(number, comptime!(form.factors() as u32 - 1));
            held[i] = weight[(weight_at + number) as usize];
        }
    }
    let mut factors = Array::<Vector<f32, N>>::new(comptime!(inner * taps_y));
    #[unroll]
    for v in 0..vectors {
        #[unroll]
        for tap in 0..comptime!(inner * taps_y) {
            let offset = comptime!(tap * vectors + v);
            factors[tap] = if comptime!(form.plane > 0) {
                plane_broadcast(
                    held[comptime!(offset / form.plane)],
                    comptime!((offset % form.plane) as u32),
                )
            } else {
                weight[(weight_at + comptime!(offset as u32)) as usize]
            };
        }
        // All taps of a sum in turn: it is loaded and stored once where registers run out.
        #[unroll]
        for i in 0..depth {
            #[unroll]
            for j in 0..rows {
                let at = comptime!((v * depth + i) * rows + j);
                let mut sum = sums[at];
                #[unroll]
                for tap_z in 0..inner {
                    #[unroll]
                    for tap_y in 0..taps_y {
                        let from =
                            comptime!((i * plane_ratio + tap_z) * lines + j * line_ratio + tap_y);
                        let factor = factors[comptime!(tap_z * taps_y + tap_y)];
                        sum = fma(Vector::new(window[from]), factor, sum);
                    }
                }
                sums[at] = sum;
            }
        }
    }
}

/// Which weight of a kernel a packed one is.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Source {
    pub(super) count: u32,
    pub(super) inputs: u32,
    pub(super) outputs: u32,
    /// Channels of a block, padded.
    pub(super) block: u32,
    pub(super) taps_x: u32,
    pub(super) taps_y: u32,
    pub(super) taps_z: u32,
    /// Planes of taps that are summed together, and lanes of the input.
    pub(super) inner: u32,
    pub(super) lanes: u32,
    /// Steps in the weights' memory: from an output to the next, an input, and taps, with where
    /// the first tap is.
    pub(super) output_step: u32,
    pub(super) input_step: u32,
    pub(super) first_tap: u32,
    pub(super) step_z: i32,
    pub(super) step_y: i32,
    pub(super) step_x: i32,
}

/// Lays weights out as [`convolution`] reads them, zeros for channels that pad.
#[cube(launch)]
pub(super) fn pack(weight: &[f32], packed: &mut [f32], source: Source) {
    let at = unit();
    if at < source.count {
        let lane = at % source.block;
        let rest = at / source.block;
        let tap_y = rest % source.taps_y;
        let rest = rest / source.taps_y;
        let near = rest % source.inner;
        let rest = rest / source.inner;
        let input_lane = rest % source.lanes;
        let rest = rest / source.lanes;
        let tap_x = rest % source.taps_x;
        let rest = rest / source.taps_x;
        let deep = source.taps_z / source.inner;
        let tap_z = rest % deep * source.inner + near;
        let rest = rest / deep;
        let vectors = source.inputs.div_ceil(source.lanes);
        let input = rest % vectors * source.lanes + input_lane;
        let output = rest / vectors * source.block + lane;
        let mut value = 0.0f32;
        if output < source.outputs && input < source.inputs {
            let tap = source.first_tap as i32
                + source.step_z * tap_z as i32
                + source.step_y * tap_y as i32
                + source.step_x * tap_x as i32;
            let from = output * source.output_step + input * source.input_step + tap as u32;
            value = weight[from as usize];
        }
        packed[at as usize] = value;
    }
}
