//! Dice + cross-entropy against MONAI and PyTorch (`reference/loss.py`).

use amaes_core::loss::{DiceCe, DiceCeConfig, dice_cross_entropy};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use serde_json::Value;

const VALUE: f64 = 1e-4;
const GRADIENT: f64 = 1e-3;

struct Case {
    logits: Tensor<5>,
    labels: Tensor<5, Int>,
    config: DiceCeConfig,
}

impl Case {
    fn new(case: &Value, shape: [usize; 3]) -> Self {
        let size = |key: &str| case[key].as_u64().expect("a number") as usize;
        let (classes, batch) = (size("classes"), size("batch"));
        let voxels: usize = shape.iter().product();
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for b in 0..batch {
            for c in 0..classes {
                logits.extend((0..voxels).map(|v| {
                    let [v, c, b] = [v, c, b].map(|n| n as f64);
                    2.0 * (0.7 * v + 1.3 * c + 2.1 * b).sin() + (0.031 * v * (c + 1.0)).cos()
                }));
            }
            let unlabelled = case["unlabelled"] == true;
            labels.extend((0..voxels).map(|v| match unlabelled && v % 7 == 0 {
                true => -1,
                false => ((v * v + 3 * b) % classes) as i32,
            }));
        }
        let number = |key: &str, default| case[key].as_f64().unwrap_or(default);
        let [x, y, z] = shape;
        let device = Device::flex();
        let logits = TensorData::new(logits, [batch, classes, x, y, z]);
        let labels = TensorData::new(labels, [batch, 1, x, y, z]);
        Self {
            logits: Tensor::from_data(logits, (&device, DType::F32)),
            labels: Tensor::from_data(labels, (&device, DType::I32)),
            config: DiceCeConfig {
                dice: number("dice", 1.0),
                cross_entropy: number("cross_entropy", 1.0),
                background: case["background"] != false,
                batch: case["over_batch"] == true,
                smooth: number("smooth", 1.0),
            },
        }
    }

    fn loss(&self, logits: Tensor<5>) -> DiceCe {
        dice_cross_entropy(logits, self.labels.clone(), &self.config)
    }
}

fn scalar(tensor: Tensor<1>) -> f64 {
    f64::from(tensor.into_scalar::<f32>())
}

#[test]
fn values_and_gradients_are_those_of_monai_and_pytorch() {
    let reference: Value =
        serde_json::from_str(include_str!("../reference/loss.json")).expect("JSON");
    let edges = reference["shape"].as_array().expect("a shape");
    let shape = [0, 1, 2].map(|a| edges[a].as_u64().expect("an edge") as usize);
    let every = reference["every"].as_u64().expect("a number") as usize;
    for json in reference["cases"].as_array().expect("cases") {
        let name = json["name"].as_str().expect("a name");
        let expected = &json["expected"];
        let number = |key: &str| expected[key].as_f64().expect("a number");
        let case = Case::new(json, shape);
        let logits = case.logits.clone().autodiff().require_grad();
        let found = case.loss(logits.clone());
        let plain = case.loss(case.logits.clone());
        for (key, value) in [
            ("loss", found.loss.clone()),
            ("dice", found.dice),
            ("cross_entropy", found.cross_entropy),
            ("loss", plain.loss),
        ] {
            let (found, expected) = (scalar(value.inner()), number(key));
            let error = (found - expected).abs() / expected.abs();
            assert!(error <= VALUE, "{name}: {key} is {found}, not {expected}");
        }

        let gradients = found.loss.backward();
        let gradient = logits.grad(&gradients).expect("a gradient").into_data();
        let gradient: Vec<f64> = gradient.iter::<f64>().collect();
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!(
            (norm / number("norm") - 1.0).abs() <= GRADIENT,
            "{name}: norm {norm}"
        );
        let values = expected["gradient"].as_array().expect("a list");
        assert_eq!(values.len(), gradient.len().div_ceil(every));
        for (n, value) in values.iter().enumerate() {
            let (found, value) = (gradient[n * every], value.as_f64().expect("a number"));
            // Relative to the largest: single values may be small by cancellation.
            let bound = GRADIENT * norm / (gradient.len() as f64).sqrt();
            assert!(
                (found - value).abs() <= bound,
                "{name}: {n} is {found}, not {value}"
            );
        }
    }
}

#[test]
fn a_batch_without_labels_has_no_gradient() {
    let device = Device::flex();
    let logits = Tensor::<5>::ones([1, 2, 2, 2, 2], &device)
        .autodiff()
        .require_grad();
    let labels = Tensor::<5, Int>::ones([1, 1, 2, 2, 2], &device).neg();
    let found = dice_cross_entropy(logits.clone(), labels, &DiceCeConfig::default());
    assert_eq!(scalar(found.cross_entropy.inner()), 0.0);
    let gradients = found.loss.backward();
    let gradient = logits.grad(&gradients).expect("a gradient").abs().sum();
    assert_eq!(scalar(gradient), 0.0);
}
