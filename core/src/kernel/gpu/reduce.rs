//! Sums over voxels in two stages: a workgroup a chunk of a channel, then the chunks.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::launch::{Place, element, grid, workgroup};
use super::weight::sum_parts;

/// How the voxels of a channel are shared between workgroups.
#[derive(Clone, Copy)]
pub(super) struct Chunks {
    /// Batch times channels.
    pub(super) rows: usize,
    /// Voxels of a channel.
    pub(super) voxels: usize,
    /// Voxels of a chunk, and chunks of a channel.
    pub(super) length: usize,
    pub(super) count: usize,
}

impl Chunks {
    pub(super) fn of(place: &Place<'_>, [n, c, d, h, w]: [usize; 5]) -> Self {
        let voxels = d * h * w;
        let length = (64 * place.tiles.workgroup as usize)
            .max(voxels.div_ceil(512))
            .min(voxels.max(1));
        Self {
            rows: n * c,
            voxels,
            length,
            count: voxels.div_ceil(length),
        }
    }

    /// A workgroup for every chunk of every row.
    pub(super) fn grid(&self) -> CubeCount {
        grid(self.rows * self.count, 1)
    }

    pub(super) fn argument(&self) -> ChunkLaunch {
        ChunkLaunch::new(
            self.rows as u32,
            self.voxels as u32,
            self.length as u32,
            self.count as u32,
        )
    }
}

/// [`Chunks`] as an argument of a kernel.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) rows: u32,
    pub(super) voxels: u32,
    pub(super) length: u32,
    pub(super) count: u32,
}

/// Sum of `value` over the workgroup, for all of it.
#[cube]
pub(super) fn total(value: f32, shared: &mut Shared<[f32]>, #[comptime] workgroup: u32) -> f32 {
    sync_cube();
    shared[UNIT_POS_X as usize] = value;
    sync_cube();
    let levels = comptime!(workgroup.ilog2());
    #[unroll]
    for level in 0..levels {
        let half = comptime!(workgroup >> (level + 1));
        if UNIT_POS_X < half {
            let other = shared[(UNIT_POS_X + half) as usize];
            shared[UNIT_POS_X as usize] += other;
        }
        sync_cube();
    }
    shared[0]
}

#[cube(launch)]
fn sum_chunks<F: Float>(
    x: &[F],
    partial: &mut [f32],
    chunk: Chunk,
    #[comptime] units: u32,
    #[define(F)] _element: ElemType,
) {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(units as usize));
    let here = workgroup();
    // All of the workgroup or none.
    if here < chunk.rows * chunk.count {
        let row = here / chunk.count;
        let start = here % chunk.count * chunk.length;
        let end = min(start + chunk.length, chunk.voxels);
        let base = row * chunk.voxels;
        let mut sum = 0.0f32;
        let mut at = start + UNIT_POS_X;
        while at < end {
            sum += f32::cast_from(x[(base + at) as usize]);
            at += units;
        }
        let all = total(sum, &mut shared, units);
        if UNIT_POS_X == 0 {
            partial[(here % chunk.count * chunk.rows + row) as usize] = all;
        }
    }
}

/// Sums over batch and voxels of each channel.
pub(super) fn per_channel(x: &CubeTensor, shape: [usize; 5]) -> CubeTensor {
    let place = Place::of(x);
    let [batch, channels, ..] = shape;
    let chunks = Chunks::of(&place, shape);
    let partial = place.empty([chunks.count * chunks.rows]);
    sum_chunks::launch(
        place.client(),
        chunks.grid(),
        place.workgroup(),
        x.clone().into_buffer_arg(),
        partial.clone().into_buffer_arg(),
        chunks.argument(),
        place.tiles.workgroup,
        element(x),
    );
    let out = place.empty([channels]);
    sum_parts(&place, partial, &out, channels, chunks.count * batch);
    out
}
