//! Tensors with four channels of a voxel together, for loads of four numbers at once.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::launch::{Place, element, unit};

/// Lanes of the vectors of channels.
pub(super) const LANES: usize = 4;

/// `[batch][channel][voxel]` as `[batch][four channels][voxel][channel]`, or with `last` as
/// `[batch][voxel][channel]`, with zeros for the channels that pad.
#[cube(launch)]
fn interleave<F: Float>(
    x: &[F],
    out: &mut [Vector<F, Const<4>>],
    batch: u32,
    channels: u32,
    voxels: u32,
    #[comptime] last: bool,
    #[define(F)] _element: ElemType,
) {
    let blocks = channels.div_ceil(4);
    let at = unit();
    if at < batch * blocks * voxels {
        let (voxel, block) = if comptime!(last) {
            (at / blocks % voxels, at % blocks)
        } else {
            (at % voxels, at / voxels % blocks)
        };
        let sample = at / voxels / blocks;
        let mut values = Vector::<F, Const<4>>::new(F::new(0.0));
        #[unroll]
        for lane in 0..4usize {
            let channel = block * 4 + comptime!(lane as u32);
            if channel < channels {
                values.insert(
                    lane,
                    x[((sample * channels + channel) * voxels + voxel) as usize],
                );
            }
        }
        out[at as usize] = values;
    }
}

/// [`interleave`] of four voxels at a time.
#[cube(launch)]
fn interleave_fours<F: Float>(
    x: &[Vector<F, Const<4>>],
    out: &mut [Vector<F, Const<4>>],
    batch: u32,
    channels: u32,
    fours: u32,
    #[comptime] last: bool,
    #[define(F)] _element: ElemType,
) {
    let blocks = channels.div_ceil(4);
    let at = unit();
    if at < batch * blocks * fours {
        let four = at % fours;
        let block = at / fours % blocks;
        let sample = at / fours / blocks;
        let mut values = Array::<Vector<F, Const<4>>>::new(4usize);
        #[unroll]
        for lane in 0..4usize {
            let channel = block * 4 + comptime!(lane as u32);
            let inside = channel < channels;
            let from = select(inside, (sample * channels + channel) * fours + four, 0u32);
            values[lane] = select(inside, x[from as usize], Vector::new(F::new(0.0)));
        }
        #[unroll]
        for i in 0..4usize {
            let mut voxel = Vector::<F, Const<4>>::new(F::new(0.0));
            #[unroll]
            for lane in 0..4usize {
                voxel.insert(lane, values[lane].extract(i));
            }
            let number = four * 4 + comptime!(i as u32);
            let to = if comptime!(last) {
                (sample * fours * 4 + number) * blocks + block
            } else {
                (sample * blocks + block) * fours * 4 + number
            };
            out[to as usize] = voxel;
        }
    }
}

/// Four channels of a voxel together.
pub(super) fn interleaved(
    place: &Place<'_>,
    x: &CubeTensor,
    batch: usize,
    channels: usize,
    voxels: usize,
) -> CubeTensor {
    laid_out(place, x, [batch, channels, voxels], false)
}

/// All channels of a voxel together.
pub(super) fn channels_last(
    place: &Place<'_>,
    x: &CubeTensor,
    batch: usize,
    channels: usize,
    voxels: usize,
) -> CubeTensor {
    laid_out(place, x, [batch, channels, voxels], true)
}

fn laid_out(
    place: &Place<'_>,
    x: &CubeTensor,
    [batch, channels, voxels]: [usize; 3],
    last: bool,
) -> CubeTensor {
    let units = batch * channels.div_ceil(LANES) * voxels;
    let (out, element) = (place.empty_of([units * LANES], x.dtype), element(x));
    if voxels.is_multiple_of(LANES) {
        interleave_fours::launch(
            place.client(),
            place.grid(units / LANES, 1),
            place.workgroup(),
            x.clone().into_buffer_arg(),
            out.clone().into_buffer_arg(),
            batch as u32,
            channels as u32,
            (voxels / LANES) as u32,
            last,
            element,
        );
        return out;
    }
    interleave::launch(
        place.client(),
        place.grid(units, 1),
        place.workgroup(),
        x.clone().into_buffer_arg(),
        out.clone().into_buffer_arg(),
        batch as u32,
        channels as u32,
        voxels as u32,
        last,
        element,
    );
    out
}
