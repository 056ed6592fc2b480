//! SwinUNETR's pretraining losses against PyTorch (`reference/swin_pretext.py`).

use amaes_core::pretext::{ViewLossConfig, ViewOutput, rotate, view_loss};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use serde_json::Value;

const TOLERANCE: f64 = 1e-4;

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

/// The numbers of `swin_pretext.py`.
fn numbers<const D: usize>(shape: [usize; D], phase: f64, scale: f64) -> Tensor<D> {
    let number = |n: usize| {
        let n = n as f64;
        scale * ((0.37 * n + phase).sin() + 0.5 * (0.11 * n * n + 2.0 * phase).cos())
    };
    let values: Vec<f64> = (0..shape.iter().product()).map(number).collect();
    Tensor::from_data(
        TensorData::new(values, shape),
        (&Device::flex(), DType::F32),
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
        let turns: Vec<i32> = (0..views as i32).map(|v| (v * v + v + 1) % 4).collect();
        let turns = Tensor::<1, Int>::from_data(
            TensorData::new(turns, [views]),
            (&Device::flex(), DType::I32),
        );
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
        let found = view_loss(output, turns.autodiff(), target, &config);

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
