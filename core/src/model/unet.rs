//! Plain U-Net of five levels.

use serde::{Deserialize, Serialize};

/// Which decoder stands on the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UNetHead {
    /// Skips and two convolutions a stage; keys `pred_head.*`.
    Segmentation,
    /// No skips and one convolution a stage; keys `rec_head.*`.
    Light,
}

/// Sizes of a [`UNet`](super::unet).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UNetConfig {
    /// Channels of the first level; each level below doubles them.
    pub filters: usize,
    /// Image channels.
    pub in_channels: usize,
    /// Classes, or channels to reconstruct.
    pub out_channels: usize,
    /// The decoder.
    pub head: UNetHead,
}
