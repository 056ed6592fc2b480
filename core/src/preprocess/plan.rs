//! The preprocessing of a network as a value that travels with its weights.

use serde::{Deserialize, Serialize};

use crate::volume::{Grid, Orientation};

use super::error::{PlanError, checked_voxels};
use super::{conform, resample};

/// How values between voxels are found. None of them smooths before it shrinks (no
/// anti-aliasing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Value of the nearest voxel: `floor(x + 0.5)` along each axis.
    Nearest,
    /// Linear along each axis.
    Trilinear,
    /// Interpolating cubic B-spline of the image continued by its border voxels, clipped to the
    /// range of the image: SciPy's `map_coordinates(order=3, mode="nearest")` and `clip`.
    Cubic,
}

/// How intensities are brought to a common range.
///
/// None of them changes which voxels are the darkest. A constant image is an error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Normalization {
    /// Minimum to 0, maximum to 1.
    MinMax,
    /// Quantile `low` to 0 and `high` to 1, outside clipped where `clip` is set. `epsilon` is
    /// added to the divisor. Quantiles are those of all voxels, interpolated linearly as NumPy's
    /// `quantile` does.
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
    /// Mean 0 and standard deviation 1 (population) over the voxels that are not the minimum.
    ZScore,
    /// Mean 0 and standard deviation 1 (population) over all voxels: nnU-Net's
    /// `ZScoreNormalization` without a mask.
    Standardize,
}

/// Whether [`Step::Conform`] scales intensities. FreeSurfer does so unless the file holds unsigned
/// bytes; a volume in memory no longer knows its file's type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rescale {
    /// Scale unless every voxel is a whole number in 0..=255.
    #[default]
    Auto,
    /// Scale: what FreeSurfer does with every type but unsigned bytes.
    Always,
    /// Only round and clip to 0..=255.
    Never,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Voxels that are NaN or infinite become the smallest finite value. Without this step they
    /// are an error, [`PlanError::NonFinite`].
    ReplaceNonFinite,
    /// Permute and flip axes to the nearest match of an orientation; no interpolation.
    Reorient {
        /// The direction each axis runs to, such as `RAS`.
        to: Orientation,
    },
    /// FreeSurfer's `mri_convert --conform --cw256`: a cube of `size` voxels of `spacing` mm in
    /// orientation LIA about the image's centre (`c_ras`), values whole numbers in 0..=255.
    ///
    /// Intensities first go to 0..=255 by FreeSurfer's robust scaling (see [`Rescale`]), then to
    /// the new grid trilinearly, 0 outside, and are rounded again. A volume that already has the
    /// grid keeps it to the bit and is not interpolated.
    Conform {
        /// Voxels along each edge; FreeSurfer's is 256.
        size: usize,
        /// Voxel edge in mm; FreeSurfer's is 1.
        spacing: f64,
        /// Whether intensities are scaled.
        #[serde(default)]
        rescale: Rescale,
    },
    /// Crop to the bounding box of the voxels above the volume's minimum.
    CropForeground {
        /// Voxels kept around the box on each side, where the volume has them.
        #[serde(default)]
        margin: usize,
    },
    /// Rescale intensities.
    Normalize(Normalization),
    /// Resample to a spacing, keeping the axes' directions and the world position of the centre.
    ///
    /// An axis of `n` voxels of `s` mm becomes `round(n s / t)` (at least 1) voxels of exactly
    /// `t` mm. New voxel `i` lies at `(n - 1) / 2 + (i - (m - 1) / 2) t / s` of the old axis,
    /// `m` the new number of voxels: both fields of view have one centre, and differ by at most
    /// half a new voxel at each end. Beyond the outermost voxel centres the border continues.
    Resample {
        /// Voxel edges in mm.
        spacing: [f64; 3],
        /// How.
        interpolation: Interpolation,
    },
}

impl Step {
    /// Conform as FreeSurfer does: 256^3 voxels of 1 mm, [`Rescale::Auto`].
    pub fn conform() -> Self {
        Self::Conform {
            size: 256,
            spacing: 1.0,
            rescale: Rescale::Auto,
        }
    }
}

/// What is done to a volume before a network sees it, in order. Labels go back the same way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The steps, first to last.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The AMAES reference's preparation: RAS, cropped to the foreground, `volume_wise_znorm`,
    /// 1 mm by cubic interpolation.
    pub fn reference() -> Self {
        Self {
            steps: vec![
                Step::Reorient {
                    to: Orientation::RAS,
                },
                Step::CropForeground { margin: 0 },
                Step::Normalize(Normalization::VolumeWise),
                Step::Resample {
                    spacing: [1.0; 3],
                    interpolation: Interpolation::Cubic,
                },
            ],
        }
    }

    /// The preparation of nnssl (OpenMind), without its fixed orientation: RAS, cropped to the
    /// foreground, mean 0 and standard deviation 1, 1 mm by cubic interpolation.
    pub fn standardized() -> Self {
        let mut plan = Self::reference();
        for step in &mut plan.steps {
            if let Step::Normalize(how) = step {
                *how = Normalization::Standardize;
            }
        }
        plan
    }

    /// Checks every step's parameters.
    ///
    /// # Errors
    ///
    /// [`PlanError::Parameter`] names the step, the parameter and its value.
    pub fn validate(&self) -> Result<(), PlanError> {
        self.steps.iter().try_for_each(validate)
    }

    /// The grid of the prepared volume for a volume on `native`, or `None` where it depends on
    /// the voxels ([`Step::CropForeground`]).
    ///
    /// # Errors
    ///
    /// Those of [`Plan::apply`] that a grid can cause.
    pub fn target_grid(&self, native: &Grid) -> Result<Option<Grid>, PlanError> {
        self.validate()?;
        checked_voxels(native.shape)?;
        let mut grid = native.clone();
        for step in &self.steps {
            grid = match step {
                Step::ReplaceNonFinite | Step::Normalize(_) => grid,
                Step::CropForeground { .. } => return Ok(None),
                Step::Reorient { to } => grid.orientation()?.to(*to).grid(&grid),
                Step::Conform { size, spacing, .. } => conform::grid(&grid, *size, *spacing)?,
                Step::Resample { spacing, .. } => resample::grid(&grid, *spacing)?,
            };
        }
        Ok(Some(grid))
    }
}

