//! How well two segmentations agree.

mod dice;
mod error;

pub use self::dice::{dice, dice_per_label};
pub use self::error::MetricError;
