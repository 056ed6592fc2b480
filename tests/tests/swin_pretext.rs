//! SwinUNETR's pretraining against PyTorch and MONAI (`reference/swin_pretext.py`).

use amaes_core::model::{Spec, SwinUNETRConfig};
use amaes_core::pretext::{ViewLoss, ViewLossConfig, ViewOutput, rotate, view_loss};
use amaes_core::weights::{LoadOptions, StateDict, identify, load_into, parameters};
use amaes_tests::gradients_of;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use serde_json::Value;

const TOLERANCE: f64 = 1e-4;
/// Of a network's gradients.
const GRADIENT: f64 = 1e-3;
/// A gradient with less than this share of the largest is zero but for rounding: biases before a
/// norm.
const ZERO: f64 = 1e-6;
/// Numbers that are kept of a tensor, or one more.
const KEPT: usize = 5;

fn reference() -> Value {
    serde_json::from_str(include_str!("../data/swin_pretext.json")).expect("JSON")
}

fn list(value: &Value) -> Vec<f64> {
    let values = value.as_array().expect("a list");
    values
        .iter()
        .map(|v| v.as_f64().expect("a number"))
        .collect()
}

/// A number of `swin_pretext.py`.
fn number(n: usize, phase: f64) -> f64 {
    let n = n as f64;
    (0.37 * n + phase).sin() + 0.5 * (0.11 * n * n + 2.0 * phase).cos()
}

fn numbers<const D: usize>(shape: [usize; D], phase: f64, scale: f64) -> Tensor<D> {
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|n| scale * number(n, phase)).collect();
    Tensor::from_data(
        TensorData::new(values, shape),
        (&Device::flex(), DType::F32),
    )
}

/// Quarter turns of `swin_pretext.py`.
fn turns(views: usize) -> Tensor<1, Int> {
    let turns: Vec<i32> = (0..views as i32).map(|v| (v * v + v + 1) % 4).collect();
    Tensor::from_data(
        TensorData::new(turns, [views]),
        (&Device::flex(), DType::I32),
    )
}

fn scalar(tensor: Tensor<1>) -> f64 {
    f64::from(tensor.into_scalar::<f32>())
}

#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    let reference = reference();
    let every = reference["every"].as_u64().expect("a number") as usize;
    for case in reference["cases"].as_array().expect("cases") {
        let name = case["name"].as_str().expect("a name");
        let size = |key: &str| case[key].as_u64().expect("a size") as usize;
        let (views, features) = (2 * size("batch"), size("features"));
        let shape = list(&case["shape"]);
        let shape = [
            views,
            1,
            shape[0] as usize,
            shape[1] as usize,
            shape[2] as usize,
        ];
        let mut config = ViewLossConfig::default();
        if let Some(temperature) = case["temperature"].as_f64() {
            config.temperature = temperature;
        }
        if case["weights"].is_array() {
            let weights = list(&case["weights"]);
            (config.rotation, config.contrastive, config.inpainting) =
                (weights[0], weights[1], weights[2]);
        }
        let rotation = numbers([views, 4], 0.3, 2.0).autodiff().require_grad();
        let code = numbers([views, features], 1.7, 1.0)
            .autodiff()
            .require_grad();
        let restored = numbers(shape, 0.9, 1.0).autodiff().require_grad();
        let output = ViewOutput {
            rotation: rotation.clone(),
            code: code.clone(),
            restored: restored.clone(),
        };
        let target = numbers(shape, 2.9, 1.0).autodiff();
        let found = view_loss(output, turns(views).autodiff(), target, &config);

        let close = |found: f64, expected: &Value, what: &str| {
            let expected = expected.as_f64().expect("a number");
            // A loss of 0 is 0 but for float32's rounding of 1.
            let error = (found - expected).abs() / expected.abs().max(1e-2);
            assert!(
                error <= TOLERANCE,
                "{name}: {what} is {found}, not {expected}"
            );
        };
        let parts = &case["parts"];
        close(scalar(found.loss.clone().inner()), &case["loss"], "loss");
        close(
            scalar(found.rotation.inner()),
            &parts["rotation"],
            "rotation",
        );
        close(
            scalar(found.contrastive.inner()),
            &parts["contrastive"],
            "contrastive",
        );
        close(
            scalar(found.inpainting.inner()),
            &parts["inpainting"],
            "inpainting",
        );

        let gradients = found.loss.backward();
        let of = |gradient: Option<TensorData>| -> Vec<f64> {
            gradient
                .expect("a gradient")
                .iter::<f64>()
                .step_by(every)
                .collect()
        };
        for (key, found) in [
            (
                "rotation",
                of(rotation.grad(&gradients).map(Tensor::into_data)),
            ),
            ("code", of(code.grad(&gradients).map(Tensor::into_data))),
            (
                "restored",
                of(restored.grad(&gradients).map(Tensor::into_data)),
            ),
        ] {
            let expected = list(&case["gradients"][key]);
            assert_eq!(found.len(), expected.len(), "{name}: {key}");
            let largest = expected.iter().fold(1e-3, |most: f64, g| most.max(g.abs()));
            for (f, e) in found.iter().zip(&expected) {
                let error = (f - e).abs() / largest;
                assert!(
                    error <= TOLERANCE,
                    "{name}: gradient of {key} is {f}, not {e}"
                );
            }
        }
    }
}

