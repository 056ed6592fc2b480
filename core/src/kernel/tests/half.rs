//! Kernels on data of half precision against the same kernels on the same numbers in single
//! precision: they differ by what is lost when results are stored.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, FloatDType};

use super::*;
use crate::kernel::{
    Windows, avg_pool2, joined_once, layer_norm, max_pool2, resize_trilinear, window_attention,
};
use crate::model::{Model, UNetConfig, UNetHead};
use crate::nn::Precision;

/// A rounding to 11 binary digits, of the largest value.
const ROUNDING: f32 = 1.01 / 2048.0;

/// The graphics card, if it has half precision.
fn card() -> Option<Device> {
    let Subject { device, .. } = Subject::gpu()?;
    if !Precision::Float16.is_on(&device) {
        eprintln!("skipped: the adapter has no half precision");
        return None;
    }
    Some(device)
}

/// Compares output and gradients of an operation. Values are multiples of 1/1024 below 2, which
/// half precision has.
fn compare(
    case: &str,
    device: &Device,
    random: &mut Random,
    (x, weight, bias): Inputs,
    operation: impl Fn(Inputs) -> Tensor<5>,
) {
    let mut pull: Option<Tensor<5>> = None;
    let mut versions = [FloatDType::F32, FloatDType::F16].into_iter().map(|dtype| {
        let x = leaf(x.clone(), device);
        let weight = weight.clone().map(|w| leaf(w, device));
        let bias = bias.clone().map(|b| leaf(b, device));
        let y = operation((x.clone().cast(dtype), weight.clone(), bias.clone()));
        assert_eq!(y.dtype(), DType::from(dtype), "{case}");
        let y = y.cast(FloatDType::F32);
        let plain = y.clone().inner();
        let pull = pull
            .get_or_insert_with(|| random.tensor(plain.dims(), device))
            .clone();
        let grads = (y * pull.autodiff()).sum().backward();
        let parameters = [
            weight.map(|w| values(w.grad(&grads).expect("a gradient"))),
            bias.map(|b| values(b.grad(&grads).expect("a gradient"))),
        ];
        let dx = values(x.grad(&grads).expect("a gradient"));
        (values(plain), dx, parameters)
    });
    let single = versions.next().expect("two versions");
    let half = versions.next().expect("two versions");
    assert_within("output", case, &half.0, &single.0, ROUNDING);
    assert_within("dx", case, &half.1, &single.1, ROUNDING);
    for (half, single) in half.2.iter().zip(&single.2) {
        if let (Some(half), Some(single)) = (half, single) {
            assert_close("gradient of a parameter", case, half, single);
        }
    }
}

#[test]
fn dense_convolutions() {
    let Some(device) = card() else { return };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    // Channels, kernel, stride, dilation, size: few channels and many, rows that are multiples of
    // four and not.
    let cases = [
        ([1, 9], 3, 1, 1, [5, 6, 7]),
        ([3, 2], 3, 1, 1, [6, 5, 9]),
        ([8, 8], 3, 1, 1, [6, 7, 8]),
        ([21, 30], 3, 1, 2, [5, 7, 9]),
        ([8, 16], 3, 2, 1, [7, 8, 8]),
        ([5, 8], 5, 1, 1, [6, 6, 5]),
        ([33, 5], 1, 1, 1, [4, 3, 7]),
        ([16, 21], 2, 2, 1, [8, 6, 4]),
    ];
    for ([inputs, outputs], kernel, stride, dilation, [d, h, w]) in cases {
        let options = Conv3dOptions::new(stride, dilation * (kernel / 2), dilation);
        let case = format!("{inputs}->{outputs} kernel {kernel} {options:?}");
        let x = random.tensor([2, inputs, d, h, w], &device);
        let weight = random.tensor([outputs, inputs, kernel, kernel, kernel], &device);
        let bias = Some(random.tensor([outputs], &device));
        let inputs = (x, Some(weight), bias);
        compare(&case, &device, &mut random, inputs, |(x, w, b)| {
            conv3d(x, w.expect("weight"), b, &options)
        });
    }
}

