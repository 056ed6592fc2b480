//! Between file order (first axis fastest) and the C order of tensors (last axis fastest).

use super::permute::Permutation;
use super::{Grid, Volume, VolumeError};

const REVERSED: Permutation = Permutation {
    axes: [2, 1, 0],
    flip: [false; 3],
};

impl<T: Copy> Volume<T> {
    /// The values in C order of (x, y, z): voxel `(i, j, k)` at `(i * ny + j) * nz + k`, as a
    /// tensor of shape `[nx, ny, nz]` or nibabel's `get_fdata()` holds them.
    pub fn to_c_order(&self) -> Vec<T> {
        REVERSED.copy(&self.data, self.grid.shape)
    }

    /// A volume from values in C order of (x, y, z), the inverse of [`Volume::to_c_order`].
    ///
    /// # Errors
    ///
    /// [`VolumeError::DataLength`] when the number of values is not the number of voxels.
    pub fn from_c_order(grid: Grid, values: &[T]) -> Result<Self, VolumeError> {
        if grid.voxels() != values.len() {
            return Err(VolumeError::DataLength {
                voxels: grid.voxels(),
                values: values.len(),
            });
        }
        let [x, y, z] = grid.shape;
        Ok(Self {
            data: REVERSED.copy(values, [z, y, x]),
            grid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;

    #[test]
    fn c_order_and_back() -> Result<(), VolumeError> {
        for shape in [[2, 3, 4], [40, 33, 65], [1, 7, 1]] {
            let grid = Grid {
                shape,
                affine: Affine::IDENTITY,
            };
            let v = Volume::new(grid.clone(), (0..grid.voxels() as u32).collect())?;
            let c = v.to_c_order();
            let [x, y, z] = shape;
            for (i, j, k) in [(0, 0, 0), (x - 1, y - 1, z - 1), (x / 2, y - 1, z / 3)] {
                assert_eq!(c[(i * y + j) * z + k], v.data()[i + x * (j + y * k)]);
            }
            assert_eq!(Volume::from_c_order(grid, &c)?, v);
        }
        let grid = Grid {
            shape: [2, 2, 2],
            affine: Affine::IDENTITY,
        };
        assert!(Volume::from_c_order(grid, &[0u8; 7]).is_err());
        Ok(())
    }
}
