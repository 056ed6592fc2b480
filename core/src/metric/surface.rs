//! Distances between the surfaces of a reference and a prediction.
//!
//! A surface is a set of voxels: those of the structure that share a face with a voxel outside it,
//! the volume's border being outside. That is MONAI's convention (`get_mask_edges`). DeepMind's
//! `surface-distance` instead weights the cells of a marching-cubes surface by their area, which
//! gives other numbers.

use super::masks::{Masks, PREDICTION, REFERENCE};
use super::{MetricError, squared_distances};

/// By what part a distance may exceed a tolerance and still be within it: rounding of voxel sizes.
const ROUNDING: f64 = 1e-6;

/// Distances in mm from each surface voxel to the other surface, ascending; both have at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceDistances {
    from_prediction: Vec<f64>,
    from_reference: Vec<f64>,
}

impl Masks {
    /// The distances between the two surfaces; `None` where reference or prediction is empty.
    ///
    /// # Errors
    ///
    /// [`MetricError::OutOfMemory`]; five bytes a voxel of the box around both are taken.
    pub fn surface_distances(&self) -> Result<Option<SurfaceDistances>, MetricError> {
        let edges = self.edges()?;
        let any = edges.iter().fold(0, |bits, e| bits | e);
        if any != REFERENCE | PREDICTION {
            return Ok(None);
        }
        let between = |from: u8, to: u8| -> Result<Vec<f64>, MetricError> {
            let squared = squared_distances(|i| edges[i] & to != 0, self.shape, self.spacing)?;
            let mut out: Vec<f64> = (edges.iter().zip(squared))
                .filter(|(e, _)| *e & from != 0)
                .map(|(_, d)| f64::from(d).sqrt())
                .collect();
            out.sort_unstable_by(f64::total_cmp);
            Ok(out)
        };
        Ok(Some(SurfaceDistances {
            from_prediction: between(PREDICTION, REFERENCE)?,
            from_reference: between(REFERENCE, PREDICTION)?,
        }))
    }

    /// The bits of voxels that are on the surface.
    fn edges(&self) -> Result<Vec<u8>, MetricError> {
        let [nx, ny, nz] = self.shape;
        let bytes = self.voxels.len();
        let mut out = Vec::new();
        out.try_reserve_exact(bytes)
            .map_err(|_| MetricError::OutOfMemory { bytes })?;
        let outside = vec![0; nx];
        let row = |y: Option<usize>, z: Option<usize>| match (y, z) {
            (Some(y), Some(z)) if y < ny && z < nz => {
                let at = nx * (y + ny * z);
                &self.voxels[at..at + nx]
            }
            _ => &outside,
        };
        for z in 0..nz {
            for y in 0..ny {
                let here = row(Some(y), Some(z));
                let (above, below) = (row(Some(y + 1), Some(z)), row(y.checked_sub(1), Some(z)));
                let (before, behind) = (row(Some(y), Some(z + 1)), row(Some(y), z.checked_sub(1)));
                out.extend((0..nx).map(|x| {
                    let left = x.checked_sub(1).map_or(0, |x| here[x]);
                    let right = here.get(x + 1).copied().unwrap_or(0);
                    let inner = left & right & above[x] & below[x] & before[x] & behind[x];
                    here[x] & !inner
                }));
            }
        }
        Ok(out)
    }
}

impl SurfaceDistances {
    /// The normalised surface Dice: the share of both surfaces' voxels that are at most
    /// `tolerance` mm from the other surface (Nikolov et al. 2021; MONAI's `compute_surface_dice`).
    pub fn surface_dice(&self, tolerance: f64) -> f64 {
        let limit = tolerance * (1.0 + ROUNDING);
        let within = |d: &[f64]| d.partition_point(|&d| d <= limit);
        let near = within(&self.from_prediction) + within(&self.from_reference);
        near as f64 / (self.from_prediction.len() + self.from_reference.len()) as f64
    }

    /// The Hausdorff distance (mm): the largest of all.
    pub fn hausdorff(&self) -> f64 {
        self.percentile(100.0)
    }

    /// The larger one of the two directions' percentiles (mm), linear between values, as MONAI's
    /// `compute_hausdorff_distance`; 95 for HD95.
    pub fn percentile(&self, percent: f64) -> f64 {
        let of = |d: &[f64]| {
            let at = (percent / 100.0).clamp(0.0, 1.0) * (d.len() - 1) as f64;
            let (low, high) = (d[at.floor() as usize], d[at.ceil() as usize]);
            low + (high - low) * at.fract()
        };
        of(&self.from_prediction).max(of(&self.from_reference))
    }

    /// The mean over both surfaces' voxels (mm), MONAI's `compute_average_surface_distance` with
    /// `symmetric=True`.
    pub fn mean(&self) -> f64 {
        let sum = |d: &[f64]| d.iter().sum::<f64>();
        let total = sum(&self.from_prediction) + sum(&self.from_reference);
        total / (self.from_prediction.len() + self.from_reference.len()) as f64
    }
}
