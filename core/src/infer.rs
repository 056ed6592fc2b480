//! Running a network over a whole volume, and cleaning and measuring its labels.
//!
//! Two ways keep memory bounded. [`sliding_window`] suits networks with global statistics: windows
//! overlap and their logits are averaged. [`exact tiling`](tile) suits a MeshNet without norm: the
//! result is that of the whole volume at once.

mod class_map;
mod components;
mod error;
mod fill;
mod host;
mod label_error;
mod network;
mod piece;
mod runs;
mod scores;
pub mod sliding_window;
mod statistics;
pub mod tile;

pub use self::class_map::ClassMap;
pub use self::components::{
    Components, MinimumSize, keep_largest, keep_largest_per_label, remove_small,
};
pub use self::error::InferError;
pub use self::fill::fill_holes;
pub use self::host::{Host, Rows};
pub use self::label_error::LabelError;
pub use self::network::{
    InferOptions, Input, Method, OnProgress, Progress, class_map, class_map_async,
};
pub use self::piece::{Assembly, Output, Pieces};
pub use self::runs::{Connectivity, Grouping};
pub use self::scores::score_map;
pub use self::statistics::{BoundingBox, LabelReport, LabelStatistics};
