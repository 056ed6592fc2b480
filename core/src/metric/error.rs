//! What can go wrong in comparing segmentations.

use thiserror::Error;

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
}
