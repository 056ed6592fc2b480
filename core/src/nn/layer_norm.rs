//! Layer normalisation of the channels of an image.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use crate::kernel;

/// Configuration of a [`LayerNorm`] (`torch.nn.LayerNorm(channels)` with the channels last).
#[derive(Config, Debug)]
pub struct LayerNormConfig {
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    #[config(default = 1e-5)]
    pub epsilon: f64,
}

/// The channels of every voxel to mean 0 and variance 1, then scaled and shifted.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale, `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNormConfig {
    /// A layer with scale 1 and shift 0.
    pub fn init(&self, device: &Device) -> LayerNorm {
        LayerNorm {
            weight: Initializer::Ones.init([self.channels], device),
            bias: Initializer::Zeros.init([self.channels], device),
            epsilon: self.epsilon,
        }
    }
}

impl LayerNorm {
    /// Applies the layer.
    ///
    /// # Shapes
    ///
    /// - input, output: `[batch, channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.forward_with(x, self.weight.val(), self.bias.val())
    }

    /// Applies the layer with scale and shift in another order of the channels.
    pub(super) fn forward_with(
        &self,
        x: Tensor<5>,
        weight: Tensor<1>,
        bias: Tensor<1>,
    ) -> Tensor<5> {
        kernel::layer_norm(x, Some(weight), Some(bias), self.epsilon)
    }
}
