//! Checkpoints of a training run: one safetensors file with all that the next step depends on.
//!
//! | tensors | what |
//! |---|---|
//! | `model.KEY` | weights, with the reference's keys: PyTorch can load them |
//! | `optimizer.exp_avg.KEY`, `optimizer.exp_avg_sq.KEY` | moments of AdamW, flat |
//! | `ema.KEY` | averaged weights, where the run keeps them |
//!
//! The metadata entry `amaes.run` is the JSON of [`State`], `amaes.sha256` the checksum of it and
//! of all tensors.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use amaes_core::model::Spec;
use amaes_core::preprocess::Plan;
use amaes_core::weights::StateDict;
use burn::tensor::{DType, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{Result, TrainError};
use super::loss_scale::LossScale;
use crate::atomic::write_atomic;
use crate::digits::hex;
use crate::error::WithPath;

/// The folder of a run's checkpoints, within the run's.
pub const FOLDER: &str = "checkpoints";

const VERSION: u32 = 1;
const STATE: &str = "amaes.run";
const CHECKSUM: &str = "amaes.sha256";
const MODEL: &str = "model.";
const MEAN: &str = "optimizer.exp_avg.";
const SQUARE: &str = "optimizer.exp_avg_sq.";
const AVERAGE: &str = "ema.";
/// Longest header of a safetensors file, which the format limits.
const MAX_HEADER: u64 = 100_000_000;

/// What a checkpoint says beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of this layout.
    pub version: u32,
    /// What the run does: `pretrain` or `finetune`.
    pub task: String,
    /// The network.
    pub spec: Spec,
    /// The preprocessing of its volumes.
    pub plan: Plan,
    /// Optimiser steps taken.
    pub step: u64,
    /// Where the loader goes on.
    pub position: serde_json::Value,
    /// The configuration, whole.
    pub config: serde_json::Value,
    /// The best validation so far, where validation chooses the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
    /// The scale of the next step's loss, where gradients pass through half precision.
    #[serde(default, skip_serializing_if = "LossScale::is_new")]
    pub loss_scale: LossScale,
}

/// The best validation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps taken before it.
    pub step: u64,
    /// The mean Dice coefficient.
    pub dice: f64,
    /// Validations since, none of them better.
    pub since: u64,
}

/// A run after some steps.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What is not a tensor.
    pub state: State,
    /// The weights.
    pub model: StateDict,
    /// The optimiser's mean and mean square of every parameter by its name, flat. Empty before the
    /// first step.
    pub moments: BTreeMap<String, [TensorData; 2]>,
    /// Averaged weights.
    pub average: Option<StateDict>,
}

impl State {
    /// A state of this version.
    pub fn new(task: &str, spec: Spec, plan: Plan, config: serde_json::Value) -> Self {
        Self {
            version: VERSION,
            task: task.to_owned(),
            spec,
            plan,
            step: 0,
            position: serde_json::Value::Null,
            config,
            best: None,
            loss_scale: LossScale::default(),
        }
    }
}

