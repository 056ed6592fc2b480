//! The differentiable kernels of each backend against the portable definitions, on random shapes
//! with fixed seeds.

use burn::Tensor;
use burn::tensor::{Device, Int, TensorData};

use super::{
    Conv3dOptions, activate, conv_transpose3d, conv3d, conv3d_activated, conv3d_argmax,
    depthwise_conv_transpose3d, depthwise_conv3d, instance_norm, portable,
};
use crate::nn::Activation;

#[cfg(feature = "cube")]
mod blocks;
#[cfg(feature = "flex")]
mod fused;
#[cfg(feature = "cube")]
mod half;
#[cfg(feature = "flex")]
mod instructions;

const CHANNELS: [usize; 8] = [1, 2, 3, 5, 8, 21, 30, 33];

/// A xorshift generator: shapes and values are the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn tensor<const D: usize>(&mut self, shape: [usize; D], device: &Device) -> Tensor<D> {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| (self.next() % 4096) as f32 / 1024.0 - 2.0)
            .collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// A device with kernels of its own, and the one that computes what they are compared with.
struct Subject {
    device: Device,
    definition: Device,
    /// Every how many cases one is tested: software adapters are slow.
    every: usize,
}

impl Subject {
    #[cfg(feature = "flex")]
    fn flex() -> Self {
        Self {
            device: Device::flex(),
            definition: Device::flex(),
            every: 1,
        }
    }

    /// The graphics card, if there is one: burn panics where there is none.
    #[cfg(feature = "cube")]
    fn gpu() -> Option<Self> {
        use burn::tensor::DeviceKind;

        let opened = std::panic::catch_unwind(|| {
            let device = Device::wgpu(DeviceKind::DefaultDevice);
            let one = Tensor::<1>::ones([1], &device).try_into_data();
            one.map(|_| device).ok()
        });
        let Some(device) = opened.ok().flatten() else {
            eprintln!("skipped: no graphics adapter");
            return None;
        };
        Some(Self {
            #[cfg(feature = "flex")]
            definition: Device::flex(),
            #[cfg(not(feature = "flex"))]
            definition: device.clone(),
            device,
            every: 4,
        })
    }
}

macro_rules! on_each_backend {
    ($($test:ident),* $(,)?) => {
        #[cfg(feature = "flex")]
        mod flex {
            $(#[test]
            fn $test() {
                super::$test(&crate::kernel::tests::Subject::flex());
            })*
        }

        #[cfg(feature = "cube")]
        mod gpu {
            $(#[test]
            fn $test() {
                crate::kernel::tests::Subject::gpu()
                    .iter()
                    .for_each(super::$test);
            })*
        }
    };
}

mod layers;
mod slabs;

on_each_backend!(
    dense_convolution_matches_its_definition,
    fused_activation_matches_two_steps,
    views_are_read_in_their_order,
    depthwise_convolution_matches_its_definition,
    transposed_convolutions_match_their_definitions,
    arg_max_is_that_of_the_convolution,
);

/// Inputs of an operation: data, weight, bias.
type Inputs = (Tensor<5>, Option<Tensor<5>>, Option<Tensor<1>>);

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("single precision")
}

/// Fails unless both agree to 1e-4 of the largest magnitude.
fn assert_close(what: &str, case: &str, fast: &[f32], slow: &[f32]) {
    assert_within(what, case, fast, slow, 1e-4);
}

/// Differences are at most `tolerance` times the largest value.
fn assert_within(what: &str, case: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what} of {case}");
    let scale = expected
        .iter()
        .fold(1e-3_f32, |scale, value| scale.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * scale,
            "{what}[{index}] of {case}: {found}, expected {expected}"
        );
    }
}

fn moved<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    Tensor::from_data(tensor.into_data(), device)
}

fn leaf<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    moved(tensor, device).autodiff().require_grad()
}

