//! A model from any file that holds one: `.amaes`, or weights of another program.

use std::fs;
use std::path::{Path, PathBuf};

use amaes_core::label::LabelTable;
use amaes_core::model::{Model, Spec};
use amaes_core::preprocess::Plan;
use amaes_core::weights::{
    self, Format, Hints, LoadOptions, ModelFile, Provenance, StateDict, load_into, sha256, tfjs,
};
use burn::tensor::Device;

use crate::error::{Error, Result, WithPath};

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

/// Opens a model: an `.amaes` file, PyTorch, safetensors or burnpack weights, or a TensorFlow.js
/// model by its `model.json` or its folder.
///
/// # Errors
///
/// [`Error::Io`], [`Error::Weights`] and [`Error::Json`], with the file.
pub fn open(path: &Path, beside: &Beside) -> Result<Opened> {
    let path = &entry_file(path)?;
    let bytes = fs::read(path).with_path(path)?;
    let format = weights::detect(&bytes).with_path(path)?;
    let mut opened = match format {
        Format::ModelFile => {
            let file = ModelFile::read(bytes).with_path(path)?;
            Opened {
                file,
                format,
                notes: Vec::new(),
            }
        }
        Format::Tfjs => open_tfjs(path, &bytes)?,
        _ => open_weights(path, bytes, format, beside)?,
    };
    if let Some(plan) = &beside.plan {
        opened.file.plan = json(plan)?;
        opened.notes.retain(|note| !note.starts_with(PLAN_NOTE));
    }
    if let Some(labels) = &beside.labels {
        opened.file.labels = read_labels(labels)?;
    }
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

/// How a note on an assumed plan begins.
const PLAN_NOTE: &str = "no preprocessing is known";

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

fn open_tfjs(path: &Path, bytes: &[u8]) -> Result<Opened> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let model = tfjs::read(bytes, |shard| fs::read(folder.join(shard))).with_path(path)?;
    let mut state = model.state;
    let config = serde_json::to_vec(&model.config).with_path(path)?;
    let found = weights::identify(&mut state, Some(&config)).with_path(path)?;
    let mut labels = found
        .labels
        .unwrap_or_else(|| LabelTable::generic(found.spec.out_channels()));
    for name in ["colormap.json", "colormap3.json"] {
        let colormap = folder.join(name);
        if colormap.is_file() {
            let table = read_labels(&colormap)?;
            if table.0.len() == found.spec.out_channels() {
                labels = table;
                break;
            }
        }
    }
    let mut notes = Vec::new();
    let plan = found.plan.unwrap_or_else(|| assume_conformed(&mut notes));
    let file = ModelFile {
        spec: found.spec,
        plan,
        labels,
        hints: Hints::default(),
        provenance: provenance(path, Format::Tfjs, sha256(bytes), found.name),
        state,
    };
    Ok(Opened {
        file,
        format: Format::Tfjs,
        notes,
    })
}

fn open_weights(path: &Path, bytes: Vec<u8>, format: Format, beside: &Beside) -> Result<Opened> {
    let sha = sha256(&bytes);
    let options = weights::ReadOptions {
        allow_globals: beside.allow_globals.clone(),
    };
    let mut state = weights::read(bytes, &options).with_path(path)?;
    let config = match &beside.config {
        Some(config) => Some(fs::read(config).with_path(config)?),
        None => None,
    };
    let found = weights::identify(&mut state, config.as_deref()).with_path(path)?;
    let mut notes = Vec::new();
    if !found.ignored.is_empty() {
        notes.push(format!(
            "left out, no parameters of it: {}",
            found.ignored.join(", ")
        ));
    }
    let mesh = matches!(found.spec, Spec::MeshNet(_));
    let plan = found.plan.unwrap_or_else(|| match mesh {
        true => assume_conformed(&mut notes),
        false => {
            notes.push(format!("{PLAN_NOTE}; using the AMAES reference's"));
            Plan::reference()
        }
    });
    let labels = found
        .labels
        .unwrap_or_else(|| LabelTable::generic(found.spec.out_channels()));
    let provenance = provenance(path, format, sha, found.name);
    let hints = match mesh {
        true => Hints::default(),
        false => Hints {
            patch: Some([128; 3]),
            overlap: Some(0.5),
        },
    };
    let file = ModelFile {
        spec: found.spec,
        plan,
        labels,
        hints,
        provenance,
        state,
    };
    Ok(Opened {
        file,
        format,
        notes,
    })
}

/// What every published MeshNet expects.
fn assume_conformed(notes: &mut Vec<String>) -> Plan {
    use amaes_core::preprocess::{Normalization, Step};
    notes.push(format!(
        "{PLAN_NOTE}; conforming to 256^3 voxels of 1 mm, minimum to 0, maximum to 1"
    ));
    Plan {
        steps: vec![Step::conform(), Step::Normalize(Normalization::MinMax)],
    }
}

fn provenance(path: &Path, format: Format, sha: String, name: Option<&str>) -> Provenance {
    let file = match format {
        Format::Tfjs => path.parent().and_then(Path::file_name),
        _ => path.file_name(),
    };
    let file = file
        .map(|f| f.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut provenance = Provenance::new(file);
    provenance.format = Some(format);
    provenance.sha256 = Some(sha);
    provenance.notes = name.map(|name| format!("published network `{name}`"));
    provenance
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
