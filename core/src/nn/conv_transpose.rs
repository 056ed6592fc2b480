//! Transposed 3-D convolution whose windows do not overlap.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use super::init::uniform_fan_in;
use crate::kernel::{self, Conv3dOptions, Normalized};

/// Configuration of a [`ConvTranspose3d`] (`torch.nn.ConvTranspose3d`, no padding).
#[derive(Config, Debug)]
pub struct ConvTranspose3dConfig {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Edge of the cubic kernel: 1, or 2 with stride 2.
    pub kernel: usize,
    /// Stride along every axis: 1 or 2.
    pub stride: usize,
    /// Whether a bias is added.
    #[config(default = true)]
    pub bias: bool,
}

/// Transposed convolution with a kernel no wider than its stride.
#[derive(Module, Debug)]
pub struct ConvTranspose3d {
    /// `[channels_in, channels_out, kernel, kernel, kernel]`
    pub weight: Param<Tensor<5>>,
    /// `[channels_out]`
    pub bias: Option<Param<Tensor<1>>>,
    stride: usize,
}

impl ConvTranspose3dConfig {
    /// A layer with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> ConvTranspose3d {
        let [c_in, c_out] = self.channels;
        let k = self.kernel;
        // PyTorch takes the second axis of the weight as the fan-in here too.
        let fan_in = c_out * k * k * k;
        ConvTranspose3d {
            weight: uniform_fan_in([c_in, c_out, k, k, k], fan_in, device),
            bias: self.bias.then(|| uniform_fan_in([c_out], fan_in, device)),
            stride: self.stride,
        }
    }
}

impl ConvTranspose3d {
    /// Applies the transposed convolution.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels_in, depth, height, width]`
    /// - output: `[batch, channels_out, s * (depth - 1) + k, s * (height - 1) + k, ...]` with
    ///   stride s and kernel k
    pub fn forward(&self, x: impl Into<Normalized>) -> Tensor<5> {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        if self.stride == 1 {
            // Without a stride, a 1x1x1 kernel is its own transpose but for the channels.
            let (weight, options) = (weight.swap_dims(0, 1), Conv3dOptions::new(1, 0, 1));
            return kernel::conv3d_joined(&[x.into()], weight, bias, &options, None, None);
        }
        kernel::conv_transpose3d_from(x.into(), weight, bias)
    }

    /// The output channel with the largest value, for a kernel of one voxel and stride 1.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels_in, depth, height, width]`
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, x: impl Into<Normalized>) -> Tensor<5, Int> {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        kernel::conv3d_argmax(&[x.into()], weight.swap_dims(0, 1), bias)
    }
}