#[test]
fn rotations_are_those_of_pytorch() {
    let reference = reference();
    let patch: Vec<i64> = (0..18).collect();
    for (turns, expected) in reference["rotations"]
        .as_array()
        .expect("four")
        .iter()
        .enumerate()
    {
        let expected: Vec<i64> = list(expected).iter().map(|&v| v as i64).collect();
        assert_eq!(rotate(&patch, [2, 3, 3], turns), expected, "{turns} turns");
        let back = rotate(&expected, [2, 3, 3], 4 - turns);
        assert_eq!(back, patch, "{turns} turns and back");
    }
    // Half a turn needs no square.
    assert_eq!(
        rotate(&[1, 2, 3, 4, 5, 6], [1, 2, 3], 2),
        [6, 5, 4, 3, 2, 1]
    );
}

/// The network of `swin_pretext.py`, with the reference's names and numbers.
fn weights(network: &Value) -> StateDict {
    let mut state = StateDict::new();
    let named = network["parameters"].as_object().expect("names");
    let mut names: Vec<&String> = named.keys().collect();
    names.sort();
    for (p, name) in names.into_iter().enumerate() {
        let shape: Vec<usize> = list(&named[name]).iter().map(|&e| e as usize).collect();
        let count: usize = shape.iter().product();
        let bias = if name.ends_with("bias") { 0.1 } else { 1.0 };
        let scale = bias * (count as f64 / shape[0] as f64).powf(-0.5);
        let more = f64::from(u8::from(name.contains(".norm") && name.ends_with("weight")));
        let value = |n| (scale * number(n, 0.7 * p as f64) + more) as f32;
        let values: Vec<f32> = (0..count).map(value).collect();
        state
            .insert(name, TensorData::new(values, shape))
            .expect("a new name");
    }
    state
}

#[test]
fn the_network_is_that_of_the_published_code() {
    let reference = reference();
    let network = &reference["network"];
    let size = |key: &str| network[key].as_u64().expect("a size") as usize;
    let shape = list(&network["shape"]);
    let views = 2 * size("batch");
    let shape = [
        views,
        1,
        shape[0] as usize,
        shape[1] as usize,
        shape[2] as usize,
    ];
    let spec = Spec::SwinUNETR(SwinUNETRConfig::new(size("features"), 1, 1).views());
    let state = weights(network);
    let named = parameters(&spec).expect("valid");
    assert_eq!(named.len(), state.names().count());

    let model = spec.init(&Device::flex().autodiff()).expect("valid");
    let (model, report) = load_into(model, &state, &LoadOptions::default()).expect("fits");
    assert!(
        report.missing.is_empty() && report.unexpected.is_empty(),
        "{report}"
    );
    let half = |phase| numbers(shape, phase, 0.3) + 0.5;
    let output = model.views(half(0.4).autodiff()).expect("it has the heads");

    let close = |found: f64, expected: f64, of: f64, tolerance: f64, what: &str| {
        let error = (found - expected).abs() / of;
        assert!(error <= tolerance, "{what}: {found} is not {expected}");
    };
    let same = |found: Vec<f64>, key: &str| {
        let expected = list(&network["output"][key]);
        let every = (found.len() / KEPT).max(1);
        let found: Vec<f64> = found.into_iter().step_by(every).collect();
        assert_eq!(found.len(), expected.len(), "{key}");
        let largest = expected.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        for (f, e) in found.iter().zip(&expected) {
            close(*f, *e, largest, TOLERANCE, key);
        }
    };
    let values = |data: TensorData| data.iter::<f64>().collect::<Vec<_>>();
    same(values(output.rotation.clone().into_data()), "rotation");
    same(values(output.code.clone().into_data()), "code");
    same(values(output.restored.clone().into_data()), "restored");

    let target = half(1.4).autodiff();
    let ViewLoss { loss, .. } = view_loss(
        output,
        turns(views).autodiff(),
        target,
        &ViewLossConfig::default(),
    );
    let expected = network["loss"].as_f64().expect("a loss");
    close(
        scalar(loss.clone().inner()),
        expected,
        expected,
        TOLERANCE,
        "loss",
    );

    let gradients = loss.backward();
    let found = gradients_of(&model, &gradients);
    let expected = network["gradients"].as_object().expect("names");
    let largest = |name: &str| expected[name]["largest"].as_f64().expect("a number");
    let most = expected
        .keys()
        .map(|name| largest(name))
        .fold(0.0, f64::max);
    let mut wrong = Vec::new();
    for (name, expected) in expected {
        let found = &found[name];
        let every = (found.len() / KEPT).max(1);
        for (f, e) in found.iter().step_by(every).zip(list(&expected["values"])) {
            let right = match largest(name) < ZERO * most {
                true => f.abs() < ZERO * most,
                false => (f - e).abs() <= GRADIENT * largest(name),
            };
            if !right {
                wrong.push(format!("{name}: {f} is not {e}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Names as in checkpoints of the published code, of two ages.
#[test]
fn published_names_are_known() {
    let reference = reference();
    let state = weights(&reference["network"]);
    let spec = Spec::SwinUNETR(SwinUNETRConfig::new(12, 1, 1).views());
    for encoder in ["module.", "module.swin_vit."] {
        let mut published = StateDict::new();
        for (name, data) in state.iter() {
            let name = match name.strip_prefix("swinViT.") {
                Some(rest) => format!("{encoder}{}", rest.replace(".mlp.linear", ".mlp.fc")),
                None => format!("module.{name}"),
            };
            published.insert(&name, data.clone()).expect("a new name");
        }
        let found = identify(&mut published, None).unwrap_or_else(|e| panic!("{encoder}: {e}"));
        assert_eq!((found.spec, found.ignored.len()), (spec.clone(), 0));
        assert_eq!(published.names().count(), state.names().count());
    }
}
