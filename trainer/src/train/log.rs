//! The log of a training run: one JSON object a line, appended as it happens.
//!
//! Whatever watches a run reads this file: the first line describes the run, the others are events
//! in the order of their steps. A run that was killed may have left half a line at the end; a
//! resumed run cuts the log back to its checkpoint before it goes on.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::atomic::write_bytes;
use crate::error::{Result, WithPath};

/// The file's name within the folder of a run.
pub const FILE: &str = "log.jsonl";

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// What runs; the first line.
    Run(Run),
    /// One optimiser step.
    Step(Step),
    /// Losses over the validation samples.
    Validation(Validation),
    /// Something that people should know about the run's weights or data.
    Note {
        /// Steps taken before it.
        step: u64,
        /// What.
        message: String,
    },
    /// A damaged volume was passed over.
    Damaged {
        /// Steps taken before it.
        step: u64,
        /// Which, and what is wrong with it.
        message: String,
    },
    /// A picture was written.
    Picture {
        /// Steps taken before it.
        step: u64,
        /// The file, relative to the run's folder.
        path: PathBuf,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Steps taken before it.
        step: u64,
        /// The file, relative to the run's folder.
        path: PathBuf,
    },
    /// The run went on from a checkpoint.
    Resume {
        /// Steps taken before it.
        step: u64,
        /// Seconds since 1970.
        time: f64,
    },
    /// The run stopped.
    End {
        /// Steps taken.
        step: u64,
        /// Why.
        reason: EndReason,
        /// Seconds since 1970.
        time: f64,
    },
}

/// Why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// All steps were taken.
    Finished,
    /// A signal or the user asked for it.
    Interrupted,
    /// An error.
    Failed,
}

/// The first line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The run's name.
    pub name: String,
    /// What it does: `pretrain` or `finetune`.
    pub task: String,
    /// Seconds since 1970.
    pub started: f64,
    /// The network, for people.
    pub model: String,
    /// Its parameters.
    pub parameters: u64,
    /// The device.
    pub device: String,
    /// Processes that share the work.
    pub world: usize,
    /// Volumes to train on.
    pub volumes: u64,
    /// Steps until the end.
    pub steps: u64,
    /// Samples a step, of all processes together.
    pub batch: usize,
    /// The configuration, whole.
    pub config: serde_json::Value,
}

/// A line for one optimiser step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Steps taken, this one included: from 1.
    pub step: u64,
    /// Passes over the corpus begun before it.
    pub epoch: u64,
    /// Samples seen, of all processes together.
    pub samples: u64,
    /// What is minimised.
    pub loss: f64,
    /// Mean squared error over the masked voxels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_loss: Option<f64>,
    /// Mean squared error over the visible voxels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_loss: Option<f64>,
    /// Cross-entropy of telling how views are rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_loss: Option<f64>,
    /// Contrastive loss: mean cross-entropy of finding the other view of a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contrastive_loss: Option<f64>,
    /// Mean absolute error of restored views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inpainting_loss: Option<f64>,
    /// The Dice part of a segmentation's loss: 1 less the mean soft Dice coefficient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dice_loss: Option<f64>,
    /// The cross-entropy of a segmentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_entropy: Option<f64>,
    /// Learning rate.
    pub lr: f64,
    /// L2 norm of all gradients, before clipping. 0 where the step was skipped, see
    /// [`LossScale`](super::loss_scale::LossScale).
    pub grad_norm: f64,
    /// What the loss was multiplied by, where gradients pass through half precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Seconds for the step, waiting included.
    pub step_s: f64,
    /// Seconds of it that were spent waiting for samples.
    pub wait_s: f64,
    /// Samples a second, of all processes together.
    pub samples_per_s: f64,
    /// Largest resident memory of the process so far, in MiB, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<f64>,
    /// Seconds since 1970.
    pub time: f64,
}

/// A line for one validation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Steps taken before it.
    pub step: u64,
    /// What is minimised.
    pub loss: f64,
    /// Mean squared error over the masked voxels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_loss: Option<f64>,
    /// Mean squared error over the visible voxels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_loss: Option<f64>,
    /// Loss of predicting each sample's mean, for comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_loss: Option<f64>,
    /// Cross-entropy of telling how views are rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_loss: Option<f64>,
    /// Contrastive loss: mean cross-entropy of finding the other view of a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contrastive_loss: Option<f64>,
    /// Mean absolute error of restored views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inpainting_loss: Option<f64>,
    /// The Dice part of a segmentation's loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dice_loss: Option<f64>,
    /// The cross-entropy of a segmentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_entropy: Option<f64>,
    /// The mean of `classes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dice: Option<f64>,
    /// The Dice coefficient of each class but the background: the mean over the cases in which the
    /// reference or the segmentation has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, f64>,
}

