//! The fused operations against the plain definitions in turn.

use burn::Tensor;
use burn::tensor::{Device, Int, TensorData};

use super::super::normalized::joined;
use super::super::{
    Conv3dOptions, NormParameters, Normalized, conv_transpose3d_from, conv3d_argmax, conv3d_joined,
    conv3d_normalized, depthwise_conv3d_normalized, max_pool2_from, portable, residual_sum,
};
use super::{ACTIVATIONS, CHANNELS, Random, assert_close, values};
use crate::nn::Activation;

impl Random {
    fn activation(&mut self) -> Option<Activation> {
        ACTIVATIONS.get(self.below(ACTIVATIONS.len() + 1)).copied()
    }

    fn size(&mut self, most: usize) -> [usize; 3] {
        std::array::from_fn(|_| 1 + self.below(most))
    }

    /// A tensor with a map three times out of four.
    fn normalized(&mut self, shape: [usize; 5], device: &Device) -> Normalized {
        let x = self.tensor(shape, device);
        let map = (self.below(4) > 0).then(|| {
            (
                self.tensor([shape[0], shape[1], 3], device),
                self.activation(),
            )
        });
        Normalized { x, map }
    }

    fn bias(&mut self, channels: usize, device: &Device) -> Option<Tensor<1>> {
        (self.below(2) > 0).then(|| self.tensor([channels], device))
    }

    fn norm(&mut self, channels: usize, device: &Device) -> NormParameters {
        NormParameters {
            weight: self.bias(channels, device),
            bias: self.bias(channels, device),
            eps: 1e-5,
            activation: self.activation(),
        }
    }

    /// One tensor or two.
    fn inputs(&mut self, batch: usize, [d, h, w]: [usize; 3], device: &Device) -> Vec<Normalized> {
        (0..1 + self.below(2))
            .map(|_| {
                let channels = self.pick(&CHANNELS);
                self.normalized([batch, channels, d, h, w], device)
            })
            .collect()
    }
}

fn channels(inputs: &[Normalized]) -> usize {
    inputs.iter().map(|input| input.dims()[1]).sum()
}

fn describe(inputs: &[Normalized]) -> String {
    let each = inputs.iter().map(|input| {
        let activation = input.map.as_ref().map(|(_, activation)| activation);
        format!("{:?} {activation:?}", input.dims())
    });
    each.collect::<Vec<_>>().join(" and ")
}

fn normalise(x: Tensor<5>, norm: NormParameters) -> Tensor<5> {
    portable::instance_norm(x, norm.weight, norm.bias, norm.eps, norm.activation)
}

#[test]
fn residuals_of_mapped_tensors_match_their_definition() {
    let device = Device::flex();
    let mut random = Random(0x77);
    for _ in 0..40 {
        let [d, h, w] = random.size(9);
        let shape = [2, random.pick(&CHANNELS), d, h, w];
        let parts = [(); 2].map(|()| random.normalized(shape, &device));
        let Some(activation) = random.activation() else {
            continue;
        };
        let case = format!("{} {activation:?}", describe(&parts));
        let [x, residual] = parts.clone().map(Normalized::into_tensor);
        let [a, b] = parts;
        assert_close(
            "output",
            &case,
            &values(residual_sum(a, b, activation)),
            &values(portable::activate(x + residual, activation)),
        );
    }
}

#[test]
fn joined_convolutions_match_their_definition() {
    let device = Device::flex();
    let mut random = Random(0x5151_1234_9876_0001);
    let mut cases = 0;
    while cases < 80 {
        let (kernel, stride, dilation) = (
            random.pick(&[1, 3, 3, 5]),
            random.pick(&[1, 1, 2]),
            random.pick(&[1, 1, 3]),
        );
        let options = Conv3dOptions::new(stride, dilation * (kernel / 2), dilation);
        let (size, batch) = (random.size(9), 1 + random.below(2));
        if options.output_size(size, [kernel; 3]).is_none() {
            continue;
        }
        cases += 1;
        let inputs = random.inputs(batch, size, &device);
        let outputs = random.pick(&CHANNELS);
        let weight: Tensor<5> = random.tensor(
            [outputs, channels(&inputs), kernel, kernel, kernel],
            &device,
        );
        let bias = random.bias(outputs, &device);
        let case = format!(
            "{} to {outputs}, kernel {kernel} {options:?}",
            describe(&inputs)
        );
        let plain = portable::conv3d(joined(&inputs), weight.clone(), bias.clone(), &options);
        let activation = random.activation();
        let residual = (random.below(2) > 0).then(|| random.tensor::<5>(plain.dims(), &device));
        let fast = conv3d_joined(
            &inputs,
            weight.clone(),
            bias.clone(),
            &options,
            activation,
            residual.clone(),
        );
        let mut slow = plain.clone();
        if let Some(activation) = activation {
            slow = portable::activate(slow, activation);
        }
        if let Some(residual) = residual {
            slow = slow + residual;
        }
        assert_close("output", &case, &values(fast), &values(slow));

        let norm = random.norm(outputs, &device);
        // Of one voxel only rounding is left to normalise.
        if plain.dims()[2..].iter().product::<usize>() < 8 {
            continue;
        }
        let fast = conv3d_normalized(&inputs, weight, bias, &options, norm.clone());
        assert!(fast.map.is_some(), "{case} is normalised by its reader");
        let slow = normalise(plain, norm);
        assert_close(
            "normalised",
            &case,
            &values(fast.into_tensor()),
            &values(slow),
        );
    }
}

