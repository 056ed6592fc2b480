//! MeshNet: dilated 3x3x3 convolutions at full resolution, then a 1x1x1 classifier.

use serde::{Deserialize, Serialize};

use crate::nn::Activation;

/// One 3x3x3 convolution of a MeshNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshNetLayer {
    /// Output channels.
    pub channels: usize,
    /// Dilation, and padding.
    pub dilation: usize,
}

/// Sizes of a MeshNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeshNetConfig {
    /// Image channels.
    pub in_channels: usize,
    /// Classes.
    pub out_channels: usize,
    /// The dilated convolutions, first to last.
    pub layers: Vec<MeshNetLayer>,
    /// After every dilated convolution.
    pub activation: Activation,
    /// Per-channel instance norm (no affine, eps 1e-5) between convolution and activation.
    pub norm: bool,
    /// Whether the convolutions have a bias.
    pub bias: bool,
}