#[test]
fn depthwise_and_transposed_convolutions() {
    let Some(device) = card() else { return };
    let mut random = Random(0x1234_5678_9abc_def1);
    for (channels, kernel, stride) in [(5, 3, 1), (8, 3, 2), (3, 5, 1)] {
        let case = format!("depthwise {channels} kernel {kernel} stride {stride}");
        let x = random.tensor([2, channels, 6, 7, 8], &device);
        let weight = random.tensor([channels, 1, kernel, kernel, kernel], &device);
        let bias = Some(random.tensor([channels], &device));
        let inputs = (x, Some(weight), bias);
        compare(&case, &device, &mut random, inputs.clone(), |(x, w, b)| {
            depthwise_conv3d(x, w.expect("weight"), b, stride, kernel / 2)
        });
        let case = format!("transposed {case}");
        compare(&case, &device, &mut random, inputs, |(x, w, b)| {
            depthwise_conv_transpose3d(x, w.expect("weight"), b)
        });
    }
    for ([inputs, outputs], kernel) in [([8, 4], 2), ([21, 5], 2), ([3, 8], 1)] {
        let case = format!("transposed {inputs}->{outputs} kernel {kernel}");
        let x = random.tensor([2, inputs, 3, 4, 5], &device);
        let weight = random.tensor([inputs, outputs, kernel, kernel, kernel], &device);
        let bias = Some(random.tensor([outputs], &device));
        let inputs = (x, Some(weight), bias);
        compare(&case, &device, &mut random, inputs, |(x, w, b)| {
            conv_transpose3d(x, w.expect("weight"), b)
        });
    }
}

#[test]
fn norms_activations_and_pooling() {
    let Some(device) = card() else { return };
    let mut random = Random(99);
    let activations = ACTIVATIONS.into_iter().map(Some).chain([None]);
    for (index, activation) in activations.enumerate() {
        let case = format!("norm {activation:?}");
        let x = random.tensor([2, 5, 9, 8 + index, 11], &device);
        let weight = Some(random.tensor([5, 1, 1, 1, 1], &device));
        let inputs = (x, weight, Some(random.tensor([5], &device)));
        compare(&case, &device, &mut random, inputs, |(x, w, b)| {
            let weight = w.map(|w| w.reshape([5]));
            instance_norm(x, weight, b, 1e-5, activation)
        });
    }
    for activation in ACTIVATIONS {
        let case = format!("{activation:?}");
        let inputs = (random.tensor([2, 3, 4, 5, 6], &device), None, None);
        compare(&case, &device, &mut random, inputs, |(x, _, _)| {
            activate(x, activation)
        });
    }
    for size in [[4, 6, 8], [5, 3, 7]] {
        let [d, h, w] = size;
        // Few distinct values: many ties.
        let x: Tensor<5> = random.tensor([2, 3, d, h, w], &device).round();
        let case = format!("pooling of {size:?}");
        compare(&case, &device, &mut random, (x, None, None), |(x, ..)| {
            max_pool2(x)
        });
    }
}

/// What has no kernel on graphics cards: burn's operations take one type alone.
#[test]
fn operations_that_are_composed() {
    let Some(device) = card() else { return };
    let mut random = Random(5);
    let x: Tensor<5> = random.tensor([2, 6, 4, 6, 8], &device);
    let plain = |x: &Tensor<5>| (x.clone(), None, None);
    compare("mean", &device, &mut random, plain(&x), |(x, ..)| {
        avg_pool2(x)
    });
    compare("resampling", &device, &mut random, plain(&x), |(x, ..)| {
        resize_trilinear(x, [5, 7, 3])
    });
    let bias = Some(random.tensor([6], &device));
    let inputs = (x.clone(), None, bias);
    compare("layer norm", &device, &mut random, inputs, |(x, _, b)| {
        layer_norm(x, None, b, 1e-5)
    });
    let windows = Windows {
        size: [2; 3],
        shift: [1; 3],
        heads: 2,
    };
    let bias = Some(random.tensor([1, 1, 2, 8, 8], &device));
    let inputs = (x.clone(), bias, None);
    compare("attention", &device, &mut random, inputs, |(x, b, _)| {
        window_attention(x, b.expect("a bias").reshape([2, 8, 8]), &windows)
    });
    // A kernel too large for graphics cards' own.
    let weight = Some(random.tensor([2, 6, 9, 1, 1], &device));
    let options = Conv3dOptions::new(1, 4, 1);
    let inputs = (x, weight, None);
    compare("kernel 9", &device, &mut random, inputs, |(x, w, _)| {
        conv3d(x, w.expect("weight"), None, &options)
    });
}

