//! Every 3-D kernel against PyTorch: outputs and gradients of the cases that
//! `reference/kernels.py` writes. `AMAES_KERNEL_CASES` names their folder, `AMAES_KERNEL_DEVICE`
//! the device (`flex` or `wgpu`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use amaes::device::DeviceKind;
use amaes_core::kernel::{
    Conv3dOptions, activate, conv_transpose3d, conv3d, depthwise_conv_transpose3d,
    depthwise_conv3d, instance_norm, max_pool2,
};
use amaes_core::nn::Activation;
use burn::Tensor;
use burn::tensor::{Device, TensorData};
use safetensors::SafeTensors;
use serde_json::Value;

/// Largest difference, relative to the largest magnitude of the tensor.
const TOLERANCE: f32 = 1e-4;

struct Inputs {
    x: Tensor<5>,
    /// The weight of a convolution.
    kernel: Option<Tensor<5>>,
    /// The weight of a normalisation.
    scale: Option<Tensor<1>>,
    bias: Option<Tensor<1>>,
}

fn device() -> Device {
    match std::env::var("AMAES_KERNEL_DEVICE").as_deref() {
        Ok("wgpu") => DeviceKind::Wgpu
            .open()
            .expect("a graphics card or its software"),
        Ok("flex") | Err(_) => Device::flex(),
        Ok(other) => panic!("AMAES_KERNEL_DEVICE: no device {other}"),
    }
}

fn compare(operation: &str, run: impl Fn(&Value, Inputs) -> Tensor<5>) {
    let Some(folder) = std::env::var_os("AMAES_KERNEL_CASES").map(PathBuf::from) else {
        eprintln!("skipped: {operation} against PyTorch (AMAES_KERNEL_CASES names no folder)");
        return;
    };
    let bytes = std::fs::read(folder.join(format!("{operation}.safetensors"))).expect("cases");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let list = std::fs::read(folder.join(format!("{operation}.json"))).expect("list of cases");
    let cases: Vec<Value> = serde_json::from_slice(&list).expect("JSON");
    assert!(!cases.is_empty(), "{operation} has cases");
    let device = device();
    for (index, case) in cases.iter().enumerate() {
        let find = |name: &str| {
            let view = tensors.tensor(&format!("{index:03}.{name}")).ok()?;
            let values: Vec<f32> = view
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect();
            Some(TensorData::new(values, view.shape().to_vec()))
        };
        let x = find("x").map(|data| leaf::<5>(data, &device)).expect("x");
        let weight = find("weight");
        let rank = weight.as_ref().map(|data| data.shape().num_dims());
        let kernel = weight
            .clone()
            .filter(|_| rank == Some(5))
            .map(|data| leaf::<5>(data, &device));
        let scale = weight
            .filter(|_| rank == Some(1))
            .map(|data| leaf::<1>(data, &device));
        let bias = find("bias").map(|data| leaf::<1>(data, &device));
        let inputs = Inputs {
            x: x.clone(),
            kernel: kernel.clone(),
            scale: scale.clone(),
            bias: bias.clone(),
        };
        let output = run(case, inputs);
        let pull = Tensor::<5>::from_data(find("pull").expect("pull"), &device).autodiff();
        let gradients = (output.clone() * pull).sum().backward();
        let mut found = BTreeMap::new();
        found.insert("output", Some(values(output.inner())));
        found.insert("grad.x", x.grad(&gradients).map(values));
        if let Some(kernel) = kernel {
            found.insert("grad.weight", kernel.grad(&gradients).map(values));
        }
        if let Some(scale) = scale {
            found.insert("grad.weight", scale.grad(&gradients).map(values));
        }
        if let Some(bias) = bias {
            found.insert("grad.bias", bias.grad(&gradients).map(values));
        }
        for (name, ours) in found {
            let ours = ours.unwrap_or_else(|| panic!("{operation} {index} {case}: no {name}"));
            let expected = find(name).expect("PyTorch's values");
            let expected: Vec<f32> = expected.try_to_vec().expect("single precision");
            assert_eq!(
                ours.len(),
                expected.len(),
                "{operation} {index} {case}: {name}"
            );
            let scale = expected
                .iter()
                .fold(1e-2_f32, |most, value| most.max(value.abs()));
            for (at, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
                assert!(
                    (ours - expected).abs() <= TOLERANCE * scale,
                    "{operation} {index} {case}: {name}[{at}] is {ours}, PyTorch has {expected}"
                );
            }
        }
    }
    println!("{operation}: {} cases agree", cases.len());
}

fn leaf<const D: usize>(data: TensorData, device: &Device) -> Tensor<D> {
    Tensor::from_data(data, device).autodiff().require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("single precision")
}

fn number(case: &Value, name: &str) -> usize {
    case[name].as_u64().expect(name) as usize
}

fn activation(case: &Value) -> Option<Activation> {
    Some(match case["activation"].as_str()? {
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu { slope: 0.01 },
        "elu" => Activation::Elu,
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        "silu" => Activation::Silu,
        other => panic!("no activation {other}"),
    })
}

#[test]
fn dense_convolution() {
    compare("conv3d", |case, inputs| {
        let pad = |axis: usize, side: usize| {
            case["padding"][axis][side].as_u64().expect("padding") as usize
        };
        let options = Conv3dOptions {
            stride: [number(case, "stride"); 3],
            padding: std::array::from_fn(|axis| [pad(axis, 0), pad(axis, 1)]),
            dilation: [number(case, "dilation"); 3],
        };
        conv3d(
            inputs.x,
            inputs.kernel.expect("weight"),
            inputs.bias,
            &options,
        )
    });
}

#[test]
fn depthwise_convolution() {
    compare("depthwise_conv3d", |case, inputs| {
        let (stride, padding) = (number(case, "stride"), number(case, "padding"));
        depthwise_conv3d(
            inputs.x,
            inputs.kernel.expect("weight"),
            inputs.bias,
            stride,
            padding,
        )
    });
}

#[test]
fn transposed_depthwise_convolution() {
    compare("depthwise_conv_transpose3d", |_, inputs| {
        depthwise_conv_transpose3d(inputs.x, inputs.kernel.expect("weight"), inputs.bias)
    });
}

#[test]
fn transposed_convolution() {
    compare("conv_transpose3d", |_, inputs| {
        conv_transpose3d(inputs.x, inputs.kernel.expect("weight"), inputs.bias)
    });
}

#[test]
fn instance_normalisation() {
    compare("instance_norm", |case, inputs| {
        let eps = case["eps"].as_f64().expect("eps");
        instance_norm(inputs.x, inputs.scale, inputs.bias, eps, activation(case))
    });
}

#[test]
fn activations() {
    compare("activate", |case, inputs| {
        activate(inputs.x, activation(case).expect("activation"))
    });
}

#[test]
fn pooling() {
    compare("max_pool2", |_, inputs| max_pool2(inputs.x));
}
