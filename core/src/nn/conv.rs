//! Dense 3-D convolution.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use super::init::uniform_fan_in;
use super::{Activation, InstanceNorm};
use crate::kernel::{self, Conv3dOptions, Normalized};

/// Configuration of a [`Conv3d`] (`torch.nn.Conv3d` with `groups=1`).
#[derive(Config, Debug)]
pub struct Conv3dConfig {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Edge of the cubic kernel.
    pub kernel: usize,
    /// Stride along every axis.
    #[config(default = 1)]
    pub stride: usize,
    /// Zeros added on both sides of every axis.
    #[config(default = 0)]
    pub padding: usize,
    /// Distance between kernel elements.
    #[config(default = 1)]
    pub dilation: usize,
    /// Whether a bias is added.
    #[config(default = true)]
    pub bias: bool,
}

/// Dense 3-D convolution.
#[derive(Module, Debug)]
pub struct Conv3d {
    /// `[channels_out, channels_in, kernel, kernel, kernel]`
    pub weight: Param<Tensor<5>>,
    /// `[channels_out]`
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    options: Conv3dOptions,
}

impl Conv3dConfig {
    /// A layer with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> Conv3d {
        let [c_in, c_out] = self.channels;
        let k = self.kernel;
        let fan_in = c_in * k * k * k;
        Conv3d {
            weight: uniform_fan_in([c_out, c_in, k, k, k], fan_in, device),
            bias: self.bias.then(|| uniform_fan_in([c_out], fan_in, device)),
            options: Conv3dOptions::new(self.stride, self.padding, self.dilation),
        }
    }
}

impl Conv3d {
    /// Applies the convolution.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels_in, depth, height, width]`
    /// - output: `[batch, channels_out, depth_out, height_out, width_out]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let (weight, bias) = self.parameters();
        kernel::conv3d(x, weight, bias, &self.options)
    }

    /// Applies the convolution with other padding than its own, `[low, high]` zeros per axis, and an
    /// activation, in one pass where the device can, to the first `depth` planes of slabs that follow
    /// each other. Tiles of a larger volume need it, whose edges are not the volume's. No gradient.
    ///
    /// # Shapes
    ///
    /// - slabs: `[batch, channels_in, planes, height, width]`
    /// - output: as of [`forward`](Self::forward)
    pub fn forward_slabs(
        &self,
        slabs: &[Tensor<5>],
        depth: usize,
        padding: [[usize; 2]; 3],
        activation: Activation,
    ) -> Tensor<5> {
        let options = Conv3dOptions {
            padding,
            ..self.options
        };
        let (weight, bias) = self.parameters();
        kernel::conv3d_slabs(slabs, depth, weight, bias, &options, activation)
    }

    /// Whether [`forward_slabs`](Self::forward_slabs) reads slabs as they are, and does not join
    /// them first.
    pub fn reads_slabs(&self) -> bool {
        kernel::reads_slabs(&self.weight.val())
    }

    /// The convolution of one tensor or of two whose channels follow each other, then an
    /// activation, then the sum with `residual`.
    ///
    /// # Shapes
    ///
    /// - inputs: `[batch, channels, depth, height, width]`, all channels together `channels_in`
    /// - residual, output: `[batch, channels_out, depth_out, height_out, width_out]`
    pub fn forward_joined(
        &self,
        inputs: &[Normalized],
        activation: Option<Activation>,
        residual: Option<Tensor<5>>,
    ) -> Tensor<5> {
        let (weight, bias) = self.parameters();
        kernel::conv3d_joined(inputs, weight, bias, &self.options, activation, residual)
    }

    /// The convolution of one tensor or of two whose channels follow each other, then a norm and
    /// an activation, which those who read the result apply where they can.
    ///
    /// # Shapes
    ///
    /// As [`forward_joined`](Self::forward_joined).
    pub fn forward_normalized(
        &self,
        inputs: &[Normalized],
        norm: &InstanceNorm,
        activation: Option<Activation>,
    ) -> Normalized {
        let (weight, bias) = self.parameters();
        let norm = norm.parameters(activation);
        kernel::conv3d_normalized(inputs, weight, bias, &self.options, norm)
    }

    /// The output channel with the largest value, for a kernel of one voxel, stride 1 and no
    /// padding.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels_in, depth, height, width]`
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, x: impl Into<Normalized>) -> Tensor<5, Int> {
        let (weight, bias) = self.parameters();
        kernel::conv3d_argmax(&[x.into()], weight, bias)
    }

    fn parameters(&self) -> (Tensor<5>, Option<Tensor<1>>) {
        (self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}
