//! Convolution, instance norm and LeakyReLU: the unit of the U-Net.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Device;

use super::{Activation, Conv3d, Conv3dConfig, InstanceNorm, InstanceNormConfig};
use crate::kernel::Normalized;

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
    /// Applies the block to one tensor or to two whose channels follow each other.
    ///
    /// # Shapes
    ///
    /// - inputs: `[batch, channels, depth, height, width]`, all channels together `channels_in`
    /// - output: `[batch, channels_out, depth, height, width]`
    pub fn forward(&self, inputs: &[Normalized]) -> Normalized {
        let activation = Activation::LeakyRelu { slope: 0.01 };
        self.conv
            .forward_normalized(inputs, &self.norm, Some(activation))
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
    /// Applies the blocks to one tensor or to two whose channels follow each other.
    ///
    /// # Shapes
    ///
    /// - inputs: `[batch, channels, depth, height, width]`, all channels together `channels_in`
    /// - output: `[batch, channels_out, depth, height, width]`
    pub fn forward(&self, inputs: &[Normalized]) -> Normalized {
        let x = self.conv1.forward(inputs);
        match &self.conv2 {
            Some(conv) => conv.forward(&[x]),
            None => x,
        }
    }
}
