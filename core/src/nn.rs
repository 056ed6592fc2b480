//! Layers of the networks: parameters named and shaped as in PyTorch, arithmetic from
//! [`kernel`](crate::kernel).

mod activation;
mod conv;
mod conv_block;
mod conv_transpose;
mod depthwise;
mod init;
mod mednext_block;
mod norm;

pub use self::activation::Activation;
pub use self::conv::{Conv3d, Conv3dConfig};
pub use self::conv_block::{ConvBlock, ConvBlockConfig, ConvStage, ConvStageConfig};
pub use self::conv_transpose::{ConvTranspose3d, ConvTranspose3dConfig};
pub use self::depthwise::{DepthwiseConv3d, DepthwiseConv3dConfig};
pub use self::mednext_block::{MedNeXtBlock, MedNeXtBlockConfig, Resampling, ResidualConv};
pub use self::norm::{InstanceNorm, InstanceNormConfig};
