//! Gradients of weights where the invocations of a plane pass values to each other: sums over
//! voxels of products of every input channel with every output channel.
//!
//! An invocation has four or eight output channels and many input channels, and goes along rows; a
//! plane of invocations loads the input channels of a voxel together and each reads those of the
//! others. With three taps along a row and no stride an input meets the gradients of three voxels.
//! Points stand for the other taps.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::interleave::{LANES, channels_last};
use super::lattice;
use super::launch::{Place, element, unit};
use super::weight::{Line, MOST_ROUNDS, line};
use super::{filtered, minimal};
use crate::kernel::shape::Conv;

#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Extents {
    /// Vectors of channels of a voxel.
    in_vectors: u32,
    out_vectors: u32,
    points: u32,
    /// Lattices of columns, the outputs between two neighbours of one, and the step of their
    /// inputs.
    lattices: u32,
    lattice_step: u32,
    column_step: i32,
    /// Rows of voxels, and planes of invocations that share them.
    lines: u32,
    sharing: u32,
    rounds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    /// Invocations of a plane, and of a workgroup.
    plane: usize,
    workgroup: usize,
    /// Vectors of input channels and of output channels of an invocation.
    inputs: usize,
    outputs: usize,
    /// Taps along a row whose sums an invocation has.
    taps: usize,
    /// Taps that are points: planes, rows, columns.
    points: [usize; 3],
    /// Voxels of a round.
    steps: usize,
}

impl Form {
    fn loads(&self) -> usize {
        self.inputs.div_ceil(self.plane)
    }

    fn sums(&self) -> usize {
        self.outputs * self.inputs * LANES * self.taps
    }

    /// Voxels of the gradient that an invocation holds, and those it keeps for the next round.
    fn window(&self) -> usize {
        self.kept() + self.steps
    }

    fn kept(&self) -> usize {
        self.taps - 1
    }
}

/// The vectors of input channels that an invocation loads of the `inputs` from `first` on, of
/// `vectors` in all. What is beyond the last is loaded and not stored.
#[cube]
pub(super) fn own_vectors(
    own: u32,
    first: u32,
    vectors: u32,
    #[comptime] inputs: usize,
    #[comptime] plane: usize,
) -> Array<u32> {
    let loads = comptime!(inputs.div_ceil(plane));
    let mut at = Array::<u32>::new(loads);
    #[unroll]
    for i in 0..loads {
        let slot = min(
            own + comptime!((i * plane) as u32),
            comptime!(inputs as u32 - 1),
        );
        at[i] = min(first + slot, vectors - 1);
    }
    at
}

/// Vector `number` of each of `steps` voxels, from the invocation of the plane that holds it.
#[cube]
pub(super) fn passed(
    held: &Array<Vector<f32, Const<4>>>,
    #[comptime] number: usize,
    #[comptime] steps: usize,
    #[comptime] loads: usize,
    #[comptime] plane: usize,
) -> Array<Vector<f32, Const<4>>> {
    let mut values = Array::<Vector<f32, Const<4>>>::new(steps);
    #[unroll]
    for s in 0..steps {
        values[s] = plane_broadcast(
            held[comptime!(s * loads + number / plane)],
            comptime!((number % plane) as u32),
        );
    }
    values
}

