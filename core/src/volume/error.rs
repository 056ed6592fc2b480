//! What can be wrong with a volume or its file.

use thiserror::Error;

/// An error of reading, writing or building a volume.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The values do not fill the grid.
    #[error("the grid has {voxels} voxels but there are {values} values")]
    DataLength {
        /// Voxels of the grid.
        voxels: usize,
        /// Values given.
        values: usize,
    },
}
