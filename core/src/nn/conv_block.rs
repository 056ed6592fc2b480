//! Convolution, instance norm and LeakyReLU: the unit of the U-Nets.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Device;

use super::{Activation, Conv3d, Conv3dConfig, InstanceNorm, InstanceNormConfig};
use crate::kernel::Normalized;

/// The activation of the U-Nets.
pub(super) const LEAKY_RELU: Activation = Activation::LeakyRelu { slope: 0.01 };

/// Configuration of a [`ConvBlock`].
#[derive(Config, Debug)]
pub struct ConvBlockConfig {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Edge of the cubic kernel, odd; the padding is half of it.
    #[config(default = 3)]
    pub kernel: usize,
    /// Stride along every axis.
    #[config(default = 1)]
    pub stride: usize,
    /// Whether the convolution has a bias.
    #[config(default = true)]
    pub bias: bool,
    /// Whether LeakyReLU follows.
    #[config(default = true)]
    pub activated: bool,
}

/// Conv3d, InstanceNorm, LeakyReLU(0.01) (`ConvDropoutNormNonlin` of the AMAES reference and
/// `ConvDropoutNormReLU` of dynamic-network-architectures, whose dropout is zero).
#[derive(Module, Debug)]
pub struct ConvBlock {
    /// The convolution.
    pub conv: Conv3d,
    /// The norm.
    pub norm: InstanceNorm,
    activated: bool,
}

impl ConvBlockConfig {
    /// A block with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> ConvBlock {
        ConvBlock {
            conv: Conv3dConfig::new(self.channels, self.kernel)
                .with_padding(self.kernel / 2)
                .with_stride(self.stride)
                .with_bias(self.bias)
                .init(device),
            norm: InstanceNormConfig::new(self.channels[1]).init(device),
            activated: self.activated,
        }
    }
}

impl ConvBlock {
    /// Applies the block to one tensor or to two whose channels follow each other.
    ///
    /// # Shapes
    ///
    /// - inputs: `[batch, channels, depth, height, width]`, all channels together `channels_in`
    /// - output: `[batch, channels_out, ..]`, edges `ceil(n / stride)`
    pub fn forward(&self, inputs: &[Normalized]) -> Normalized {
        let activation = self.activated.then_some(LEAKY_RELU);
        self.conv.forward_normalized(inputs, &self.norm, activation)
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
