//! What a network is pretrained on: masked images, and how well it restores them.
//!
//! AMAES (arXiv 2408.00640): blocks of the input are set to 0 and the network restores the image
//! as it was before its intensities were augmented.

mod error;
mod mask;
mod reconstruction;

pub use self::error::PretextError;
pub use self::mask::BlockMask;
pub use self::reconstruction::{LossOver, Reconstruction, reconstruction};
