//! What can be wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The result of an operation on a store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// An error of writing, opening or reading a store. Each names the file or address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file cannot be read or written: missing, no rights, disk full.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another writer is at work.
    #[error("{}: another writer is at work on this store", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A store cannot be made where something is.
    #[error("{}: {what} is there already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// The store was begun with another option.
    #[error("{}: the store was begun with {field} {found}, now asked for {asked}", path.display())]
    Mismatch {
        /// The store's metadata.
        path: PathBuf,
        /// The option.
        field: &'static str,
        /// Its value in the store.
        found: String,
        /// The value asked for.
        asked: String,
    },
    /// An option makes no sense.
    #[error("store option {field}: {problem}")]
    Option {
        /// The option.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A name that cannot be a folder's.
    #[error("volume id `{id}`: {problem}")]
    Id {
        /// The name.
        id: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A volume that the store cannot hold.
    #[error("volume `{id}`: {problem}")]
    Volume {
        /// The volume.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// Encoding failed.
    #[error("volume `{id}`: cannot encode: {message}")]
    Encode {
        /// The volume.
        id: String,
        /// Why.
        message: String,
    },
    /// Metadata are damaged, or of a kind that is not read.
    #[error("{location}: {field}: {problem}")]
    Metadata {
        /// File or address, with the line where there are lines.
        location: String,
        /// The field.
        field: String,
        /// What is wrong.
        problem: String,
    },
}

impl StoreError {
    /// An error of metadata.
    pub(crate) fn metadata(
        location: impl Into<String>,
        field: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self::Metadata {
            location: location.into(),
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// Adds the file to an I/O error.
pub(crate) trait At<T> {
    /// The same result, its error with the file.
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| StoreError::Io {
            path: path.into(),
            source,
        })
    }
}