/// Both tensors come as `[batch][voxel][vector of channels]`; sums are
/// `[share][point][input channel][tap][vector of output channels]`.
#[cube(launch_unchecked)]
fn products<F: Float>(
    input: &[Vector<F, Const<4>>],
    gradient: &[Vector<F, Const<4>>],
    partial: &mut [Vector<f32, Const<4>>],
    z: Line,
    y: Line,
    x: Line,
    extents: Extents,
    #[comptime] form: Form,
    #[define(F)] _element: ElemType,
) {
    let plane = comptime!(form.plane as u32);
    let taps = comptime!(form.taps);
    let inputs = comptime!(form.inputs);
    let outputs = comptime!(form.outputs);
    let steps = comptime!(form.steps);
    let loads = comptime!(form.loads());
    let kept = comptime!(form.kept());
    let window = comptime!(form.window());
    let own = UNIT_POS_X % plane;
    let share = CUBE_POS_X * comptime!((form.workgroup / form.plane) as u32) + UNIT_POS_X / plane;
    let point = CUBE_POS_Y % extents.points;
    let in_first = CUBE_POS_Y / extents.points * comptime!(inputs as u32);
    let out_first = CUBE_POS_Z * comptime!((outputs * form.plane) as u32) + own;
    let tap_x = (point % comptime!(form.points[2] as u32)) as i32;
    let rest = point / comptime!(form.points[2] as u32);
    let tap_y = (rest % comptime!(form.points[1] as u32)) as i32;
    let tap_z = (rest / comptime!(form.points[1] as u32) % comptime!(form.points[0] as u32)) as i32;

    let mut sums = Array::<Vector<f32, Const<4>>>::new(comptime!(form.sums()));
    #[unroll]
    for i in 0..comptime!(form.sums()) {
        sums[i] = Vector::new(0.0);
    }
    let mut pulls = Array::<Vector<f32, Const<4>>>::new(comptime!(outputs * window));
    let mut held = Array::<Vector<f32, Const<4>>>::new(comptime!(steps * loads));
    let in_at = own_vectors(own, in_first, extents.in_vectors, inputs, form.plane);
    let mut out_at = Array::<u32>::new(outputs);
    #[unroll]
    for i in 0..outputs {
        let number = out_first + comptime!((i * form.plane) as u32);
        out_at[i] = min(number, extents.out_vectors - 1);
    }

    for round in 0..extents.rounds {
        let at = round * extents.sharing + share;
        if at < extents.lines {
            let lattice = at % extents.lattices;
            let rest = at / extents.lattices;
            let oy = rest % y.output;
            let rest = rest / y.output;
            let oz = rest % z.output;
            let batch = rest / z.output;
            let iy = (oy as i32 * y.stride - y.low + y.dilation * tap_y) as u32;
            let iz = (oz as i32 * z.stride - z.low + z.dilation * tap_z) as u32;
            let line_in = iy < y.input && iz < z.input;
            let in_line = ((batch * z.input + iz) * y.input + iy) * x.input;
            let out_line = ((batch * z.output + oz) * y.output + oy) * x.output;
            let first_x = lattice as i32 * x.stride - x.low + x.dilation * tap_x;
            let count = (x.output - lattice).div_ceil(extents.lattice_step);
            #[unroll]
            for i in 0..comptime!(outputs * kept) {
                pulls[i] = Vector::new(0.0);
            }
            let turns = (count + comptime!(kept as u32)).div_ceil(comptime!(steps as u32));
            for turn in 0..turns {
                #[unroll]
                for s in 0..steps {
                    let number = turn * comptime!(steps as u32) + comptime!(s as u32);
                    let ox = lattice + extents.lattice_step * number;
                    let out_in = number < count;
                    #[unroll]
                    for v in 0..outputs {
                        let from = (out_line + ox) * extents.out_vectors + out_at[v];
                        let from = select(out_in, from, 0u32);
                        let pull = Vector::cast_from(gradient[from as usize]);
                        pulls[comptime!((kept + s) * outputs + v)] =
                            select(out_in, pull, Vector::new(0.0));
                    }
                    let ix = (first_x + extents.column_step * number as i32) as u32;
                    let inside = ix < x.input && line_in;
                    #[unroll]
                    for i in 0..loads {
                        let from = (in_line + ix) * extents.in_vectors + in_at[i];
                        let from = select(inside, from, 0u32);
                        let value = Vector::cast_from(input[from as usize]);
                        held[comptime!(s * loads + i)] = select(inside, value, Vector::new(0.0));
                    }
                }
                #[unroll]
                for c in 0..inputs {
                    let four = passed(&held, c, steps, loads, form.plane);
                    #[unroll]
                    for lane in 0..LANES {
                        #[unroll]
                        for tap in 0..taps {
                            #[unroll]
                            for v in 0..outputs {
                                let at = comptime!(((c * LANES + lane) * taps + tap) * outputs + v);
                                let mut sum = sums[at];
                                #[unroll]
                                for s in 0..steps {
                                    let value = four[s].extract(lane);
                                    let pull = pulls[comptime!((kept + s - tap) * outputs + v)];
                                    sum = fma(Vector::new(value), pull, sum);
                                }
                                sums[at] = sum;
                            }
                        }
                    }
                }
                #[unroll]
                for i in 0..comptime!(outputs * kept) {
                    pulls[i] = pulls[comptime!(i + outputs * steps)];
                }
            }
        }
    }

    let channels = extents.in_vectors * comptime!(LANES as u32);
    let base = share * extents.points + point;
    #[unroll]
    for v in 0..outputs {
        let number = out_first + comptime!((v * form.plane) as u32);
        if number < extents.out_vectors {
            #[unroll]
            for c in 0..comptime!(inputs * LANES) {
                let channel = in_first * comptime!(LANES as u32) + comptime!(c as u32);
                if channel < channels {
                    #[unroll]
                    for tap in 0..taps {
                        let row = (base * channels + channel) * comptime!(taps as u32)
                            + comptime!(tap as u32);
                        partial[(row * extents.out_vectors + number) as usize] =
                            sums[comptime!((c * taps + tap) * outputs + v)];
                    }
                }
            }
        }
    }
}

