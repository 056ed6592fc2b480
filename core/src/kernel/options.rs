//! Options of the convolutions, and the checks that the public functions share.

use burn::Tensor;

use super::Normalized;

/// Stride, padding and dilation of a convolution, per axis (depth, height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv3dOptions {
    /// Step between two outputs, in input voxels.
    pub stride: [usize; 3],
    /// Zeros before and after each axis; the two may differ.
    pub padding: [[usize; 2]; 3],
    /// Step between two taps of the kernel, in input voxels.
    pub dilation: [usize; 3],
}

impl Conv3dOptions {
    /// Stride 1, dilation 1 and the zeros that keep the size for an odd cubic `kernel`.
    #[must_use]
    pub fn same(kernel: usize) -> Self {
        Self::new(1, kernel / 2, 1)
    }

    /// The same stride, symmetric padding and dilation on every axis.
    #[must_use]
    pub fn new(stride: usize, padding: usize, dilation: usize) -> Self {
        Self {
            stride: [stride; 3],
            padding: [[padding; 2]; 3],
            dilation: [dilation; 3],
        }
    }

    /// Extent of the output for an input and kernel of these extents, or `None` when the dilated
    /// kernel does not fit into the padded input, or a number is zero or overflows.
    #[must_use]
    pub fn output_size(&self, input: [usize; 3], kernel: [usize; 3]) -> Option<[usize; 3]> {
        let mut out = [0; 3];
        for axis in 0..3 {
            let [low, high] = self.padding[axis];
            let padded = input[axis].checked_add(low)?.checked_add(high)?;
            let reach = kernel[axis]
                .checked_sub(1)?
                .checked_mul(self.dilation[axis])?;
            if self.dilation[axis] == 0 || input[axis] == 0 {
                return None;
            }
            let last = padded.checked_sub(reach.checked_add(1)?)?;
            out[axis] = last.checked_div(self.stride[axis])? + 1;
        }
        Some(out)
    }
}

fn check_bias(bias: Option<&Tensor<1>>, channels: usize) {
    if let Some(bias) = bias {
        assert_eq!(
            bias.dims(),
            [channels],
            "bias: expected one value per output channel"
        );
    }
}

pub(super) fn check_conv3d(
    x: &Tensor<5>,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    options: &Conv3dOptions,
) {
    check_conv3d_dims(x.dims(), weight, bias, options);
}

/// The shape of tensors that follow each other along `axis`; panics with `differ` where they have
/// another shape.
fn joined_dims(parts: impl Iterator<Item = [usize; 5]>, axis: usize, differ: &str) -> [usize; 5] {
    let joined = parts.reduce(|mut all, mut part| {
        let added = std::mem::replace(&mut part[axis], all[axis]);
        assert!(part == all, "{differ}");
        all[axis] += added;
        all
    });
    joined.unwrap_or_default()
}

/// As [`check_conv3d`], for tensors whose channels follow each other.
pub(super) fn check_joined(
    inputs: &[Normalized],
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    options: &Conv3dOptions,
) {
    assert!(
        matches!(inputs.len(), 1 | 2),
        "inputs: expected one or two, got {}",
        inputs.len()
    );
    let differ = "inputs: they differ in more than their channels";
    let dims = joined_dims(inputs.iter().map(|input| input.dims()), 1, differ);
    check_conv3d_dims(dims, weight, bias, options);
}

/// As [`check_conv3d`], for the first `depth` planes of tensors that follow each other.
pub(super) fn check_slabs(
    slabs: &[Tensor<5>],
    depth: usize,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    options: &Conv3dOptions,
) {
    assert!(!slabs.is_empty(), "slabs: expected one or more");
    let differ = "slabs: they differ in more than their planes";
    let mut dims = joined_dims(slabs.iter().map(|slab| slab.dims()), 2, differ);
    assert!(depth <= dims[2], "depth: {depth} of {} planes", dims[2]);
    dims[2] = depth;
    check_conv3d_dims(dims, weight, bias, options);
}