impl Record {
    /// Steps taken when it was written.
    pub fn step(&self) -> u64 {
        match self {
            Self::Run(_) => 0,
            Self::Step(s) => s.step,
            Self::Validation(v) => v.step,
            Self::Note { step, .. }
            | Self::Damaged { step, .. }
            | Self::Picture { step, .. }
            | Self::Checkpoint { step, .. }
            | Self::Resume { step, .. }
            | Self::End { step, .. } => *step,
        }
    }
}

/// Appends to a log; every line is in the file before the call returns.
#[derive(Debug)]
pub struct Logger {
    path: PathBuf,
    file: File,
}

impl Logger {
    /// Begins a log in the folder of a run.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io), also where there is a log already.
    pub fn create(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .with_path(&path)?;
        Ok(Self { path, file })
    }

    /// Opens a log to go on after `step` steps. Lines of later steps, an end that was overtaken
    /// and half a line are cut off.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::Json`](crate::Error::Json).
    pub fn resume(folder: &Path, step: u64) -> Result<Self> {
        let path = folder.join(FILE);
        let mut kept = Vec::new();
        for record in read(folder)? {
            if record.step() <= step && !matches!(record, Record::End { .. }) {
                kept.extend(line(&record, &path)?);
            }
        }
        write_bytes(&path, &kept)?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_path(&path)?;
        Ok(Self { path, file })
    }

    /// Appends a line.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io).
    pub fn write(&mut self, record: &Record) -> Result<()> {
        let line = line(record, &self.path)?;
        self.file.write_all(&line).with_path(&self.path)
    }
}

fn line(record: &Record, path: &Path) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record).with_path(path)?;
    line.push(b'\n');
    Ok(line)
}

/// Reads the log of a run. Half a line at the end, which a killed run leaves, is no error.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io); [`Error::Json`](crate::Error::Json) for a line that is no
/// record.
pub fn read(folder: &Path) -> Result<Vec<Record>> {
    let path = folder.join(FILE);
    let mut reader = BufReader::new(File::open(&path).with_path(&path)?);
    let mut records = Vec::new();
    let mut text = Vec::new();
    loop {
        text.clear();
        reader.read_until(b'\n', &mut text).with_path(&path)?;
        if text.last() != Some(&b'\n') {
            return Ok(records);
        }
        records.push(serde_json::from_slice(&text).with_path(&path)?);
    }
}

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> Record {
        Record::Step(Step {
            step,
            epoch: 0,
            samples: 8 * step,
            loss: 0.5,
            masked_loss: Some(0.6),
            visible_loss: Some(0.35),
            lr: 1e-4,
            grad_norm: 1.5,
            step_s: 0.25,
            wait_s: 0.0,
            samples_per_s: 32.0,
            memory_mib: Some(100.0),
            time: now(),
            ..Step::default()
        })
    }

    #[test]
    fn a_resumed_log_is_cut_back_to_its_checkpoint() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Logger::create(folder.path()).expect("a new log");
        for i in 1..=5 {
            log.write(&step(i)).expect("written");
        }
        log.file.write_all(br#"{"kind":"st"#).expect("half a line");
        drop(log);
        assert_eq!(read(folder.path()).expect("read").len(), 5);
        assert!(Logger::create(folder.path()).is_err(), "a log is there");

        let mut log = Logger::resume(folder.path(), 3).expect("resumed");
        log.write(&step(4)).expect("written");
        let steps: Vec<u64> = read(folder.path())
            .expect("read")
            .iter()
            .map(Record::step)
            .collect();
        assert_eq!(steps, [1, 2, 3, 4]);
    }

    #[test]
    fn a_line_that_is_no_record_is_an_error_with_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FILE), "{\"kind\":\"cake\"}\n").expect("written");
        let error = read(folder.path()).expect_err("no such kind").to_string();
        assert!(error.contains(FILE) && error.contains("cake"), "{error}");
    }
}
