//! The block of MedNeXt and its resampling variants.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Activation, Conv3d, Conv3dConfig, ConvTranspose3d, ConvTranspose3dConfig, DepthwiseConv3d,
    DepthwiseConv3dConfig, InstanceNorm, InstanceNormConfig,
};

/// What a MedNeXt block does to the size of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resampling {
    /// Keeps it; the input is added to the output.
    None,
    /// Halves the edges and doubles the channels (`MedNeXtDownBlock`).
    Down,
    /// Doubles the edges and halves the channels (`MedNeXtUpBlock`).
    Up,
}

/// Configuration of a [`MedNeXtBlock`].
#[derive(Config, Debug)]
pub struct MedNeXtBlockConfig {
    /// Channels in.
    pub channels: usize,
    /// Factor by which the middle is wider than the input.
    pub expansion: usize,
    /// Edge of the depthwise kernel, odd.
    pub kernel: usize,
    /// What it does to the size.
    pub resampling: Resampling,
}

/// Depthwise convolution, channel norm, expansion, GELU, compression, and a residual.
#[derive(Module, Debug)]
pub struct MedNeXtBlock {
    /// Depthwise; with stride 2 where the block resamples.
    pub conv1: DepthwiseConv3d,
    /// `GroupNorm(channels, channels)`.
    pub norm: InstanceNorm,
    /// Pointwise expansion.
    pub conv2: Conv3d,
    /// Pointwise compression.
    pub conv3: Conv3d,
    /// The residual's way around a resampling block.
    pub res_conv: Option<ResidualConv>,
}

/// Pointwise convolution with stride 2, or its transpose.
#[derive(Module, Debug)]
pub enum ResidualConv {
    /// Of a down block.
    Down(Conv3d),
    /// Of an up block.
    Up(ConvTranspose3d),
}

impl MedNeXtBlockConfig {
    /// A block with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> MedNeXtBlock {
        let c = self.channels;
        let (stride, c_out) = match self.resampling {
            Resampling::None => (1, c),
            Resampling::Down => (2, 2 * c),
            Resampling::Up => (2, c / 2),
        };
        let res_conv = match self.resampling {
            Resampling::None => None,
            Resampling::Down => Some(ResidualConv::Down(
                Conv3dConfig::new([c, c_out], 1).with_stride(2).init(device),
            )),
            Resampling::Up => Some(ResidualConv::Up(
                ConvTranspose3dConfig::new([c, c_out], 1, 2).init(device),
            )),
        };
        MedNeXtBlock {
            conv1: DepthwiseConv3dConfig::new(c, self.kernel)
                .with_stride(stride)
                .with_transposed(self.resampling == Resampling::Up)
                .init(device),
            norm: InstanceNormConfig::new(c).init(device),
            conv2: Conv3dConfig::new([c, c * self.expansion], 1).init(device),
            conv3: Conv3dConfig::new([c * self.expansion, c_out], 1).init(device),
            res_conv,
        }
    }
}

impl MedNeXtBlock {
    /// Applies the block.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels, depth, height, width]`
    /// - output: the same; half the edges and twice the channels (down); twice the edges and half
    ///   the channels (up)
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let y = self.conv1.forward_normalized(x.clone(), &self.norm);
        let y = self
            .conv2
            .forward_joined(&[y], Some(Activation::Gelu), None);
        let residual = match &self.res_conv {
            None => x,
            Some(ResidualConv::Down(conv)) => conv.forward(x),
            Some(ResidualConv::Up(conv)) => conv.forward(x),
        };
        let y = self.conv3.forward_joined(&[y.into()], None, Some(residual));
        match &self.res_conv {
            // The edges are 2n - 1; one voxel of zeros at the low side makes them 2n.
            Some(ResidualConv::Up(_)) => y.pad([(1, 0), (1, 0), (1, 0)], 0.0),
            _ => y,
        }
    }
}
