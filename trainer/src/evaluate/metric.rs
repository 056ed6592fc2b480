//! The metrics by name.

use serde::{Deserialize, Serialize};

/// A number that says how good a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Dice coefficient.
    Dice,
    /// Normalised surface Dice at the evaluation's tolerance.
    Nsd,
    /// 95th percentile of the Hausdorff distance, mm.
    Hd95Mm,
    /// Hausdorff distance, mm.
    HausdorffMm,
    /// Mean distance between the surfaces, mm.
    MeanDistanceMm,
    /// Share of the reference's voxels that is found.
    Sensitivity,
    /// Share of the predicted voxels that is right.
    Precision,
    /// How alike the volumes are.
    VolumeSimilarity,
    /// Harmonic mean of the next two.
    LesionF1,
    /// Share of the reference's lesions that is found.
    LesionSensitivity,
    /// Share of the predicted lesions that is right.
    LesionPrecision,
}

impl Metric {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Dice,
        Self::Nsd,
        Self::Hd95Mm,
        Self::HausdorffMm,
        Self::MeanDistanceMm,
        Self::Sensitivity,
        Self::Precision,
        Self::VolumeSimilarity,
        Self::LesionF1,
        Self::LesionSensitivity,
        Self::LesionPrecision,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dice => "dice",
            Self::Nsd => "nsd",
            Self::Hd95Mm => "hd95_mm",
            Self::HausdorffMm => "hausdorff_mm",
            Self::MeanDistanceMm => "mean_distance_mm",
            Self::Sensitivity => "sensitivity",
            Self::Precision => "precision",
            Self::VolumeSimilarity => "volume_similarity",
            Self::LesionF1 => "lesion_f1",
            Self::LesionSensitivity => "lesion_sensitivity",
            Self::LesionPrecision => "lesion_precision",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Dice => "Dice",
            Self::Nsd => "Surface Dice",
            Self::Hd95Mm => "HD95 (mm)",
            Self::HausdorffMm => "Hausdorff (mm)",
            Self::MeanDistanceMm => "Mean distance (mm)",
            Self::Sensitivity => "Sensitivity",
            Self::Precision => "Precision",
            Self::VolumeSimilarity => "Volume similarity",
            Self::LesionF1 => "Lesion F1",
            Self::LesionSensitivity => "Lesion sensitivity",
            Self::LesionPrecision => "Lesion precision",
        }
    }

    /// Whether it is a distance: in mm, better when smaller, and not defined where one of the two
    /// is empty. The others are shares of 1, better when larger.
    pub fn is_distance(self) -> bool {
        matches!(
            self,
            Self::Hd95Mm | Self::HausdorffMm | Self::MeanDistanceMm
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        for metric in Metric::ALL {
            let name = serde_json::to_string(&metric).expect("written");
            assert_eq!(name, format!("\"{}\"", metric.name()));
        }
    }
}
