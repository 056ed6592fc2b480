//! Weight gradients of kernel 3 by minimal filtering: sums over the transformed blocks of products
//! of every input channel with every output channel.
//!
//! An invocation has four output channels and up to 32 input channels, of one point, and goes along
//! rows: an input meets the gradients of three voxels. A plane of invocations loads the input
//! channels of a voxel together and each reads those of the others.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::interleave::LANES;
use super::launch::Place;
use super::minimal::{self, Blocks, POINTS};
use super::outer::{SumsLaunch, own_vectors, passed, shares};
use crate::kernel::shape::Conv;

/// Elements of what is transformed at a time.
const MOST_LAID_OUT: usize = 1 << 22;
/// Taps along a row.
const TAPS: usize = 3;

#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Extents {
    /// Vectors of channels of a voxel.
    in_vectors: u32,
    out_vectors: u32,
    /// Columns of the transformed tensors.
    in_columns: u32,
    out_columns: u32,
    /// Zeros before a row of inputs.
    low: u32,
    /// Rows of blocks, planes of invocations that share them, and the first of these.
    lines: u32,
    sharing: u32,
    first: u32,
    rounds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    /// Invocations of a plane, and of a workgroup.
    plane: usize,
    workgroup: usize,
    /// Vectors of input channels of an invocation.
    inputs: usize,
    /// Voxels of a round, a divisor of four: more make fewer masked stores of sums, and code that
    /// outgrows the first instruction cache.
    steps: usize,
}

/// Both tensors come as `[point][line][vector of channels][column]`; sums are
/// `[share][point][input channel][tap][vector of output channels]`.
#[cube(launch_unchecked)]
fn products(
    input: &[Vector<f32, Const<4>>],
    gradient: &[Vector<f32, Const<4>>],
    partial: &mut [Vector<f32, Const<4>>],
    extents: Extents,
    #[comptime] form: Form,
) {
    let plane = comptime!(form.plane as u32);
    let inputs = comptime!(form.inputs);
    let steps = comptime!(form.steps);
    let loads = comptime!(inputs.div_ceil(form.plane));
    let kept = comptime!(TAPS - 1);
    let own = UNIT_POS_X % plane;
    let share = CUBE_POS_X * comptime!((form.workgroup / form.plane) as u32) + UNIT_POS_X / plane;
    let point = CUBE_POS_Y % comptime!(POINTS as u32);
    let in_first = CUBE_POS_Y / comptime!(POINTS as u32) * comptime!(inputs as u32);
    let out_own = CUBE_POS_Z * plane + own;

    // By input channel, tap and output channel.
    let mut sums = Array::<f32>::new(comptime!(inputs * LANES * TAPS * LANES));
    #[unroll]
    for i in 0..comptime!(inputs * LANES * TAPS * LANES) {
        sums[i] = 0.0;
    }
    let mut pulls = Array::<Vector<f32, Const<4>>>::new(comptime!(kept + steps));
    let mut held = Array::<Vector<f32, Const<4>>>::new(comptime!(steps * loads));
    let in_at = own_vectors(own, in_first, extents.in_vectors, inputs, form.plane);
    let out_at = min(out_own, extents.out_vectors - 1);

    for round in 0..extents.rounds {
        let at = round * extents.sharing + share;
        if at < extents.lines {
            let line = point * extents.lines + at;
            let out_line = (line * extents.out_vectors + out_at) * extents.out_columns;
            #[unroll]
            for i in 0..kept {
                // Where a row begins with padding its first inputs meet gradients before these.
                let ox = extents.low + comptime!(i as u32) - comptime!(kept as u32);
                let inside = ox < extents.out_columns;
                let from = select(inside, out_line + ox, 0u32);
                pulls[i] = select(inside, gradient[from as usize], Vector::new(0.0));
            }
            for turn in 0..extents.in_columns / comptime!(steps as u32) {
                #[unroll]
                for s in 0..steps {
                    let ix = turn * comptime!(steps as u32) + comptime!(s as u32);
                    let ox = ix + extents.low;
                    let inside = ox < extents.out_columns;
                    let from = select(inside, out_line + ox, 0u32);
                    pulls[comptime!(kept + s)] =
                        select(inside, gradient[from as usize], Vector::new(0.0));
                    #[unroll]
                    for i in 0..loads {
                        let from = (line * extents.in_vectors + in_at[i]) * extents.in_columns + ix;
                        held[comptime!(s * loads + i)] = input[from as usize];
                    }
                }
                #[unroll]
                for c in 0..inputs {
                    let four = passed(&held, c, steps, loads, form.plane);
                    // One output channel after the other: what it needs fits into registers.
                    #[unroll]
                    for output in 0..LANES {
                        #[unroll]
                        for lane in 0..LANES {
                            #[unroll]
                            for tap in 0..TAPS {
                                let at =
                                    comptime!(((c * LANES + lane) * TAPS + tap) * LANES + output);
                                let mut sum = sums[at];
                                #[unroll]
                                for s in 0..steps {
                                    let value = four[s].extract(lane);
                                    let pull = pulls[comptime!(kept + s - tap)].extract(output);
                                    sum = fma(value, pull, sum);
                                }
                                sums[at] = sum;
                            }
                        }
                    }
                }
                #[unroll]
                for i in 0..kept {
                    pulls[i] = pulls[comptime!(i + steps)];
                }
            }
        }
    }

    if out_own < extents.out_vectors {
        let channels = extents.in_vectors * comptime!(LANES as u32);
        let base = (extents.first + share) * comptime!(POINTS as u32) + point;
        #[unroll]
        for c in 0..comptime!(inputs * LANES) {
            let channel = in_first * comptime!(LANES as u32) + comptime!(c as u32);
            if channel < channels {
                #[unroll]
                for tap in 0..TAPS {
                    let row = (base * channels + channel) * comptime!(TAPS as u32)
                        + comptime!(tap as u32);
                    let mut four = Vector::<f32, Const<4>>::new(0.0);
                    #[unroll]
                    for output in 0..LANES {
                        four.insert(output, sums[comptime!((c * TAPS + tap) * LANES + output)]);
                    }
                    partial[(row * extents.out_vectors + out_own) as usize] = four;
                }
            }
        }
    }
}

