//! Lesions found and missed: connected components of the reference and of the prediction.

use serde::{Deserialize, Serialize};

use crate::infer::{Components, Connectivity, Grouping};
use crate::label::Label;
use crate::volume::{Affine, Grid, Volume};

use super::MetricError;
use super::masks::{Masks, PREDICTION, REFERENCE};

/// What counts as a lesion, and when it is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LesionConfig {
    /// Components smaller than this (mm^3) are not counted; they may still find a lesion.
    pub min_mm3: f64,
    /// Share of a component's voxels that the other mask must cover; whatever it is, one voxel is
    /// needed.
    pub min_overlap: f64,
    /// Which voxels touch.
    pub connectivity: Connectivity,
}

impl Default for LesionConfig {
    /// Every component counts, one common voxel is enough, 26 neighbours: the definition of the
    /// WMH challenge (Kuijf et al. 2019).
    fn default() -> Self {
        Self {
            min_mm3: 0.0,
            min_overlap: 0.0,
            connectivity: Connectivity::Corners,
        }
    }
}

/// Lesions of one structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lesions {
    /// Components of the reference.
    pub reference: usize,
    /// Those of them that the prediction finds.
    pub found: usize,
    /// Components of the prediction.
    pub prediction: usize,
    /// Those of them that lie on the reference.
    pub right: usize,
}

impl Lesions {
    /// Share of the reference's lesions that are found; `None` where there are none.
    pub fn sensitivity(self) -> Option<f64> {
        (self.reference > 0).then(|| self.found as f64 / self.reference as f64)
    }

    /// Share of the predicted lesions that are right; `None` where there are none.
    pub fn precision(self) -> Option<f64> {
        (self.prediction > 0).then(|| self.right as f64 / self.prediction as f64)
    }

    /// The harmonic mean of the two; 0 where only one side has lesions, `None` where neither has.
    pub fn f1(self) -> Option<f64> {
        if self.reference == 0 && self.prediction == 0 {
            return None;
        }
        let s = self.sensitivity().unwrap_or(0.0);
        let p = self.precision().unwrap_or(0.0);
        Some(if s + p > 0.0 {
            2.0 * s * p / (s + p)
        } else {
            0.0
        })
    }
}

impl Masks {
    /// Counts the lesions.
    ///
    /// # Errors
    ///
    /// [`MetricError::Components`] from 2^32 voxels, [`MetricError::OutOfMemory`].
    pub fn lesions(&self, config: &LesionConfig) -> Result<Lesions, MetricError> {
        let (reference, found) = self.components(REFERENCE, PREDICTION, config)?;
        let (prediction, right) = self.components(PREDICTION, REFERENCE, config)?;
        Ok(Lesions {
            reference,
            found,
            prediction,
            right,
        })
    }

    /// Components of one mask, and how many of them the other one covers enough.
    fn components(
        &self,
        own: u8,
        other: u8,
        config: &LesionConfig,
    ) -> Result<(usize, usize), MetricError> {
        let bytes = self.voxels.len().saturating_mul(size_of::<Label>());
        let mut data: Vec<Label> = Vec::new();
        data.try_reserve_exact(self.voxels.len())
            .map_err(|_| MetricError::OutOfMemory { bytes })?;
        data.extend(self.voxels.iter().map(|v| Label::from(v & own != 0)));
        let grid = Grid {
            shape: self.shape,
            affine: Affine::IDENTITY,
        };
        let Ok(volume) = Volume::new(grid, data) else {
            return Ok((0, 0));
        };
        let found = Components::find(&volume, config.connectivity, Grouping::Foreground)?;
        let mut covered = vec![0; found.sizes().len()];
        for (component, range) in found.runs() {
            covered[component] += self.voxels[range]
                .iter()
                .filter(|&v| v & other != 0)
                .count();
        }
        let (mut all, mut matched) = (0, 0);
        for (&size, &covered) in found.sizes().iter().zip(&covered) {
            // Rounding of the voxel's volume must not leave out a component of exactly this size.
            if (size as f64) * self.voxel_mm3 < config.min_mm3 * (1.0 - 1e-9) {
                continue;
            }
            all += 1;
            let share = covered as f64 / size as f64;
            matched += usize::from(covered > 0 && share >= config.min_overlap);
        }
        Ok((all, matched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Pair;

    fn count(a: &[Label], b: &[Label], config: &LesionConfig) -> Lesions {
        let volume = |data: &[Label]| {
            let grid = Grid {
                shape: [data.len(), 1, 1],
                affine: Affine([[2., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.]]),
            };
            Volume::new(grid, data.to_vec()).expect("one value a voxel")
        };
        let (a, b) = (volume(a), volume(b));
        let pair = Pair::new(&a, &b).expect("one shape");
        let masks = pair.masks(&[1]).expect("small");
        masks.lesions(config).expect("small")
    }

    #[test]
    fn lesions_are_matched_by_overlap() {
        // Four lesions, three predictions: one joins two lesions, one lies on nothing.
        let a = [1, 0, 1, 1, 1, 1, 0, 0, 1, 0, 0, 1];
        let b = [1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1];
        let any = LesionConfig::default();
        let l = count(&a, &b, &any);
        assert_eq!((l.reference, l.found, l.prediction, l.right), (4, 3, 3, 2));
        let (s, p) = (0.75, 2.0 / 3.0);
        assert_eq!(l.f1(), Some(2.0 * s * p / (s + p)));
        // Half of a lesion must be covered: the one of four voxels is not.
        let half = LesionConfig {
            min_overlap: 0.5,
            ..any
        };
        assert_eq!(count(&a, &b, &half).found, 2);
        // Voxels of 2 mm^3: lesions of one voxel are too small.
        let large = LesionConfig {
            min_mm3: 4.0,
            ..any
        };
        let l = count(&a, &b, &large);
        assert_eq!((l.reference, l.found, l.prediction, l.right), (1, 1, 1, 1));
    }

    #[test]
    fn one_side_without_lesions_is_0_and_both_undefined() {
        let any = LesionConfig::default();
        assert_eq!(count(&[0, 1, 0], &[0, 0, 0], &any).f1(), Some(0.0));
        assert_eq!(count(&[0, 0, 0], &[0, 1, 0], &any).f1(), Some(0.0));
        assert_eq!(count(&[0, 1, 0], &[1, 0, 0], &any).f1(), Some(0.0));
        assert_eq!(count(&[0, 0, 0], &[0, 0, 0], &any).f1(), None);
    }
}
