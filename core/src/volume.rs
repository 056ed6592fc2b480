//! Volumes on a voxel grid in world space, and the file formats that hold them: NIfTI-1 and
//! NIfTI-2 (read and written), MGH (read), each plain or gzip-compressed.
//!
//! Reading goes from any `Read`, slab by slab ([`VolumeReader`]) or whole ([`read_volume`],
//! [`read_labels`], [`read_raw`]), or takes bytes as they arrive ([`VolumeDecoder`]); values, scaling and affines agree with nibabel's. Writing goes
//! to any `Write` and keeps the geometry of the source's [`Header`] to the bit.
//!
//! The `nifti` crate (0.18) is not used here, because it knows NIfTI-1 only, reads the first
//! member of a gzip stream alone, takes the voxel size from `bitpix` instead of `datatype`,
//! applies a NaN slope, panics on a negative `pixdim` in a qform, allocates what the header
//! claims, and writes to paths only, which leaves out the browser.

mod datatype;
mod decode;
mod error;
mod finite;
mod grid;
mod header;
mod layout;
mod mgh;
mod orientation;
mod permute;
mod raw;
mod reader;
mod rotation;
#[cfg(test)]
mod tests;
mod write;

pub use self::datatype::{DataType, Scaling};
pub use self::decode::Sample;
pub use self::error::VolumeError;
pub use self::finite::NonFinite;
pub use self::grid::{Affine, Grid};
pub use self::header::{AffineSource, Format, Header, NiftiVersion};
pub use self::orientation::{Orientation, Reorientation};
pub use self::raw::RawData;
pub use self::reader::{
    ReadOptions, VolumeDecoder, VolumeReader, read_header, read_labels, read_raw, read_volume,
};
pub use self::write::{
    Stored, VolumeWriter, WriteOptions, label_datatype, write_labels, write_raw, write_volume,
};

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
