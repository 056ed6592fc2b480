//! The contrasts that can be asked for, and their names.

use serde::{Deserialize, Serialize};

/// A contrast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Contrast {
    /// T1-weighted.
    T1w,
    /// T1-weighted after contrast agent.
    #[serde(rename = "T1ce")]
    T1ce,
    /// T2-weighted.
    T2w,
    /// T2-weighted with the fluid suppressed.
    #[serde(rename = "FLAIR")]
    Flair,
    /// Proton density.
    PDw,
    /// Diffusion-weighted, the mean over directions.
    #[serde(rename = "dwi")]
    Dwi,
    /// A contrast that no sequence has: every part has a random grey (SynthSeg).
    #[serde(rename = "random")]
    Random,
}

impl Contrast {
    /// All contrasts.
    pub const ALL: [Self; 7] = [
        Self::T1w,
        Self::T1ce,
        Self::T2w,
        Self::Flair,
        Self::PDw,
        Self::Dwi,
        Self::Random,
    ];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::T1w => "T1w",
            Self::T1ce => "T1ce",
            Self::T2w => "T2w",
            Self::Flair => "FLAIR",
            Self::PDw => "PDw",
            Self::Dwi => "dwi",
            Self::Random => "random",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    /// What follows `sub-0001_` in the name of a BIDS file.
    pub fn bids(self) -> &'static str {
        match self {
            Self::T1ce => "ce-gadolinium_T1w",
            Self::Random => "acq-random_T1w",
            other => other.name(),
        }
    }
}
