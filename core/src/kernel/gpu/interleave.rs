//! Tensors with four channels of a voxel together, for loads of four numbers at once.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{Place, unit};

/// Lanes of the vectors of channels.
pub(super) const LANES: usize = 4;

/// `[batch][channel][voxel]` as `[batch][four channels][voxel][channel]`, or with `last` as
/// `[batch][voxel][channel]`, with zeros for the channels that pad.
#[cube(launch)]
fn interleave(
    x: &[f32],
    out: &mut [Vector<f32, Const<4>>],
    batch: u32,
    channels: u32,
    voxels: u32,
    #[comptime] last: bool,
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
        let mut values = Vector::<f32, Const<4>>::new(0.0);
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
    let out = place.empty([units * LANES]);
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
    );
    out
}
