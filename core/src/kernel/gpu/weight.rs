//! Gradients of weights: an invocation goes along the planes of its columns of voxels with a
//! window of inputs in registers and sums all taps for several output channels; the workgroup
//! adds its sums up, and a second kernel those of the workgroups.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::interleave::{LANES, interleaved};
use super::lattice;
use super::launch::{Place, element, unit};
use super::outer;
use crate::kernel::shape::{Conv, Extent};

/// Sums of one invocation, per vector, with all taps of a row; more taps are split by column.
const MOST_TAPS: usize = 27;
/// Rounds of the loops of one invocation: software adapters cut loops off after 65,536.
pub(super) const MOST_ROUNDS: usize = 1 << 15;
/// Elements of workgroup memory: 16 KiB.
const SHARED: usize = 4096;

/// Extents along one axis.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Line {
    pub(super) input: u32,
    pub(super) output: u32,
    pub(super) stride: i32,
    pub(super) low: i32,
    pub(super) dilation: i32,
}

pub(super) fn line(axis: &Extent) -> LineLaunch {
    LineLaunch::new(
        axis.input as u32,
        axis.output as u32,
        axis.stride as i32,
        axis.low as i32,
        axis.dilation as i32,
    )
}

#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Extents {
    /// Channels of the tensors.
    in_channels: u32,
    out_channels: u32,
    /// Lattices of planes, the outputs between two neighbours of one, and the steps of their
    /// inputs.
    lattices: u32,
    out_step: u32,
    in_step: i32,
    /// Columns of voxels, and invocations that share them.
    columns: u32,
    sharing: u32,
    rounds: u32,
    /// Elements of the gradient.
    weights: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    vectors: usize,
    taps: [usize; 3],
    /// Columns of taps of one invocation: all, or one.
    columns: usize,
    /// Input channels of an invocation.
    channels: usize,
    /// Steps between the planes of neighbouring outputs, in taps.
    ratio: usize,
    depthwise: bool,
    workgroup: usize,
}

impl Form {
    fn row(&self) -> usize {
        self.taps[1] * self.columns
    }

    fn taps(&self) -> usize {
        self.taps[0] * self.row()
    }

    fn sums(&self) -> usize {
        self.channels * self.taps()
    }

    /// Planes of the window that the next output reads again.
    fn kept(&self) -> usize {
        self.taps[0].saturating_sub(self.ratio)
    }
}

