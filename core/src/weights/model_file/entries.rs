//! The metadata entries of a model file.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::weights::{Format, WeightsError};

pub(super) const VERSION: &str = "amaes.version";
pub(super) const SPEC: &str = "amaes.spec";
pub(super) const PLAN: &str = "amaes.plan";
pub(super) const LABELS: &str = "amaes.labels";
pub(super) const HINTS: &str = "amaes.hints";
pub(super) const PROVENANCE: &str = "amaes.provenance";
pub(super) const SHA256: &str = "amaes.sha256";

/// How a network is best run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hints {
    /// Edges in voxels of the patches it was trained on; none where it reads whole volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<[usize; 3]>,
    /// Overlap of neighbouring patches, in `0.0..1.0` of the edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<f64>,
}

impl Hints {
    /// Windows that overlap by half.
    pub(crate) fn windows(patch: [usize; 3]) -> Self {
        Self {
            patch: Some(patch),
            overlap: Some(0.5),
        }
    }

    pub(super) fn check(&self) -> Result<(), WeightsError> {
        if let Some(patch) = self.patch
            && patch.iter().any(|edge| !(1..=4096).contains(edge))
        {
            return Err(bad(HINTS, format!("patch {patch:?}")));
        }
        if let Some(overlap) = self.overlap
            && !(0.0..1.0).contains(&overlap)
        {
            return Err(bad(HINTS, format!("overlap {overlap}")));
        }
        Ok(())
    }
}

/// Where weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Name of the source: a file or a published network.
    pub source: String,
    /// Format it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// SHA-256 of the source file, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Licence of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Where it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Program and version that wrote the file.
    pub created_by: String,
}

impl Provenance {
    /// A source of this name, written by this version of amaes.
    #[must_use]
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            format: None,
            sha256: None,
            licence: None,
            url: None,
            notes: None,
            created_by: concat!("amaes ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

pub(super) fn get<'a>(
    metadata: &'a BTreeMap<String, String>,
    entry: &'static str,
) -> Result<&'a String, WeightsError> {
    metadata.get(entry).ok_or(WeightsError::MissingEntry(entry))
}

pub(super) fn parse<T: DeserializeOwned>(
    metadata: &BTreeMap<String, String>,
    entry: &'static str,
) -> Result<T, WeightsError> {
    let text = get(metadata, entry)?;
    serde_json::from_str(text).map_err(|error| bad(entry, error.to_string()))
}

pub(super) fn json(entry: &'static str, value: &impl Serialize) -> Result<String, WeightsError> {
    serde_json::to_string(value).map_err(|error| bad(entry, error.to_string()))
}

pub(super) fn bad(entry: &'static str, message: impl Into<String>) -> WeightsError {
    WeightsError::BadEntry {
        entry,
        message: message.into(),
    }
}