/// Compares outputs and every gradient of two versions of an operation.
fn compare(
    subject: &Subject,
    case: &str,
    random: &mut Random,
    (x, weight, bias): Inputs,
    fast_version: impl Fn(Inputs) -> Tensor<5>,
    slow_version: impl Fn(Inputs) -> Tensor<5>,
) {
    let mut pull: Option<Tensor<5>> = None;
    let mut results = Vec::new();
    let versions: [(&Device, &dyn Fn(Inputs) -> Tensor<5>); 2] = [
        (&subject.device, &fast_version),
        (&subject.definition, &slow_version),
    ];
    for (device, version) in versions {
        let x = leaf(x.clone(), device);
        let weight = weight.clone().map(|w| leaf(w, device));
        let bias = bias.clone().map(|b| leaf(b, device));
        let y = version((x.clone(), weight.clone(), bias.clone()));
        let plain = y.clone().inner();
        let pull = pull
            .get_or_insert_with(|| random.tensor(plain.dims(), device))
            .clone();
        let grads = (y * moved(pull, device).autodiff()).sum().backward();
        let gradient =
            |name: &'static str, values: Option<Vec<f32>>| (name, values.expect("a gradient"));
        let mut all = vec![
            ("output", values(plain)),
            gradient("dx", x.grad(&grads).map(values)),
        ];
        if let Some(weight) = weight {
            all.push(gradient("dweight", weight.grad(&grads).map(values)));
        }
        if let Some(bias) = bias {
            all.push(gradient("dbias", bias.grad(&grads).map(values)));
        }
        results.push(all);
    }
    let slow = results.pop().expect("two versions");
    let fast = results.pop().expect("two versions");
    for ((what, fast), (_, slow)) in fast.iter().zip(&slow) {
        assert_close(what, case, fast, slow);
    }
    let plain = fast_version((x, weight, bias));
    assert_eq!(
        values(plain),
        fast[0].1,
        "output of {case} without autodiff"
    );
}

fn dense_convolution_matches_its_definition(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut cases = 0;
    while cases < 120 / subject.every {
        let kernel = random.pick(&[1, 2, 3, 5]);
        let stride = random.pick(&[1, 1, 2]);
        let dilation = random.pick(&[1, 1, 2, 3, 16]);
        let reach = dilation * (kernel - 1);
        let mut pad = || random.below(reach.min(18) + 1);
        let padding = [[pad(), pad()], [pad(), pad()], [pad(), pad()]];
        let size: [usize; 3] = std::array::from_fn(|_| 1 + random.below(12));
        let (n, inputs, outputs) = (
            1 + random.below(3),
            random.pick(&CHANNELS),
            random.pick(&CHANNELS),
        );
        let options = Conv3dOptions {
            stride: [stride; 3],
            padding,
            dilation: [dilation; 3],
        };
        let Some(out) = options.output_size(size, [kernel; 3]) else {
            continue;
        };
        let work = n * inputs * outputs * out.iter().product::<usize>() * kernel.pow(3);
        if work > 4_000_000 {
            continue;
        }
        cases += 1;
        let case = format!("{n}x{inputs}->{outputs} {size:?} kernel {kernel} {options:?}");
        let x = random.tensor([n, inputs, size[0], size[1], size[2]], device);
        let weight = random.tensor([outputs, inputs, kernel, kernel, kernel], device);
        let bias = random
            .pick(&[true, false])
            .then(|| random.tensor([outputs], device));
        compare(
            subject,
            &case,
            &mut random,
            (x, Some(weight), bias),
            |(x, w, b)| conv3d(x, w.expect("weight"), b, &options),
            |(x, w, b)| portable::conv3d(x, w.expect("weight"), b, &options),
        );
    }
}

