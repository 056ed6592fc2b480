//! Random masks of cubic blocks.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::PretextError;

/// Draws masks that cover a fixed share of a patch's blocks (the reference's `random_mask`: of `n`
/// blocks `floor(n * (1 - ratio))` stay visible).
#[derive(Clone, Debug, PartialEq)]
pub struct BlockMask {
    patch: [usize; 3],
    block: usize,
    visible: usize,
}

impl BlockMask {
    /// Masks for patches of `patch` voxels in blocks of `block`^3 voxels, of which the share
    /// `ratio` is masked.
    ///
    /// # Errors
    ///
    /// [`PretextError`] when the blocks do not fill the patch, or no block would be masked, or
    /// none be visible.
    pub fn new(patch: [usize; 3], block: usize, ratio: f64) -> Result<Self, PretextError> {
        if block == 0 || patch.iter().any(|&e| e == 0 || !e.is_multiple_of(block)) {
            return Err(PretextError::Block { block, patch });
        }
        let blocks = patch.iter().map(|e| e / block).product::<usize>();
        let visible = (blocks as f64 * (1.0 - ratio)).floor();
        if !(visible >= 1.0 && visible < blocks as f64) {
            return Err(PretextError::Ratio { ratio, blocks });
        }
        Ok(Self {
            patch,
            block,
            visible: visible as usize,
        })
    }

    /// Blocks along each axis.
    pub fn blocks(&self) -> [usize; 3] {
        self.patch.map(|e| e / self.block)
    }

    /// Voxels that a mask covers.
    pub fn masked_voxels(&self) -> usize {
        (self.blocks().iter().product::<usize>() - self.visible) * self.block.pow(3)
    }

    /// Draws which blocks are masked, last axis fastest. Every choice is equally likely.
    pub fn draw_blocks(&self, seed: u64) -> Vec<bool> {
        let blocks = self.blocks().iter().product::<usize>();
        let mut order: Vec<usize> = (0..blocks).collect();
        let mut masked = vec![true; blocks];
        let mut rng = Pcg64::seed_from_u64(seed);
        for i in 0..self.visible {
            order.swap(i, rng.random_range(i..blocks));
            masked[order[i]] = false;
        }
        masked
    }

    /// Draws a mask: 1 where a voxel is masked and 0 where it is visible, `[x, y, z]` with the
    /// last axis fastest.
    pub fn draw(&self, seed: u64) -> Vec<f32> {
        self.spread(&self.draw_blocks(seed))
    }

    /// The mask of voxels that belongs to a mask of blocks.
    fn spread(&self, masked: &[bool]) -> Vec<f32> {
        let ([x, y, z], [_, by, bz]) = (self.patch, self.blocks());
        let mut mask = Vec::with_capacity(x * y * z);
        for i in 0..x {
            for j in 0..y {
                let row = ((i / self.block) * by + j / self.block) * bz;
                for &on in &masked[row..row + bz] {
                    let end = mask.len() + self.block;
                    mask.resize(end, if on { 1.0 } else { 0.0 });
                }
            }
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_the_reference() {
        // int(32768 * (1 - 0.6)) = 13107 blocks of 4^3 voxels stay visible.
        let mask = BlockMask::new([128; 3], 4, 0.6).expect("fits");
        let drawn = mask.draw(1);
        assert_eq!(drawn.len(), 128 * 128 * 128);
        let ones = drawn.iter().filter(|&&v| v == 1.0).count();
        assert_eq!(ones, (32_768 - 13_107) * 64);
        assert_eq!(ones, mask.masked_voxels());
        assert!(drawn.iter().all(|&v| v == 0.0 || v == 1.0));
    }

    #[test]
    fn blocks_are_whole() {
        let mask = BlockMask::new([4, 6, 8], 2, 0.5).expect("fits");
        let (blocks, voxels) = (mask.draw_blocks(3), mask.draw(3));
        for (n, &v) in voxels.iter().enumerate() {
            let [i, j, k] = [n / 48, n / 8 % 6, n % 8];
            let on = blocks[((i / 2) * 3 + j / 2) * 4 + k / 2];
            assert_eq!(v == 1.0, on, "voxel {:?}", [i, j, k]);
        }
    }

    #[test]
    fn every_block_is_equally_likely() {
        let mask = BlockMask::new([4, 4, 4], 2, 0.6).expect("fits");
        let mut counts = [0_u32; 8];
        for seed in 0..8000 {
            for (count, on) in counts.iter_mut().zip(mask.draw_blocks(seed)) {
                *count += u32::from(on);
            }
        }
        // 5 of 8 blocks are masked: 5000 times each, with a standard deviation of 43.
        for count in counts {
            assert!((4780..5220).contains(&count), "{counts:?}");
        }
        assert_eq!(mask.draw(7), mask.draw(7));
        assert_ne!(mask.draw(7), mask.draw(8));
    }

    #[test]
    fn impossible_masks_are_refused() {
        for (patch, block, ratio) in [
            ([8, 8, 6], 4, 0.6),
            ([8; 3], 0, 0.6),
            ([0, 8, 8], 4, 0.6),
            ([8; 3], 4, 0.0),
            ([8; 3], 4, 1.0),
            ([8; 3], 4, f64::NAN),
            ([8; 3], 8, 0.5),
        ] {
            assert!(
                BlockMask::new(patch, block, ratio).is_err(),
                "{patch:?} {block} {ratio}"
            );
        }
    }
}
