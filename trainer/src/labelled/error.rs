//! Why a dataset cannot be used.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// The result of a part of opening a dataset.
pub(super) type Result<T> = std::result::Result<T, LabelledError>;

/// Why a labelled dataset cannot be opened, read or divided.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabelledError {
    /// A file cannot be read or is no volume of labels.
    #[error(transparent)]
    File(#[from] crate::Error),
    /// What a file says, or what is asked of it, makes no sense.
    #[error("{}: {field}: {message}", path.display())]
    Field {
        /// The file or folder.
        path: PathBuf,
        /// The field, of the file or of the configuration.
        field: String,
        /// Why.
        message: String,
    },
    /// A field of the configuration makes no sense.
    #[error("configuration: {field}: {message}")]
    Config {
        /// The field.
        field: &'static str,
        /// Why.
        message: String,
    },
}

impl LabelledError {
    pub(super) fn field(path: &Path, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Field {
            path: path.to_owned(),
            field: field.into(),
            message: message.into(),
        }
    }

    pub(super) fn config(field: &'static str, message: impl Into<String>) -> Self {
        Self::Config {
            field,
            message: message.into(),
        }
    }
}
