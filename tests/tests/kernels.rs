//! Every 3-D kernel against PyTorch: outputs and gradients of the cases that
//! `reference/kernels.py` writes. `AMAES_KERNEL_CASES` names their folder, `AMAES_KERNEL_DEVICE`
//! the device (`flex` or `wgpu`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use amaes::device::DeviceKind;
use amaes_core::kernel::{
    Conv3dOptions, NormParameters, Normalized, activate, conv_transpose3d, conv3d, conv3d_argmax,
    conv3d_joined, conv3d_normalized, depthwise_conv_transpose3d, depthwise_conv3d, instance_norm,
    max_pool2, resize_trilinear,
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

impl Inputs {
    /// Without autodiff.
    fn inner(&self) -> Self {
        Self {
            x: self.x.clone().inner(),
            kernel: self.kernel.clone().map(Tensor::inner),
            scale: self.scale.clone().map(Tensor::inner),
            bias: self.bias.clone().map(Tensor::inner),
        }
    }
}

/// The file of an operation's tensors and its list of cases.
fn read(operation: &str) -> Option<(Vec<u8>, Vec<Value>)> {
    let Some(folder) = std::env::var_os("AMAES_KERNEL_CASES").map(PathBuf::from) else {
        eprintln!("skipped: {operation} against PyTorch (AMAES_KERNEL_CASES names no folder)");
        return None;
    };
    let bytes = std::fs::read(folder.join(format!("{operation}.safetensors"))).expect("cases");
    let list = std::fs::read(folder.join(format!("{operation}.json"))).expect("list of cases");
    let cases: Vec<Value> = serde_json::from_slice(&list).expect("JSON");
    assert!(!cases.is_empty(), "{operation} has cases");
    Some((bytes, cases))
}

fn compare(operation: &str, run: impl Fn(&Value, Inputs) -> Tensor<5>) {
    let Some((bytes, cases)) = read(operation) else {
        return;
    };
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
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
        let plain = run(case, inputs.inner());
        let output = run(case, inputs);
        let pull = Tensor::<5>::from_data(find("pull").expect("pull"), &device).autodiff();
        let gradients = (output.clone() * pull).sum().backward();
        let mut found = BTreeMap::new();
        found.insert("output", Some(values(output.inner())));
        found.insert("output without autodiff", Some(values(plain)));
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
            let theirs = name.trim_end_matches(" without autodiff");
            let expected = find(theirs).expect("PyTorch's values");
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

#[test]
fn joined_convolution() {
    compare("conv3d_joined", |case, inputs| {
        let [n, channels, d, h, w] = inputs.x.dims();
        let part = |from, to| inputs.x.clone().slice([0..n, from..to, 0..d, 0..h, 0..w]);
        let first = number(case, "first");
        let parts = [part(0, first).into(), part(first, channels).into()];
        conv3d_joined(
            &parts,
            inputs.kernel.expect("weight"),
            inputs.bias,
            &Conv3dOptions::same(number(case, "kernel")),
            activation(case),
            None,
        )
    });
}

#[test]
fn normalised_convolution() {
    compare("conv3d_normalized", |case, inputs| {
        let (weight, options) = (inputs.kernel.expect("weight"), Conv3dOptions::same(3));
        let norm = NormParameters {
            weight: None,
            bias: inputs.bias,
            eps: case["eps"].as_f64().expect("eps"),
            activation: activation(case),
        };
        let x = [inputs.x.into()];
        let y: Normalized = conv3d_normalized(&x, weight.clone(), None, &options, norm);
        match case["again"].as_bool() {
            Some(true) => conv3d_joined(&[y], weight, None, &options, None, None),
            _ => y.into_tensor(),
        }
    });
}

#[test]
fn resampling() {
    compare("resize_trilinear", |case, inputs| {
        let side = |axis: usize| case["size"][axis].as_u64().expect("size") as usize;
        resize_trilinear(inputs.x, [0, 1, 2].map(side))
    });
}

#[test]
fn classes() {
    let Some((bytes, cases)) = read("conv3d_argmax") else {
        return;
    };
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let device = device();
    for index in 0..cases.len() {
        let view = |name: &str| tensors.tensor(&format!("{index:03}.{name}"));
        let find = |name: &str| {
            let view = view(name).ok()?;
            let floats = view.data().as_chunks::<4>().0.iter();
            let values: Vec<f32> = floats.map(|bytes| f32::from_le_bytes(*bytes)).collect();
            Some(TensorData::new(values, view.shape().to_vec()))
        };
        let five = |name| Tensor::<5>::from_data(find(name).expect(name), &device);
        let bias = find("bias").map(|bias| Tensor::<1>::from_data(bias, &device));
        let found = conv3d_argmax(&[five("x").into()], five("weight"), bias);
        let found: Vec<i64> = found.into_data().iter::<i64>().collect();
        let expected = view("output").expect("output");
        let expected = expected.data().as_chunks::<8>().0.iter();
        let expected: Vec<i64> = expected.map(|bytes| i64::from_le_bytes(*bytes)).collect();
        assert_eq!(found, expected, "conv3d_argmax {index}");
    }
    println!("conv3d_argmax: {} cases agree", cases.len());
}