#[test]
fn joined_convolutions_have_gradients() {
    let device = Device::flex();
    let mut random = Random(31);
    let options = Conv3dOptions::same(3);
    let [a, b]: [Tensor<5>; 2] = [3, 5].map(|c| random.tensor([2, c, 4, 5, 6], &device));
    let weight: Tensor<5> = random.tensor([4, 8, 3, 3, 3], &device);
    let pull: Tensor<5> = random.tensor([2, 4, 4, 5, 6], &device);
    let run = |fused: bool| {
        let [a, b] = [&a, &b].map(|x| x.clone().autodiff().require_grad());
        let weight = weight.clone().autodiff().require_grad();
        let y = if fused {
            let inputs = [a.clone().into(), b.clone().into()];
            conv3d_joined(&inputs, weight.clone(), None, &options, None, None)
        } else {
            let x = Tensor::cat(vec![a.clone(), b.clone()], 1);
            portable::conv3d(x, weight.clone(), None, &options)
        };
        let gradients = (y * pull.clone().autodiff()).sum().backward();
        [a, b, weight].map(|x| values(x.grad(&gradients).expect("a gradient")))
    };
    for (fast, slow) in run(true).iter().zip(&run(false)) {
        assert_close("gradient", "two inputs", fast, slow);
    }
}

#[test]
fn normalised_depthwise_convolutions_match_their_definition() {
    let device = Device::flex();
    let mut random = Random(0x7777_0001);
    for _ in 0..40 {
        let (kernel, stride) = (random.pick(&[3, 5]), 1 + random.below(2));
        let size: [usize; 3] = std::array::from_fn(|_| 4 + random.below(9));
        let (batch, channels) = (1 + random.below(2), random.pick(&CHANNELS));
        let x = random.normalized([batch, channels, size[0], size[1], size[2]], &device);
        let weight: Tensor<5> = random.tensor([channels, 1, kernel, kernel, kernel], &device);
        let (bias, norm) = (
            random.bias(channels, &device),
            random.norm(channels, &device),
        );
        let case = format!(
            "{} kernel {kernel} stride {stride}",
            describe(std::slice::from_ref(&x))
        );
        let padding = kernel / 2;
        let plain = portable::depthwise_conv3d(
            x.clone().into_tensor(),
            &weight,
            bias.clone(),
            stride,
            padding,
        );
        let slow = normalise(plain, norm.clone());
        let fast = depthwise_conv3d_normalized(x, weight, bias, stride, padding, norm);
        assert_close("output", &case, &values(fast.into_tensor()), &values(slow));
    }
}

#[test]
fn transposed_convolutions_and_pooling_read_normalised_tensors() {
    let device = Device::flex();
    let mut random = Random(0x4242_0007);
    for index in 0..40 {
        let size: [usize; 3] = std::array::from_fn(|_| 2 + random.below(7));
        let (batch, channels) = (1 + random.below(2), random.pick(&CHANNELS));
        let x = random.normalized([batch, channels, size[0], size[1], size[2]], &device);
        let case = describe(std::slice::from_ref(&x));
        let slow = portable::max_pool2(x.clone().into_tensor());
        assert_close(
            "pooled",
            &case,
            &values(max_pool2_from(x.clone())),
            &values(slow),
        );
        let (outputs, kernel) = (random.pick(&CHANNELS), 1 + index % 2);
        let weight: Tensor<5> = random.tensor([channels, outputs, kernel, kernel, kernel], &device);
        let bias = random.bias(outputs, &device);
        let slow = portable::conv_transpose3d(
            x.clone().into_tensor(),
            weight.clone(),
            bias.clone(),
            kernel,
        );
        let fast = conv_transpose3d_from(x, weight, bias);
        assert_close("transposed", &case, &values(fast), &values(slow));
    }
}

