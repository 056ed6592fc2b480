//! Operations for inference that read and leave [`Normalized`] tensors, so that a pass touches
//! memory once per convolution. Asked for a gradient, they are the plain operations in turn.

use burn::Tensor;
use burn::tensor::{FloatDType, Int};

#[cfg(feature = "cube")]
use super::gpu;
use super::normalized::joined;
use super::{
    Conv3dOptions, Normalized, conv_transpose3d, conv3d, conv3d_activated, depthwise_conv3d,
    instance_norm, max_pool2, options, portable,
};
#[cfg(feature = "flex")]
use super::{extension, flex_fused, op};
use crate::nn::Activation;

/// The normalisation after a convolution, see [`instance_norm`].
#[derive(Clone, Debug)]
pub struct NormParameters {
    /// Scale, `[channels]`.
    pub weight: Option<Tensor<1>>,
    /// Shift, `[channels]`.
    pub bias: Option<Tensor<1>>,
    /// Added to the variance.
    pub eps: f64,
    /// Applied at last.
    pub activation: Option<Activation>,
}

impl NormParameters {
    fn apply(self, x: Tensor<5>) -> Normalized {
        instance_norm(x, self.weight, self.bias, self.eps, self.activation).into()
    }

    #[cfg(feature = "flex")]
    fn vectors(&self) -> [Option<&Tensor<1>>; 2] {
        [self.weight.as_ref(), self.bias.as_ref()]
    }
}

/// [`conv3d`] of one tensor or of two whose channels follow each other, then an activation, then
/// the sum with `residual`.
///
/// # Shapes
/// - `inputs`: one or two of `[batch, channels, depth, height, width]`
/// - `weight`: `[out, sum of channels, kd, kh, kw]`
/// - `bias`: `[out]`
/// - `residual`, output: `[batch, out, ..]`
///
/// # Panics
/// As [`conv3d`], for other than one or two inputs, or if `residual` has another shape.
#[must_use]
pub fn conv3d_joined(
    inputs: &[Normalized],
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
    options: &Conv3dOptions,
    activation: Option<Activation>,
    residual: Option<Tensor<5>>,
) -> Tensor<5> {
    options::check_joined(inputs, &weight, bias.as_ref(), options);
    options::check_residual(inputs, &weight, options, residual.as_ref());
    #[cfg(feature = "flex")]
    if flex_fused::takes(inputs, &weight, &[bias.as_ref()], residual.as_ref()) {
        let (bias, residual) = (bias.as_ref(), residual.as_ref());
        return flex_fused::conv3d(inputs, &weight, bias, options, activation, residual);
    }
    let x = joined(inputs);
    let y = match activation {
        Some(activation) => conv3d_activated(x, weight, bias, options, activation),
        None => conv3d(x, weight, bias, options),
    };
    match residual {
        Some(residual) => y + residual,
        None => y,
    }
}

/// [`conv3d_joined`] followed by [`instance_norm`]; the statistics are taken while the outputs are
/// at hand, and who reads the result normalises.
///
/// # Panics
/// As [`conv3d_joined`] and [`instance_norm`].
#[must_use]
pub fn conv3d_normalized(
    inputs: &[Normalized],
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
    options: &Conv3dOptions,
    norm: NormParameters,
) -> Normalized {
    options::check_joined(inputs, &weight, bias.as_ref(), options);
    #[cfg(feature = "flex")]
    {
        let [scale, shift] = norm.vectors();
        if flex_fused::takes(inputs, &weight, &[bias.as_ref(), scale, shift], None) {
            return flex_fused::conv3d_normalized(inputs, &weight, bias.as_ref(), options, &norm);
        }
    }
    norm.apply(conv3d(joined(inputs), weight, bias, options))
}

/// [`depthwise_conv3d`] followed by [`instance_norm`], as [`conv3d_normalized`].
///
/// # Panics
/// As [`depthwise_conv3d`] and [`instance_norm`].
#[must_use]
pub fn depthwise_conv3d_normalized(
    x: Normalized,
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
    norm: NormParameters,
) -> Normalized {
    options::check_depthwise(&x.x, &weight, bias.as_ref(), stride, padding);
    #[cfg(feature = "flex")]
    {
        let [scale, shift] = norm.vectors();
        let inputs = std::slice::from_ref(&x);
        if flex_fused::takes(inputs, &weight, &[bias.as_ref(), scale, shift], None) {
            let options = Conv3dOptions::new(stride, padding, 1);
            return flex_fused::depthwise_normalized(&x, &weight, bias.as_ref(), &options, &norm);
        }
    }
    norm.apply(depthwise_conv3d(
        x.into_tensor(),
        weight,
        bias,
        stride,
        padding,
    ))
}