/// How [`products`] left its sums.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Sums {
    pub(super) shares: u32,
    pub(super) points: u32,
    /// Channels, padded, and the taps of a point.
    pub(super) in_padded: u32,
    pub(super) out_padded: u32,
    pub(super) taps: u32,
    pub(super) inputs: u32,
    pub(super) outputs: u32,
}

/// `[output][input][point][tap]` from the sums of [`products`] whose points are taps.
#[cube(launch)]
fn gather(partial: &[f32], out: &mut [f32], sums: Sums) {
    let at = unit();
    let kernel = sums.points * sums.taps;
    if at < sums.outputs * sums.inputs * kernel {
        // Neighbours read neighbours.
        let output = at % sums.outputs;
        let rest = at / sums.outputs;
        let tap = rest % sums.taps;
        let rest = rest / sums.taps;
        let point = rest % sums.points;
        let input = rest / sums.points;
        let mut total = 0.0f32;
        for share in 0..sums.shares {
            let row = (share * sums.points + point) * sums.in_padded + input;
            total += partial[((row * sums.taps + tap) * sums.out_padded + output) as usize];
        }
        let to = ((output * sums.inputs + input) * sums.points + point) * sums.taps + tap;
        out[to as usize] = total;
    }
}

impl Form {
    fn of(place: &Place<'_>, conv: &Conv, taps: usize, points: [usize; 3]) -> Self {
        let [in_vectors, out_vectors] =
            [conv.inputs, conv.outputs].map(|n| n.div_ceil(LANES).next_power_of_two());
        let plane = place.plane();
        Self {
            plane,
            workgroup: place.tiles.workgroup as usize,
            inputs: in_vectors.min(if taps > 1 { 8 } else { 16 }),
            outputs: if taps == 1 && out_vectors > plane {
                2
            } else {
                1
            },
            taps,
            points,
            steps: if taps > 1 { 2 } else { 1 },
        }
    }
}

/// Planes of invocations that share `lines` rows of `turns` rounds, where there are `others` that
/// read the same rows: enough for the device and for short loops, in whole workgroups.
pub(super) fn shares(place: &Place<'_>, others: usize, lines: usize, turns: usize) -> usize {
    let plane = place.plane();
    let wanted = place.tiles.busy.div_ceil(plane * others);
    let needed = lines.div_ceil((MOST_ROUNDS / (turns + 1)).max(1));
    wanted
        .min(lines)
        .max(needed)
        .next_multiple_of(place.tiles.workgroup as usize / plane)
}

