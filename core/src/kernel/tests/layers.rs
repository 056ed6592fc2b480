//! Layers between the convolutions against their definitions: norms, activations, pooling, sums,
//! joins, resampling, attention.

use burn::Tensor;

use super::super::normalized::joined;
use super::super::{
    Windows, activate, attention, avg_pool2, instance_norm, layer_norm, max_pool2, portable,
    residual_sum, resize, resize_trilinear, window_attention,
};
use super::{ACTIVATIONS, CHANNELS, Random, Subject, assert_close, compare, values};

on_each_backend!(
    normalisation_matches_its_definition,
    normalisation_survives_a_large_mean,
    activations_and_pooling_match_their_definitions,
    residuals_match_their_definition,
    joined_channels_are_those_of_both,
    resampling_matches_its_definition,
    layer_normalisation_matches_its_definition,
    attention_matches_its_definition,
);

fn normalisation_matches_its_definition(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(99);
    for index in (0..48).step_by(subject.every.min(3)) {
        let [d, h, w]: [usize; 3] = std::array::from_fn(|_| 2 + random.below(19));
        let (n, channels) = (1 + random.below(3), random.pick(&CHANNELS));
        let activation = ACTIVATIONS.get(index % 7).copied();
        let (with_weight, with_bias) = (index % 2 == 0, index % 3 != 0);
        let case = format!("{n}x{channels} {d}x{h}x{w} {activation:?}");
        let x: Tensor<5> = random.tensor([n, channels, d, h, w], device);
        let weight = with_weight.then(|| {
            random
                .tensor::<1>([channels], device)
                .reshape([channels, 1, 1, 1, 1])
        });
        let bias = with_bias.then(|| random.tensor([channels], device));
        let flat = |w: Option<Tensor<5>>| w.map(|w| w.reshape([channels]));
        compare(
            subject,
            &case,
            &mut random,
            (x, weight, bias),
            |(x, w, b)| instance_norm(x, flat(w), b, 1e-5, activation),
            |(x, w, b)| portable::instance_norm(x, flat(w), b, 1e-5, activation),
        );
    }
}

fn normalisation_survives_a_large_mean(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(3);
    let x: Tensor<5> = random.tensor([1, 2, 17, 18, 19], device);
    let near = instance_norm(x.clone(), None, None, 1e-5, None);
    // Representable without rounding: values are multiples of 1/1024 below 2^13.
    let far = instance_norm(x + 8000.0, None, None, 1e-5, None);
    assert_close("output", "mean 8000", &values(far), &values(near));
}

fn activations_and_pooling_match_their_definitions(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(5);
    for activation in ACTIVATIONS {
        let x: Tensor<5> = random.tensor([2, 3, 4, 5, 6], device) + 0.0003;
        compare(
            subject,
            &format!("{activation:?}"),
            &mut random,
            (x, None, None),
            |(x, _, _)| activate(x, activation),
            |(x, _, _)| portable::activate(x, activation),
        );
    }
    for _ in 0..20 / subject.every {
        let [d, h, w]: [usize; 3] = std::array::from_fn(|_| 2 + random.below(9));
        // Few distinct values: many ties.
        let x: Tensor<5> = random.tensor([2, 3, d, h, w], device).round();
        compare(
            subject,
            &format!("pool {d}x{h}x{w}"),
            &mut random,
            (x, None, None),
            |(x, _, _)| max_pool2(x),
            |(x, _, _)| portable::max_pool2(x),
        );
        let x: Tensor<5> = random.tensor([2, 3, d, h, w], device);
        compare(
            subject,
            &format!("mean {d}x{h}x{w}"),
            &mut random,
            (x, None, None),
            |(x, _, _)| avg_pool2(x),
            |(x, _, _)| portable::avg_pool2(x),
        );
    }
}

