//! Why a volume is not used.

use std::fmt;

use amaes_core::volume::VolumeError;
use serde::{Deserialize, Serialize};

use super::measure::Measured;
use super::sequence::Sequence;

/// Fewest voxels along an edge: the reference's limit.
pub(super) const LEAST_EDGE: usize = 15;
/// Share of voxels about -1000 HU, the air of computed tomography, that tells it.
const AIR_SHARE: f64 = 0.02;
/// Fewer different values than this are labels, not an image.
const FEW_VALUES: u32 = 16;

/// Why a volume is not used.
///
/// The first ones are about the file and its voxels, the later ones about what it shows. A corpus
/// description may allow any of them for a source, but for `broken`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The file cannot be read.
    Broken,
    /// The file has more than one volume, or fewer than three dimensions.
    #[serde(rename = "not_3d")]
    NotThreeD,
    /// An edge has fewer than 15 voxels.
    SmallEdge,
    /// All voxels have one value.
    Constant,
    /// The smallest value is below 0.
    NegativeMinimum,
    /// Some voxels are NaN or infinite.
    NonFinite,
    /// Computed tomography, by name, sidecar or the share of voxels about -1000.
    Ct,
    /// A label map or mask, by name or for its few values.
    Labels,
    /// A functional series or its reference volume.
    Functional,
    /// Diffusion-weighted, or a map computed from such.
    Diffusion,
    /// Perfusion.
    Perfusion,
    /// A field map.
    FieldMap,
    /// Another modality than MRI, such as PET.
    OtherModality,
    /// Another volume of the catalogue has the same voxels.
    Duplicate,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Broken,
        Self::NotThreeD,
        Self::SmallEdge,
        Self::Constant,
        Self::NegativeMinimum,
        Self::NonFinite,
        Self::Ct,
        Self::Labels,
        Self::Functional,
        Self::Diffusion,
        Self::Perfusion,
        Self::FieldMap,
        Self::OtherModality,
        Self::Duplicate,
    ];

    /// Its name in catalogues and corpus descriptions.
    pub fn code(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::NotThreeD => "not_3d",
            Self::SmallEdge => "small_edge",
            Self::Constant => "constant",
            Self::NegativeMinimum => "negative_minimum",
            Self::NonFinite => "non_finite",
            Self::Ct => "ct",
            Self::Labels => "labels",
            Self::Functional => "functional",
            Self::Diffusion => "diffusion",
            Self::Perfusion => "perfusion",
            Self::FieldMap => "field_map",
            Self::OtherModality => "other_modality",
            Self::Duplicate => "duplicate",
        }
    }

    /// The reason of a name.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.code() == code)
    }

    /// What it means, for people.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Broken => "the file cannot be read",
            Self::NotThreeD => "not one 3-D volume",
            Self::SmallEdge => "an edge under 15 voxels",
            Self::Constant => "all voxels have one value",
            Self::NegativeMinimum => "the smallest value is below 0",
            Self::NonFinite => "NaN or infinite voxels",
            Self::Ct => "computed tomography",
            Self::Labels => "a label map or mask",
            Self::Functional => "a functional series",
            Self::Diffusion => "diffusion",
            Self::Perfusion => "perfusion",
            Self::FieldMap => "a field map",
            Self::OtherModality => "another modality than MRI",
            Self::Duplicate => "the same voxels as another volume",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explanation())
    }
}

/// Reasons that a header alone gives.
pub(super) fn by_shape(shape: [usize; 3]) -> Vec<Reason> {
    let small = shape.iter().any(|n| *n < LEAST_EDGE);
    if small {
        vec![Reason::SmallEdge]
    } else {
        Vec::new()
    }
}

/// Reasons that voxels give.
pub(super) fn by_voxels(found: &Measured) -> Vec<Reason> {
    let mut out = Vec::new();
    if found.non_finite > 0 {
        out.push(Reason::NonFinite);
    }
    if found.min >= found.max {
        out.push(Reason::Constant);
        return out;
    }
    if found.min < 0.0 {
        out.push(Reason::NegativeMinimum);
    }
    if found.air_share >= AIR_SHARE && found.max > 0.0 {
        out.push(Reason::Ct);
    }
    if found.values < FEW_VALUES {
        out.push(Reason::Labels);
    }
    out
}

/// Reasons that the kind of image gives.
pub(super) fn by_sequence(sequence: Sequence) -> Option<Reason> {
    Some(match sequence {
        Sequence::Bold => Reason::Functional,
        Sequence::Dwi | Sequence::Adc => Reason::Diffusion,
        Sequence::Asl => Reason::Perfusion,
        Sequence::FieldMap => Reason::FieldMap,
        Sequence::Ct => Reason::Ct,
        Sequence::Pet => Reason::OtherModality,
        Sequence::Labels => Reason::Labels,
        _ => return None,
    })
}

/// The reason behind an error of reading.
pub(super) fn by_error(error: &VolumeError) -> Reason {
    match error {
        VolumeError::NotThreeD { .. } => Reason::NotThreeD,
        _ => Reason::Broken,
    }
}

/// Sorted, each once.
pub(super) fn tidy(mut reasons: Vec<Reason>) -> Vec<Reason> {
    reasons.sort_unstable();
    reasons.dedup();
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_serde_and_go_back() {
        for reason in Reason::ALL {
            let json = serde_json::to_value(reason).expect("serialises");
            assert_eq!(json, reason.code());
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(Reason::from_code("ugly"), None);
    }
}
