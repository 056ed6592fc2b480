//! The preprocessing of a network as a value that travels with its weights.

use serde::{Deserialize, Serialize};

/// How values between voxels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Value of the nearest voxel.
    Nearest,
    /// Linear along each axis.
    Trilinear,
    /// Cubic B-spline.
    Cubic,
}

/// How intensities are brought to a common range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Normalization {
    /// Minimum to 0, maximum to 1.
    MinMax,
    /// Quantile `low` to 0 and `high` to 1, outside clipped where `clip` is set. `epsilon` is
    /// added to the divisor.
    Quantile {
        /// Lower quantile, in 0..1.
        low: f64,
        /// Upper quantile, in 0..1.
        high: f64,
        /// Clip to `[0, 1]`.
        clip: bool,
        /// Added to the range before dividing.
        epsilon: f64,
    },
    /// The AMAES reference's `volume_wise_znorm`: clip above at the 0.99 quantile of the voxels
    /// that are not the minimum, then minimum to 0 and maximum to 1.
    VolumeWise,
    /// Mean 0 and standard deviation 1 over the voxels that are not the minimum.
    ZScore,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Permute and flip axes to an orientation such as `RAS`; no interpolation.
    Reorient {
        /// Three letters, one of each pair R/L, A/P, S/I: the direction each axis runs to.
        to: String,
    },
    /// FreeSurfer's `mri_convert --conform`: a cube of `size` voxels of `spacing` mm in
    /// orientation LIA about the image's centre, values scaled to 0..255 by its robust scaling.
    Conform {
        /// Voxels along each edge.
        size: usize,
        /// Voxel edge in mm.
        spacing: f64,
    },
    /// Crop to the bounding box of the voxels above the volume's minimum.
    CropForeground,
    /// Rescale intensities.
    Normalize(Normalization),
    /// Resample to a spacing.
    Resample {
        /// Voxel edges in mm.
        spacing: [f64; 3],
        /// How.
        interpolation: Interpolation,
    },
}

/// What is done to a volume before a network sees it, in order. Labels go back the same way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The steps, first to last.
    pub steps: Vec<Step>,
}