fn residuals_match_their_definition(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(41);
    for activation in ACTIVATIONS {
        let shape = [2, 3, 4, 5, 6];
        // The sum of two halves of a step is never zero, where slopes change.
        let x: Tensor<5> = random.tensor(shape, device) + 0.0003;
        let residual = random.tensor(shape, device);
        compare(
            subject,
            &format!("{activation:?}"),
            &mut random,
            (x, Some(residual), None),
            |(x, r, _)| residual_sum(x.into(), r.expect("a residual").into(), activation),
            |(x, r, _)| portable::activate(x + r.expect("a residual"), activation),
        );
    }
}

fn joined_channels_are_those_of_both(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(43);
    for (batch, channels) in [(1, [1, 1]), (2, [3, 1]), (3, [2, 5]), (1, [33, 16])] {
        let [first, second] =
            channels.map(|channels| random.tensor([batch, channels, 4, 3, 5], device));
        compare(
            subject,
            &format!("{batch} of {channels:?} channels"),
            &mut random,
            (first, Some(second), None),
            |(x, w, _)| joined(&[x.into(), w.expect("a second part").into()]),
            |(x, w, _)| Tensor::cat(vec![x, w.expect("a second part")], 1),
        );
    }
}

fn resampling_matches_its_definition(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(23);
    for _ in 0..60 / subject.every {
        let mut size = || -> [usize; 3] { std::array::from_fn(|_| 1 + random.below(12)) };
        let (from, to) = (size(), size());
        let channels = random.pick(&CHANNELS);
        let x: Tensor<5> = random.tensor([2, channels, from[0], from[1], from[2]], device);
        compare(
            subject,
            &format!("{channels} channels {from:?} to {to:?}"),
            &mut random,
            (x, None, None),
            |(x, _, _)| resize_trilinear(x, to),
            |(x, _, _)| resize::portable(x, to),
        );
    }
}

fn layer_normalisation_matches_its_definition(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(41);
    for index in (0..24).step_by(subject.every) {
        let [d, h, w]: [usize; 3] = std::array::from_fn(|_| 1 + random.below(14));
        let (n, channels) = (1 + random.below(3), 2 + random.below(90));
        let (with_weight, with_bias) = (index % 2 == 0, index % 3 != 0);
        let case = format!("{n}x{channels} {d}x{h}x{w}");
        let x: Tensor<5> = random.tensor([n, channels, d, h, w], device);
        let weight = with_weight.then(|| random.tensor([channels, 1, 1, 1, 1], device));
        let bias = with_bias.then(|| random.tensor([channels], device));
        let flat = |w: Option<Tensor<5>>| w.map(|w| w.reshape([channels]));
        compare(
            subject,
            &case,
            &mut random,
            (x, weight, bias),
            |(x, w, b)| layer_norm(x, flat(w), b, 1e-5),
            |(x, w, b)| layer_norm::portable(x, flat(w), b, 1e-5),
        );
    }
}

fn attention_matches_its_definition(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(43);
    for index in (0..24).step_by(subject.every) {
        let size: [usize; 3] = std::array::from_fn(|_| 1 + random.below(6));
        let shift = size.map(|n| if index % 3 == 0 { 0 } else { random.below(n) });
        let [d, h, w] = size.map(|n| n * (1 + random.below(3)));
        let (n, heads, depth) = (
            1 + random.below(2),
            1 + random.below(3),
            1 + random.below(20),
        );
        let windows = Windows { size, shift, heads };
        let case = format!("{n}x{depth} {d}x{h}x{w} {windows:?}");
        let qkv: Tensor<5> = random.tensor([n, 3 * heads * depth, d, h, w], device);
        let voxels = windows.volume();
        let bias = random.tensor([1, 1, heads, voxels, voxels], device);
        let bias_of = |bias: Option<Tensor<5>>| {
            let bias = bias.expect("a bias");
            bias.reshape([heads, voxels, voxels])
        };
        compare(
            subject,
            &case,
            &mut random,
            (qkv, Some(bias), None),
            |(qkv, bias, _)| window_attention(qkv, bias_of(bias), &windows),
            |(qkv, bias, _)| attention::portable(qkv, bias_of(bias), &windows),
        );
    }
}
