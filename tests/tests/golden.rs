//! Networks against PyTorch: output, loss and every gradient.
//!
//! `AMAES_GOLDEN` names a folder (`../shared/golden` otherwise) with, for each network, a state
//! dict `NAME.pth` and `NAME.io.safetensors` with `input`, `output`, `target`, `loss` =
//! mean((output - target)^2), `grad.input` and `grad.KEY`; a `NAME.json` may hold the norm of every
//! gradient. The network is inferred from the state dict, so any network of the kinds that amaes
//! has can be put there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use amaes_core::model::Model;
use amaes_core::weights::{self, LoadOptions, ReadOptions, StateDict, identify, load_into};
use amaes_tests::gradients_of;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use serde_json::Value;

/// Largest relative and absolute error of an output.
const OUTPUT: (f64, f64) = (1e-4, 1e-5);
/// Largest error of a gradient, relative to its norm.
const GRADIENT: f64 = 1e-3;
/// Gradients with less than this share of the largest norm are zero but for rounding: the bias of
/// a convolution before an instance norm.
const ZERO: f64 = 1e-6;
/// LeakyReLU and pooling have kinks, where float32 decides by rounding which slope a voxel has:
/// PyTorch's own gradients in float32 and float64 differ by more than [`GRADIENT`] for a single
/// voxel within 1e-6 of zero. So the input may be nudged by as much as it is rounded ...
const ROUNDING: f64 = 1e-6;
/// ... this many times, and one of them must agree in every gradient.
const NUDGES: u64 = 16;

fn folder() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    std::env::var_os("AMAES_GOLDEN").map_or(default, PathBuf::from)
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let files = entries.map(|e| {
        e.expect("a folder entry")
            .file_name()
            .into_string()
            .expect("UTF-8")
    });
    let mut names: Vec<_> = files
        .filter_map(|f| f.strip_suffix(".io.safetensors").map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn read(path: &Path) -> StateDict {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    weights::read(bytes, &ReadOptions::default())
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn values(data: &TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Norm of the difference over the norm of what is expected.
fn relative(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(expected).max(f64::MIN_POSITIVE)
}

fn check(folder: &Path, name: &str, device: &Device) {
    let mut state = read(&folder.join(format!("{name}.pth")));
    let io = read(&folder.join(format!("{name}.io.safetensors")));
    let spec = identify(&mut state, None)
        .unwrap_or_else(|e| panic!("{name}: {e}"))
        .spec;
    let device = device.clone().autodiff();
    let model: Model = spec.init(&device).expect("a valid network");
    let (model, report) = load_into(model, &state, &LoadOptions::default()).expect("fits");
    assert!(
        report.missing.is_empty() && report.unexpected.is_empty(),
        "{name}: {report}"
    );

    let tensor = |key: &str| -> Tensor<5> {
        Tensor::from_data(
            io.f32(key).unwrap_or_else(|e| panic!("{name}: {e}")),
            &device,
        )
    };
    let input = tensor("input");
    let output = model.forward(input.clone());
    let found = values(&output.clone().into_data());
    let expected = values(&io.f32("output").expect("an output"));
    assert_eq!(found.len(), expected.len(), "{name}");
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        let bound = OUTPUT.0 * e.abs() + OUTPUT.1;
        assert!((f - e).abs() <= bound, "{name}: output {i} is {f}, not {e}");
    }

    let loss = (output - tensor("target")).square().mean();
    let expected = values(&io.f32("loss").expect("a loss"))[0];
    let found = values(&loss.into_data())[0];
    assert!(
        (found - expected).abs() <= OUTPUT.0 * expected.abs(),
        "{name}: loss {found}, {expected}"
    );

    let json = fs::read(folder.join(format!("{name}.json"))).unwrap_or_else(|_| b"{}".to_vec());
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    let mut agree = gradients_agree(name, &model, &io, &json, input.clone(), &tensor("target"));
    for seed in 1..=NUDGES {
        if agree.is_ok() {
            break;
        }
        device.seed(seed);
        let noise = Tensor::random(
            input.dims(),
            Distribution::Uniform(-ROUNDING, ROUNDING),
            &device,
        );
        let nudged = input.clone().detach() * (noise + 1.0);
        agree =
            gradients_agree(name, &model, &io, &json, nudged, &tensor("target")).map_err(|_| {
                // What failed without a nudge says most.
                agree.expect_err("tried again after an error")
            });
    }
    let gradients = agree.unwrap_or_else(|error| panic!("{error}"));
    println!("{name}: output, loss and {gradients} gradients agree");
}

/// Compares every gradient that the files list, and the norms of all.
fn gradients_agree(
    name: &str,
    model: &Model,
    io: &StateDict,
    json: &Value,
    input: Tensor<5>,
    target: &Tensor<5>,
) -> Result<usize, String> {
    let input = input.require_grad();
    let loss = (model.forward(input.clone()) - target.clone())
        .square()
        .mean();
    let gradients = loss.backward();
    let mut found = gradients_of(model, &gradients);
    let largest = found.values().map(|g| norm(g)).fold(0.0, f64::max);
    let of_input = input.grad(&gradients).expect("a gradient of the input");
    found.insert("input".into(), values(&of_input.into_data()));

    let mut compared = 0;
    for (key, expected) in io
        .iter()
        .filter_map(|(k, v)| Some((k.strip_prefix("grad.")?, v)))
    {
        let key = key.strip_prefix("model.").unwrap_or(key);
        let expected = values(expected);
        let found = found
            .get(key)
            .ok_or_else(|| format!("{name}: no parameter {key}"))?;
        compared += 1;
        let zero = key != "input" && norm(&expected) < ZERO * largest;
        let error = relative(found, &expected);
        match zero {
            true if norm(found) >= 10.0 * ZERO * largest => {
                return Err(format!("{name}: gradient of {key} is not zero"));
            }
            false if error > GRADIENT => {
                return Err(format!("{name}: gradient of {key} is off by {error}"));
            }
            _ => {}
        }
    }
    assert!(compared > 1, "{name}: no gradients listed");
    check_norms(name, json, &found, largest)?;
    Ok(compared)
}

/// Compares the norms of all gradients, too large ones included, with those in `NAME.json`.
fn check_norms(
    name: &str,
    json: &Value,
    found: &BTreeMap<String, Vec<f64>>,
    largest: f64,
) -> Result<(), String> {
    for (key, expected) in json["grad_norm"].as_object().into_iter().flatten() {
        let expected = expected.as_f64().expect("a number");
        let gradient = found
            .get(key)
            .ok_or_else(|| format!("{name}: no parameter {key}"))?;
        let zero = expected < ZERO * largest;
        let bound = if zero {
            10.0 * ZERO * largest
        } else {
            GRADIENT * expected
        };
        if (norm(gradient) - expected).abs() > bound {
            return Err(format!(
                "{name}: norm of {key} is {}, not {expected}",
                norm(gradient)
            ));
        }
    }
    Ok(())
}

fn check_all(device: &Device) {
    let folder = folder();
    let names = names(&folder);
    if names.is_empty() {
        println!("skipped: no golden networks in {}", folder.display());
    }
    for name in names {
        check(&folder, &name, device);
    }
}

#[test]
fn networks_equal_pytorch_on_flex() {
    check_all(&Device::flex());
}

#[test]
fn networks_equal_pytorch_on_wgpu() {
    match amaes::device::DeviceKind::Wgpu.open() {
        Ok(device) => check_all(&device),
        Err(error) => println!("skipped: {error}"),
    }
}
