//! What of an experiment is done, under way or failed, as its folder says.
//!
//! A unit of work (data, a pretraining, a finetuning, a test set) is done when its folder holds
//! [`DONE`]; deleting the folder is how it is done again. A lock that ends with the process that
//! holds it keeps others from the same work, and what went wrong last is kept beside the locks.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::Result;
use super::plan::Plan;
use crate::atomic::write_bytes;
use crate::error::WithPath;
use crate::train::log::{self, Record};

/// The file in the folder of a unit of work that is written last.
pub const DONE: &str = "done.json";
/// The folder of locks and messages.
const STATE: &str = "state";

/// A unit of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Data of the plan.
    Data(usize),
    /// A pretraining of the plan.
    Pretraining(usize),
    /// A cell of the plan.
    Cell(usize),
}

/// How far a unit of work is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Nothing is there.
    Waiting,
    /// A process is at it.
    Running(Option<Steps>),
    /// Nobody is at it.
    Begun(Option<Steps>),
    /// What went wrong last.
    Failed(String),
    /// All of it is done.
    Done,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = |s: &Option<Steps>| match s {
            Some(s) => format!(", step {} of {}", s.taken, s.all),
            None => String::new(),
        };
        match self {
            Self::Waiting => f.write_str("waiting"),
            Self::Running(s) => write!(f, "running{}", steps(s)),
            Self::Begun(s) => write!(f, "begun{}", steps(s)),
            Self::Failed(message) => write!(f, "failed: {message}"),
            Self::Done => f.write_str("done"),
        }
    }
}

/// Steps of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Taken.
    pub taken: u64,
    /// In all.
    pub all: u64,
}

/// What a run took, as its log says: of the steps that led to its end, not of those that a killed
/// process had to take again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Steps.
    pub steps: u64,
    /// Seconds of them together.
    pub seconds: f64,
    /// Seconds of the middle one: half were faster.
    pub median_s: f64,
    /// Largest resident memory in MiB, where the system tells.
    pub memory_mib: Option<f64>,
    /// Parameters of the network.
    pub parameters: u64,
    /// Volumes that were trained on.
    pub volumes: u64,
}

/// Keeps other processes from a unit of work until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Plan {
    /// The folder in which a unit of work keeps what it makes.
    pub(super) fn folder(&self, unit: Unit) -> PathBuf {
        match unit {
            Unit::Data(n) => self.data[n].folder.clone(),
            Unit::Pretraining(n) => self.pretraining_folder(n),
            Unit::Cell(n) => self.finetuning_folder(n),
        }
    }

    /// The name of a unit of work for people.
    pub fn unit_name(&self, unit: Unit) -> String {
        match unit {
            Unit::Data(n) => format!("data {}", self.data[n].name),
            Unit::Pretraining(n) => format!("pretraining {}", self.pretrainings[n].name),
            Unit::Cell(n) => self.cells[n].name.clone(),
        }
    }

    fn file(&self, unit: Unit, ending: &str) -> PathBuf {
        let kind = match unit {
            Unit::Data(_) => "data",
            Unit::Pretraining(_) => "pretraining",
            Unit::Cell(_) => "cell",
        };
        let folder = self.folder(unit);
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let file = format!("{kind}.{name}.{ending}");
        self.matrix.folder.join(STATE).join(file)
    }

    /// Whether all of a unit of work is done.
    pub fn is_done(&self, unit: Unit) -> bool {
        let tested = match unit {
            Unit::Cell(n) => (0..self.cells[n].tests.len()).all(|t| self.is_tested(n, t)),
            _ => true,
        };
        tested && self.folder(unit).join(DONE).is_file()
    }

    /// Whether a cell's test set is done.
    pub(super) fn is_tested(&self, cell: usize, test: usize) -> bool {
        self.test_folder(cell, test).join(DONE).is_file()
    }

    /// How far a unit of work is.
    pub fn state(&self, unit: Unit) -> State {
        if self.is_done(unit) {
            return State::Done;
        }
        let steps = steps(&self.folder(unit));
        if self.is_locked(unit) {
            return State::Running(steps);
        }
        if let Ok(message) = fs::read_to_string(self.file(unit, "error")) {
            return State::Failed(message);
        }
        match self.folder(unit).exists() {
            true => State::Begun(steps),
            false => State::Waiting,
        }
    }

    /// Takes a unit of work; nothing where another process is at it.
    pub(super) fn lock(&self, unit: Unit) -> Result<Option<Lock>> {
        let path = self.file(unit, "lock");
        fs::create_dir_all(self.matrix.folder.join(STATE)).with_path(&path)?;
        let mut open = OpenOptions::new();
        let file = open.create(true).truncate(false).write(true).open(&path);
        let file = file.with_path(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Ok(Err(source).with_path(&path)?),
        }
    }

    fn is_locked(&self, unit: Unit) -> bool {
        let file = File::open(self.file(unit, "lock"));
        file.is_ok_and(|f| matches!(f.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Keeps what went wrong, or forgets it.
    pub(super) fn set_error(&self, unit: Unit, message: Option<&str>) -> Result<()> {
        let path = self.file(unit, "error");
        match message {
            Some(message) => write_bytes(&path, message.as_bytes())?,
            None if path.exists() => fs::remove_file(&path).with_path(&path)?,
            None => {}
        }
        Ok(())
    }
}

/// How far the run in a folder is.
fn steps(folder: &Path) -> Option<Steps> {
    let records = log::read(folder).ok()?;
    let all = records.iter().find_map(|r| match r {
        Record::Run(run) => Some(run.steps),
        _ => None,
    })?;
    let taken = records.iter().map(Record::step).max().unwrap_or(0);
    Some(Steps { taken, all })
}

impl Spent {
    /// What the run in a folder took.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::File`](super::ExperimentError::File) when its log cannot be read.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let mut spent = Self::default();
        let mut times = Vec::new();
        for record in log::read(folder)? {
            match record {
                Record::Run(run) => {
                    spent.parameters = run.parameters;
                    spent.volumes = run.volumes;
                }
                Record::Step(step) => {
                    spent.steps = step.step;
                    times.push(step.step_s);
                    let memory = [spent.memory_mib, step.memory_mib];
                    spent.memory_mib = memory.into_iter().flatten().reduce(f64::max);
                }
                _ => {}
            }
        }
        spent.seconds = times.iter().sum();
        times.sort_by(f64::total_cmp);
        spent.median_s = times.get(times.len() / 2).copied().unwrap_or(0.0);
        Ok(spent)
    }
}

/// Writes that a unit of work is done, with what it took.
pub(super) fn set_done(folder: &Path, value: &impl Serialize) -> Result<()> {
    let path = folder.join(DONE);
    let text = serde_json::to_vec_pretty(value).with_path(&path)?;
    Ok(write_bytes(&path, &text)?)
}

/// What a unit of work took that is done.
pub(super) fn done<T: DeserializeOwned>(folder: &Path) -> Result<Option<T>> {
    let path = folder.join(DONE);
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read(&path).with_path(&path)?;
    Ok(Some(serde_json::from_slice(&text).with_path(&path)?))
}
