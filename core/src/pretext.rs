//! What a network is pretrained on without labels.
//!
//! AMAES (arXiv 2408.00640): blocks of the input are set to 0 and the network restores the image
//! as it was before its intensities were augmented.
//!
//! SwinUNETR's (Tang et al., CVPR 2022): of two views of each patch, rotated by quarter turns and
//! with boxes cut out, the network tells the rotation, finds the other view among those of other
//! patches and restores what was cut out.

mod contrastive;
mod cutout;
mod error;
mod mask;
mod reconstruction;
mod rotation;
mod views;

pub use self::contrastive::contrastive;
pub use self::cutout::{Cuboid, Cutout, CutoutConfig};
pub use self::error::PretextError;
pub use self::mask::BlockMask;
pub use self::reconstruction::{LossOver, Reconstruction, reconstruction};
pub use self::rotation::{TURNS, rotate};
pub use self::views::{ViewLoss, ViewLossConfig, ViewOutput, view_loss};
