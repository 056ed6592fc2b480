//! What a segmentation network minimises.

mod dice_ce;

pub use self::dice_ce::{DiceCe, DiceCeConfig, dice_cross_entropy};
