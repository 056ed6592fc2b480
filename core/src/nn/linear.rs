//! Linear layer on the channels of an image.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::Activation;
use super::init::uniform_fan_in;
use crate::kernel::{self, Conv3dOptions, Normalized};

/// Configuration of a [`Linear`] (`torch.nn.Linear`).
#[derive(Config, Debug)]
pub struct LinearConfig {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Whether a bias is added.
    #[config(default = true)]
    pub bias: bool,
}

/// Linear layer applied to the channels of every voxel.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[channels_out, channels_in]`
    pub weight: Param<Tensor<2>>,
    /// `[channels_out]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl LinearConfig {
    /// A layer with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> Linear {
        let [c_in, c_out] = self.channels;
        Linear {
            weight: uniform_fan_in([c_out, c_in], c_in, device),
            bias: self.bias.then(|| uniform_fan_in([c_out], c_in, device)),
        }
    }
}

impl Linear {
    /// Applies the layer, then an activation, then the sum with `residual`.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels_in, depth, height, width]`
    /// - residual, output: `[batch, channels_out, depth, height, width]`
    pub fn forward(
        &self,
        x: impl Into<Normalized>,
        activation: Option<Activation>,
        residual: Option<Tensor<5>>,
    ) -> Tensor<5> {
        let weight = self.weight.val();
        let [c_out, c_in] = weight.dims();
        kernel::conv3d_joined(
            &[x.into()],
            weight.reshape([c_out, c_in, 1, 1, 1]),
            self.bias.as_ref().map(Param::val),
            &Conv3dOptions::new(1, 0, 1),
            activation,
            residual,
        )
    }
}
