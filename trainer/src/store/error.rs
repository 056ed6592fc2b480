//! What can be wrong with a store.

use std::fmt;
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
    /// There is a store, but no index: its writer has not sealed it.
    #[error("{location}: not there: the store was never sealed")]
    NotSealed {
        /// The index.
        location: String,
    },
    /// A file has another size than the index says: it was cut off or replaced.
    #[error("{location}: {found} bytes, the index says {expected}")]
    Size {
        /// The file.
        location: String,
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// A part of a volume is damaged.
    #[error("{location}: volume `{volume}`, {part}: {problem}")]
    Damaged {
        /// File or address of the shard.
        location: String,
        /// The volume.
        volume: String,
        /// What of it.
        part: Part,
        /// What is wrong.
        problem: String,
    },
    /// A file that should be there is not.
    #[error("{location}: not there")]
    Missing {
        /// File or address.
        location: String,
    },
    /// A server does not answer, or not rightly.
    #[error("{url}: {message} (after {attempts} attempts)")]
    Remote {
        /// The address.
        url: String,
        /// Requests made.
        attempts: u32,
        /// What the last one failed with.
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

/// A part of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// All of the file.
    File,
    /// The index of its chunks.
    Index,
    /// A chunk, by its place in the volume's grid of chunks, x first.
    Chunk([usize; 3]),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("the file"),
            Self::Index => f.write_str("shard index"),
            Self::Chunk([x, y, z]) => write!(f, "chunk (x {x}, y {y}, z {z})"),
        }
    }
}

impl StoreError {
    /// Whether a volume is damaged or gone, so that others can still be read.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Whether what was to be read is not there.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Self::Missing { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// A file of a volume that is cut off or gone, as damage of that volume.
    pub(crate) fn of_volume(self, volume: &str) -> Self {
        let damage = |location, problem| Self::Damaged {
            location,
            volume: volume.into(),
            part: Part::File,
            problem,
        };
        match self {
            Self::Size {
                location,
                expected,
                found,
            } => damage(
                location,
                format!("it has {found} bytes, the index says {expected}"),
            ),
            Self::Missing { location } => damage(location, "it is not there".into()),
            Self::Io { path, source } if source.kind() == io::ErrorKind::NotFound => {
                damage(path.display().to_string(), "it is not there".into())
            }
            other => other,
        }
    }

    /// More bytes than are read.
    pub(crate) fn too_large(location: String, size: u64, limit: u64) -> Self {
        Self::metadata(
            location,
            "size",
            format!("{size} bytes, at most {limit} are read"),
        )
    }

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
