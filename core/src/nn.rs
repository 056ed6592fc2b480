//! Layers of the networks: parameters named and shaped as in PyTorch, arithmetic from
//! [`kernel`](crate::kernel).

mod activation;
mod conv;
mod conv_block;
mod conv_transpose;
mod depthwise;
mod init;
mod layer_norm;
mod linear;
mod mednext_block;
mod norm;
mod patch_merging;
mod precision;
mod residual_block;
mod swin_block;
mod unet_res_block;
mod window_attention;

pub use self::activation::Activation;
pub use self::conv::{Conv3d, Conv3dConfig};
pub use self::conv_block::{ConvBlock, ConvBlockConfig, ConvStage, ConvStageConfig};
pub use self::conv_transpose::{ConvTranspose3d, ConvTranspose3dConfig};
pub use self::depthwise::{DepthwiseConv3d, DepthwiseConv3dConfig};
pub use self::layer_norm::{LayerNorm, LayerNormConfig};
pub use self::linear::{Linear, LinearConfig};
pub use self::mednext_block::{MedNeXtBlock, MedNeXtBlockConfig, Resampling, ResidualConv};
pub use self::norm::{InstanceNorm, InstanceNormConfig};
pub use self::patch_merging::{Merging, PatchMerging, PatchMergingConfig};
pub use self::precision::Precision;
pub use self::residual_block::{ResidualBlock, ResidualBlockConfig};
pub use self::swin_block::{Mlp, SwinBlock, SwinBlockConfig};
pub use self::unet_res_block::{UnetConv, UnetResBlock, UnetResBlockConfig};
pub use self::window_attention::{WindowAttention, WindowAttentionConfig};
