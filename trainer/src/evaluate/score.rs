//! The scores of one case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use amaes_core::label::Label;
use amaes_core::metric::{LesionConfig, Masks, MetricError, Pair};
use amaes_core::volume::{Grid, ReadOptions, Volume};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Metric;
use crate::error::{Error, Result};
use crate::labelled::difference;
use crate::volumes;

/// How scores are computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreConfig {
    /// Distance (mm) up to which surfaces agree.
    pub tolerance_mm: f64,
    /// What is a lesion and when it is found.
    pub lesions: LesionConfig,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            tolerance_mm: 1.0,
            lesions: LesionConfig::default(),
        }
    }
}

/// Labels that are scored as one structure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Its name, which is no number.
    pub name: String,
    /// Its labels.
    pub labels: Vec<Label>,
}

/// What is scored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Labels; without any, all but 0 that a case has.
    pub labels: BTreeSet<Label>,
    /// Unions of labels.
    pub regions: Vec<Region>,
}

/// Scores of one structure of one case. What is not defined is `None`; [`Metric`] says what the
/// numbers are, `docs/evaluate.md` when they are not defined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Dice coefficient.
    pub dice: Option<f64>,
    /// Normalised surface Dice.
    pub nsd: Option<f64>,
    /// 95th percentile of the Hausdorff distance (mm).
    pub hd95_mm: Option<f64>,
    /// Hausdorff distance (mm).
    pub hausdorff_mm: Option<f64>,
    /// Mean distance between the surfaces (mm).
    pub mean_distance_mm: Option<f64>,
    /// Share of the reference that is found.
    pub sensitivity: Option<f64>,
    /// Share of the prediction that is right.
    pub precision: Option<f64>,
    /// How alike the volumes are.
    pub volume_similarity: Option<f64>,
    /// F1 of lesions.
    pub lesion_f1: Option<f64>,
    /// Share of the reference's lesions that is found.
    pub lesion_sensitivity: Option<f64>,
    /// Share of the predicted lesions that is right.
    pub lesion_precision: Option<f64>,
    /// Volume of the reference (mm^3).
    pub reference_mm3: f64,
    /// Volume of the prediction (mm^3).
    pub prediction_mm3: f64,
    /// Lesions of the reference.
    pub reference_lesions: usize,
    /// Lesions of the prediction.
    pub prediction_lesions: usize,
}

impl Scores {
    /// The scores of one structure.
    fn of(masks: &Masks, config: &ScoreConfig) -> std::result::Result<Self, MetricError> {
        let overlap = masks.overlap();
        let distances = masks.surface_distances()?;
        let lesions = masks.lesions(&config.lesions)?;
        let nsd = match &distances {
            Some(d) => Some(d.surface_dice(config.tolerance_mm)),
            // One of the two is empty: nothing of the other one's surface is near.
            None => overlap.dice().map(|_| 0.0),
        };
        Ok(Self {
            dice: overlap.dice(),
            nsd,
            hd95_mm: distances.as_ref().map(|d| d.percentile(95.0)),
            hausdorff_mm: distances.as_ref().map(|d| d.hausdorff()),
            mean_distance_mm: distances.as_ref().map(|d| d.mean()),
            sensitivity: overlap.sensitivity(),
            precision: overlap.precision(),
            volume_similarity: overlap.volume_similarity(),
            lesion_f1: lesions.f1(),
            lesion_sensitivity: lesions.sensitivity(),
            lesion_precision: lesions.precision(),
            reference_mm3: overlap.reference as f64 * masks.voxel_mm3(),
            prediction_mm3: overlap.prediction as f64 * masks.voxel_mm3(),
            reference_lesions: lesions.reference,
            prediction_lesions: lesions.prediction,
        })
    }

    /// One of them.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Dice => self.dice,
            Metric::Nsd => self.nsd,
            Metric::Hd95Mm => self.hd95_mm,
            Metric::HausdorffMm => self.hausdorff_mm,
            Metric::MeanDistanceMm => self.mean_distance_mm,
            Metric::Sensitivity => self.sensitivity,
            Metric::Precision => self.precision,
            Metric::VolumeSimilarity => self.volume_similarity,
            Metric::LesionF1 => self.lesion_f1,
            Metric::LesionSensitivity => self.lesion_sensitivity,
            Metric::LesionPrecision => self.lesion_precision,
        }
    }

    /// Whether neither has the structure.
    pub fn is_absent(&self) -> bool {
        self.reference_mm3 == 0.0 && self.prediction_mm3 == 0.0
    }
}

/// Compares a prediction with its reference: the scores of each label, under its number, and of
/// each region, under its name. Distances are in mm of the reference's voxels.
///
/// # Errors
///
/// [`MetricError`]: shapes differ, voxels have no size, memory is missing.
pub fn score(
    prediction: &Volume<Label>,
    reference: &Volume<Label>,
    targets: &Targets,
    config: &ScoreConfig,
) -> std::result::Result<BTreeMap<String, Scores>, MetricError> {
    let pair = Pair::new(reference, prediction)?;
    let labels: Vec<Label> = match targets.labels.is_empty() {
        true => pair.labels().collect(),
        false => targets.labels.iter().copied().collect(),
    };
    let labels = labels.into_iter().map(|l| (l.to_string(), vec![l]));
    let regions = targets.regions.iter();
    let regions = regions.map(|r| (r.name.clone(), r.labels.clone()));
    let all: Vec<(String, Vec<Label>)> = labels.chain(regions).collect();
    all.into_par_iter()
        .map(|(key, labels)| Ok((key, Scores::of(&pair.masks(&labels)?, config)?)))
        .collect()
}

/// Reads the prediction that belongs to a reference, and checks that it lies on the same grid; with
/// `resample` one on another grid is brought to the reference's by the nearest voxel, what lies
/// beyond it being background.
///
/// # Errors
///
/// [`Error`] names the file, or both where the grids differ.
pub fn read_prediction(
    prediction: &Path,
    reference: &Volume<Label>,
    reference_path: &Path,
    resample: bool,
) -> Result<Volume<Label>> {
    let (found, _) = volumes::read_label_map(prediction, &ReadOptions::default())?;
    if found.grid().coincides(reference.grid()) {
        return Ok(found);
    }
    if !resample {
        let message = format!(
            "lies on another grid than its reference {}: {}; bring them to one grid or \
             ask for resampling",
            reference_path.display(),
            difference(found.grid(), reference.grid())
        );
        return Err(Error::unsuitable(prediction, message));
    }
    onto(&found, reference.grid()).ok_or_else(|| {
        Error::unsuitable(prediction, "its affine has no inverse, so it has no place")
    })
}

/// The labels on another grid, each from the nearest voxel, 0 beyond; `None` where the affine has
/// no inverse.
fn onto(labels: &Volume<Label>, grid: &Grid) -> Option<Volume<Label>> {
    let source = labels.grid().shape;
    let back = labels.grid().affine.inverse()?.after(&grid.affine);
    let [nx, ny, nz] = grid.shape;
    let mut data = Vec::with_capacity(grid.voxels());
    for z in 0..nz {
        for y in 0..ny {
            data.extend((0..nx).map(|x| {
                let at = back.apply([x, y, z].map(|v| v as f64)).map(f64::round);
                let inside = (0..3).all(|a| at[a] >= 0.0 && at[a] < source[a] as f64);
                if !inside {
                    return 0;
                }
                let [i, j, k] = at.map(|v| v as usize);
                labels.data()[i + source[0] * (j + source[1] * k)]
            }));
        }
    }
    Volume::new(grid.clone(), data).ok()
}
