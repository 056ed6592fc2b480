//! 3-D operations that burn lacks or does slowly, as plain functions over burn tensors.
//!
//! Tensors are `[batch, channels, depth, height, width]`, weights have PyTorch's layouts. Every
//! function is differentiable. Each has one implementation composed of burn's own operations,
//! which runs on any device and defines the result; devices with a special kernel use that.
//!
//! Data may be of half precision, weights and biases may not: the result is then of half precision
//! too, and what is computed in between of single precision.
//!
//! The functions panic on shapes that do not fit together, as burn's own operations do: shapes
//! that come from a file are checked where the network is built.

use burn::Tensor;
use burn::tensor::{DType, FloatDType};

use crate::nn::Activation;

mod attention;
#[cfg(feature = "flex")]
mod cpu;
#[cfg(any(feature = "flex", feature = "cube"))]
mod extension;
#[cfg(feature = "flex")]
mod flex_fused;
#[cfg(feature = "flex")]
mod flex_op;
mod fused;
#[cfg(feature = "cube")]
mod gpu;
mod layer_norm;
mod memory;
mod normalized;
#[cfg(any(feature = "flex", feature = "cube"))]
mod op;
mod options;
mod portable;
mod resize;
#[cfg(any(feature = "flex", feature = "cube"))]
mod shape;
mod slabs;
#[cfg(all(test, any(feature = "flex", feature = "cube")))]
mod tests;

pub use self::attention::{Windows, window_attention};
pub use self::fused::{
    NormParameters, conv_transpose3d_from, conv3d_argmax, conv3d_joined, conv3d_normalized,
    depthwise_conv3d_normalized, joined_once, max_pool2_from, residual_sum,
};
#[cfg(feature = "cube")]
pub use self::gpu::{AdapterClass, GpuTiles, TileError, adapter_name, set_gpu_tiles};
pub use self::layer_norm::layer_norm;
pub use self::memory::{KeptMemory, keep_memory};
pub use self::normalized::Normalized;
pub use self::options::Conv3dOptions;
pub use self::slabs::{conv3d_slabs, joined_slabs, plane_time, planes, reads_slabs};

/// Convolution, groups 1 (`torch.nn.functional.conv3d`).
///
/// # Shapes
/// - `x`: `[batch, in, depth, height, width]`
/// - `weight`: `[out, in, kd, kh, kw]`
/// - `bias`: `[out]`
/// - output: `[batch, out, ..]`, see [`Conv3dOptions::output_size`]
///
/// # Panics
/// If the channels of `x` and `weight` differ, `bias` is not `[out]`, a stride or dilation is
/// zero, or the dilated kernel exceeds the padded input.
#[must_use]
pub fn conv3d(
    x: Tensor<5>,
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
    options: &Conv3dOptions,
) -> Tensor<5> {
    options::check_conv3d(&x, &weight, bias.as_ref(), options);
    #[cfg(any(feature = "flex", feature = "cube"))]
    if let Some(op) = extension::accept(
        op::Op::Conv {
            options: *options,
            activation: None,
        },
        &x,
        Some(&weight),
        [bias.as_ref(), None],
    ) {
        return extension::run(x, Some(weight), bias, op);
    }
    in_single(x, |x| portable::conv3d(x, weight, bias, options))
}

/// [`conv3d`] followed by an activation, in one pass over the output where the device has such a
/// kernel and no gradient is asked for.
///
/// # Panics
/// As [`conv3d`].
#[must_use]
pub fn conv3d_activated(
    x: Tensor<5>,
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
    options: &Conv3dOptions,
    activation: Activation,
) -> Tensor<5> {
    #[cfg(any(feature = "flex", feature = "cube"))]
    if !x.is_autodiff() && !weight.is_autodiff() {
        options::check_conv3d(&x, &weight, bias.as_ref(), options);
        if let Some(op) = extension::accept(
            op::Op::Conv {
                options: *options,
                activation: Some(activation),
            },
            &x,
            Some(&weight),
            [bias.as_ref(), None],
        ) {
            return extension::run(x, Some(weight), bias, op);
        }
    }
    activate(conv3d(x, weight, bias, options), activation)
}

