//! Instance normalisation.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use super::Activation;
use crate::kernel::{self, NormParameters};

/// Configuration of an [`InstanceNorm`] (`torch.nn.InstanceNorm3d(affine=...)` without running
/// statistics; also `torch.nn.GroupNorm(channels, channels)`).
#[derive(Config, Debug)]
pub struct InstanceNormConfig {
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// Whether a scale and a shift per channel are learned.
    #[config(default = true)]
    pub affine: bool,
}

/// Every channel of every sample to mean 0 and variance 1, then scaled and shifted.
#[derive(Module, Debug)]
pub struct InstanceNorm {
    /// Scale, `[channels]`.
    pub weight: Option<Param<Tensor<1>>>,
    /// Shift, `[channels]`.
    pub bias: Option<Param<Tensor<1>>>,
    epsilon: f64,
}

impl InstanceNormConfig {
    /// A layer with scale 1 and shift 0.
    pub fn init(&self, device: &Device) -> InstanceNorm {
        let param = |i: Initializer| self.affine.then(|| i.init([self.channels], device));
        InstanceNorm {
            weight: param(Initializer::Ones),
            bias: param(Initializer::Zeros),
            epsilon: self.epsilon,
        }
    }
}

impl InstanceNorm {
    /// Normalises, then applies `activation` where one is given.
    ///
    /// # Shapes
    ///
    /// - input, output: `[batch, channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>, activation: Option<Activation>) -> Tensor<5> {
        let NormParameters {
            weight, bias, eps, ..
        } = self.parameters(activation);
        kernel::instance_norm(x, weight, bias, eps, activation)
    }

    /// What a convolution before it needs to know.
    pub(super) fn parameters(&self, activation: Option<Activation>) -> NormParameters {
        NormParameters {
            weight: self.weight.as_ref().map(Param::val),
            bias: self.bias.as_ref().map(Param::val),
            eps: self.epsilon,
            activation,
        }
    }
}
