//! Convolutions of a tensor whose planes arrive slab by slab, for inference.

use std::ops::Range;

use burn::Tensor;
use burn::tensor::s;

#[cfg(feature = "flex")]
use super::flex_fused;
use super::{Conv3dOptions, conv3d_activated, options};
use crate::nn::Activation;

/// Whether [`conv3d_slabs`] reads slabs like `x` as they are, and does not join them first.
#[cfg(feature = "flex")]
#[must_use]
pub fn reads_slabs(x: &Tensor<5>) -> bool {
    flex_fused::single(x)
}

/// Whether [`conv3d_slabs`] reads slabs as they are, and does not join them first.
#[cfg(not(feature = "flex"))]
#[must_use]
pub fn reads_slabs(_: &Tensor<5>) -> bool {
    false
}

/// About the time that [`conv3d_slabs`] takes for so many planes of output at once, as a share of
/// what most take, for kernel 3 and channels in and out where slabs are [read](reads_slabs) as they
/// are.
#[cfg(feature = "flex")]
#[must_use]
pub fn plane_time(channels: [usize; 2], dilation: usize, planes: usize) -> f64 {
    super::cpu::plane_time(channels, dilation, planes)
}

/// One, where no slabs are read as they are.
#[cfg(not(feature = "flex"))]
#[must_use]
pub fn plane_time(_: [usize; 2], _: usize, _: usize) -> f64 {
    1.0
}

/// Slabs as [`conv3d_slabs`] reads them: joined where it would join them.
///
/// # Shapes
///
/// - slabs: `[batch, channels, planes, height, width]`, of any number of planes
#[must_use]
pub fn joined_slabs(slabs: Vec<Tensor<5>>) -> Vec<Tensor<5>> {
    if slabs.len() < 2 || slabs.iter().all(reads_slabs) {
        return slabs;
    }
    vec![Tensor::cat(slabs, 2)]
}

/// [`conv3d_activated`] of the first `depth` planes of slabs that follow each other. No gradient.
///
/// # Shapes
///
/// - slabs: one or more of `[batch, channels, planes, height, width]`
/// - weight, bias, output: as of [`conv3d`](super::conv3d) of these planes
///
/// # Panics
///
/// As [`conv3d`](super::conv3d), and for slabs that differ in more than their planes or have fewer
/// than `depth`.
#[must_use]
pub fn conv3d_slabs(
    slabs: &[Tensor<5>],
    depth: usize,
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
    options: &Conv3dOptions,
    activation: Activation,
) -> Tensor<5> {
    options::check_slabs(slabs, depth, &weight, bias.as_ref(), options);
    #[cfg(feature = "flex")]
    {
        let (weight, bias) = (&weight, bias.as_ref());
        let y = flex_fused::conv3d_slabs(slabs, depth, weight, bias, options, activation);
        if let Some(y) = y {
            return y;
        }
    }
    let x = match slabs {
        [x] => x.clone(),
        slabs => Tensor::cat(slabs.to_vec(), 2),
    };
    let x = match x.dims()[2] == depth {
        true => x,
        false => x.narrow(2, 0, depth),
    };
    conv3d_activated(x, weight, bias, options, activation)
}

/// Some planes of a tensor, in memory of their own: a slice may be a view that holds all of what
/// it was cut from.
///
/// # Shapes
///
/// - `x`: `[batch, channels, depth, height, width]`
/// - output: the same, of as many planes as asked for
///
/// # Panics
///
/// If the planes are not those of `x`.
#[must_use]
pub fn planes(x: &Tensor<5>, planes: Range<usize>) -> Tensor<5> {
    let [batch, channels, depth, height, width] = x.dims();
    assert!(
        planes.start <= planes.end && planes.end <= depth,
        "planes: {planes:?} of {depth}"
    );
    #[cfg(feature = "flex")]
    if flex_fused::single(x) {
        return flex_fused::planes(x, planes);
    }
    let shape = [batch, channels, planes.len(), height, width];
    let place = Tensor::empty(shape, (&x.device(), x.dtype()));
    place.slice_assign(
        s![.., .., .., .., ..],
        x.clone().slice(s![.., .., planes, .., ..]),
    )
}
