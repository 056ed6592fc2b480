//! A trained network for others to use: a model file, and weights that PyTorch reads.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use amaes_core::label::LabelTable;
use amaes_core::weights::{Hints, ModelFile, Precision, Provenance, StateDict};
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::checkpoint::Checkpoint;
use super::error::{Result, TrainError};
use crate::atomic::write_atomic;
use crate::error::WithPath;

/// The model file within a run's folder.
pub const MODEL: &str = "model.amaes";
/// The safetensors file within a run's folder: keys as the reference's Lightning module has them.
pub const SAFETENSORS: &str = "model.safetensors";

/// The model file of the best validation, where validation chooses the weights.
pub const BEST: &str = "best.amaes";

/// What a model file says that a checkpoint does not.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// The classes.
    pub labels: LabelTable,
    /// The size of windows and how far they overlap.
    pub hints: Hints,
}

/// Writes [`MODEL`] and [`SAFETENSORS`].
///
/// # Errors
///
/// [`TrainError::File`] and [`TrainError::Weights`].
pub fn write(file: &ModelFile, folder: &Path) -> Result<()> {
    let path = folder.join(SAFETENSORS);
    let bytes = safetensors(&file.state).map_err(|e| TrainError::checkpoint(&path, e))?;
    write_atomic(&path, |out| out.write_all(&bytes).with_path(&path))?;
    write_model(file, &folder.join(MODEL))
}

/// Writes a model file.
///
/// # Errors
///
/// [`TrainError::File`].
pub fn write_model(file: &ModelFile, path: &Path) -> Result<()> {
    write_atomic(path, |out| {
        file.write(out, Precision::Full).with_path(path)?;
        Ok(())
    })?;
    Ok(())
}

/// Reads the model file that [`write_model`] wrote.
///
/// # Errors
///
/// [`TrainError::File`].
pub fn read_model(path: &Path) -> Result<ModelFile> {
    let bytes = std::fs::read(path).with_path(path)?;
    Ok(ModelFile::read(bytes).with_path(path)?)
}

/// The network of a checkpoint: the averaged weights where it has them.
pub fn model(checkpoint: Checkpoint, described: Described) -> ModelFile {
    let Checkpoint {
        state,
        model,
        average,
        ..
    } = checkpoint;
    let mut provenance = Provenance::new(format!("amaes {}", state.task));
    provenance.notes = Some(format!("{} steps", state.step));
    ModelFile {
        spec: state.spec,
        plan: state.plan,
        labels: described.labels,
        hints: described.hints,
        provenance,
        state: average.unwrap_or(model),
    }
}

/// Weights as safetensors, every key with the prefix `model.`.
fn safetensors(weights: &StateDict) -> std::result::Result<Vec<u8>, safetensors::SafeTensorError> {
    let views = weights.iter().map(|(name, data)| {
        let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes())?;
        Ok((format!("model.{name}"), view))
    });
    let views: Vec<_> = views.collect::<std::result::Result<_, safetensors::SafeTensorError>>()?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize(views, Some(metadata))
}
