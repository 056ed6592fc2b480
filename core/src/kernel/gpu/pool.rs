//! Max-pooling by two: one invocation a block of eight voxels.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::launch::{Place, contiguous, element, unit};

/// Extents of the unpooled tensor; `planes` is batch times channels.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Extents {
    planes: u32,
    depth: u32,
    height: u32,
    width: u32,
}

#[cube(launch)]
fn forward_kernel<F: Float>(
    x: &[F],
    y: &mut [F],
    extents: Extents,
    #[define(F)] _element: ElemType,
) {
    let (od, oh, ow) = (extents.depth / 2, extents.height / 2, extents.width / 2);
    let at = unit();
    if at < extents.planes * od * oh * ow {
        let column = at % ow;
        let row = at / ow % oh;
        let plane = at / (ow * oh);
        let (block, z) = (plane / od, plane % od);
        let first = ((block * extents.depth + 2 * z) * extents.height + 2 * row) * extents.width
            + 2 * column;
        let mut most = x[first as usize];
        #[unroll]
        for k in 1..8u32 {
            let near = first + ((k / 4) * extents.height + (k / 2) % 2) * extents.width + k % 2;
            most = max(most, x[near as usize]);
        }
        y[at as usize] = most;
    }
}

#[cube(launch)]
fn backward_kernel<F: Float>(
    x: &[F],
    gradient: &[F],
    out: &mut [F],
    extents: Extents,
    #[define(F)] _element: ElemType,
) {
    let (od, oh, ow) = (extents.depth / 2, extents.height / 2, extents.width / 2);
    // Blocks at an odd end are incomplete: their gradient is zero.
    let (bd, bh, bw) = (
        extents.depth.div_ceil(2),
        extents.height.div_ceil(2),
        extents.width.div_ceil(2),
    );
    let at = unit();
    if at < extents.planes * bd * bh * bw {
        let column = at % bw;
        let row = at / bw % bh;
        let plane = at / (bw * bh);
        let (block, z) = (plane / bd, plane % bd);
        let first = ((block * extents.depth + 2 * z) * extents.height + 2 * row) * extents.width
            + 2 * column;
        let whole = z < od && row < oh && column < ow;
        let mut pull = F::new(0.0);
        let mut winner = 0u32;
        if whole {
            pull = gradient[(((block * od + z) * oh + row) * ow + column) as usize];
            let mut most = x[first as usize];
            #[unroll]
            for k in 1..8u32 {
                let near = first + ((k / 4) * extents.height + (k / 2) % 2) * extents.width + k % 2;
                let value = x[near as usize];
                // The first of equals keeps it.
                winner = select(value > most, k, winner);
                most = max(most, value);
            }
        }
        #[unroll]
        for k in 0..8u32 {
            let (dz, dy, dx) = (k / 4, (k / 2) % 2, k % 2);
            if 2 * z + dz < extents.depth
                && 2 * row + dy < extents.height
                && 2 * column + dx < extents.width
            {
                let near = first + (dz * extents.height + dy) * extents.width + dx;
                out[near as usize] = select(whole && winner == k, pull, F::new(0.0));
            }
        }
    }
}

/// `[n, c, d / 2, h / 2, w / 2]`.
pub(super) fn forward(x: &CubeTensor, [n, c, d, h, w]: [usize; 5]) -> CubeTensor {
    let place = Place::of(x);
    let (shape, count) = (
        [n, c, d / 2, h / 2, w / 2],
        n * c * (d / 2) * (h / 2) * (w / 2),
    );
    let y = place.empty_of(shape, x.dtype);
    forward_kernel::launch(
        place.client(),
        place.grid(count, 1),
        place.workgroup(),
        contiguous(x).into_buffer_arg(),
        y.clone().into_buffer_arg(),
        ExtentsLaunch::new((n * c) as u32, d as u32, h as u32, w as u32),
        element(x),
    );
    y
}

/// The gradient, at the first maximum of each block.
pub(super) fn backward(
    x: &CubeTensor,
    gradient: &CubeTensor,
    [n, c, d, h, w]: [usize; 5],
) -> CubeTensor {
    let place = Place::of(x);
    let out = place.empty_of([n, c, d, h, w], x.dtype);
    let count = n * c * d.div_ceil(2) * h.div_ceil(2) * w.div_ceil(2);
    backward_kernel::launch(
        place.client(),
        place.grid(count, 1),
        place.workgroup(),
        contiguous(x).into_buffer_arg(),
        contiguous(gradient).into_buffer_arg(),
        out.clone().into_buffer_arg(),
        ExtentsLaunch::new((n * c) as u32, d as u32, h as u32, w as u32),
        element(x),
    );
    out
}
