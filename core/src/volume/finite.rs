//! Finding voxels that are not numbers.

use super::Volume;

/// How many voxels are not finite, and where the first is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NonFinite {
    /// Voxels that are NaN.
    pub nan: usize,
    /// Voxels that are positive or negative infinity.
    pub infinite: usize,
    /// The first of either, in file order.
    pub first: Option<[usize; 3]>,
}

impl NonFinite {
    /// Whether every voxel is finite.
    pub fn is_clean(&self) -> bool {
        self.first.is_none()
    }
}

impl Volume<f32> {
    /// Counts NaN and infinite voxels.
    pub fn non_finite(&self) -> NonFinite {
        // Without a way out of the loop it vectorises; nearly all blocks end here.
        let clean = |block: &[f32]| block.iter().fold(true, |a, v| a & v.is_finite());
        let mut out = NonFinite::default();
        let [x, y, _] = self.grid.shape;
        for (b, block) in self.data.chunks(4096).enumerate() {
            if clean(block) {
                continue;
            }
            for (i, v) in block.iter().enumerate().filter(|(_, v)| !v.is_finite()) {
                if v.is_nan() {
                    out.nan += 1;
                } else {
                    out.infinite += 1;
                }
                let at = b * 4096 + i;
                out.first.get_or_insert([at % x, at / x % y, at / x / y]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Grid, VolumeError};

    #[test]
    fn counts_and_locates() -> Result<(), VolumeError> {
        let grid = Grid {
            shape: [20, 30, 10],
            affine: Affine::IDENTITY,
        };
        let mut v = Volume::new(grid, vec![1.0f32; 6000])?;
        assert!(v.non_finite().is_clean());
        v.data_mut()[5 + 20 * (7 + 30 * 8)] = f32::NAN;
        v.data_mut()[5999] = f32::NEG_INFINITY;
        v.data_mut()[5998] = f32::INFINITY;
        let found = v.non_finite();
        assert_eq!(
            found,
            NonFinite {
                nan: 1,
                infinite: 2,
                first: Some([5, 7, 8])
            }
        );
        assert!(!found.is_clean());
        Ok(())
    }
}
