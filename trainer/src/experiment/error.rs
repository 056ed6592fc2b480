//! Why an experiment is refused or cannot go on.

use std::path::PathBuf;

use thiserror::Error;

use crate::labelled::LabelledError;
use crate::store::StoreError;
use crate::synth::SynthError;
use crate::train::TrainError;

/// The result of a part of an experiment.
pub(super) type Result<T> = std::result::Result<T, ExperimentError>;

/// Why an experiment is refused or cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] crate::Error),
    /// A part of the matrix makes no sense.
    #[error("{}: {field}: {message}", path.display())]
    Matrix {
        /// The matrix file.
        path: PathBuf,
        /// The field, as the file names it.
        field: String,
        /// Why.
        message: String,
    },
    /// A configuration of a run makes no sense, or a run failed.
    #[error("{what}: {source}")]
    Train {
        /// Which.
        what: String,
        /// Why.
        source: Box<TrainError>,
    },
    /// A store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Labelled cases cannot be found or read.
    #[error(transparent)]
    Labelled(#[from] LabelledError),
    /// Synthetic subjects cannot be made.
    #[error(transparent)]
    Synth(#[from] SynthError),
    /// A test set makes no sense.
    #[error("test set `{test}` of task `{task}`: {message}")]
    Test {
        /// Its name.
        test: String,
        /// The task's.
        task: String,
        /// Why.
        message: String,
    },
    /// There is no such cell.
    #[error("there is no cell `{0}`; `amaes experiment list` shows them")]
    NoCell(String),
}

impl ExperimentError {
    pub(super) fn train(what: impl Into<String>, source: TrainError) -> Self {
        Self::Train {
            what: what.into(),
            source: Box::new(source),
        }
    }
}