#[test]
fn fused_operations_without_gradients() {
    let Some(device) = card() else { return };
    let mut random = Random(7);
    let half = |x: &Tensor<5>| x.clone().cast(FloatDType::F16);
    let x: Tensor<5> = random.tensor([2, 9, 5, 6, 7], &device);
    let weight: Tensor<5> = random.tensor([5, 9, 3, 3, 3], &device);
    let options = Conv3dOptions::same(3);
    let apply = |x: Tensor<5>| conv3d_activated(x, weight.clone(), None, &options, ACTIVATIONS[3]);
    let (found, expected) = (apply(half(&x)), apply(x.clone()));
    let (found, expected) = (values(found.cast(FloatDType::F32)), values(expected));
    assert_within("output", "GELU after", &found, &expected, ROUNDING);

    let weight: Tensor<5> = random.tensor([21, 18, 1, 1, 1], &device);
    let bias = Some(random.tensor([21], &device));
    let labels = |x: Tensor<5>| {
        let joined = joined_once(&[x.clone().into(), x.into()]);
        let labels = conv3d_argmax(&joined, weight.clone(), bias.clone());
        labels.into_data().iter::<i32>().collect::<Vec<_>>()
    };
    // Sums of the same numbers in single precision: the same to the bit.
    assert_eq!(labels(half(&x)), labels(x));
}

/// A step with such gradients is skipped by those who look for what is no number.
#[test]
fn what_is_too_large_is_infinite() {
    let Some(device) = card() else { return };
    let x = Tensor::<5>::full([1, 4, 2, 2, 2], 30_000.0, &device).cast(FloatDType::F16);
    let weight = Tensor::<5>::ones([4, 4, 1, 1, 1], &device);
    let y = conv3d(x, weight, None, &Conv3dOptions::same(1));
    let y = values(y.cast(FloatDType::F32));
    assert!(y.iter().all(|y| *y == f32::INFINITY), "{y:?}");
}

/// Output, loss and gradients of a small U-Net.
fn step(model: &Model, x: &Tensor<5>, precision: Precision) -> (Vec<f32>, f32, Vec<Vec<f32>>) {
    /// Scales the loss, so that small gradients are not lost.
    const SCALE: f32 = 1024.0;
    let y = precision.leave(model.forward(precision.enter(x.clone())));
    assert_eq!(y.dtype(), DType::F32);
    let output = values(y.clone().inner());
    let loss = (y - x.clone()).square().mean();
    let value = values(loss.clone().inner())[0];
    let gradients = (loss * SCALE).backward();
    let mut found = Vec::new();
    struct Visitor<'a>(&'a burn::tensor::Gradients, &'a mut Vec<Vec<f32>>);
    impl ModuleVisitor for Visitor<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0).expect("a gradient");
            assert_eq!(gradient.dtype(), DType::F32);
            self.1.push(values(gradient / SCALE));
        }
    }
    model.visit(&mut Visitor(&gradients, &mut found));
    (output, value, found)
}

/// Draws kernels and biases, which a network draws from one generator for all threads. Norms keep
/// their ones and zeros.
struct Seeded<'a>(&'a mut Random);

impl ModuleMapper for Seeded<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (shape, device) = (param.dims(), param.device());
        let fixed = |value: f32| values(param.val()).iter().all(|&v| v == value);
        if fixed(0.0) || fixed(1.0) {
            return param;
        }
        // PyTorch's: uniform within one over the root of what an output sums.
        let summed: usize = shape[1..].iter().product();
        let drawn: Tensor<D> = self.0.tensor(shape, &device.inner());
        let drawn = drawn / (2.0 * (summed as f32).sqrt());
        Param::from_tensor(Tensor::from_inner(drawn).require_grad())
    }
}

#[test]
fn a_network_in_half_precision() {
    let Some(device) = card() else { return };
    let mut random = Random(77);
    for head in [UNetHead::Segmentation, UNetHead::Light] {
        let config = UNetConfig {
            filters: 4,
            head,
            ..UNetConfig::b(1, 1)
        };
        let model = Model::UNet(config.init(&device.clone().autodiff()));
        let model = model.map(&mut Seeded(&mut random));
        let x: Tensor<5> = random.tensor([1, 1, 64, 64, 64], &device);
        let x = x.autodiff();
        let single = step(&model, &x, Precision::Float32);
        let half = step(&model, &x, Precision::Float16);
        let case = format!("{head:?}");
        assert_within("output", &case, &half.0, &single.0, 0.02);
        assert!((half.1 - single.1).abs() < 0.005 * single.1, "{case}");
        let norm = |all: &[Vec<f32>]| all.iter().flatten().map(|g| g * g).sum::<f32>().sqrt();
        let pairs = half.2.iter().zip(&single.2);
        let apart: Vec<Vec<f32>> = pairs
            .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect())
            .collect();
        let share = norm(&apart) / norm(&single.2);
        // Rounding decides here and there which slope or which of eight voxels it is; without
        // skips all of it passes through norms over few voxels.
        assert!(share < 0.1, "gradients of {case} differ by {share}");
    }
}
