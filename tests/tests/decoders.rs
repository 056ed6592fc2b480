//! The decoders of the paper's ablation against PyTorch: output, loss, every gradient.
//!
//! `tests/reference/decoders.py` wrote `tests/data/decoders.json`; weights and images are drawn
//! here as there.

use std::path::Path;

use amaes_core::model::{MedNeXtConfig, Model, Spec, UNetConfig, UNetHead};
use amaes_core::weights::{LoadOptions, StateDict, identify, load_into, parameters};
use amaes_tests::{draw, gradients_of};
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use serde_json::Value;

const SIZE: usize = 32;
const TOLERANCE: f64 = 1e-4;
/// Of gradients.
const GRADIENT: f64 = 1e-3;
/// Float32 decides by rounding which slope a voxel has that is near a kink of LeakyReLU: the input
/// may be nudged by as much as it is rounded, so many times, and one of them must agree.
const ROUNDING: f64 = 1e-6;
const NUDGES: u64 = 16;
/// A gradient with less than this share of the largest norm is zero but for rounding.
const ZERO: f64 = 1e-6;

fn weight(name: &str, shape: &[usize]) -> TensorData {
    let count: usize = shape.iter().product();
    let (scale, offset) = match (name.contains(".norm."), name.ends_with("weight")) {
        (true, true) => (0.1, 1.0),
        (false, true) => ((shape[0] as f64 / count as f64).sqrt(), 0.0),
        (_, false) => (0.1, 0.0),
    };
    let values = draw(name.bytes().map(u32::from).sum(), count);
    let values: Vec<f32> = values.map(|v| (v * scale + offset) as f32).collect();
    TensorData::new(values, shape.to_vec())
}

fn image(tensor: u32, device: &Device) -> Tensor<5> {
    let values: Vec<f32> = draw(tensor, SIZE.pow(3))
        .map(|v| (0.5 * v + 0.5) as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, [1, 1, SIZE, SIZE, SIZE]), device)
}

/// The networks of `decoders.py`.
fn networks() -> Vec<(String, Spec)> {
    let mut list = Vec::new();
    for (name, head) in [
        ("standard", UNetHead::Standard),
        ("light_skips", UNetHead::LightSkips),
        ("standard_skips", UNetHead::StandardSkips),
    ] {
        let unet = UNetConfig {
            filters: 2,
            head,
            ..UNetConfig::b(1, 1)
        };
        let mednext = MedNeXtConfig {
            filters: 3,
            blocks: [1, 1, 2, 1, 1],
            decoder: head.into(),
            ..MedNeXtConfig::m(1, 1)
        };
        list.push((format!("unet_{name}"), Spec::UNet(unet)));
        list.push((format!("mednext_{name}"), Spec::MedNeXt(mednext)));
    }
    list
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

fn check(name: &str, spec: &Spec, expected: &Value, device: &Device) {
    let mut state = StateDict::new();
    let mut count = 0;
    for (key, shape) in parameters(spec).expect("valid") {
        count += shape.iter().product::<usize>() as u64;
        state
            .insert(key.clone(), weight(&key, &shape))
            .expect("a new name");
    }
    assert_eq!(expected["parameters"], count, "{name}");
    let found = identify(&mut state, None).expect("a known network");
    assert_eq!(&found.spec, spec, "{name}");
    assert!(found.ignored.is_empty());

    let model: Model = spec.init(device).expect("valid");
    let (model, report) = load_into(model, &state, &LoadOptions::default()).expect("fits");
    assert!(report.missing.is_empty(), "{name}: {report}");
    let input = image(1, device);
    let target = image(2, device);
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

#[test]
fn decoders_equal_pytorch() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/decoders.json");
    let text = std::fs::read_to_string(path).expect("the recorded reference");
    let reference: Value = serde_json::from_str(&text).expect("JSON");
    let device = Device::flex().autodiff();
    for (name, spec) in networks() {
        check(&name, &spec, &reference[&name], &device);
    }
}

/// Descriptions in older files are read, and each is written in its own way.
#[test]
fn heads_keep_their_names() {
    let config = |head: &str| {
        serde_json::json!({
            "network": "unet", "filters": 4, "in_channels": 1, "out_channels": 1, "head": head
        })
    };
    for (name, head) in [
        ("segmentation", UNetHead::Segmentation),
        ("light", UNetHead::Light),
        ("standard", UNetHead::Standard),
        ("light_skips", UNetHead::LightSkips),
        ("standard_skips", UNetHead::StandardSkips),
    ] {
        let spec: Spec = serde_json::from_value(config(name)).expect("a description");
        let Spec::UNet(unet) = &spec else {
            panic!("{spec:?}");
        };
        assert_eq!(unet.head, head);
        assert_eq!(serde_json::to_value(&spec).expect("JSON"), config(name));
    }
}
