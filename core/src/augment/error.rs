//! What can go wrong in augmentation.

use thiserror::Error;

/// Most voxels of a source or patch: 2^30, a cube of 1024 (4 GiB of `f32`).
pub(super) const MAX_VOXELS: usize = 1 << 30;

/// An error of an augmentation's parameters or of the sample it is given.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum AugmentError {
    /// A parameter of a transform is out of range.
    #[error("{field} is {value}, but {expected}")]
    Parameter {
        /// The parameter, as `transform.name`.
        field: String,
        /// Its value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A volume has no voxels or more than any patch.
    #[error(
        "{what} of {shape:?} voxels: each edge must be 1 or more and all at most {MAX_VOXELS} voxels"
    )]
    Shape {
        /// Which volume.
        what: &'static str,
        /// Voxels along each axis.
        shape: [usize; 3],
    },
    /// A slice does not hold what its shape says.
    #[error("{what}: {found} values do not fill {channels} channels of {shape:?} voxels")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its values.
        found: usize,
        /// Channels.
        channels: usize,
        /// Voxels along each axis.
        shape: [usize; 3],
    },
}

/// Number of voxels of a shape.
pub(super) fn voxels(what: &'static str, shape: [usize; 3]) -> Result<usize, AugmentError> {
    shape
        .iter()
        .try_fold(1usize, |n, &s| n.checked_mul(s))
        .filter(|n| (1..=MAX_VOXELS).contains(n))
        .ok_or(AugmentError::Shape { what, shape })
}
