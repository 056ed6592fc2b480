//! TensorFlow.js layers models: `model.json` with the topology and a manifest of weights, and the
//! shards that hold them.
//!
//! Only chains of Keras `Conv3D` layers that make a MeshNet are read. Kernels
//! `[kd, kh, kw, in, out]` become PyTorch's `[out, in, kd, kh, kw]`; no axis is flipped.

mod manifest;
mod topology;
mod weights;

use std::io;

use serde::Deserialize;

use super::{Format, StateDict, WeightsError};
use crate::model::MeshNetConfig;

/// Largest `model.json`.
const MAX_JSON: usize = 64 << 20;

/// A MeshNet read from TensorFlow.js.
#[derive(Clone, Debug)]
pub struct TfjsModel {
    /// Its sizes, from the topology.
    pub config: MeshNetConfig,
    /// Its weights, named `convs.{i}.weight` and `convs.{i}.bias`, float32.
    pub state: StateDict,
    /// Edges of the input volume it was exported for, where it names them.
    pub input: Option<[usize; 3]>,
}

#[derive(Deserialize)]
struct ModelJson {
    #[serde(rename = "modelTopology")]
    topology: Option<serde_json::Value>,
    #[serde(rename = "weightsManifest")]
    manifest: Option<Vec<manifest::Group>>,
}

/// Reads a layers model. `shard` is asked for the bytes of each file that the manifest names, by
/// its path relative to `model.json`; paths that leave that folder are refused before it is asked.
///
/// # Errors
/// If the JSON is not a layers model, a layer has no counterpart in a MeshNet, a shard cannot be
/// had, or the shards do not hold what the manifest says.
pub fn read(
    model: &[u8],
    mut shard: impl FnMut(&str) -> io::Result<Vec<u8>>,
) -> Result<TfjsModel, WeightsError> {
    if model.len() > MAX_JSON {
        return Err(WeightsError::TooLarge {
            what: "model.json".to_owned(),
            size: model.len() as u64,
            limit: MAX_JSON as u64,
        });
    }
    let json: ModelJson =
        serde_json::from_slice(model).map_err(|cause| error(cause.to_string()))?;
    let topology = json
        .topology
        .ok_or_else(|| error("no `modelTopology` in it"))?;
    let chain = topology::parse(&topology)?;
    let manifest = json
        .manifest
        .ok_or_else(|| error("no `weightsManifest` in it"))?;
    let tensors = manifest::load(&manifest, &mut shard)?;
    weights::assemble(chain, tensors)
}

fn error(message: impl Into<String>) -> WeightsError {
    WeightsError::malformed(Format::Tfjs, message)
}