/// The gradient comes as `[batch][block of channels][voxel][vector]`.
#[cube(launch_unchecked)]
fn partial<F: Float, N: Size>(
    input: &[F],
    gradient: &[Vector<F, N>],
    partial: &mut [f32],
    z: Line,
    y: Line,
    x: Line,
    extents: Extents,
    #[comptime] form: Form,
    #[define(F)] _element: ElemType,
) {
    let taps_z = comptime!(form.taps[0]);
    let taps_y = comptime!(form.taps[1]);
    let columns = comptime!(form.columns);
    let row = comptime!(form.row());
    let channels = comptime!(form.channels);
    let taps = comptime!(form.taps());
    let sums_each = comptime!(form.sums());
    let vectors = comptime!(form.vectors);
    let lanes = N::value().comptime();
    let kept = comptime!(form.kept());

    let splits = comptime!((form.taps[2] / form.columns) as u32);
    let share = CUBE_POS_X;
    let channel = CUBE_POS_Y / splits * comptime!(channels as u32);
    let split = CUBE_POS_Y % splits;
    let block = CUBE_POS_Z;
    let (in_channel, first_out) = if comptime!(form.depthwise) {
        (block, block)
    } else {
        (channel, block * comptime!((vectors * lanes) as u32))
    };

    let mut sums = Array::<Vector<f32, N>>::new(comptime!(vectors * sums_each));
    #[unroll]
    for i in 0..comptime!(vectors * sums_each) {
        sums[i] = Vector::new(0.0);
    }
    let mut window = Array::<f32>::new(sums_each);
    let mut at_in = Array::<u32>::new(row);
    let mut is_in = Array::<bool>::new(row);

    let in_plane = y.input * x.input;
    let out_plane = y.output * x.output;
    let blocks = extents.out_channels.div_ceil(comptime!(lanes as u32));
    let first_block = block * comptime!(vectors as u32);
    for round in 0..extents.rounds {
        let at = round * extents.sharing + share * CUBE_DIM_X + UNIT_POS_X;
        if at < extents.columns {
            let ox = at % x.output;
            let rest = at / x.output;
            let oy = rest % y.output;
            let rest = rest / y.output;
            let lattice = rest % extents.lattices;
            let batch = rest / extents.lattices;
            // Channels beyond the last are not stored.
            let mut base = Array::<u32>::new(channels);
            #[unroll]
            for c in 0..channels {
                let number = min(in_channel + comptime!(c as u32), extents.in_channels - 1);
                base[c] = (batch * extents.in_channels + number) * z.input * in_plane;
            }
            #[unroll]
            for tap_y in 0..taps_y {
                let iy = (oy as i32 * y.stride - y.low + y.dilation * tap_y as i32) as u32;
                #[unroll]
                for tap_x in 0..columns {
                    let tap = split as i32 + tap_x as i32;
                    let ix = (ox as i32 * x.stride - x.low + x.dilation * tap) as u32;
                    let i = comptime!(tap_y * columns + tap_x);
                    at_in[i] = iy * x.input + ix;
                    is_in[i] = iy < y.input && ix < x.input;
                }
            }
            let first_z = lattice as i32 * z.stride - z.low;
            #[unroll]
            for plane in 0..kept {
                let iz = (first_z + z.dilation * plane as i32) as u32;
                #[unroll]
                for c in 0..channels {
                    #[unroll]
                    for i in 0..row {
                        let inside = iz < z.input && is_in[i];
                        let from = select(inside, base[c] + iz * in_plane + at_in[i], 0u32);
                        window[comptime!(c * taps + plane * row + i)] =
                            select(inside, f32::cast_from(input[from as usize]), 0.0);
                    }
                }
            }
            let out_base =
                (batch * blocks + first_block) * z.output * out_plane + oy * x.output + ox;
            let count = (z.output - lattice).div_ceil(extents.out_step);
            for step in 0..count {
                let here = first_z + extents.in_step * step as i32;
                #[unroll]
                for plane in kept..taps_z {
                    let iz = (here + z.dilation * plane as i32) as u32;
                    #[unroll]
                    for c in 0..channels {
                        #[unroll]
                        for i in 0..row {
                            let inside = iz < z.input && is_in[i];
                            let from = select(inside, base[c] + iz * in_plane + at_in[i], 0u32);
                            window[comptime!(c * taps + plane * row + i)] =
                                select(inside, f32::cast_from(input[from as usize]), 0.0);
                        }
                    }
                }
                let oz = lattice + extents.out_step * step;
                #[unroll]
                for v in 0..vectors {
                    // Vectors beyond the last are not stored.
                    let v_at = min(comptime!(v as u32), blocks - 1 - first_block);
                    let from = out_base + (v_at * z.output + oz) * out_plane;
                    let pull = Vector::cast_from(gradient[from as usize]);
                    #[unroll]
                    for i in 0..sums_each {
                        let sum = comptime!(v * sums_each + i);
                        sums[sum] = fma(Vector::new(window[i]), pull, sums[sum]);
                    }
                }
                #[unroll]
                for c in 0..channels {
                    #[unroll]
                    for i in 0..comptime!(kept * row) {
                        window[comptime!(c * taps + i)] =
                            window[comptime!(c * taps + i + form.ratio * row)];
                    }
                }
            }
        }
    }

    let mut shared = Shared::<[f32]>::new_slice(comptime!(form.workgroup * sums_each));
    let units = comptime!(form.workgroup as u32);
    let taps_x = comptime!(form.taps[2] as u32);
    let inputs = extents.in_channels;
    #[unroll]
    for v in 0..vectors {
        #[unroll]
        for lane in 0..lanes {
            #[unroll]
            for i in 0..sums_each {
                let at = UNIT_POS_X * comptime!(sums_each as u32) + comptime!(i as u32);
                shared[at as usize] = sums[comptime!(v * sums_each + i)].extract(lane);
            }
            sync_cube();
            let out = first_out + comptime!((v * lanes + lane) as u32);
            if out < extents.out_channels {
                let mut i = UNIT_POS_X;
                while i < comptime!(sums_each as u32) {
                    let mut total = 0.0f32;
                    for other in 0..units {
                        total += shared[(other * comptime!(sums_each as u32) + i) as usize];
                    }
                    let number = in_channel + i / comptime!(taps as u32);
                    let tap = i % comptime!(taps as u32);
                    let column = tap % comptime!(columns as u32) + split;
                    let line = tap / comptime!(columns as u32);
                    let weight = if comptime!(form.depthwise) {
                        out
                    } else {
                        out * inputs + number
                    };
                    let to = weight * comptime!((taps_z * taps_y) as u32) * taps_x
                        + line * taps_x
                        + column;
                    if number < inputs {
                        partial[(share * extents.weights + to) as usize] = total;
                    }
                    i += units;
                }
            }
            sync_cube();
        }
    }
}

/// `out[i]`: the sum of `partial[i + count * k]` over `parts`.
#[cube(launch)]
fn add_up(partial: &[f32], out: &mut [f32], count: u32, parts: u32) {
    let at = unit();
    if at < count {
        let mut total = 0.0f32;
        for part in 0..parts {
            total += partial[(part * count + at) as usize];
        }
        out[at as usize] = total;
    }
}

