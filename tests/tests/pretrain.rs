//! Pretraining against PyTorch: schedule, losses, gradients and weights after AdamW steps.
//!
//! `tests/reference/pretrain.py` wrote `tests/data/pretrain.json` from the golden networks, which
//! are read from `AMAES_GOLDEN` (`../shared/golden` otherwise) and skipped by name where absent.

use std::path::{Path, PathBuf};

use amaes::train::adamw::{AdamW, AdamWConfig};
use amaes::train::checkpoint::{Checkpoint, State};
use amaes::train::config::PretrainConfig;
use amaes::train::exchange::Alone;
use amaes::train::gradients::FlatGradients;
use amaes::train::pretrain::Pretraining;
use amaes::train::sample::Sample;
use amaes::train::schedule::Schedule;
use amaes::train::step::Learner;
use amaes_core::model::Spec;
use amaes_core::preprocess::Plan;
use amaes_core::weights::{self, ReadOptions, StateDict, identify};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

/// float32, as everywhere. A weight may be off by three times as much as float32 leads PyTorch
/// itself off its float64 results: kinks and small gradients make the U-Net's steps uncertain.
const TOLERANCE: f64 = 1e-4;
/// Gradients with less than this share of the largest are zero but for rounding: biases before an
/// instance norm. Adam divides rounding by rounding, so their weights move as they like, but no
/// further than the learning rates together.
const ZERO: f64 = 1e-5;

fn reference() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/pretrain.json");
    let text = std::fs::read_to_string(path).expect("the recorded reference");
    serde_json::from_str(&text).expect("JSON")
}

fn golden(name: &str) -> Option<(StateDict, StateDict)> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let folder = std::env::var_os("AMAES_GOLDEN").map_or(default, PathBuf::from);
    let read = |file: String| {
        let bytes = std::fs::read(folder.join(file)).ok()?;
        Some(weights::read(bytes, &ReadOptions::default()).expect("a golden file"))
    };
    let both = read(format!("{name}.pth")).zip(read(format!("{name}.io.safetensors")));
    if both.is_none() {
        println!(
            "{name}: skipped, no golden networks in {}",
            folder.display()
        );
    }
    both
}

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("{field}"))
}

fn close(found: f64, expected: f64, what: &str) {
    let error = (found - expected).abs() / expected.abs().max(1e-30);
    assert!(error <= TOLERANCE, "{what}: {found} for {expected}");
}

fn config(size: usize) -> PretrainConfig {
    let mut config = PretrainConfig::default();
    config.patch.size = [size; 3];
    config
}

/// The mask of step `step` in `pretrain.py`.
fn mask(size: usize, step: usize) -> Vec<f32> {
    let mut mask = Vec::with_capacity(size.pow(3));
    for n in 0..size.pow(3) {
        let [i, j, k] = [n / size / size, n / size % size, n % size].map(|v| v / 4);
        let masked = (7 * i + 5 * j + 3 * k + 11 * step) % 10 < 6;
        mask.push(if masked { 1.0 } else { 0.0 });
    }
    mask
}

fn samples(io: &StateDict, step: usize) -> (Vec<Sample>, usize) {
    let size = *io.shape("input").and_then(<[_]>::last).expect("a shape");
    let values = |name: &str| -> Vec<f32> {
        let data = io.f32(name).expect("a tensor");
        data.iter::<f32>().collect()
    };
    let (input, target) = (values("input"), values("target"));
    let voxels = size.pow(3);
    let samples = input
        .chunks(voxels)
        .zip(target.chunks(voxels))
        .map(|(i, t)| Sample::new(i.to_vec(), t.to_vec(), mask(size, step)));
    (samples.collect(), size)
}

fn learner(mut pth: StateDict, config: &PretrainConfig) -> (Learner, Spec) {
    let spec = identify(&mut pth, None).expect("a known network").spec;
    let learner = Learner::new(config.settings(), &spec, &pth, &Device::flex());
    (learner.expect("its weights"), spec)
}

#[test]
fn the_schedule_is_pytorchs() {
    let reference = reference();
    let expected = reference["schedule"]["lr"].as_array().expect("a list");
    let schedule = Schedule {
        peak: 1e-4,
        start: 1e-3,
        warmup: 50,
        steps: 1000,
        floor: 0.0,
    };
    for (n, expected) in expected.iter().enumerate() {
        let expected = expected.as_f64().expect("a number");
        let found = schedule.at(37 * n as u64);
        // PyTorch multiplies its way from step to step.
        assert!(
            (found - expected).abs() <= 1e-9 * 1e-4 + 1e-6 * expected,
            "{found} {expected}"
        );
    }
    assert!(schedule.at(1000) < 1e-12 && schedule.at(5000) < 1e-12);
}

#[derive(Module, Debug)]
struct Weight {
    weight: Param<Tensor<2>>,
}

