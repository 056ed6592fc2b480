//! What can go wrong in preprocessing.

use thiserror::Error;

/// An error of applying or inverting a plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The affine has no inverse, so voxels have no place in space.
    #[error("the affine is singular")]
    SingularAffine,
}
