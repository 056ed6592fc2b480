//! What a run begins with: the network, its preprocessing and its first weights.

use std::path::Path;

use amaes_core::model::Spec;
use amaes_core::preprocess::Plan;
use amaes_core::weights::{
    LoadOptions, LoadReport, Part, Partial, StateDict, initial, sha256, transfer,
};
use serde::Serialize;

use super::config::{FinetuneConfig, Transfer};
use crate::error::{Error, WithPath};
use crate::model::{self, Beside};
use crate::train::backbone::{filters, segmenting};
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::error::{Result, TrainError};
use crate::train::export;

/// The network and its preprocessing; the weights where the run is at its beginning.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) spec: Spec,
    pub(super) plan: Plan,
    pub(super) weights: StateDict,
    /// What became of the weights that the configuration names.
    pub(super) report: Option<Transferred>,
    /// What was assumed about them.
    pub(super) notes: Vec<String>,
}

/// Which weights were taken from a file.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Transferred {
    /// The file, as it was named.
    source: String,
    /// Its SHA-256, hexadecimal.
    sha256: String,
    /// The network in it.
    network: Spec,
    /// Parameters that were taken, those that stay random (`missing`), tensors that were not used
    /// (`unexpected`), and parameters of another shape.
    #[serde(flatten)]
    report: LoadReport,
}

impl std::fmt::Display for Transferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "weights of {}: {}", self.source, self.report)
    }
}

/// Weights with what is known about them.
struct Opened {
    spec: Spec,
    plan: Plan,
    state: StateDict,
    sha256: String,
    notes: Vec<String>,
}

impl Origin {
    /// What the configuration says, for images of so many channels and classes.
    pub(super) fn new(config: &FinetuneConfig, channels: usize, classes: usize) -> Result<Self> {
        let model = &config.model;
        let opened = match &model.weights {
            Some(path) => Some(open(path, &model.allow_globals)?),
            None => None,
        };
        let spec = match (model.backbone, &opened) {
            (None, Some(opened)) => {
                let spec = segmenting(&opened.spec).ok_or_else(|| {
                    let message = format!("a {} is not finetuned", opened.spec.name());
                    TrainError::config("model.weights", message)
                })?;
                if model.filters.is_some() && model.filters != filters(&spec) {
                    let message = "not those of the weights; name model.backbone for another size";
                    return Err(TrainError::config("model.filters", message));
                }
                spec
            }
            (backbone, _) => backbone.unwrap_or_default().segmenting(model.filters),
        };
        let spec = spec.with_channels(channels, classes);
        spec.validate()
            .map_err(|e| TrainError::config("model", e.to_string()))?;
        let mut weights = initial(&spec, config.run.seed)?;
        let plan = match (&model.plan, &opened) {
            (Some(path), _) => {
                let plan: Plan = model::json(path)?;
                plan.validate().with_path(path)?;
                plan
            }
            (None, Some(opened)) => opened.plan.clone(),
            (None, None) => Plan::reference(),
        };
        let (mut report, mut notes) = (None, Vec::new());
        if let (Some(path), Some(mut opened)) = (&model.weights, opened) {
            let partial = match model.transfer {
                Transfer::Encoder => Partial::EncoderOnly(&spec),
                Transfer::All => {
                    as_segmenting(&mut opened.state)?;
                    Partial::Matching(&spec)
                }
            };
            let options = LoadOptions {
                partial,
                repeat_stem: model.repeat_stem,
            };
            let found = transfer(&mut weights, &opened.state, &options).with_path(path)?;
            report = Some(Transferred {
                source: path.display().to_string(),
                sha256: opened.sha256,
                network: opened.spec,
                report: found,
            });
            if model.plan.is_none() {
                notes = opened.notes;
            }
        }
        Ok(Self {
            spec,
            plan,
            weights,
            report,
            notes,
        })
    }

    /// What a run began with, from one of its checkpoints.
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        Self {
            spec: checkpoint.state.spec.clone(),
            plan: checkpoint.state.plan.clone(),
            weights: StateDict::new(),
            report: None,
            notes: Vec::new(),
        }
    }
}

/// Names a decoder that restores images as one that segments, where there is none: what has the
/// same shape can be taken.
fn as_segmenting(state: &mut StateDict) -> Result<()> {
    if !state.names().any(|name| name.starts_with("pred_head.")) {
        state.rename(|name| match name.strip_prefix("rec_head.") {
            Some(rest) => format!("pred_head.{rest}"),
            None => name.to_owned(),
        })?;
    }
    Ok(())
}

/// Opens weights of any kind: the folder of a run is its model, or its last checkpoint where it
/// has not ended.
fn open(path: &Path, allow_globals: &[String]) -> Result<Opened> {
    if path.join(checkpoint::FOLDER).is_dir() {
        let model = path.join(export::MODEL);
        return match model.is_file() {
            true => open(&model, allow_globals),
            false => {
                let (checkpoint, _) = checkpoint::latest(path)?;
                let file = path.join(checkpoint::file(checkpoint.state.step));
                of_checkpoint(checkpoint, &file)
            }
        };
    }
    if path.is_file() && checkpoint::is_checkpoint(path) {
        return of_checkpoint(Checkpoint::read(path)?, path);
    }
    let beside = Beside {
        allow_globals: allow_globals.to_vec(),
        part: Part::Encoder,
        ..Beside::default()
    };
    let opened = model::open(path, &beside)?;
    Ok(Opened {
        spec: opened.file.spec,
        plan: opened.file.plan,
        state: opened.file.state,
        sha256: match path.is_file() {
            true => sum(path)?,
            // A TensorFlow.js model is a folder.
            false => opened.file.provenance.sha256.unwrap_or_default(),
        },
        notes: opened.notes,
    })
}

/// The averaged weights of a checkpoint where it has them.
fn of_checkpoint(checkpoint: Checkpoint, path: &Path) -> Result<Opened> {
    Ok(Opened {
        spec: checkpoint.state.spec,
        plan: checkpoint.state.plan,
        state: checkpoint.average.unwrap_or(checkpoint.model),
        sha256: sum(path)?,
        notes: Vec::new(),
    })
}

fn sum(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    Ok(sha256(&bytes))
}
