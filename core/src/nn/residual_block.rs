//! The residual block of the residual encoder.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Device;

use super::conv_block::LEAKY_RELU;
use super::{ConvBlock, ConvBlockConfig};
use crate::kernel::{self, Normalized};

/// Configuration of a [`ResidualBlock`].
#[derive(Config, Debug)]
pub struct ResidualBlockConfig {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Whether the edges are halved.
    pub halve: bool,
}

/// Two convolutions of kernel 3 with norms, the sum with what came in, LeakyReLU(0.01)
/// (`BasicBlockD` of dynamic-network-architectures; ResNet-D, arXiv 1812.01187).
#[derive(Module, Debug)]
pub struct ResidualBlock {
    /// Channels in to channels out; of stride 2 where the edges are halved.
    pub conv1: ConvBlock,
    /// Channels out to channels out, not activated.
    pub conv2: ConvBlock,
    /// The way around: mean pooling where the edges are halved, which has no parameters, and a
    /// pointwise convolution with a norm where the channels change.
    pub skip: Vec<Option<ConvBlock>>,
}

impl ResidualBlockConfig {
    /// A block with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> ResidualBlock {
        let [c_in, c_out] = self.channels;
        let stride = if self.halve { 2 } else { 1 };
        let pool = self.halve.then_some(None);
        let project = (c_in != c_out).then(|| {
            let config = ConvBlockConfig::new(self.channels)
                .with_kernel(1)
                .with_bias(false)
                .with_activated(false);
            Some(config.init(device))
        });
        ResidualBlock {
            conv1: ConvBlockConfig::new(self.channels)
                .with_stride(stride)
                .init(device),
            conv2: ConvBlockConfig::new([c_out, c_out])
                .with_activated(false)
                .init(device),
            skip: pool.into_iter().chain(project).collect(),
        }
    }
}

impl ResidualBlock {
    /// Applies the block.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels_in, depth, height, width]`, even edges where they are halved
    /// - output: `[batch, channels_out, ..]`, the edges kept or halved
    pub fn forward(&self, x: Normalized) -> Normalized {
        let y = self.conv1.forward(std::slice::from_ref(&x));
        let y = self.conv2.forward(&[y]);
        let around = self.skip.iter().fold(x, |x, layer| match layer {
            Some(project) => project.forward(&[x]),
            None => kernel::avg_pool2(x.into_tensor()).into(),
        });
        kernel::residual_sum(y, around, LEAKY_RELU).into()
    }
}
