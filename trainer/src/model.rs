//! A model from any file that holds one: `.amaes`, or weights of another program.

use std::fs;
use std::path::{Path, PathBuf};

use amaes_core::label::LabelTable;
use amaes_core::model::{Model, Spec};
use amaes_core::weights::{self, Format, LoadOptions, ModelFile, Part, StateDict, load_into};
use burn::tensor::Device;

use crate::error::{Error, Result, WithPath};
use crate::shipped;

/// What the user says about weights that do not say it themselves.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// JSON with the network's sizes: a spec of our own, or what was published beside the weights.
    pub config: Option<PathBuf>,
    /// JSON with the preprocessing.
    pub plan: Option<PathBuf>,
    /// JSON with label names and colours: a colour map, or a table of our own.
    pub labels: Option<PathBuf>,
    /// Python names that a pickle may mention.
    pub allow_globals: Vec<String>,
    /// How much of the network must be there.
    pub part: Part,
}

/// A model, and what was noticed while it was read.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The model.
    pub file: ModelFile,
    /// Format of the file.
    pub format: Format,
    /// What was assumed or left out, for the user to read.
    pub notes: Vec<String>,
}

/// Opens a model: an `.amaes` file, PyTorch, safetensors or burnpack weights, a TensorFlow.js model
/// by its `model.json` or its folder, or one of [`shipped::MODELS`] by its name.
///
/// # Errors
///
/// [`Error::Io`], [`Error::Weights`] and [`Error::Json`], with the file.
pub fn open(path: &Path, beside: &Beside) -> Result<Opened> {
    let path = &entry_file(path)?;
    let bytes = match shipped::find(path) {
        Some(model) => model.bytes.to_vec(),
        None => fs::read(path).with_path(path)?,
    };
    let format = weights::detect(&bytes).with_path(path)?;
    let mut opened = match format {
        Format::Tfjs => open_tfjs(path, &bytes)?,
        _ => open_weights(path, bytes, beside)?,
    };
    if let Some(plan) = &beside.plan {
        opened.file.plan = json(plan)?;
    } else {
        opened.notes.extend(opened.assumed_plan.take());
    }
    if let Some(labels) = &beside.labels {
        opened.file.labels = read_labels(labels)?;
    }
    let opened = Opened {
        file: opened.file,
        format: opened.format,
        notes: opened.notes,
    };
    opened.file.plan.validate().with_path(path)?;
    let (classes, names) = (opened.file.spec.out_channels(), opened.file.labels.0.len());
    if names != 0 && names != classes {
        let message = format!("{names} label names for {classes} classes");
        return Err(Error::unsuitable(
            beside.labels.as_deref().unwrap_or(path),
            message,
        ));
    }
    Ok(opened)
}

/// The file to read of a model that is a folder.
fn entry_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let json = path.join("model.json");
    match json.is_file() {
        true => Ok(json),
        false => Err(Error::unsuitable(
            path,
            "a folder without a model.json is no model",
        )),
    }
}

fn open_tfjs(path: &Path, bytes: &[u8]) -> Result<weights::Opened> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let source = name(folder);
    let mut opened =
        weights::open_tfjs(bytes, &source, |shard| fs::read(folder.join(shard))).with_path(path)?;
    for name in ["colormap.json", "colormap3.json"] {
        let colormap = folder.join(name);
        if colormap.is_file() {
            let table = read_labels(&colormap)?;
            if table.0.len() == opened.file.spec.out_channels() {
                opened.file.labels = table;
                break;
            }
        }
    }
    Ok(opened)
}

fn open_weights(path: &Path, bytes: Vec<u8>, beside: &Beside) -> Result<weights::Opened> {
    let options = weights::ReadOptions {
        allow_globals: beside.allow_globals.clone(),
    };
    let config = match &beside.config {
        Some(config) => Some(fs::read(config).with_path(config)?),
        None => None,
    };
    let (name, config) = (name(path), config.as_deref());
    weights::open_part(bytes, &name, config, &options, beside.part).with_path(path)
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Reads a JSON file into a value.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::Json`].
pub fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&fs::read(path).with_path(path)?).with_path(path)
}

/// Reads a colour map, or a label table as a model file has it.
fn read_labels(path: &Path) -> Result<LabelTable> {
    let bytes = fs::read(path).with_path(path)?;
    match serde_json::from_slice(&bytes) {
        Ok(table) => Ok(table),
        Err(_) => {
            LabelTable::from_colormap(&bytes).map_err(|e| Error::unsuitable(path, e.to_string()))
        }
    }
}

/// Builds the network with its weights on a device.
///
/// # Errors
///
/// [`Error::Spec`] and [`Error::Weights`], with `path` as the file.
pub fn build(spec: &Spec, state: &StateDict, path: &Path, device: &Device) -> Result<Model> {
    let model = spec.init(device).with_path(path)?;
    let (model, _) = load_into(model, state, &LoadOptions::default()).with_path(path)?;
    Ok(model)
}
