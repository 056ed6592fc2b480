//! Why a synthetic data set cannot be made.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// The result of a part of synthesis.
pub type Result<T> = std::result::Result<T, SynthError>;

/// Why a synthetic data set cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SynthError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] crate::Error),
    /// A field of the configuration makes no sense.
    #[error("configuration: {field}: {message}")]
    Config {
        /// The field, as the file names it.
        field: String,
        /// Why.
        message: String,
    },
    /// A configuration has a field that is unknown or of another type.
    #[error("{}: {source}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A configuration file cannot be read, or a field that is set beside it makes no sense.
    #[error(transparent)]
    Source(#[from] crate::train::TrainError),
    /// A subject cannot be made.
    #[error("{subject}: {source}")]
    Subject {
        /// The subject, or its label map.
        subject: String,
        /// Why.
        source: amaes_core::synth::SynthError,
    },
    /// The folder holds something else.
    #[error("{}: {message}", path.display())]
    Tree {
        /// The folder.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

impl SynthError {
    pub(super) fn config(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config {
            field: field.into(),
            message: message.into(),
        }
    }

    pub(super) fn toml(path: &Path, source: toml::de::Error) -> Self {
        Self::Toml {
            path: path.to_owned(),
            source: Box::new(source),
        }
    }

    pub(super) fn tree(path: &Path, message: impl Into<String>) -> Self {
        Self::Tree {
            path: path.to_owned(),
            message: message.into(),
        }
    }
}