fn fused_activation_matches_two_steps(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(7);
    let options = Conv3dOptions::same(3);
    for activation in ACTIVATIONS {
        let x = random.tensor([2, 3, 5, 6, 7], device);
        let weight = random.tensor([5, 3, 3, 3, 3], device);
        let bias = random.tensor([5], device);
        let fast = conv3d_activated(
            x.clone(),
            weight.clone(),
            Some(bias.clone()),
            &options,
            activation,
        );
        let slow = portable::activate(
            portable::conv3d(x, weight, Some(bias), &options),
            activation,
        );
        assert_close(
            "output",
            &format!("{activation:?}"),
            &values(fast),
            &values(slow),
        );
    }
}

const ACTIVATIONS: [Activation; 6] = [
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::Elu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
];

fn views_are_read_in_their_order(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(11);
    let x: Tensor<5> = random.tensor([2, 6, 5, 4, 3], device);
    let weight: Tensor<5> = random.tensor([3, 4, 3, 3, 3], device);
    let options = Conv3dOptions::same(3);
    let turned = x.permute([0, 3, 2, 1, 4]);
    let copied: Tensor<5> = Tensor::from_data(turned.clone().into_data(), device);
    let fast = conv3d(turned, weight.clone(), None, &options);
    let slow = conv3d(copied, weight, None, &options);
    assert_eq!(values(fast), values(slow));
}

fn depthwise_convolution_matches_its_definition(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut cases = 0;
    while cases < 60 / subject.every {
        let kernel = random.pick(&[1, 3, 5]);
        let (stride, padding) = (1 + random.below(2), random.below(kernel));
        let size: [usize; 3] = std::array::from_fn(|_| 1 + random.below(10));
        let (n, channels) = (1 + random.below(3), random.pick(&CHANNELS));
        let options = Conv3dOptions::new(stride, padding, 1);
        if options.output_size(size, [kernel; 3]).is_none() {
            continue;
        }
        cases += 1;
        let case = format!("{n}x{channels} {size:?} kernel {kernel} stride {stride} pad {padding}");
        let x = random.tensor([n, channels, size[0], size[1], size[2]], device);
        let weight = random.tensor([channels, 1, kernel, kernel, kernel], device);
        let bias = random
            .pick(&[true, false])
            .then(|| random.tensor([channels], device));
        compare(
            subject,
            &case,
            &mut random,
            (x, Some(weight), bias),
            |(x, w, b)| depthwise_conv3d(x, w.expect("weight"), b, stride, padding),
            |(x, w, b)| portable::depthwise_conv3d(x, &w.expect("weight"), b, stride, padding),
        );
    }
}

fn transposed_convolutions_match_their_definitions(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(0xfeed_beef_1234_5671);
    for index in 0..40 / subject.every {
        let [d, h, w]: [usize; 3] = std::array::from_fn(|_| 1 + random.below(7));
        let (n, inputs, outputs) = (
            1 + random.below(3),
            random.pick(&CHANNELS),
            random.pick(&CHANNELS),
        );
        let kernel = 1 + index % 2;
        let case = format!("{n}x{inputs}->{outputs} {d}x{h}x{w} kernel {kernel}");
        let x: Tensor<5> = random.tensor([n, inputs, d, h, w], device);
        let weight = random.tensor([inputs, outputs, kernel, kernel, kernel], device);
        let bias = random
            .pick(&[true, false])
            .then(|| random.tensor([outputs], device));
        compare(
            subject,
            &case,
            &mut random,
            (x.clone(), Some(weight), bias),
            |(x, w, b)| conv_transpose3d(x, w.expect("weight"), b),
            |(x, w, b)| portable::conv_transpose3d(x, w.expect("weight"), b, kernel),
        );
        let k = random.pick(&[3, 5]);
        let weight = random.tensor([inputs, 1, k, k, k], device);
        let bias = random
            .pick(&[true, false])
            .then(|| random.tensor([inputs], device));
        compare(
            subject,
            &format!("depthwise {case} kernel {k}"),
            &mut random,
            (x, Some(weight), bias),
            |(x, w, b)| depthwise_conv_transpose3d(x, w.expect("weight"), b),
            |(x, w, b)| portable::depthwise_conv_transpose3d(x, w.expect("weight"), b),
        );
    }
}

