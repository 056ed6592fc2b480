//! What a plan did to one volume, and the way back.

use serde::{Deserialize, Serialize};

use crate::label::{Label, RunnerUp};
use crate::volume::{Affine, Grid, Orientation, Volume};

use super::conform::ByteScaling;
use super::error::PlanError;
use super::sample::{Border, nearest, trilinear, vote};

/// What one step of a plan did to one volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Applied {
    /// [`Step::ReplaceNonFinite`](super::Step::ReplaceNonFinite).
    ReplaceNonFinite {
        /// Voxels replaced.
        voxels: usize,
        /// What they became.
        value: f32,
    },
    /// [`Step::Reorient`](super::Step::Reorient).
    Reorient {
        /// Orientation before.
        from: Orientation,
        /// Orientation after.
        to: Orientation,
    },
    /// [`Step::Conform`](super::Step::Conform).
    Conform {
        /// Whether the volume went to another grid; `false` where it was conformed already.
        resampled: bool,
        /// How intensities were scaled, `None` where they were only rounded.
        scaling: Option<ByteScaling>,
    },
    /// [`Step::CropForeground`](super::Step::CropForeground).
    CropForeground {
        /// First voxel kept along each axis.
        start: [usize; 3],
        /// Voxels kept along each axis.
        shape: [usize; 3],
    },
    /// [`Step::Normalize`](super::Step::Normalize).
    Normalize {
        /// Intensity that became 0.
        offset: f64,
        /// What the rest was divided by.
        divisor: f64,
    },
    /// [`Step::Resample`](super::Step::Resample).
    Resample {
        /// Voxels along each axis.
        shape: [usize; 3],
    },
}

/// Native voxels this much smaller than prepared ones (in prepared voxels) are between them.
const COARSER: f64 = 0.9;

/// What a plan did to one volume: enough to take labels of the prepared volume back to the
/// native grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Grid of the volume that the plan was applied to.
    pub native: Grid,
    /// Grid of the prepared volume.
    pub prepared: Grid,
    /// What each step of the plan did.
    pub steps: Vec<Applied>,
    /// Native voxel positions to prepared ones.
    pub(super) to_prepared: Affine,
}

impl Trace {
    /// Whether every prepared voxel is a native voxel, so that restoring is exact.
    pub fn is_exact(&self) -> bool {
        self.to_prepared.0.iter().all(|row| {
            let units = row[..3].iter().filter(|v| v.abs() == 1.0).count();
            let zeros = row[..3].iter().filter(|v| **v == 0.0).count();
            units == 1 && zeros == 2 && row[3].fract() == 0.0
        })
    }

    /// Labels of the prepared volume on the native grid; 0 where the prepared volume does not
    /// reach.
    ///
    /// Exact where the plan only reoriented and cropped. Where prepared voxels are larger, each
    /// native voxel takes the label that has the greatest trilinear weight about it, so that
    /// borders have no steps of the larger voxels; otherwise that of the nearest prepared voxel.
    /// [`restore_labels_by_share`](Self::restore_labels_by_share) knows more of large voxels.
    ///
    /// # Errors
    ///
    /// [`PlanError::Shape`] when `labels` has not the prepared shape, [`PlanError::TooLarge`] and
    /// [`PlanError::OutOfMemory`] for the native grid.
    pub fn restore_labels(&self, labels: &Volume<Label>) -> Result<Volume<Label>, PlanError> {
        let shape = check(labels, &self.prepared)?;
        let (labels, target, map) = (labels.data(), self.native.shape, &self.to_prepared);
        let data = match self.is_coarser() {
            true => vote(labels, None, shape, target, map)?,
            false => nearest(labels, shape, target, map, 0)?,
        };
        Ok(Volume::new(self.native.clone(), data)?)
    }

    /// [`restore_labels`](Self::restore_labels) where it is known how near another label is in each
    /// prepared voxel: of voxels that are [larger](Self::is_coarser), both labels count by their
    /// shares, as if their probabilities were interpolated. `second` is not used otherwise.
    ///
    /// # Errors
    ///
    /// As [`restore_labels`](Self::restore_labels), of both volumes.
    pub fn restore_labels_by_share(
        &self,
        labels: &Volume<Label>,
        second: &Volume<RunnerUp>,
    ) -> Result<Volume<Label>, PlanError> {
        if !self.is_coarser() {
            return self.restore_labels(labels);
        }
        let shape = check(labels, &self.prepared)?;
        check(second, &self.prepared)?;
        let data = vote(
            labels.data(),
            Some(second.data()),
            shape,
            self.native.shape,
            &self.to_prepared,
        )?;
        Ok(Volume::new(self.native.clone(), data)?)
    }

    /// Whether a step to the next native voxel is, along some axis, well below a prepared voxel.
    pub fn is_coarser(&self) -> bool {
        let step = |axis: usize| self.to_prepared.0.map(|row| row[axis].powi(2)).iter().sum();
        (0..3)
            .map(step)
            .any(|square: f64| square < COARSER * COARSER)
    }

    /// A map of scores (probabilities, heat) of the prepared volume on the native grid,
    /// trilinearly; 0 where the prepared volume does not reach.
    ///
    /// # Errors
    ///
    /// As [`Trace::restore_labels`].
    pub fn restore_scores(&self, scores: &Volume<f32>) -> Result<Volume<f32>, PlanError> {
        let shape = check(scores, &self.prepared)?;
        let data = trilinear(
            scores.data(),
            shape,
            self.native.shape,
            &self.to_prepared,
            Border::Clamp,
            |v| v,
        )?;
        Ok(Volume::new(self.native.clone(), data)?)
    }

    /// Labels of the native volume on the prepared grid, by nearest neighbour, 0 outside: how a
    /// reference segmentation follows its image through the plan.
    ///
    /// # Errors
    ///
    /// [`PlanError::Shape`] when `labels` has not the native shape, [`PlanError::SingularAffine`]
    /// when a trace from a file cannot be inverted, and those of memory.
    pub fn prepare_labels(&self, labels: &Volume<Label>) -> Result<Volume<Label>, PlanError> {
        let shape = check(labels, &self.native)?;
        let to_native = self
            .to_prepared
            .inverse()
            .ok_or(PlanError::SingularAffine)?;
        let data = nearest(labels.data(), shape, self.prepared.shape, &to_native, 0)?;
        Ok(Volume::new(self.prepared.clone(), data)?)
    }
}

/// The shape of `volume`, which must be `expected`'s.
fn check<T>(volume: &Volume<T>, expected: &Grid) -> Result<[usize; 3], PlanError> {
    let found = volume.grid().shape;
    if found == expected.shape {
        Ok(found)
    } else {
        Err(PlanError::Shape {
            expected: expected.shape,
            found,
        })
    }
}
