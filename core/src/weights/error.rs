//! What can be wrong with weights or the file they come from.

use std::io;

use thiserror::Error;

use super::{Format, LoadReport};
use crate::model::SpecError;

/// An error of reading, identifying, applying or writing weights.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The bytes are of no format that is read here.
    #[error("not a weights file: it begins with {head}{hint}")]
    UnknownFormat {
        /// First bytes, printable.
        head: String,
        /// What it may be instead, or nothing.
        hint: &'static str,
    },
    /// The file contradicts its own format.
    #[error("{format} file: {message}")]
    Malformed {
        /// The format.
        format: Format,
        /// What is wrong.
        message: String,
    },
    /// The pickle names a function or class outside the allow-list. It was not called.
    #[error(
        "the pickle asks for `{global}`, which is not among the types weights need; nothing was \
         run. If the file is trusted, save its tensors alone or allow this name"
    )]
    ForbiddenGlobal {
        /// `module.name` as the pickle spells it.
        global: String,
    },
    /// A length in the file is above what is accepted, and no memory was taken for it.
    #[error("{what} is {size} bytes, above the limit of {limit}")]
    TooLarge {
        /// What has that size.
        what: String,
        /// Claimed size.
        size: u64,
        /// Accepted size.
        limit: u64,
    },
    /// Memory could not be had.
    #[error("no memory for {bytes} bytes of {what}")]
    OutOfMemory {
        /// What the memory was for.
        what: String,
        /// Bytes asked for.
        bytes: usize,
    },
    /// Two tensors have one name, in the file or after prefixes were stripped.
    #[error("two tensors are named `{0}`")]
    DuplicateName(String),
    /// No tensor has this name.
    #[error("there is no tensor `{0}`")]
    MissingTensor(String),
    /// The tensor's element type cannot become a weight.
    #[error("tensor `{name}` has element type {dtype}; weights are float16, bfloat16, 32 or 64")]
    UnsupportedType {
        /// Name of the tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A value is too large for the type asked for.
    #[error("tensor `{name}` holds {value}, which {precision} cannot hold")]
    Overflow {
        /// Name of the tensor.
        name: String,
        /// The value.
        value: f32,
        /// The type.
        precision: &'static str,
    },
    /// The file holds no tensors at all.
    #[error("{format} file: no tensors in it")]
    Empty {
        /// The format.
        format: Format,
    },
    /// The tensors belong to a network that is none of ours.
    #[error("weights of an unknown network ({reason}); it begins with {first}")]
    UnknownNetwork {
        /// Why no network fits.
        reason: String,
        /// The first names with shapes.
        first: String,
    },
    /// The shapes fit a MeshNet but do not tell its dilations and activation.
    #[error(
        "a MeshNet of widths {widths:?} with {classes} classes: its dilations and activation are \
         not in the weights; give the config file published beside it"
    )]
    NeedsConfig {
        /// Output channels of the dilated convolutions.
        widths: Vec<usize>,
        /// Classes.
        classes: usize,
    },
    /// The configuration beside the weights is wrong or of another network.
    #[error("network configuration: {0}")]
    Config(String),
    /// A TensorFlow.js layer that has no counterpart here.
    #[error("TensorFlow.js layer `{layer}`: {message}")]
    Layer {
        /// Name of the layer.
        layer: String,
        /// What is wrong.
        message: String,
    },
    /// A shard of a TensorFlow.js model could not be had.
    #[error("weight shard `{path}`: {source}")]
    Shard {
        /// Path as the manifest gives it.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The weights do not fit the network they are loaded into.
    #[error("the weights do not fit the network: {0}")]
    Mismatch(Box<LoadReport>),
    /// The model file lacks an entry.
    #[error("model file: no entry `{0}`")]
    MissingEntry(&'static str),
    /// An entry of the model file cannot be understood.
    #[error("model file: entry `{entry}`: {message}")]
    BadEntry {
        /// Name of the entry.
        entry: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The model file was written by a newer amaes.
    #[error("model file of version {found}; this amaes reads up to {supported}")]
    NewerVersion {
        /// The file's version.
        found: u64,
        /// The newest that is read.
        supported: u64,
    },
    /// The contents of the model file are not what was written.
    #[error("model file: checksum {found}, but the file says {expected}; it is damaged")]
    Checksum {
        /// What the file says.
        expected: String,
        /// What its contents have.
        found: String,
    },
    /// The network has sizes that none has.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl WeightsError {
    pub(crate) fn malformed(format: Format, message: impl Into<String>) -> Self {
        Self::Malformed {
            format,
            message: message.into(),
        }
    }
}
