//! The description of a network that travels with its weights.

use serde::{Deserialize, Serialize};

use super::{MedNeXtConfig, MeshNetConfig, UNetConfig};

/// Which network, and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "network", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Spec {
    /// Plain U-Net.
    UNet(UNetConfig),
    /// MedNeXt encoder with one of three decoders.
    MedNeXt(MedNeXtConfig),
    /// MeshNet: a chain of dilated convolutions.
    MeshNet(MeshNetConfig),
}
