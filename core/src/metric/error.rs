//! What can go wrong in comparing segmentations.

use thiserror::Error;

use crate::infer::LabelError;

/// An error of comparing two label volumes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The volumes have different shapes.
    #[error("the label volumes have shapes {first:?} and {second:?}")]
    Shape {
        /// Shape of the first volume (voxels).
        first: [usize; 3],
        /// Shape of the second volume (voxels).
        second: [usize; 3],
    },
    /// Voxels have no size, so that there are no distances.
    #[error("voxels of {0:?} mm have no size")]
    Spacing([f64; 3]),
    /// The memory for an intermediate map is not there.
    #[error("no memory for {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// Components cannot be found.
    #[error(transparent)]
    Components(#[from] LabelError),
}
