//! Names and colours of the labels that a network puts out.

use serde::{Deserialize, Serialize};

mod colormap;
mod runner_up;

pub use self::colormap::LabelError;
pub use self::runner_up::RunnerUp;

/// The integer type of label maps.
pub type Label = u16;

/// What one class of a network means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelEntry {
    /// Value in the label map. Class `i` of the network is entry `i` of the table.
    pub value: Label,
    /// Name of the structure.
    pub name: String,
    /// Display colour: red, green, blue.
    pub color: [u8; 3],
}

/// The classes of a network in the order of its output channels; entry 0 is the background.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LabelTable(pub Vec<LabelEntry>);