/// Adds up `parts` tensors of the same shape that follow each other in `partial`.
pub(super) fn sum_parts(
    place: &Place<'_>,
    partial: CubeTensor,
    out: &CubeTensor,
    count: usize,
    parts: usize,
) {
    add_up::launch(
        place.client(),
        place.grid(count, 1),
        place.workgroup(),
        partial.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        count as u32,
        parts as u32,
    );
}

/// Whether a kernel of these sides fits into registers and workgroup memory.
pub(super) fn fits(kernel: [usize; 3]) -> bool {
    kernel.iter().all(|&side| side <= 7)
}

/// `[groups * outputs, inputs, kd, kh, kw]` in single precision, from tensors of one type.
pub(super) fn gradient(conv: &Conv, input: &CubeTensor, gradient: &CubeTensor) -> CubeTensor {
    let place = Place::of(input);
    if let Some(out) = outer::gradient(&place, conv, input, gradient) {
        return out;
    }
    let depthwise = conv.groups > 1;
    let kernel = conv.kernel();
    let [kd, kh, kw] = kernel;
    let out = place.empty([conv.groups * conv.outputs, conv.inputs, kd, kh, kw]);
    let weights = conv.groups * conv.outputs * conv.inputs * kd * kh * kw;
    let planes = lattice::forward(&conv.extent[0]);
    let columns = if kd * kh * kw <= MOST_TAPS { kw } else { 1 };
    let taps = kd * kh * columns;
    let [od, oh, ow] = conv.out_size();
    // Vectors of channels, unless there are too few or their padding would not fit.
    let lanes = if depthwise
        || conv.outputs < LANES
        || conv.batch * conv.outputs.next_multiple_of(LANES) * od * oh * ow > place.most_elements()
    {
        1
    } else {
        LANES
    };
    let channels = if depthwise {
        1
    } else {
        (MOST_TAPS / taps)
            .clamp(1, 8)
            .min(conv.inputs.next_power_of_two())
    };
    let vectors = if depthwise {
        1
    } else {
        (MOST_TAPS * place.tiles.gradient_quads / (taps * channels))
            .clamp(1, place.tiles.gradient_quads)
            .min(conv.outputs.div_ceil(lanes).next_power_of_two())
    };
    let mut workgroup = place.tiles.workgroup as usize;
    while workgroup * taps * channels > SHARED {
        workgroup /= 2;
    }
    let lines = conv.batch * planes.lattices * oh * ow;
    let blocks = if depthwise {
        conv.groups
    } else {
        conv.outputs.div_ceil(vectors * lanes)
    };
    let inputs = conv.inputs.div_ceil(channels);
    let splits = kw / columns;
    // Enough workgroups for the device, loops that are short enough, and no more sums than fit.
    let elsewhere = blocks * inputs * splits * workgroup;
    let wanted = place.tiles.busy.div_ceil(elsewhere);
    let rounds_most = (MOST_ROUNDS / (od.div_ceil(planes.out_step) + 1)).max(1);
    let needed = lines.div_ceil(rounds_most * workgroup);
    let most = (place.most_elements() / weights.max(1)).clamp(1, 1024);
    let parts = wanted
        .min(lines.div_ceil(workgroup))
        .max(needed)
        .min(most)
        .max(1);
    let sharing = parts * workgroup;
    let [z, y, x] = conv.extent.each_ref().map(line);
    let partial_sums = if parts == 1 {
        out.clone()
    } else {
        place.empty([parts * weights])
    };
    let form = Form {
        vectors,
        taps: kernel,
        columns,
        channels,
        ratio: planes.ratio,
        depthwise,
        workgroup,
    };
    let pulls = if lanes == 1 {
        gradient.clone()
    } else {
        interleaved(&place, gradient, conv.batch, conv.outputs, od * oh * ow)
    };
    // SAFETY: the kernel reads zeros for coordinates beyond the input and writes one element of
    // each part's gradient for every weight.
    unsafe {
        partial::launch_unchecked(
            place.client(),
            CubeCount::Static(parts as u32, (inputs * splits) as u32, blocks as u32),
            CubeDim::new_1d(workgroup as u32),
            lanes,
            input.clone().into_buffer_arg(),
            pulls.into_buffer_arg(),
            partial_sums.clone().into_buffer_arg(),
            z,
            y,
            x,
            ExtentsLaunch::new(
                (conv.groups * conv.inputs) as u32,
                (conv.groups * conv.outputs) as u32,
                planes.lattices as u32,
                planes.out_step as u32,
                (planes.ratio * planes.tap_step) as i32,
                lines as u32,
                sharing as u32,
                lines.div_ceil(sharing) as u32,
                weights as u32,
            ),
            form,
            element(input),
        );
    }
    if parts > 1 {
        sum_parts(&place, partial_sums, &out, weights, parts);
    }
    out
}
