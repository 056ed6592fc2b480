//! What can go wrong while loading.

use std::io;

use thiserror::Error;

use crate::store::StoreError;

/// An error of the loader.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoaderError {
    /// A field of the configuration makes no sense.
    #[error("loader field {field}: {problem}")]
    Config {
        /// The field.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The position to start from belongs to other data or another configuration.
    #[error(
        "cannot go on at this position: it is of another store, seed, patch, batch or weights \
         (fingerprint {found:08x}, here {expected:08x})"
    )]
    Position {
        /// Of the position.
        found: u32,
        /// Of this store and configuration.
        expected: u32,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A volume could not be read.
    #[error("epoch {epoch}, sample {sample}: {source}")]
    Read {
        /// Epoch.
        epoch: u64,
        /// Sample of the epoch.
        sample: u64,
        /// Why.
        source: Box<StoreError>,
    },
    /// So many volumes in a row are damaged that skipping them makes no sense.
    #[error(
        "epoch {epoch}, sample {sample}: {skipped} volumes drawn for it are damaged, the last: {source}"
    )]
    TooMuchDamage {
        /// Epoch.
        epoch: u64,
        /// Sample of the epoch.
        sample: u64,
        /// Volumes skipped for this sample.
        skipped: usize,
        /// What is wrong with the last.
        source: Box<StoreError>,
    },
    /// The transform panicked.
    #[error("epoch {epoch}, sample {sample}, volume `{volume}`: the transform panicked: {message}")]
    Panic {
        /// Epoch.
        epoch: u64,
        /// Sample of the epoch.
        sample: u64,
        /// The volume.
        volume: String,
        /// What it said.
        message: String,
    },
}

impl LoaderError {
    pub(crate) fn config(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Config {
            field,
            problem: problem.into(),
        }
    }
}
