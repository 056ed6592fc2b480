//! Why a training run cannot go on.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use amaes_core::pretext::PretextError;
use amaes_core::weights::WeightsError;
use thiserror::Error;

use crate::labelled::LabelledError;
use crate::loader::LoaderError;
use crate::store::StoreError;

/// The result of a part of a training run.
pub type Result<T> = std::result::Result<T, TrainError>;

/// Why a training run cannot begin or go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] crate::Error),
    /// A checkpoint is broken or of another kind of file.
    #[error("{}: {message}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A field of the configuration makes no sense.
    #[error("configuration: {field}: {message}")]
    Config {
        /// The field, as the file names it.
        field: &'static str,
        /// Why.
        message: String,
    },
    /// A configuration file is no TOML, or has a field that is unknown or of another type.
    #[error("{}: {source}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// The masking makes no sense.
    #[error("configuration: {0}")]
    Pretext(#[from] PretextError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Samples cannot be loaded.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// A labelled dataset cannot be used.
    #[error(transparent)]
    Labelled(#[from] LabelledError),
    /// A sample could not be made.
    #[error("sample {number}: {message}")]
    Sample {
        /// Its number in the run.
        number: u64,
        /// Why.
        message: String,
    },
    /// Weights do not fit the network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The loss is no longer a number.
    #[error("step {step}: the loss is {loss}; the last checkpoint is from before it")]
    Diverged {
        /// Steps taken before it.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// A message between processes failed.
    #[error("process {rank}: {message}")]
    Exchange {
        /// The process.
        rank: usize,
        /// Why.
        message: String,
    },
}

impl TrainError {
    pub(super) fn checkpoint(path: &Path, message: impl Display) -> Self {
        Self::Checkpoint {
            path: path.to_owned(),
            message: message.to_string(),
        }
    }

    pub(super) fn toml(path: &Path, source: toml::de::Error) -> Self {
        Self::Toml {
            path: path.to_owned(),
            source: Box::new(source),
        }
    }

    pub(super) fn config(field: &'static str, message: impl Into<String>) -> Self {
        Self::Config {
            field,
            message: message.into(),
        }
    }
}
