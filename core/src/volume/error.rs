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
    /// The affine has no inverse, so voxel axes have no direction.
    #[error("the affine is singular or not finite")]
    SingularAffine,
    /// Not three letters, one of each of R/L, A/P and S/I.
    #[error("`{text}` is not an orientation: three letters, one of each of R/L, A/P, S/I")]
    Orientation {
        /// What was given.
        text: String,
    },
}