#[test]
fn adamw_is_pytorchs() {
    let reference = &reference()["adamw"];
    let list = |field: &str| -> Vec<f64> {
        let values = reference[field].as_array().expect("a list");
        values
            .iter()
            .map(|v| v.as_f64().expect("a number"))
            .collect()
    };
    let device = Device::flex().autodiff();
    let first: Vec<f32> = (0..6).map(|n| (n as f32 - 2.5) / 3.0).collect();
    let first = TensorData::new(first, [2, 3]);
    let mut module = Weight {
        weight: Param::from_tensor(Tensor::from_data(first, &device)),
    };
    let mut optimizer = AdamW::new(AdamWConfig {
        betas: [0.9, 0.98],
        epsilon: 1e-6,
        weight_decay: 0.1,
    });
    for step in 0..20 {
        let gradient: Vec<f32> = (0..6)
            .map(|n| ((step * 6 + n) as f32 * 0.7).sin() * 10_f32.powi(n - 3))
            .collect();
        let gradient =
            Tensor::<1>::from_data(TensorData::new(gradient, [6]), &device.clone().inner());
        module = optimizer.step(module, FlatGradients(vec![gradient]), 0.01);
    }
    let found: Vec<f64> = module.weight.val().into_data().iter::<f64>().collect();
    for (found, expected) in found.iter().zip(list("weight")) {
        close(*found, expected, "weight");
    }
    let [mean, square] = optimizer.moments().next().expect("moments");
    for (data, field) in [(mean, "mean"), (square, "square")] {
        for (found, expected) in data.iter::<f64>().zip(list(field)) {
            close(found, expected, field);
        }
    }
}

#[test]
fn three_steps_are_pytorchs() {
    let reference = reference();
    let schedule = Schedule {
        peak: 1e-3,
        start: 1e-3,
        warmup: 2,
        steps: 5,
        floor: 0.0,
    };
    let names = ["unet_pre_4_32", "mednext_light_4_1_32"];
    for (name, checkpoint) in names.into_iter().flat_map(|n| [(n, false), (n, true)]) {
        let Some((pth, io)) = golden(name) else {
            continue;
        };
        let expected = &reference[name];
        let size = samples(&io, 0).1;
        let mut config = config(size);
        config.training.checkpoint_activations = checkpoint;
        let (mut learner, spec) = learner(pth, &config);
        let task = Pretraining::new(config, Plan::reference(), 1, Vec::new());
        let mut travelled = 0.0;
        for (n, step) in expected["steps"]
            .as_array()
            .expect("steps")
            .iter()
            .enumerate()
        {
            let lr = schedule.at(n as u64);
            close(lr, number(step, "lr"), "learning rate");
            travelled += lr;
            let (losses, norm) = learner
                .step(&task, &samples(&io, n).0, lr, &Alone)
                .expect("a step");
            close(losses.loss, number(step, "loss"), "loss");
            close(losses.masked, number(step, "masked"), "masked loss");
            close(losses.visible, number(step, "visible"), "visible loss");
            assert!(
                (norm / number(step, "norm") - 1.0).abs() < 1e-3,
                "norm {norm}"
            );
        }

        let mut after = empty(spec);
        learner.save(&mut after).expect("weights");
        let parameters = expected["parameters"].as_object().expect("an object");
        let largest = parameters
            .values()
            .map(|p| number(p, "gradient"))
            .fold(0.0, f64::max);
        assert_eq!(after.model.len(), parameters.len());
        for (key, parameter) in parameters {
            let read = |state: &StateDict| -> Vec<f64> {
                let data = state.f32(key).unwrap_or_else(|e| panic!("{key}: {e}"));
                data.iter::<f64>().collect()
            };
            let new = read(&after.model);
            let zero = number(parameter, "gradient") < ZERO * largest;
            let values = parameter["values"].as_array().expect("a list");
            let values: Vec<f64> = values
                .iter()
                .map(|v| v.as_f64().expect("a number"))
                .collect();
            let found: Vec<f64> = (0..values.len())
                .map(|n| new[n * 7919 % new.len()])
                .collect();
            if zero {
                let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 2.0 * travelled;
                assert!(found.iter().zip(&values).all(near), "{name} {key}");
                continue;
            }
            let error = distance(&found, &values) / distance(&values, &vec![0.0; values.len()]);
            let allowed = TOLERANCE.max(3.0 * number(parameter, "rounding"));
            assert!(error <= allowed, "{name} {key}: weights differ by {error}");
        }
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        .sqrt()
}

fn empty(spec: Spec) -> Checkpoint {
    Checkpoint {
        state: State::new("pretrain", spec, Plan::reference(), Value::Null),
        model: StateDict::new(),
        moments: Default::default(),
        average: None,
    }
}