/// `[outputs, inputs, 3, 3, 3]` from tensors in memory order, some blocks at a time; none where
/// what is transformed or summed cannot be bound.
pub(super) fn gradient(
    place: &Place<'_>,
    conv: &Conv,
    input: &CubeTensor,
    gradient: &CubeTensor,
) -> Option<CubeTensor> {
    let most = place.most_elements();
    let [in_vectors, out_vectors] = [conv.inputs, conv.outputs].map(|n| n.div_ceil(LANES));
    let [in_columns, out_columns] =
        [conv.in_size(), conv.out_size()].map(|size| minimal::columns(size[2]));
    let plane = place.plane();
    let form = Form {
        plane,
        workgroup: place.tiles.workgroup as usize,
        inputs: in_vectors.next_power_of_two().min(8),
        steps: 4,
    };
    let all = Blocks::of(conv);
    // Elements of a layer, transformed.
    let row = LANES * (in_vectors * in_columns).max(out_vectors * out_columns);
    let layer = POINTS * all.rows * row;
    let slab = (MOST_LAID_OUT.min(most) / layer).clamp(1, all.depth);
    let parts = all.depth.div_ceil(slab);

    let across = [
        in_vectors.div_ceil(form.inputs) * POINTS,
        out_vectors.div_ceil(plane),
    ];
    let turns = in_columns / form.steps;
    let shares = shares(place, across[0] * across[1], slab * all.rows, turns);
    let sums = parts * shares * POINTS * TAPS * in_vectors * out_vectors * LANES * LANES;
    if layer > most || sums > most {
        return None;
    }
    let partial = place.empty([sums]);
    for part in 0..parts {
        let first = part * slab;
        let blocks = Blocks {
            first,
            depth: slab.min(all.depth - first),
            ..all
        };
        let lines = blocks.depth * blocks.rows;
        let input = blocks.inputs(place, conv, input);
        let gradient = blocks.gradients(place, conv, gradient);
        let groups = [shares * plane / form.workgroup, across[0], across[1]].map(|n| n as u32);
        // SAFETY: the kernel reads within the transformed blocks, and writes its own part of the
        // sums.
        unsafe {
            products::launch_unchecked(
                place.client(),
                CubeCount::Static(groups[0], groups[1], groups[2]),
                CubeDim::new_1d(form.workgroup as u32),
                input.into_buffer_arg(),
                gradient.into_buffer_arg(),
                partial.clone().into_buffer_arg(),
                ExtentsLaunch::new(
                    in_vectors as u32,
                    out_vectors as u32,
                    in_columns as u32,
                    out_columns as u32,
                    conv.extent[2].low as u32,
                    lines as u32,
                    shares as u32,
                    (part * shares) as u32,
                    lines.div_ceil(shares) as u32,
                ),
                form,
            );
        }
    }
    let out = place.empty([conv.outputs, conv.inputs, 3, 3, 3]);
    let sums = SumsLaunch::new(
        (parts * shares) as u32,
        POINTS as u32,
        (in_vectors * LANES) as u32,
        (out_vectors * LANES) as u32,
        TAPS as u32,
        conv.inputs as u32,
        conv.outputs as u32,
    );
    minimal::weights(place, &partial, &out, sums, conv);
    Some(out)
}
