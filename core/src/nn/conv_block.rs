//! Convolution, instance norm and LeakyReLU: the unit of the U-Net.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Activation, Conv3d, Conv3dConfig, InstanceNorm, InstanceNormConfig};

/// Configuration of a [`ConvBlock`].
#[derive(Config, Debug)]
pub struct ConvBlockConfig {
    /// Channels in and out.
    pub channels: [usize; 2],
}

/// Conv3d k3 p1 with bias, InstanceNorm, LeakyReLU(0.01) (`ConvDropoutNormNonlin` of the AMAES
/// reference, whose dropout is zero).
#[derive(Module, Debug)]
pub struct ConvBlock {
    /// The convolution.
    pub conv: Conv3d,
    /// The norm.
    pub norm: InstanceNorm,
}

impl ConvBlockConfig {
    /// A block with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> ConvBlock {
        ConvBlock {
            conv: Conv3dConfig::new(self.channels, 3)
                .with_padding(1)
                .init(device),
            norm: InstanceNormConfig::new(self.channels[1]).init(device),
        }
    }
}

impl ConvBlock {
    /// Applies the block.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels_in, depth, height, width]`
    /// - output: `[batch, channels_out, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.norm.forward(
            self.conv.forward(x),
            Some(Activation::LeakyRelu { slope: 0.01 }),
        )
    }
}

/// Configuration of a [`ConvStage`].
#[derive(Config, Debug)]
pub struct ConvStageConfig {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Whether a second block follows the first.
    pub double: bool,
}

/// One or two [`ConvBlock`]s (`MultiLayerConvDropoutNormNonlin`).
#[derive(Module, Debug)]
pub struct ConvStage {
    /// Channels in to channels out.
    pub conv1: ConvBlock,
    /// Channels out to channels out.
    pub conv2: Option<ConvBlock>,
}

impl ConvStageConfig {
    /// A stage with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> ConvStage {
        let out = self.channels[1];
        ConvStage {
            conv1: ConvBlockConfig::new(self.channels).init(device),
            conv2: self
                .double
                .then(|| ConvBlockConfig::new([out, out]).init(device)),
        }
    }
}

impl ConvStage {
    /// Applies the blocks.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels_in, depth, height, width]`
    /// - output: `[batch, channels_out, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.conv1.forward(x);
        match &self.conv2 {
            Some(conv) => conv.forward(x),
            None => x,
        }
    }
}