impl Checkpoint {
    /// Writes the checkpoint, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`TrainError::File`] when the folder cannot be written or the disk is full.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut tensors: BTreeMap<String, &TensorData> = BTreeMap::new();
        for (name, data) in self.model.iter() {
            tensors.insert(format!("{MODEL}{name}"), data);
        }
        for (name, [mean, square]) in &self.moments {
            tensors.insert(format!("{MEAN}{name}"), mean);
            tensors.insert(format!("{SQUARE}{name}"), square);
        }
        for (name, data) in self.average.iter().flat_map(StateDict::iter) {
            tensors.insert(format!("{AVERAGE}{name}"), data);
        }
        let state = serde_json::to_string(&self.state).with_path(path)?;
        let mut sum = Checksum::new(&state);
        let mut views = Vec::with_capacity(tensors.len());
        for (name, data) in &tensors {
            sum.tensor(name, data.shape(), data.as_bytes());
            let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes());
            views.push((name, view.map_err(|e| TrainError::checkpoint(path, e))?));
        }
        let metadata = HashMap::from([
            (STATE.to_owned(), state),
            (CHECKSUM.to_owned(), sum.finish()),
        ]);
        let bytes =
            serialize(views, Some(metadata)).map_err(|e| TrainError::checkpoint(path, e))?;
        write_atomic(path, |out| out.write_all(&bytes).with_path(path))?;
        Ok(())
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    ///
    /// [`TrainError::File`]; [`TrainError::Checkpoint`] when the file is cut off, was changed, is
    /// none of ours or of a newer version.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_path(path)?;
        let bad = |message: &dyn std::fmt::Display| TrainError::checkpoint(path, message);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| bad(&e))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |name: &str| {
            metadata
                .get(name)
                .ok_or_else(|| bad(&format!("no checkpoint of a run: it has no `{name}`")))
        };
        let text = entry(STATE)?;
        let version = serde_json::from_str::<Version>(text).map_err(|e| bad(&e))?;
        if version.version > VERSION {
            return Err(bad(&format!(
                "of version {}; this program reads up to {VERSION}",
                version.version
            )));
        }
        let state: State = serde_json::from_str(text).map_err(|e| bad(&e))?;

        let file = SafeTensors::deserialize(&bytes).map_err(|e| bad(&e))?;
        let mut views = file.tensors();
        views.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut sum = Checksum::new(text);
        let mut tensors = BTreeMap::new();
        for (name, view) in views {
            if view.dtype() != Dtype::F32 {
                return Err(bad(&format!(
                    "tensor `{name}` is of type {:?}",
                    view.dtype()
                )));
            }
            sum.tensor(&name, view.shape(), view.data());
            let shape = view.shape().to_vec();
            let data = TensorData::from_bytes_vec(view.data().to_vec(), shape, DType::F32);
            tensors.insert(name, data);
        }
        if sum.finish() != *entry(CHECKSUM)? {
            return Err(bad(
                &"its checksum is wrong: the file was changed or cut off",
            ));
        }

        let mut checkpoint = Self {
            state,
            model: StateDict::new(),
            moments: BTreeMap::new(),
            average: None,
        };
        let names: Vec<String> = tensors
            .keys()
            .filter_map(|n| n.strip_prefix(MODEL).map(str::to_owned))
            .collect();
        for name in names {
            let mut take = |prefix: &str| tensors.remove(&format!("{prefix}{name}"));
            if let Some((mean, square)) = take(MEAN).zip(take(SQUARE)) {
                checkpoint.moments.insert(name.clone(), [mean, square]);
            }
            if let Some(data) = take(AVERAGE) {
                let average = checkpoint.average.get_or_insert_default();
                average.insert(name.as_str(), data).map_err(|e| bad(&e))?;
            }
            if let Some(data) = take(MODEL) {
                checkpoint.model.insert(name, data).map_err(|e| bad(&e))?;
            }
        }
        if let Some(name) = tensors.keys().next() {
            return Err(bad(&format!("tensor `{name}` belongs to no parameter")));
        }
        Ok(checkpoint)
    }
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Whether a file is a checkpoint of a run, whole or not.
pub fn is_checkpoint(path: &Path) -> bool {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let mut header = Vec::new();
        let most = u64::from_le_bytes(length).min(MAX_HEADER);
        file.take(most).read_to_end(&mut header)?;
        Ok(header)
    };
    let name = format!("\"{STATE}\"");
    read().is_ok_and(|header| {
        let mut windows = header.windows(name.len());
        header.first() == Some(&b'{') && windows.any(|w| w == name.as_bytes())
    })
}

/// The file of the checkpoint after `step` steps, relative to the run's folder.
pub fn file(step: u64) -> PathBuf {
    Path::new(FOLDER).join(format!("step-{step:08}.safetensors"))
}

/// The steps of a run's checkpoints, first to last.
///
/// # Errors
///
/// [`TrainError::File`] when the folder cannot be read.
pub fn list(run: &Path) -> Result<Vec<u64>> {
    let folder = run.join(FOLDER);
    let mut steps = Vec::new();
    for entry in fs::read_dir(&folder).with_path(&folder)? {
        let name = entry.with_path(&folder)?.file_name();
        let step = name
            .to_str()
            .and_then(|n| n.strip_prefix("step-")?.strip_suffix(".safetensors"))
            .and_then(|n| n.parse::<u64>().ok());
        steps.extend(step);
    }
    steps.sort_unstable();
    Ok(steps)
}

/// The last checkpoint of a run that can be read, with a line for each later one that cannot.
///
/// # Errors
///
/// [`TrainError::File`]; the last one's error when none can be read.
pub fn latest(run: &Path) -> Result<(Checkpoint, Vec<String>)> {
    let mut broken = Vec::new();
    let mut first = None;
    for step in list(run)?.into_iter().rev() {
        match Checkpoint::read(&run.join(file(step))) {
            Ok(checkpoint) => return Ok((checkpoint, broken)),
            Err(error) => {
                broken.push(error.to_string());
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| TrainError::checkpoint(&run.join(FOLDER), "no checkpoint there")))
}

/// Removes all but the last `keep` checkpoints. Those at multiples of `milestone` stay.
///
/// # Errors
///
/// [`TrainError::File`].
pub fn prune(run: &Path, keep: usize, milestone: Option<u64>) -> Result<()> {
    let steps = list(run)?;
    let old = &steps[..steps.len().saturating_sub(keep.max(1))];
    for &step in old {
        if milestone.is_none_or(|m| m == 0 || step % m != 0) {
            let path = run.join(file(step));
            fs::remove_file(&path).with_path(&path)?;
        }
    }
    Ok(())
}

/// SHA-256 of the state and the tensors in the order of their names; each part is preceded by its
/// length.
struct Checksum(Sha256);

impl Checksum {
    fn new(state: &str) -> Self {
        let mut sum = Self(Sha256::new());
        sum.part(state.as_bytes());
        sum
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn tensor(&mut self, name: &str, shape: &[usize], bytes: &[u8]) {
        self.part(name.as_bytes());
        self.0.update((shape.len() as u64).to_le_bytes());
        for &edge in shape {
            self.0.update((edge as u64).to_le_bytes());
        }
        self.part(bytes);
    }

    fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}