fn arg_max_is_that_of_the_convolution(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(41);
    for _ in 0..24 / subject.every {
        let [d, h, w]: [usize; 3] = std::array::from_fn(|_| 1 + random.below(9));
        let (inputs, outputs) = (random.pick(&CHANNELS), random.pick(&CHANNELS));
        let x: Tensor<5> = random.tensor([2, inputs, d, h, w], device);
        let weight: Tensor<5> = random.tensor([outputs, inputs, 1, 1, 1], device);
        let bias = random
            .pick(&[true, false])
            .then(|| random.tensor::<1>([outputs], device));
        let here = |tensor: Tensor<5>| moved(tensor, &subject.definition);
        let logits = portable::conv3d(
            here(x.clone()),
            here(weight.clone()),
            bias.clone().map(|bias| moved(bias, &subject.definition)),
            &Conv3dOptions::same(1),
        );
        let labels = conv3d_argmax(&[x.into()], weight, bias);
        assert_eq!(labels.dims(), [2, 1, d, h, w]);
        let labels = Tensor::<5, Int>::from_data(labels.into_data(), &subject.definition);
        let chosen = values(logits.clone().gather(1, labels));
        // Rounding may decide between equals.
        assert_close(
            "largest",
            &format!("{inputs} to {outputs} at {d}x{h}x{w}"),
            &chosen,
            &values(logits.max_dim(1)),
        );
    }
}

/// Software adapters bind 128 MiB.
#[cfg(feature = "cube")]
#[test]
fn an_output_that_does_not_fit_is_an_error_and_no_hang() {
    let Some(Subject { device, .. }) = Subject::gpu() else {
        return;
    };
    let name = super::adapter_name(&device).unwrap_or_default();
    let class = super::AdapterClass::of(&name);
    let software = [super::AdapterClass::Software, super::AdapterClass::Llvmpipe];
    if !software.contains(&class) {
        eprintln!("skipped: {name} may have the memory");
        return;
    }
    let x = Tensor::<5>::ones([1, 1, 64, 64, 64], &device);
    let weight = Tensor::<5>::ones([1, 256, 2, 2, 2], &device);
    let failed = conv_transpose3d(x.clone(), weight, None).try_into_data();
    assert!(failed.is_err(), "2 GiB in one tensor");
    let weight = Tensor::<5>::ones([1, 1, 2, 2, 2], &device);
    let after = conv_transpose3d(x, weight, None).try_into_data();
    assert!(after.is_ok(), "the device still works");
}

/// Runs `body` in a pool of this many threads.
#[cfg(all(feature = "flex", feature = "rayon"))]
fn on_threads<R: Send>(threads: usize, body: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads")
        .install(body)
}

#[cfg(all(feature = "flex", feature = "rayon"))]
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let device = Device::flex();
    let run = |threads: usize| {
        on_threads(threads, || {
            let mut random = Random(17);
            let x: Tensor<5> = random
                .tensor::<5>([2, 9, 11, 10, 13], &device)
                .autodiff()
                .require_grad();
            let weight: Tensor<5> = random
                .tensor::<5>([10, 9, 3, 3, 3], &device)
                .autodiff()
                .require_grad();
            let bias: Tensor<1> = random.tensor::<1>([10], &device).autodiff().require_grad();
            let options = Conv3dOptions::same(3);
            let y = conv3d(x.clone(), weight.clone(), Some(bias.clone()), &options);
            let y = instance_norm(y, Some(bias.clone()), None, 1e-5, Some(Activation::Gelu));
            let gradients = y.clone().sum().backward();
            let gradient = [
                x.grad(&gradients).map(values),
                weight.grad(&gradients).map(values),
                bias.grad(&gradients).map(values),
            ];
            (values(y.inner()), gradient)
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}
