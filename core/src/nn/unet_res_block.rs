//! The residual block of MONAI's UNETR decoders.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Device;

use super::{Activation, Conv3d, Conv3dConfig, InstanceNorm, InstanceNormConfig};
use crate::kernel::{self, Normalized};

const LEAKY: Activation = Activation::LeakyRelu { slope: 0.01 };

/// Configuration of a [`UnetResBlock`].
#[derive(Config, Debug)]
pub struct UnetResBlockConfig {
    /// Channels in and out.
    pub channels: [usize; 2],
}

/// Two convolutions k3 p1 without bias, each with InstanceNorm without scale; LeakyReLU(0.01)
/// between them and after the input is added, by way of a pointwise convolution and a norm where
/// the channels change (MONAI `UnetResBlock`).
#[derive(Module, Debug)]
pub struct UnetResBlock {
    /// Channels in to channels out.
    pub conv1: UnetConv,
    /// Channels out to channels out.
    pub conv2: UnetConv,
    /// The residual's.
    pub conv3: Option<UnetConv>,
    norm: InstanceNorm,
}

/// A convolution under the name that MONAI's wrapper gives it.
#[derive(Module, Debug)]
pub struct UnetConv {
    /// The convolution.
    pub conv: Conv3d,
}

impl UnetResBlockConfig {
    /// A block with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> UnetResBlock {
        let [c_in, c_out] = self.channels;
        let conv = |channels: [usize; 2], kernel: usize| UnetConv {
            conv: Conv3dConfig::new(channels, kernel)
                .with_padding(kernel / 2)
                .with_bias(false)
                .init(device),
        };
        UnetResBlock {
            conv1: conv([c_in, c_out], 3),
            conv2: conv([c_out, c_out], 3),
            conv3: (c_in != c_out).then(|| conv([c_in, c_out], 1)),
            norm: InstanceNormConfig::new(c_out)
                .with_affine(false)
                .init(device),
        }
    }
}

impl UnetResBlock {
    /// Applies the block to one tensor or to two whose channels follow each other.
    ///
    /// # Shapes
    ///
    /// - inputs: `[batch, channels, depth, height, width]`, all channels together `channels_in`
    /// - output: `[batch, channels_out, depth, height, width]`
    pub fn forward(&self, inputs: &[Normalized]) -> Normalized {
        let convolve = |conv: &UnetConv, inputs: &[Normalized], activation| {
            conv.conv.forward_normalized(inputs, &self.norm, activation)
        };
        let inputs = &kernel::joined_once(inputs)[..];
        let y = convolve(&self.conv1, inputs, Some(LEAKY));
        let y = convolve(&self.conv2, &[y], None);
        let residual = match &self.conv3 {
            Some(conv) => convolve(conv, inputs, None),
            // Channels that stay are those of one input.
            None => inputs[0].clone(),
        };
        kernel::residual_sum(y, residual, LEAKY).into()
    }
}
