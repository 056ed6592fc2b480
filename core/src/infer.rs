//! Running a network over a whole volume, and cleaning and measuring its labels.
//!
//! Two ways keep memory bounded. [`sliding_window`] suits networks with global statistics: windows
//! overlap and their logits are averaged. [`exact tiling`](tile) suits a MeshNet without norm: the
//! result is that of the whole volume at once.

mod error;
mod network;
pub mod sliding_window;
pub mod tile;

pub use self::error::InferError;
pub use self::network::{InferOptions, Input, Method, OnProgress, Progress, class_map};
