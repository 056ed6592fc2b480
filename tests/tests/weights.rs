//! Weights: every format that is read, what is refused, and the model file.

#[path = "weights/apply.rs"]
mod apply;
#[path = "weights/damage.rs"]
mod damage;
#[path = "weights/encoder.rs"]
mod encoder;
#[path = "weights/meshnet.rs"]
mod meshnet;
#[path = "weights/model_file.rs"]
mod model_file;
#[path = "weights/pytorch.rs"]
mod pytorch;
#[path = "weights/resenc.rs"]
mod resenc;
#[path = "weights/safetensors.rs"]
mod safetensors;
#[path = "weights/tfjs.rs"]
mod tfjs;

use std::path::{Path, PathBuf};
use std::{fs, io};

use amaes_core::model::{MeshNetConfig, MeshNetLayer, Spec};
use amaes_core::nn::Activation;
use amaes_core::weights::{Identified, ReadOptions, StateDict, WeightsError, identify, read};
use burn::tensor::TensorData;

/// The folder of shared files, or nothing with a line that says which test goes without.
fn shared(path: &str, test: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared")
        .join(path);
    if !found.exists() {
        eprintln!("skipped: {test} needs ../shared/{path}");
        return None;
    }
    Some(found)
}

/// A checkpoint of `tests/data/weights`.
fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data/weights")
        .join(name);
    fs::read(path).expect("a committed file")
}

fn read_plain(bytes: Vec<u8>) -> Result<StateDict, WeightsError> {
    read(bytes, &ReadOptions::default())
}

/// Reads and identifies a file.
fn import(path: &Path, config: Option<&[u8]>) -> Result<(StateDict, Identified), WeightsError> {
    let mut state = read_plain(fs::read(path)?)?;
    let identified = identify(&mut state, config)?;
    Ok((state, identified))
}

/// Reads a TensorFlow.js model from a folder.
fn import_tfjs(folder: &Path) -> Result<amaes_core::weights::tfjs::TfjsModel, WeightsError> {
    let model = fs::read(folder.join("model.json"))?;
    amaes_core::weights::tfjs::read(&model, |shard| -> io::Result<Vec<u8>> {
        fs::read(folder.join(shard))
    })
}

/// The MeshNet of `tests/reference/weights.py` with dilations 1 and 2.
fn small_meshnet() -> MeshNetConfig {
    let layer = |dilation| MeshNetLayer {
        channels: 2,
        dilation,
    };
    MeshNetConfig {
        in_channels: 1,
        out_channels: 3,
        layers: vec![layer(1), layer(2)],
        activation: Activation::Relu,
        norm: false,
        bias: true,
    }
}

/// Weights of any network, filled with values that differ from tensor to tensor.
fn filled(spec: &Spec) -> StateDict {
    let mut state = StateDict::new();
    let parameters = amaes_core::weights::parameters(spec).expect("valid sizes");
    for (seed, (name, shape)) in parameters.into_iter().enumerate() {
        let count = shape.iter().product();
        let value = |i: usize| ((i * 31 + seed * 17) % 257) as f32 / 64.0 - 2.0;
        state
            .insert(
                name,
                TensorData::new((0..count).map(value).collect::<Vec<f32>>(), shape),
            )
            .expect("distinct names");
    }
    state
}

fn floats(state: &StateDict, name: &str) -> Vec<f32> {
    state
        .f32(name)
        .expect(name)
        .try_to_vec::<f32>()
        .expect("float32")
}

/// Whether two state dicts have the same names, shapes and bits, in the same order.
fn assert_same(a: &StateDict, b: &StateDict) {
    assert_eq!(a.names().collect::<Vec<_>>(), b.names().collect::<Vec<_>>());
    for name in a.names() {
        assert_eq!(a.shape(name), b.shape(name), "{name}");
        let bits = |s: &StateDict| {
            floats(s, name)
                .iter()
                .map(|v| v.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(a), bits(b), "{name}");
    }
}

/// Zeros of some shape.
fn floats_data(shape: &[usize]) -> TensorData {
    TensorData::new(vec![0f32; shape.iter().product()], shape.to_vec())
}