/// Convolution of each channel with its own kernel (`conv3d` with `groups = channels`).
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - `weight`: `[channels, 1, k, k, k]`
/// - `bias`: `[channels]`
/// - output: each side `(size + 2 padding - k) / stride + 1`
///
/// # Panics
/// If the shapes do not fit together, `stride` is zero or the kernel exceeds the padded input.
#[must_use]
pub fn depthwise_conv3d(
    x: Tensor<5>,
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<5> {
    options::check_depthwise(&x, &weight, bias.as_ref(), stride, padding);
    #[cfg(any(feature = "flex", feature = "cube"))]
    if let Some(op) = extension::accept(
        op::Op::Depthwise { stride, padding },
        &x,
        Some(&weight),
        [bias.as_ref(), None],
    ) {
        return extension::run(x, Some(weight), bias, op);
    }
    in_single(x, |x| {
        portable::depthwise_conv3d(x, &weight, bias, stride, padding)
    })
}

/// Transposed convolution of each channel with its own kernel, odd edge k, stride 2, padding k / 2
/// (`torch.nn.ConvTranspose3d(c, c, k, stride=2, padding=k // 2, groups=c)`).
///
/// # Shapes
/// - `x`: `[batch, channels, depth, height, width]`
/// - `weight`: `[channels, 1, k, k, k]`
/// - `bias`: `[channels]`
/// - output: each side `2 size - 1`
///
/// # Panics
/// If the shapes do not fit together.
#[must_use]
pub fn depthwise_conv_transpose3d(
    x: Tensor<5>,
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
) -> Tensor<5> {
    options::check_depthwise_transpose(&x, &weight, bias.as_ref());
    #[cfg(any(feature = "flex", feature = "cube"))]
    if let Some(op) = extension::accept(
        op::Op::DepthwiseTranspose,
        &x,
        Some(&weight),
        [bias.as_ref(), None],
    ) {
        return extension::run(x, Some(weight), bias, op);
    }
    in_single(x, |x| portable::depthwise_conv_transpose3d(x, weight, bias))
}

/// Transposed convolution of stride 2 without padding, groups 1
/// (`torch.nn.ConvTranspose3d(.., stride=2)`), kernel 2 or kernel 1.
///
/// # Shapes
/// - `x`: `[batch, in, depth, height, width]`
/// - `weight`: `[in, out, k, k, k]` with k 2 or 1
/// - `bias`: `[out]`
/// - output: each side `2 size` for kernel 2, `2 size - 1` for kernel 1
///
/// # Panics
/// If the shapes do not fit together or the kernel is neither 2 nor 1.
#[must_use]
pub fn conv_transpose3d(x: Tensor<5>, weight: Tensor<5>, bias: Option<Tensor<1>>) -> Tensor<5> {
    let kernel = options::check_transpose(&x, &weight, bias.as_ref());
    #[cfg(any(feature = "flex", feature = "cube"))]
    if let Some(op) = extension::accept(op::Op::Transpose, &x, Some(&weight), [bias.as_ref(), None])
    {
        return extension::run(x, Some(weight), bias, op);
    }
    in_single(x, |x| portable::conv_transpose3d(x, weight, bias, kernel))
}

/// Normalisation of each channel of each sample to mean 0 and variance 1, then scale, shift and
/// activation (`torch.nn.InstanceNorm3d`, or `GroupNorm` with as many groups as channels).
///
/// The variance is the biased one. `weight` and `bias` are `[channels]`.
///
/// # Panics
/// If `weight` or `bias` is not `[channels]`.
#[must_use]
pub fn instance_norm(
    x: Tensor<5>,
    weight: Option<Tensor<1>>,
    bias: Option<Tensor<1>>,
    eps: f64,
    activation: Option<Activation>,
) -> Tensor<5> {
    options::check_norm(&x, weight.as_ref(), bias.as_ref());
    #[cfg(any(feature = "flex", feature = "cube"))]
    if let Some(op) = extension::accept(
        op::Op::Norm { eps, activation },
        &x,
        None,
        [weight.as_ref(), bias.as_ref()],
    ) {
        return extension::run(x, weight, bias, op);
    }
    in_single(x, |x| {
        portable::instance_norm(x, weight, bias, eps, activation)
    })
}

/// Applies an activation to every element.
#[must_use]
pub fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "cube"))]
    if let Some(op) = extension::accept(op::Op::Activate(activation), &x, None, [None, None]) {
        return extension::run(x, None::<Tensor<1>>, None, op);
    }
    in_single(x, |x| portable::activate(x, activation))
}

/// Maximum over blocks of 2 x 2 x 2 voxels (`torch.nn.MaxPool3d(2)`).
///
/// An odd last plane, row or column is dropped. The gradient goes to the first maximum of a
/// block, in memory order.
///
/// # Panics
/// If a side of `x` is less than 2.
#[must_use]
pub fn max_pool2(x: Tensor<5>) -> Tensor<5> {
    options::check_pool(&x);
    #[cfg(any(feature = "flex", feature = "cube"))]
    if let Some(op) = extension::accept(op::Op::MaxPool2, &x, None, [None, None]) {
        return extension::run(x, None::<Tensor<1>>, None, op);
    }
    in_single(x, portable::max_pool2)
}

/// Mean over blocks of 2 x 2 x 2 voxels (`torch.nn.AvgPool3d(2)`). An odd last plane, row or
/// column is dropped.
///
/// # Panics
/// If a side of `x` is less than 2.
#[must_use]
pub fn avg_pool2(x: Tensor<5>) -> Tensor<5> {
    options::check_pool(&x);
    #[cfg(feature = "flex")]
    if let Some(op) = extension::accept(op::Op::AvgPool2, &x, None, [None, None]) {
        return extension::run(x, None::<Tensor<1>>, None, op);
    }
    in_single(x, portable::avg_pool2)
}

/// Trilinear resampling to another size
/// (`torch.nn.functional.interpolate(x, size, mode="trilinear", align_corners=False)`).
///
/// # Panics
/// If a side of `x` or of `size` is zero.
#[must_use]
pub fn resize_trilinear(x: Tensor<5>, size: [usize; 3]) -> Tensor<5> {
    options::check_resize(&x, size);
    #[cfg(feature = "flex")]
    if let Some(op) = extension::accept(op::Op::Resize(size), &x, None, [None, None]) {
        return extension::run(x, None::<Tensor<1>>, None, op);
    }
    in_single(x, |x| resize::portable(x, size))
}

/// Applies a definition to data of any precision: burn's operations take one type alone and sum in
/// it.
fn in_single<const D: usize>(
    x: Tensor<D>,
    definition: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    match x.dtype() {
        DType::F16 => definition(x.cast(FloatDType::F32)).cast(FloatDType::F16),
        _ => definition(x),
    }
}