fn classes(tensor: Tensor<5, Int>) -> Vec<i64> {
    tensor.into_data().iter::<i64>().collect()
}

#[test]
fn arg_max_takes_the_first_of_equals() {
    let device = Device::flex();
    let mut random = Random(0x1001_2002);
    for _ in 0..80 {
        let (batch, size) = (1 + random.below(2), random.size(12));
        // Small whole numbers: sums are exact, and many tie.
        let inputs: Vec<Normalized> = (0..1 + random.below(2))
            .map(|_| {
                let channels = random.pick(&CHANNELS);
                let x: Tensor<5> =
                    random.tensor([batch, channels, size[0], size[1], size[2]], &device);
                x.round().into()
            })
            .collect();
        let outputs = random.pick(&[1, 2, 3, 5, 18, 104]);
        let weight = random
            .tensor::<5>([outputs, channels(&inputs), 1, 1, 1], &device)
            .round();
        let bias = random.bias(outputs, &device).map(Tensor::round);
        let case = format!("{} to {outputs}", describe(&inputs));
        let options = Conv3dOptions::new(1, 0, 1);
        let slow = portable::conv3d(joined(&inputs), weight.clone(), bias.clone(), &options);
        let fast = conv3d_argmax(&inputs, weight, bias);
        assert_eq!(fast.dims()[1], 1);
        assert_eq!(classes(fast), classes(slow.argmax(1)), "{case}");
    }
}

#[test]
fn arg_max_takes_the_first_that_is_not_a_number() {
    let device = Device::flex();
    let x = vec![1.0, f32::NAN, -1.0, f32::INFINITY];
    let x = Tensor::<5>::from_data(TensorData::new(x, [1, 1, 1, 1, 4]), &device);
    let weight = Tensor::<5>::from_data(
        TensorData::new(vec![1.0_f32, 0.0, 2.0], [3, 1, 1, 1, 1]),
        &device,
    );
    let plain = portable::conv3d(x.clone(), weight.clone(), None, &Conv3dOptions::same(1));
    let found = classes(conv3d_argmax(&[x.into()], weight, None));
    // The last voxel: infinity, infinity times zero, infinity.
    assert_eq!(found, [2, 0, 1, 1]);
    assert_eq!(found, classes(plain.argmax(1)));
}

#[test]
fn normalisation_by_readers_survives_a_large_mean() {
    let device = Device::flex();
    let mut random = Random(3);
    let x: Tensor<5> = random.tensor([1, 2, 17, 18, 19], &device);
    let one = Tensor::<5>::from_data(
        TensorData::new(vec![1.0_f32, 0.0, 0.0, 1.0], [2, 2, 1, 1, 1]),
        &device,
    );
    let norm = NormParameters {
        weight: None,
        bias: None,
        eps: 1e-5,
        activation: None,
    };
    let run = |x: Tensor<5>| {
        let options = Conv3dOptions::same(1);
        let y = conv3d_normalized(&[x.into()], one.clone(), None, &options, norm.clone());
        values(conv3d_joined(&[y], one.clone(), None, &options, None, None))
    };
    // Representable without rounding: values are multiples of 1/1024 below 2^13.
    assert_close("output", "mean 8000", &run(x.clone() + 8000.0), &run(x));
}

#[cfg(feature = "rayon")]
#[test]
fn fused_results_do_not_depend_on_the_number_of_threads() {
    let device = Device::flex();
    let run = |threads: usize| {
        super::on_threads(threads, || {
            let mut random = Random(29);
            let x: Tensor<5> = random.tensor([2, 9, 21, 20, 13], &device);
            let weight: Tensor<5> = random.tensor([10, 9, 3, 3, 3], &device);
            let norm = random.norm(10, &device);
            let options = Conv3dOptions::same(3);
            let y = conv3d_normalized(&[x.into()], weight, None, &options, norm);
            let head: Tensor<5> = random.tensor([6, 20, 1, 1, 1], &device);
            let inputs = [y.clone(), y];
            let logits = conv3d_joined(
                &inputs,
                head.clone(),
                None,
                &Conv3dOptions::same(1),
                None,
                None,
            );
            (values(logits), classes(conv3d_argmax(&inputs, head, None)))
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}
