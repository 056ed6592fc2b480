//! Errors that name the file.

use std::io;
use std::path::{Path, PathBuf};

use amaes_core::infer::{InferError, LabelError};
use amaes_core::metric::MetricError;
use amaes_core::model::SpecError;
use amaes_core::preprocess::PlanError;
use amaes_core::volume::VolumeError;
use amaes_core::weights::WeightsError;
use thiserror::Error;

use crate::loader::LoaderError;
use crate::store::StoreError;

/// The result of an operation on files.
pub type Result<T> = std::result::Result<T, Error>;

/// An error, and the file that it is about.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A volume is broken or of a kind that is not read.
    #[error("{}: {source}", path.display())]
    Volume {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VolumeError,
    },
    /// A volume cannot be preprocessed.
    #[error("{}: {source}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PlanError,
    },
    /// Weights are broken or of an unknown network.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        source: WeightsError,
    },
    /// A JSON file does not say what it should.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The network cannot run on this volume.
    #[error("{}: {source}", path.display())]
    Infer {
        /// The volume.
        path: PathBuf,
        /// Why.
        source: InferError,
    },
    /// Labels cannot be cleaned or measured.
    #[error("{}: {source}", path.display())]
    Labels {
        /// The volume.
        path: PathBuf,
        /// Why.
        source: LabelError,
    },
    /// A prediction cannot be compared with its reference.
    #[error("{}: {source}", path.display())]
    Metric {
        /// The prediction.
        path: PathBuf,
        /// Why.
        source: MetricError,
    },
    /// A network cannot be built.
    #[error("{}: {source}", path.display())]
    Spec {
        /// The model.
        path: PathBuf,
        /// Why.
        source: SpecError,
    },
    /// A TOML file does not say what it should.
    #[error("{}: {}", path.display(), source.to_string().trim_end())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Why, with the line.
        source: toml::de::Error,
    },
    /// A catalogue cannot be read or written.
    #[error("{}: {source}", path.display())]
    Catalogue {
        /// The catalogue.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// What is asked for makes no sense for this file.
    #[error("{}: {message}", path.display())]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A store cannot be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Training samples cannot be had.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// A device is not there.
    #[error("device `{device}`: {message}")]
    Device {
        /// Its name.
        device: &'static str,
        /// Why.
        message: String,
    },
}

impl Error {
    /// An error about `path` that is no other library's.
    pub fn unsuitable(path: &Path, message: impl Into<String>) -> Self {
        Self::Unsuitable {
            path: path.to_owned(),
            message: message.into(),
        }
    }
}

/// Adds the file to an error.
pub(crate) trait WithPath<T> {
    /// The same result, its error with the file.
    fn with_path(self, path: &Path) -> Result<T>;
}

macro_rules! with_path {
    ($($variant:ident: $source:ty),*) => {$(
        impl<T> WithPath<T> for std::result::Result<T, $source> {
            fn with_path(self, path: &Path) -> Result<T> {
                self.map_err(|source| Error::$variant { path: path.to_owned(), source })
            }
        }
    )*};
}

with_path!(
    Io: io::Error,
    Volume: VolumeError,
    Plan: PlanError,
    Weights: WeightsError,
    Json: serde_json::Error,
    Infer: InferError,
    Labels: LabelError,
    Metric: MetricError,
    Spec: SpecError,
    Catalogue: rusqlite::Error,
    Toml: toml::de::Error
);
