//! What can go wrong in preprocessing.

use thiserror::Error;

use crate::volume::VolumeError;

/// Most voxels that a plan will make or restore: 2^30, a cube of 1024 (4 GiB of `f32`).
pub(super) const MAX_VOXELS: usize = 1 << 30;

/// An error of applying or inverting a plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The affine has no inverse, so voxels have no place in space.
    #[error("the affine is singular")]
    SingularAffine,
    /// The volume has no voxels.
    #[error("the volume is empty: its shape is {shape:?}")]
    Empty {
        /// Voxels along each axis.
        shape: [usize; 3],
    },
    /// Voxels are NaN or infinite and the plan does not replace them.
    #[error("{count} of {voxels} voxels are NaN or infinite")]
    NonFinite {
        /// Voxels that are not finite.
        count: usize,
        /// All voxels.
        voxels: usize,
    },
    /// All voxels have one value, so there is no foreground and no range.
    #[error("the image is constant: every voxel is {value}")]
    Constant {
        /// The value.
        value: f32,
    },
    /// All voxels above the minimum have one value, so there is no standard deviation.
    #[error("the foreground is constant: every voxel above the minimum is {value}")]
    ConstantForeground {
        /// The value.
        value: f32,
    },
    /// Both quantiles of a quantile normalisation are one value.
    #[error("quantiles {low} and {high} of the image are both {value}")]
    EqualQuantiles {
        /// Lower quantile.
        low: f64,
        /// Upper quantile.
        high: f64,
        /// Intensity at both.
        value: f64,
    },
    /// A parameter of a step is out of range.
    #[error("step {step}: {name} is {value}, but {expected}")]
    Parameter {
        /// The step's name in the plan.
        step: &'static str,
        /// The parameter's name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A volume would be larger than any image.
    #[error("a volume of {0:?} voxels is more than {MAX_VOXELS} voxels", shape)]
    TooLarge {
        /// Voxels along each axis.
        shape: [f64; 3],
    },
    /// The memory for a volume is not there.
    #[error("no memory for {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// Channels of one image end on different grids.
    #[error("after preprocessing, this channel lies on another grid than the first")]
    OtherGrid,
    /// A volume is not on the grid that the trace belongs to.
    #[error("the volume has shape {found:?}, but the trace is of {expected:?}")]
    Shape {
        /// Shape in the trace.
        expected: [usize; 3],
        /// Shape of the volume.
        found: [usize; 3],
    },
    /// A volume could not be reoriented or built.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// Number of voxels of `shape`, refused where it is 0 or more than [`MAX_VOXELS`].
pub(super) fn checked_voxels(shape: [usize; 3]) -> Result<usize, PlanError> {
    let voxels = shape
        .iter()
        .try_fold(1usize, |n, &s| n.checked_mul(s))
        .filter(|&n| n <= MAX_VOXELS)
        .ok_or(PlanError::TooLarge {
            shape: shape.map(|s| s as f64),
        })?;
    if voxels == 0 {
        return Err(PlanError::Empty { shape });
    }
    Ok(voxels)
}

/// `voxels` copies of `value`, or an error where there is no memory for them.
pub(super) fn filled<T: Copy>(voxels: usize, value: T) -> Result<Vec<T>, PlanError> {
    let mut data = Vec::new();
    data.try_reserve_exact(voxels)
        .map_err(|_| PlanError::OutOfMemory {
            bytes: voxels.saturating_mul(size_of::<T>()),
        })?;
    data.resize(voxels, value);
    Ok(data)
}
