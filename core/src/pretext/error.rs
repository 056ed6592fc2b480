//! Why a pretext task cannot be set.

use thiserror::Error;

/// A pretext task that makes no sense.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum PretextError {
    /// Blocks that do not fill the patch.
    #[error("mask.block: {block} does not divide the patch edges {patch:?}")]
    Block {
        /// Edge of a block in voxels.
        block: usize,
        /// Edges of the patch in voxels.
        patch: [usize; 3],
    },
    /// A share of blocks that leaves nothing to see or nothing to restore.
    #[error(
        "mask.ratio: {ratio} of {blocks} blocks; at least one must be masked and one be visible"
    )]
    Ratio {
        /// The share.
        ratio: f64,
        /// Blocks in the patch.
        blocks: usize,
    },
    /// Boxes that cannot be cut out of the patch.
    #[error("pretext.cutout.{0}")]
    Cutout(String),
}
