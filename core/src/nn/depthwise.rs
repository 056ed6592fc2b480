//! Depthwise 3-D convolution and its transpose.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::InstanceNorm;
use super::init::uniform_fan_in;
use crate::kernel::{self, Normalized};

/// Configuration of a [`DepthwiseConv3d`] (`groups=channels`, padding `kernel / 2`).
#[derive(Config, Debug)]
pub struct DepthwiseConv3dConfig {
    /// Channels in and out.
    pub channels: usize,
    /// Edge of the cubic kernel, odd.
    pub kernel: usize,
    /// Stride along every axis; the transpose has stride 2.
    #[config(default = 1)]
    pub stride: usize,
    /// Whether it is the transposed convolution.
    #[config(default = false)]
    pub transposed: bool,
}

/// One kernel per channel.
#[derive(Module, Debug)]
pub struct DepthwiseConv3d {
    /// `[channels, 1, kernel, kernel, kernel]`
    pub weight: Param<Tensor<5>>,
    /// `[channels]`
    pub bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
    transposed: bool,
}

impl DepthwiseConv3dConfig {
    /// A layer with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> DepthwiseConv3d {
        let k = self.kernel;
        let fan_in = k * k * k;
        DepthwiseConv3d {
            weight: uniform_fan_in([self.channels, 1, k, k, k], fan_in, device),
            bias: Some(uniform_fan_in([self.channels], fan_in, device)),
            stride: self.stride,
            padding: k / 2,
            transposed: self.transposed,
        }
    }
}

impl DepthwiseConv3d {
    /// Applies the convolution, or its transpose.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels, depth, height, width]`
    /// - output: edges `ceil(n / stride)`; transposed with stride 2: `2 * n - 1`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        if self.transposed {
            kernel::depthwise_conv_transpose3d(x, weight, bias)
        } else {
            kernel::depthwise_conv3d(x, weight, bias, self.stride, self.padding)
        }
    }

    /// The convolution or its transpose, then a norm, which those who read the result apply where
    /// they can.
    ///
    /// # Shapes
    ///
    /// As [`forward`](Self::forward).
    pub fn forward_normalized(&self, x: Tensor<5>, norm: &InstanceNorm) -> Normalized {
        if self.transposed {
            return norm.forward(self.forward(x), None).into();
        }
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        let norm = norm.parameters(None);
        kernel::depthwise_conv3d_normalized(x.into(), weight, bias, self.stride, self.padding, norm)
    }
}