pub(super) fn check_argmax(weight: &Tensor<5>) {
    let [out, _, kernel @ ..] = weight.dims();
    assert!(
        out > 0 && kernel == [1; 3],
        "weight: expected a kernel of one voxel and at least one output channel"
    );
}

fn check_conv3d_dims(
    [_, channels, d, h, w]: [usize; 5],
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    options: &Conv3dOptions,
) {
    let [out, inputs, kd, kh, kw] = weight.dims();
    assert_eq!(
        inputs, channels,
        "weight: its input channels are not those of the input"
    );
    check_bias(bias, out);
    assert!(
        options.output_size([d, h, w], [kd, kh, kw]).is_some(),
        "options: {options:?} do not fit an input of {d}x{h}x{w} and a kernel of {kd}x{kh}x{kw}"
    );
}

pub(super) fn check_depthwise(
    x: &Tensor<5>,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    stride: usize,
    padding: usize,
) {
    let [_, channels, d, h, w] = x.dims();
    let [out, one, kd, kh, kw] = weight.dims();
    assert!(
        out == channels && one == 1,
        "weight: expected [{channels}, 1, ..], got [{out}, {one}, ..]"
    );
    check_bias(bias, channels);
    let options = Conv3dOptions::new(stride, padding, 1);
    assert!(
        options.output_size([d, h, w], [kd, kh, kw]).is_some(),
        "options: {options:?} do not fit an input of {d}x{h}x{w} and a kernel of {kd}x{kh}x{kw}"
    );
}

pub(super) fn check_depthwise_transpose(
    x: &Tensor<5>,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
) {
    let channels = x.dims()[1];
    let k = weight.dims()[2];
    assert!(
        k % 2 == 1 && weight.dims() == [channels, 1, k, k, k],
        "weight: expected [channels, 1, k, k, k] with an odd k"
    );
    check_bias(bias, channels);
}

/// Returns the side of the kernel.
pub(super) fn check_transpose(
    x: &Tensor<5>,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
) -> usize {
    let [inputs, out, kd, kh, kw] = weight.dims();
    assert_eq!(
        inputs,
        x.dims()[1],
        "weight: its input channels are not those of the input"
    );
    assert!(
        kd == kh && kh == kw && (kd == 1 || kd == 2),
        "weight: expected a kernel of 1 or 2 voxels a side, got {kd}x{kh}x{kw}"
    );
    check_bias(bias, out);
    kd
}

pub(super) fn check_norm(x: &Tensor<5>, weight: Option<&Tensor<1>>, bias: Option<&Tensor<1>>) {
    let channels = x.dims()[1];
    if let Some(weight) = weight {
        assert_eq!(
            weight.dims(),
            [channels],
            "weight: expected one value per channel"
        );
    }
    check_bias(bias, channels);
}

pub(super) fn check_pool(x: &Tensor<5>) {
    let [_, _, d, h, w] = x.dims();
    assert!(
        d.min(h).min(w) >= 2,
        "input: a side of {d}x{h}x{w} is less than 2 voxels"
    );
}

pub(super) fn check_resize(x: &Tensor<5>, size: [usize; 3]) {
    let [_, _, d, h, w] = x.dims();
    assert!(
        [d, h, w].iter().chain(&size).all(|&side| side > 0),
        "size: a side of {d}x{h}x{w} or of {size:?} is zero"
    );
}

pub(super) fn check_residual(
    inputs: &[Normalized],
    weight: &Tensor<5>,
    options: &Conv3dOptions,
    residual: Option<&Tensor<5>>,
) {
    let [batch, _, size @ ..] = inputs[0].dims();
    let [out, _, kernel @ ..] = weight.dims();
    if let Some(residual) = residual
        && let Some([d, h, w]) = options.output_size(size, kernel)
    {
        assert_eq!(
            residual.dims(),
            [batch, out, d, h, w],
            "residual: expected the shape of the output"
        );
    }
}
