//! A pretrained network for others to use: a model file, and weights that PyTorch reads.

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

/// Writes [`MODEL`] and [`SAFETENSORS`] of a checkpoint: the averaged weights where it has them.
///
/// # Errors
///
/// [`TrainError::File`] and [`TrainError::Weights`].
pub fn write(checkpoint: Checkpoint, folder: &Path, patch: [usize; 3]) -> Result<()> {
    let Checkpoint {
        state,
        model,
        average,
        ..
    } = checkpoint;
    let weights = average.unwrap_or(model);
    let path = folder.join(SAFETENSORS);
    let bytes = safetensors(&weights).map_err(|e| TrainError::checkpoint(&path, e))?;
    write_atomic(&path, |out| out.write_all(&bytes).with_path(&path))?;

    let path = folder.join(MODEL);
    let mut provenance = Provenance::new(format!("amaes {}", state.task));
    provenance.notes = Some(format!("{} steps", state.step));
    let file = ModelFile {
        spec: state.spec,
        plan: state.plan,
        labels: LabelTable::default(),
        hints: Hints {
            patch: Some(patch),
            overlap: None,
        },
        provenance,
        state: weights,
    };
    write_atomic(&path, |out| {
        file.write(out, Precision::Full).with_path(&path)?;
        Ok(())
    })?;
    Ok(())
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