/// Checks one step's parameters.
fn validate(step: &Step) -> Result<(), PlanError> {
    let refuse = |step, name, value: String, expected| {
        Err(PlanError::Parameter {
            step,
            name,
            value,
            expected,
        })
    };
    let edge = |v: f64| v.is_finite() && v > 0.0;
    match step {
        Step::Conform { size: 0, .. } => {
            refuse("conform", "size", "0".into(), "it must be 1 or more voxels")
        }
        Step::Conform { spacing, .. } if !edge(*spacing) => refuse(
            "conform",
            "spacing",
            spacing.to_string(),
            "it must be more than 0 mm",
        ),
        Step::Resample { spacing, .. } if !spacing.iter().all(|&s| edge(s)) => refuse(
            "resample",
            "spacing",
            format!("{spacing:?}"),
            "each must be more than 0 mm",
        ),
        Step::Normalize(Normalization::Quantile {
            low, high, epsilon, ..
        }) => {
            if !(0.0..=1.0).contains(low) || !(0.0..=1.0).contains(high) || low >= high {
                refuse(
                    "normalize",
                    "low and high",
                    format!("{low} and {high}"),
                    "they must be in 0..1 and ascending",
                )
            } else if !epsilon.is_finite() || *epsilon < 0.0 {
                refuse(
                    "normalize",
                    "epsilon",
                    epsilon.to_string(),
                    "it must be 0 or more",
                )
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_survive_json() {
        let plan = Plan {
            steps: vec![
                Step::ReplaceNonFinite,
                Step::Reorient {
                    to: Orientation::RAS,
                },
                Step::conform(),
                Step::CropForeground { margin: 2 },
                Step::Normalize(Normalization::Quantile {
                    low: 0.02,
                    high: 0.98,
                    clip: true,
                    epsilon: 1e-3,
                }),
                Step::Normalize(Normalization::VolumeWise),
                Step::Resample {
                    spacing: [1.0, 1.0, 1.5],
                    interpolation: Interpolation::Cubic,
                },
            ],
        };
        let json = serde_json::to_string(&plan).expect("serialises");
        assert!(json.contains(r#"{"step":"reorient","to":"RAS"}"#), "{json}");
        assert!(
            json.contains(r#"{"step":"normalize","method":"volume_wise"}"#),
            "{json}"
        );
        assert_eq!(
            serde_json::from_str::<Plan>(&json).expect("parses back"),
            plan
        );
    }

    #[test]
    fn optional_parameters_have_defaults() {
        let plan: Plan = serde_json::from_str(
            r#"{"steps":[{"step":"conform","size":256,"spacing":1.0},{"step":"crop_foreground"}]}"#,
        )
        .expect("parses");
        assert_eq!(
            plan.steps,
            [Step::conform(), Step::CropForeground { margin: 0 }]
        );
        let unknown = r#"{"steps":[{"step":"skull_strip"}]}"#;
        assert!(serde_json::from_str::<Plan>(unknown).is_err());
    }

    #[test]
    fn bad_parameters_are_named() {
        let quantile = |low, high, epsilon| {
            Step::Normalize(Normalization::Quantile {
                low,
                high,
                clip: false,
                epsilon,
            })
        };
        let conform = |size, spacing| Step::Conform {
            size,
            spacing,
            rescale: Rescale::Auto,
        };
        let resample = |spacing| Step::Resample {
            spacing,
            interpolation: Interpolation::Nearest,
        };
        for (step, part) in [
            (conform(0, 1.0), "size is 0"),
            (conform(256, f64::NAN), "spacing is NaN"),
            (conform(256, -1.0), "spacing is -1"),
            (resample([1.0, 0.0, 1.0]), "spacing is [1.0, 0.0, 1.0]"),
            (resample([1.0, 1.0, f64::INFINITY]), "inf"),
            (quantile(0.9, 0.1, 0.0), "0.9 and 0.1"),
            (quantile(-0.1, 0.9, 0.0), "-0.1"),
            (quantile(0.1, 0.9, -1.0), "epsilon is -1"),
        ] {
            let e = Plan { steps: vec![step] }
                .validate()
                .expect_err(part)
                .to_string();
            assert!(e.contains(part), "{e}");
        }
    }
}