/// `[outputs, inputs, kd, kh, kw]` from tensors of one type in memory order; none where invocations cannot read
/// each other's values, where few channels would leave most of them idle, or where what is laid
/// out anew cannot be bound.
pub(super) fn gradient(
    place: &Place<'_>,
    conv: &Conv,
    input: &CubeTensor,
    gradient: &CubeTensor,
) -> Option<CubeTensor> {
    let few = conv.inputs.min(conv.outputs) < 2 * LANES;
    if place.plane() == 0 || conv.groups > 1 || few {
        return None;
    }
    if minimal::takes(conv)
        && let Some(out) = filtered::gradient(place, conv, input, gradient)
    {
        return Some(out);
    }
    by_taps(place, conv, input, gradient)
}

/// [`gradient`] with taps as points.
fn by_taps(
    place: &Place<'_>,
    conv: &Conv,
    input: &CubeTensor,
    gradient: &CubeTensor,
) -> Option<CubeTensor> {
    let most = place.most_elements();
    let laid_out = |channels: usize, size: [usize; 3]| {
        let voxels: usize = size.iter().product();
        conv.batch * channels.next_multiple_of(LANES) * voxels
    };
    let elements =
        laid_out(conv.inputs, conv.in_size()).max(laid_out(conv.outputs, conv.out_size()));
    if elements > most {
        return None;
    }
    let [kd, kh, kw] = conv.kernel();
    let [od, oh, ow] = conv.out_size();
    let row = lattice::forward(&conv.extent[2]);
    let together = conv.extent[2].stride == 1 && kw == 3;
    let (taps, points) = if together {
        (kw, [kd, kh, 1])
    } else {
        (1, [kd, kh, kw])
    };
    let form = Form::of(place, conv, taps, points);
    let points: usize = points.iter().product();
    let lines = conv.batch * row.lattices * od * oh;
    let [in_vectors, out_vectors] = [conv.inputs, conv.outputs].map(|n| n.div_ceil(LANES));
    let across = [
        in_vectors.div_ceil(form.inputs) * points,
        out_vectors.div_ceil(form.outputs * form.plane),
    ];
    let turns = (ow.div_ceil(row.out_step) + form.kept()).div_ceil(form.steps);
    let shares = shares(place, across[0] * across[1], lines, turns);
    let sums = shares * points * taps * in_vectors * out_vectors * LANES * LANES;
    if sums > most {
        return None;
    }
    let partial = place.empty([sums]);
    let voxels = conv.in_size().iter().product();
    let input = channels_last(place, input, conv.batch, conv.inputs, voxels);
    let gradient = channels_last(place, gradient, conv.batch, conv.outputs, od * oh * ow);
    let element = element(&input);
    let [z, y, x] = conv.extent.each_ref().map(line);
    let groups = [shares * form.plane / form.workgroup, across[0], across[1]].map(|n| n as u32);
    // SAFETY: the kernel reads the tensors' start for coordinates beyond the input or the
    // gradient, and writes its own part of the sums.
    unsafe {
        products::launch_unchecked(
            place.client(),
            CubeCount::Static(groups[0], groups[1], groups[2]),
            CubeDim::new_1d(form.workgroup as u32),
            input.into_buffer_arg(),
            gradient.into_buffer_arg(),
            partial.clone().into_buffer_arg(),
            z,
            y,
            x,
            ExtentsLaunch::new(
                in_vectors as u32,
                out_vectors as u32,
                points as u32,
                row.lattices as u32,
                row.out_step as u32,
                (row.ratio * row.tap_step) as i32,
                lines as u32,
                shares as u32,
                lines.div_ceil(shares) as u32,
            ),
            form,
            element,
        );
    }
    let out = place.empty([conv.outputs, conv.inputs, kd, kh, kw]);
    gather::launch(
        place.client(),
        place.grid(conv.outputs * conv.inputs * kd * kh * kw, 1),
        place.workgroup(),
        partial.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        SumsLaunch::new(
            shares as u32,
            points as u32,
            (in_vectors * LANES) as u32,
            (out_vectors * LANES) as u32,
            taps as u32,
            conv.inputs as u32,
            conv.outputs as u32,
        ),
    );
    Some(out)
}
