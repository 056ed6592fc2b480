//! What every kernel needs to start: grids within WebGPU's limits, and tensors for results.

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

use super::tile::{self, AdapterClass, GpuTiles};

/// WebGPU guarantees this many workgroups along an axis.
const MOST_WORKGROUPS: usize = 65_535;

/// Where a kernel runs.
pub(super) struct Place<'a> {
    pub(super) like: &'a CubeTensor,
    pub(super) tiles: GpuTiles,
}

impl<'a> Place<'a> {
    /// The device of `tensor`.
    pub(super) fn of(tensor: &'a CubeTensor) -> Self {
        let name = &tensor.client.properties().identity.name;
        Self {
            like: tensor,
            tiles: tile::tiles(name),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.like.client
    }

    /// Invocations that can read each other's values, where it is known that loads cost more: on
    /// llvmpipe, which loads one lane after the other. 0: do without.
    pub(super) fn plane(&self) -> usize {
        let properties = self.client().properties();
        let (least, most) = (
            properties.hardware.plane_size_min,
            properties.hardware.plane_size_max,
        );
        // A single size is told only by drivers that have the operations.
        let known = least == most && self.tiles.workgroup.is_multiple_of(least.max(1));
        let class = AdapterClass::of(&properties.identity.name);
        if class == AdapterClass::Llvmpipe && known && !cfg!(target_family = "wasm") {
            least as usize
        } else {
            0
        }
    }

    pub(super) fn workgroup(&self) -> CubeDim {
        CubeDim::new_1d(self.tiles.workgroup)
    }

    /// A tensor in memory order, its values not set.
    pub(super) fn empty(&self, shape: impl Into<Shape>) -> CubeTensor {
        self.empty_of(shape, DType::F32)
    }

    /// [`Self::empty`] of other elements than single floats.
    pub(super) fn empty_of(&self, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
        let (client, device) = (self.like.client.clone(), self.like.device.clone());
        empty_device_contiguous_dtype(client, device, shape.into(), dtype)
    }

    /// The largest tensor that a kernel can bind, in elements.
    pub(super) fn most_elements(&self) -> usize {
        let bytes = self.client().properties().memory.max_page_size;
        usize::try_from(bytes / 4).unwrap_or(usize::MAX)
    }

    /// Workgroups for `units` invocations, spread over two axes; [`unit`] gives the number.
    pub(super) fn grid(&self, units: usize, z: usize) -> CubeCount {
        let groups = units.div_ceil(self.tiles.workgroup as usize).max(1);
        grid(groups, z)
    }
}

/// `groups` workgroups over two axes, `z` along the third.
pub(super) fn grid(groups: usize, z: usize) -> CubeCount {
    let rows = groups.div_ceil(MOST_WORKGROUPS);
    let row = groups.div_ceil(rows);
    CubeCount::Static(row as u32, rows as u32, z as u32)
}

/// What the elements of a tensor of floats are stored as.
pub(super) fn element(tensor: &CubeTensor) -> ElemType {
    ElemType::Float(match tensor.dtype {
        DType::F16 => FloatKind::F16,
        _ => FloatKind::F32,
    })
}

/// The same values in single precision; no copy where they are.
pub(super) fn single(tensor: &CubeTensor) -> CubeTensor {
    cast(tensor.clone(), DType::F32)
}

/// The same values in memory order; no copy where they are.
pub(super) fn contiguous(tensor: &CubeTensor) -> CubeTensor {
    into_contiguous(tensor.clone())
}

/// Number of the workgroup within a grid over two axes.
#[cube]
pub(super) fn workgroup() -> u32 {
    CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X
}

/// Number of the invocation within a grid over two axes.
#[cube]
pub(super) fn unit() -> u32 {
    workgroup() * CUBE_DIM_X + UNIT_POS_X
}
