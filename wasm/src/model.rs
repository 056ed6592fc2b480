//! Models from the files that a page was given.

use std::collections::BTreeMap;
use std::io;

use amaes_core::infer::InferError;
use amaes_core::label::LabelTable;
use amaes_core::model::{Model, Spec};
use amaes_core::weights::{
    Format, LoadOptions, ModelFile, Opened, ReadOptions, detect, load_into, open, open_tfjs,
};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};

/// A network with its weights on a device.
#[derive(Debug)]
pub struct Network {
    pub(crate) model: Model,
    /// Its description; the weights are with the device.
    pub(crate) file: ModelFile,
    format: Format,
    notes: Vec<String>,
    parameters: usize,
}

/// Files by name, as a page has them: one `.amaes` or weights file, `model.json` and its weight
/// files, and JSON files beside them.
pub type Files = BTreeMap<String, Vec<u8>>;

impl Network {
    /// Finds the model among `files` and puts it on `device`.
    ///
    /// # Errors
    ///
    /// Of the kind [`ErrorKind::Model`] when there is none, more than one, or a damaged one.
    pub fn open(files: Files, device: &Device) -> Result<Self> {
        let Opened {
            mut file,
            format,
            mut notes,
            assumed_plan,
        } = find(files)?;
        notes.extend(assumed_plan);
        file.plan.validate()?;
        let parameters = file.state.num_values();
        let (model, _) = load_into(
            file.spec.init(device)?,
            &file.state,
            &LoadOptions::default(),
        )?;
        file.state = Default::default();
        Ok(Self {
            model,
            file,
            format,
            notes,
            parameters,
        })
    }

    pub(crate) fn parts(&self) -> (&Model, &Spec) {
        (&self.model, &self.file.spec)
    }

    /// What is known about the model, as JSON for a page.
    ///
    /// # Errors
    ///
    /// Of the kind [`ErrorKind::Model`] when a part of it cannot be written as JSON.
    pub fn info(&self) -> Result<Value> {
        let file = &self.file;
        let value = json!({
            "network": file.spec.name(),
            "channels": file.spec.in_channels(),
            "classes": file.spec.out_channels(),
            "parameters": self.parameters,
            "format": self.format.to_string(),
            "spec": to_json(&file.spec)?,
            "plan": to_json(&file.plan)?,
            "labels": to_json(&file.labels)?,
            "provenance": to_json(&file.provenance)?,
            "notes": self.notes,
        });
        Ok(value)
    }

    /// What the network puts out for `values` of this shape, unprocessed.
    ///
    /// # Shapes
    ///
    /// - `shape`: `[batch, channels, x, y, z]`, edges multiples of [`Spec::edge_multiple`]; `values`
    ///   with the last axis fastest
    /// - output: `[batch, classes, x, y, z]`
    ///
    /// # Errors
    ///
    /// Of the kind [`ErrorKind::Option`] for another shape, [`ErrorKind::Device`] when no result
    /// comes back.
    pub async fn forward(
        &self,
        values: Vec<f32>,
        shape: [usize; 5],
        device: &Device,
    ) -> Result<Vec<f32>> {
        let spec = &self.file.spec;
        let multiple = spec.edge_multiple();
        let fits = shape[1] == spec.in_channels()
            && shape[2..]
                .iter()
                .all(|n| *n > 0 && n.is_multiple_of(multiple))
            && shape.iter().try_fold(1, |n: usize, s| n.checked_mul(*s)) == Some(values.len());
        if !fits {
            let message = format!("{} values do not fit the shape {shape:?}", values.len());
            let hint = format!(
                "Give {} channel(s) and edges that are multiples of {multiple}.",
                spec.in_channels()
            );
            return Err(Error::new(ErrorKind::Option, message, hint));
        }
        let input = Tensor::<5>::from_data(TensorData::new(values, shape), device);
        let failed = |e: String| Error::from(InferError::Device(e));
        let output = self.model.forward(input).into_data_async().await;
        let output = output.map_err(|e| failed(format!("{e:?}")))?;
        output
            .convert::<f32>()
            .try_into_vec()
            .map_err(|e| failed(format!("{e:?}")))
    }
}

pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value)
        .map_err(|e| Error::new(ErrorKind::Model, e.to_string(), "Please report this."))
}

fn none(message: &str) -> Error {
    Error::new(
        ErrorKind::Model,
        message,
        "Give an .amaes file; a model.json with its weight files; or weights and their JSON.",
    )
}

/// The model among the files.
fn find(mut files: Files) -> Result<Opened> {
    let is_tfjs = |bytes: &[u8]| {
        serde_json::from_slice::<Value>(bytes)
            .is_ok_and(|v| v.get("modelTopology").is_some() || v.get("weightsManifest").is_some())
    };
    let tfjs = files.iter().find(|(n, b)| is_json(n) && is_tfjs(b));
    let mut opened = match tfjs.map(|(name, _)| name.clone()) {
        Some(name) => {
            let json = files.remove(&name).unwrap_or_default();
            open_tfjs(&json, folder(&name), |shard| {
                take(&mut files, shard).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::NotFound, format!("`{shard}` was not given"))
                })
            })?
        }
        None => {
            let mut weights = files.keys().filter(|name| !is_json(name)).cloned();
            let name = weights
                .next()
                .ok_or_else(|| none("there is no model among these files"))?;
            if let Some(other) = weights.next() {
                return Err(none(&format!("`{name}` and `{other}` are two models")));
            }
            let bytes = files.remove(&name).unwrap_or_default();
            detect(&bytes)?;
            let config = files
                .iter()
                .find(|(n, b)| is_json(n) && LabelTable::from_colormap(b).is_err())
                .map(|(_, bytes)| bytes.as_slice());
            open(bytes, base(&name), config, &ReadOptions::default())?
        }
    };
    let classes = opened.file.spec.out_channels();
    let table = files
        .iter()
        .filter(|(name, _)| is_json(name))
        .filter_map(|(_, bytes)| LabelTable::from_colormap(bytes).ok())
        .find(|table| table.0.len() == classes);
    if let Some(table) = table {
        opened.file.labels = table;
    }
    Ok(opened)
}

fn is_json(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".json")
}

/// The last part of a path.
fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The folder that a file is in, or its own name.
fn folder(name: &str) -> &str {
    match name.rsplit('/').nth(1) {
        Some(folder) if !folder.is_empty() => folder,
        _ => name,
    }
}

/// A file by its path, or by its name alone: a page may not know the folder.
fn take(files: &mut Files, path: &str) -> Option<Vec<u8>> {
    if let Some(bytes) = files.remove(path) {
        return Some(bytes);
    }
    let name = files.keys().find(|n| base(n) == base(path))?.clone();
    files.remove(&name)
}
