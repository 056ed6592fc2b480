//! Sections that the configurations of all runs have, and how configurations are read and checked.

use std::path::{Path, PathBuf};

use amaes_core::nn::Precision;
use burn::tensor::Device;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::adamw::AdamWConfig;
use super::error::{Result, TrainError};
use crate::device::DeviceKind;
use crate::error::WithPath;

/// Where a run is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// The run's name.
    pub name: String,
    /// The folder of runs; this one's is `FOLDER/NAME`.
    pub folder: PathBuf,
    /// Everything drawn at random depends on it.
    pub seed: u64,
    /// The device.
    pub device: DeviceKind,
}

/// What is written, and when. 0 is never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Steps between checkpoints. One is written at the end in any case.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept.
    pub keep: usize,
    /// Checkpoints at multiples of so many steps are kept for good.
    pub milestone: Option<u64>,
    /// Steps between validations.
    pub validate_every: u64,
    /// Steps between pictures of masked, restored and true patches.
    pub picture_every: u64,
    /// Also write TensorBoard events.
    pub tensorboard: bool,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            name: "pretrain".into(),
            folder: "runs".into(),
            seed: 1,
            device: DeviceKind::default(),
        }
    }
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self {
            checkpoint_every: 1000,
            keep: 3,
            milestone: None,
            validate_every: 1000,
            picture_every: 1000,
            tensorboard: true,
        }
    }
}

impl RunConfig {
    /// The run's folder.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    pub(super) fn validate(&self) -> Result<()> {
        let name = &self.name;
        check(
            "run.name",
            !name.is_empty() && !name.contains(['/', '\\']) && name != "." && name != "..",
            || format!("`{name}` is no name of a folder"),
        )
    }
}

impl OutputConfig {
    pub(super) fn validate(&self) -> Result<()> {
        positive("output.keep", self.keep as u64)
    }
}

impl AdamWConfig {
    pub(super) fn validate(&self) -> Result<()> {
        share("optimizer.betas", self.betas[0], true)?;
        share("optimizer.betas", self.betas[1], true)?;
        check("optimizer.epsilon", self.epsilon > 0.0, || {
            self.epsilon.to_string()
        })?;
        share("optimizer.weight_decay", self.weight_decay, false)
    }
}

/// Whether activations are stored in single precision, as they are where nothing is said.
pub(super) fn is_single(precision: &Precision) -> bool {
    *precision == Precision::Float32
}

/// Refuses a precision that the run's device does not have.
pub(super) fn on_device(precision: Precision, run: &RunConfig, device: &Device) -> Result<()> {
    check("training.precision", precision.is_on(device), || {
        run.device.lacks(precision)
    })
}

/// Reads a configuration as a table; each of `overrides` is `section.field=value`, the value as
/// TOML writes it, quotes of a string left out at will.
pub(crate) fn table(path: Option<&Path>, overrides: &[String]) -> Result<toml::Table> {
    let mut table = match path {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_path(path)?;
            text.parse::<toml::Table>()
                .map_err(|e| TrainError::toml(path, e))?
        }
        None => toml::Table::new(),
    };
    for text in overrides {
        set(&mut table, text)?;
    }
    Ok(table)
}

/// A configuration from its table; what that leaves out is as in the configuration's default, also
/// within sections. Errors call it `name`.
pub(super) fn from_table<T>(table: toml::Table, name: &Path) -> Result<T>
where
    T: Default + Serialize + DeserializeOwned,
{
    over(&T::default(), table, name)
}

/// A configuration from its table; what that leaves out is as in `base`, also within sections.
/// Errors call it `name`.
pub(super) fn over<T>(base: &T, table: toml::Table, name: &Path) -> Result<T>
where
    T: Serialize + DeserializeOwned,
{
    let mut all =
        toml::Table::try_from(base).map_err(|e| TrainError::config("file", e.to_string()))?;
    merge(&mut all, table);
    all.try_into().map_err(|e| TrainError::toml(name, e))
}

/// Puts the fields of `from` over those of `into`.
fn merge(into: &mut toml::Table, from: toml::Table) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

/// A configuration as a file that [`table`] reads.
pub(super) fn to_toml(config: &impl Serialize) -> Result<String> {
    toml::to_string_pretty(config).map_err(|e| TrainError::config("file", e.to_string()))
}

/// Checks the edges of a patch.
pub(super) fn patch_size(size: [usize; 3], multiple: usize) -> Result<()> {
    let holds = size
        .iter()
        .all(|e| (1..=1024).contains(e) && e % multiple == 0);
    check("patch.size", holds, || {
        format!("{size:?}: edges are multiples of {multiple}, up to 1024")
    })
}

/// Checks the parts of a batch.
pub(super) fn accumulate(parts: usize, batch: usize) -> Result<()> {
    let holds = parts > 0 && batch.is_multiple_of(parts);
    check("training.accumulate", holds, || {
        format!("{parts} does not divide the batch of {batch}")
    })
}

pub(super) fn check(
    field: &'static str,
    holds: bool,
    message: impl FnOnce() -> String,
) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(TrainError::config(field, message())),
    }
}

/// Checks that a value is in `0..=1`, or in `0..1`.
pub(super) fn share(field: &'static str, value: f64, below_one: bool) -> Result<()> {
    let holds = (0.0..=1.0).contains(&value) && !(below_one && value == 1.0);
    check(field, holds, || format!("{value} is no share of one"))
}

pub(super) fn positive(field: &'static str, value: u64) -> Result<()> {
    check(field, value > 0, || "0 is too few".into())
}

/// Puts `section.field=value` into a table.
fn set(table: &mut toml::Table, text: &str) -> Result<()> {
    let bad = |message: &str| TrainError::config("--set", format!("`{text}`: {message}"));
    let (key, value) = text.split_once('=').ok_or_else(|| bad("no `=`"))?;
    let value = match format!("v = {value}").parse::<toml::Table>() {
        Ok(mut parsed) => parsed.remove("v"),
        Err(_) => None,
    };
    let value = value.unwrap_or_else(|| toml::Value::String(text[key.len() + 1..].to_owned()));
    let mut path: Vec<&str> = key.trim().split('.').collect();
    let Some(field) = path.pop() else {
        return Err(bad("no field"));
    };
    let mut table = table;
    for section in path {
        table = table
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| bad("that is no section"))?;
    }
    table.insert(field.to_owned(), value);
    Ok(())
}
