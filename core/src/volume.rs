//! Volumes on a voxel grid in world space, and the file formats that hold them.

mod error;
mod grid;
mod orientation;
mod permute;

pub use self::error::VolumeError;
pub use self::grid::{Affine, Grid};
pub use self::orientation::{Orientation, Reorientation};

/// Scalar values on a [`Grid`].
///
/// Values are stored in file order: the first axis runs fastest, so voxel `(i, j, k)` is at
/// `i + shape[0] * (j + shape[1] * k)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume<T> {
    grid: Grid,
    data: Vec<T>,
}

impl<T> Volume<T> {
    /// Joins a grid and its values.
    ///
    /// # Errors
    ///
    /// [`VolumeError::DataLength`] when the number of values is not the number of voxels.
    pub fn new(grid: Grid, data: Vec<T>) -> Result<Self, VolumeError> {
        if grid.voxels() != data.len() {
            return Err(VolumeError::DataLength {
                voxels: grid.voxels(),
                values: data.len(),
            });
        }
        Ok(Self { grid, data })
    }

    /// Shape and position of the volume.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The values, first axis fastest.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The values, to change in place.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Splits into grid and values.
    pub fn into_parts(self) -> (Grid, Vec<T>) {
        (self.grid, self.data)
    }

    /// The same grid with every value mapped.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Volume<U> {
        Volume {
            grid: self.grid.clone(),
            data: self.data.iter().map(f).collect(),
        }
    }
}
