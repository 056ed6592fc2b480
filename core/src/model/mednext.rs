//! MedNeXt encoder with a plain, a light or its native decoder.

use serde::{Deserialize, Serialize};

/// Which decoder stands on the MedNeXt encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MedNeXtDecoder {
    /// The U-Net's decoder with skips; keys `pred_head.*`.
    Plain,
    /// The U-Net's light decoder without skips; keys `rec_head.*`.
    Light,
    /// MedNeXt's own: skips by addition; keys `pred_head.{up_i, dec_block_i, out_0}`.
    Native {
        /// Expansion ratios of the stages `up_3` .. `up_0`.
        expansion: [usize; 4],
        /// Blocks of the stages `dec_block_3` .. `dec_block_0`.
        blocks: [usize; 4],
    },
}

/// Sizes of a MedNeXt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MedNeXtConfig {
    /// Channels of the first level; each level below doubles them.
    pub filters: usize,
    /// Image channels.
    pub in_channels: usize,
    /// Classes, or channels to reconstruct.
    pub out_channels: usize,
    /// Edge of the depthwise kernels: 3 or 5.
    pub kernel: usize,
    /// Expansion ratios of `enc_block_0` .. `enc_block_3` and the bottleneck.
    pub expansion: [usize; 5],
    /// Blocks of `enc_block_0` .. `enc_block_3` and the bottleneck.
    pub blocks: [usize; 5],
    /// The decoder.
    pub decoder: MedNeXtDecoder,
}
