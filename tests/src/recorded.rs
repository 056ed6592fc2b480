//! Networks against recorded values of PyTorch: output, loss, every gradient.
//!
//! Weights and images are drawn here as in `tests/reference/decoders.py`.

use amaes_core::model::{Model, Spec};
use amaes_core::weights::{LoadOptions, StateDict, identify, load_into, parameters};
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use serde_json::Value;

use crate::{draw, gradients_of};

const TOLERANCE: f64 = 1e-4;
/// Of gradients.
const GRADIENT: f64 = 1e-3;
/// Float32 decides by rounding which slope a voxel has that is near a kink of LeakyReLU: the input
/// may be nudged by as much as it is rounded, so many times, and one of them must agree.
const ROUNDING: f64 = 1e-6;
const NUDGES: u64 = 16;
/// A gradient with less than this share of the largest norm is zero but for rounding.
const ZERO: f64 = 1e-6;

/// Without norms, SiLU makes values smaller from layer to layer; larger weights make up for it.
fn gain(spec: &Spec) -> f64 {
    match spec {
        Spec::Strided(_) => 4.0,
        _ => 1.0,
    }
}

fn weight(name: &str, shape: &[usize], gain: f64) -> TensorData {
    let count: usize = shape.iter().product();
    let (scale, offset) = match (name.contains(".norm."), name.ends_with("weight")) {
        (true, true) => (0.1, 1.0),
        (false, true) => (gain * (shape[0] as f64 / count as f64).sqrt(), 0.0),
        (_, false) => (0.1, 0.0),
    };
    let values = draw(name.bytes().map(u32::from).sum(), count);
    let values: Vec<f32> = values.map(|v| (v * scale + offset) as f32).collect();
    TensorData::new(values, shape.to_vec())
}

fn image(tensor: u32, [x, y, z]: [usize; 3], device: &Device) -> Tensor<5> {
    let values: Vec<f32> = draw(tensor, x * y * z)
        .map(|v| (0.5 * v + 0.5) as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, [1, 1, x, y, z]), device)
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn sample(values: &[f64], count: usize) -> Vec<f64> {
    (0..count)
        .map(|n| values[n * 7919 % values.len()])
        .collect()
}

/// Builds a network with drawn weights and compares it with what was recorded of it, on a device
/// with autodiff. The network must be one that its weights tell.
///
/// # Panics
///
/// Where something differs.
pub fn check_recorded(
    name: &str,
    spec: &Spec,
    size: [usize; 3],
    expected: &Value,
    device: &Device,
) {
    let mut state = StateDict::new();
    let mut count = 0;
    for (key, shape) in parameters(spec).expect("valid") {
        count += shape.iter().product::<usize>() as u64;
        state
            .insert(key.clone(), weight(&key, &shape, gain(spec)))
            .expect("a new name");
    }
    assert_eq!(expected["parameters"], count, "{name}");
    let found = identify(&mut state, None).expect("a known network");
    assert_eq!(&found.spec, spec, "{name}");
    assert!(found.ignored.is_empty());

    let model: Model = spec.init(device).expect("valid");
    let (model, report) = load_into(model, &state, &LoadOptions::default()).expect("fits");
    assert!(report.missing.is_empty(), "{name}: {report}");
    let input = image(1, size, device);
    let target = image(2, size, device);
    let output = model.forward(input.clone());
    let loss = (output.clone() - target.clone()).square().mean();
    let found = values(&output.into_data());
    let reference = numbers(&expected["output"]);
    for (f, e) in sample(&found, reference.len()).iter().zip(&reference) {
        let bound = TOLERANCE * e.abs() + 0.1 * TOLERANCE;
        assert!((f - e).abs() <= bound, "{name}: output {f}, not {e}");
    }
    let found = values(&loss.into_data())[0];
    let reference = expected["loss"].as_f64().expect("a number");
    assert!(
        (found - reference).abs() <= TOLERANCE * reference,
        "{name}: loss {found}, not {reference}"
    );

    let mut agree = gradients_agree(&model, input.clone(), &target, &expected["gradients"]);
    for seed in 1..=NUDGES {
        if agree.is_ok() {
            break;
        }
        device.seed(seed);
        let noise = Distribution::Uniform(1.0 - ROUNDING, 1.0 + ROUNDING);
        let nudged = input.clone() * Tensor::random(input.dims(), noise, device);
        agree = gradients_agree(&model, nudged, &target, &expected["gradients"]).or(agree);
    }
    agree.unwrap_or_else(|error| panic!("{name}: {error}"));
}

fn values(data: &TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

/// Compares some values and the norm of every gradient.
fn gradients_agree(
    model: &Model,
    input: Tensor<5>,
    target: &Tensor<5>,
    expected: &Value,
) -> Result<(), String> {
    let input = input.require_grad();
    let loss = (model.forward(input.clone()) - target.clone())
        .square()
        .mean();
    let gradients = loss.backward();
    let mut found = gradients_of(model, &gradients);
    let of_input = input.grad(&gradients).expect("a gradient");
    found.insert("input".into(), values(&of_input.into_data()));

    let expected = expected.as_object().expect("gradients");
    assert_eq!(found.len(), expected.len());
    let norm = |e: &Value| e["norm"].as_f64().expect("a norm");
    let largest = expected.values().map(norm).fold(0.0, f64::max);
    for (key, expected) in expected {
        let gradient = &found[key];
        let f = gradient.iter().map(|v| v * v).sum::<f64>().sqrt();
        let e = norm(expected);
        if key != "input" && e < ZERO * largest {
            if f >= 10.0 * ZERO * largest {
                return Err(format!("gradient of {key} is not zero: {f}"));
            }
            continue;
        }
        if (f - e).abs() > GRADIENT * e {
            return Err(format!("norm of {key}: {f}, not {e}"));
        }
        let mean = e / (gradient.len() as f64).sqrt();
        let expected = numbers(&expected["values"]);
        for (f, e) in sample(gradient, expected.len()).iter().zip(&expected) {
            if (f - e).abs() > GRADIENT * (e.abs() + mean) {
                return Err(format!("gradient of {key}: {f}, not {e}"));
            }
        }
    }
    Ok(())
}
