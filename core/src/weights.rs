//! Reading network weights from every format they are published in, and the model file.
//!
//! [`read`] turns a file of any single-file format into a [`StateDict`], [`tfjs::read`] a
//! TensorFlow.js model. [`identify`] finds the network that the tensors belong to and names them
//! as its parameters, [`load_into`] puts them there; [`open`] does all that for a
//! whole model. A [`ModelFile`] keeps weights with their
//! network, preprocessing, labels and origin.
//!
//! Nothing here runs what a file says, and every size in a file is checked before memory is taken
//! for it.

mod apply;
mod burnpack;
mod error;
mod format;
mod initial;
mod known;
mod model_file;
mod open;
mod pickle;
mod pytorch;
mod report;
mod safetensors;
mod spec;
mod state_dict;
pub mod tfjs;

pub use self::apply::{LoadOptions, Partial, collect, load_into, parameters_of, transfer};
pub use self::error::WeightsError;
pub use self::format::{Format, ReadOptions, detect, read};
pub use self::initial::initial;
pub use self::model_file::{Hints, ModelFile, Precision, Provenance, sha256};
pub use self::open::{Opened, open, open_part, open_tfjs};
pub use self::report::{LoadReport, Mismatched};
pub use self::spec::{Identified, Part, identify, identify_part, parameters};
pub use self::state_dict::StateDict;
