//! What can go wrong with a surface.

use thiserror::Error;

use crate::label::Label;

/// An error of a surface.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SurfaceError {
    /// No voxel has the label.
    #[error("no voxel has the label {label}")]
    Absent {
        /// The label.
        label: Label,
    },
    /// The mesh would have more vertices than 32 bits count, or than memory holds.
    #[error("a surface of {vertices} vertices does not fit in memory")]
    OutOfMemory {
        /// Vertices of the mesh.
        vertices: usize,
    },
}