/// [`conv_transpose3d`] of a [`Normalized`] tensor.
///
/// # Panics
/// As [`conv_transpose3d`].
#[must_use]
pub fn conv_transpose3d_from(
    x: Normalized,
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
) -> Tensor<5> {
    options::check_transpose(&x.x, &weight, bias.as_ref());
    #[cfg(feature = "flex")]
    if x.map.is_some()
        && flex_fused::takes(std::slice::from_ref(&x), &weight, &[bias.as_ref()], None)
    {
        return flex_fused::conv_transpose3d(&x, &weight, bias.as_ref());
    }
    conv_transpose3d(x.into_tensor(), weight, bias)
}

/// [`max_pool2`] of a [`Normalized`] tensor.
///
/// # Panics
/// As [`max_pool2`].
#[must_use]
pub fn max_pool2_from(x: Normalized) -> Tensor<5> {
    options::check_pool(&x.x);
    #[cfg(feature = "flex")]
    if x.map.is_some() && flex_fused::reads(&x) {
        return flex_fused::max_pool2(&x);
    }
    max_pool2(x.into_tensor())
}

/// The activation of a sum of two tensors: the end of a residual block.
///
/// # Panics
/// If their shapes differ.
#[must_use]
pub fn residual_sum(x: Normalized, residual: Normalized, activation: Activation) -> Tensor<5> {
    assert_eq!(x.dims(), residual.dims(), "a residual of another shape");
    #[cfg(feature = "flex")]
    if activation.slope().is_some() {
        if let Some(sum) = flex_fused::residual_sum([&x, &residual], activation) {
            return sum;
        }
        let [x, residual] = [x, residual].map(Normalized::into_tensor);
        let op = op::Op::Residual(activation);
        return match extension::accept(op, &x, Some(&residual), [None, None]) {
            Some(op) => extension::run(x, Some(residual), None, op),
            None => super::activate(x + residual, activation),
        };
    }
    super::activate(x.into_tensor() + residual.into_tensor(), activation)
}

/// What several convolutions read: tensors whose channels follow each other, joined once where
/// each would join them for itself.
#[must_use]
pub fn joined_once(inputs: &[Normalized]) -> Vec<Normalized> {
    #[cfg(feature = "flex")]
    if inputs.iter().all(flex_fused::reads) {
        return inputs.to_vec();
    }
    vec![joined(inputs).into()]
}

/// The output channel with the largest value of a 1x1x1 convolution, per voxel; the first of
/// equals, and the first that is not a number before all others (`conv3d(x, w, b).argmax(1)`).
/// The convolution's output is not stored. No gradient.
///
/// # Shapes
/// - `inputs`: one or two of `[batch, channels, depth, height, width]`
/// - `weight`: `[out, sum of channels, 1, 1, 1]`
/// - `bias`: `[out]`
/// - output: `[batch, 1, depth, height, width]`
///
/// # Panics
/// If the shapes do not fit together, or there are no output channels.
#[must_use]
pub fn conv3d_argmax(
    inputs: &[Normalized],
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
) -> Tensor<5, Int> {
    let options = Conv3dOptions::new(1, 0, 1);
    options::check_joined(inputs, &weight, bias.as_ref(), &options);
    options::check_argmax(&weight);
    // Nothing here has a gradient.
    let inputs: Vec<Normalized> = inputs.iter().map(Normalized::inner).collect();
    let (weight, bias) = (weight.inner(), bias.map(Tensor::inner));
    #[cfg(feature = "flex")]
    if flex_fused::takes(&inputs, &weight, &[bias.as_ref()], None) {
        return flex_fused::conv3d_argmax(&inputs, &weight, bias.as_ref());
    }
    let x = joined(&inputs);
    #[cfg(feature = "cube")]
    if let Some(labels) = gpu::argmax(&x, &weight, bias.as_ref()) {
        return labels;
    }
    portable::conv3d(x.cast(FloatDType::F32), weight, bias, &options).argmax(1)
}
