//! Minimal filtering against sums in double precision, on shapes for which it would not be chosen
//! too.

use super::super::epilogue::Epilogue;
use super::super::source::{Part, Source};
use crate::kernel::cpu::dense::volume;
use crate::kernel::shape::{Conv, Extent};
use crate::nn::Activation;

/// A linear congruential generator: shapes and values are the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| self.below(4096) as f32 / 1024.0 - 2.0)
            .collect()
    }

    /// A convolution of kernel 3 and stride 1.
    fn conv(&mut self) -> Conv {
        loop {
            let extent = std::array::from_fn(|axis| {
                let dilation = [1, 1, 1, 2, 3, 4, 8, 17][self.below(8)];
                let (low, high) = (self.below(2 * dilation + 2), self.below(2 * dilation + 2));
                let mut input = 1 + self.below(11);
                if axis == 2 && self.below(8) == 0 {
                    // Wide enough for a pass a row.
                    input += 64;
                }
                Extent {
                    input,
                    output: (input + low + high).saturating_sub(2 * dilation),
                    kernel: 3,
                    stride: 1,
                    low,
                    dilation,
                }
            });
            if extent.iter().all(|axis| axis.output > 0) {
                return Conv {
                    batch: 1 + self.below(3),
                    groups: 1,
                    inputs: 1 + self.below(20),
                    outputs: 1 + self.below(20),
                    extent,
                };
            }
        }
    }
}

/// Calls `body` with output, input and weight of every product, as indices.
fn products(conv: &Conv, mut body: impl FnMut(usize, usize, usize)) {
    let [out, size] = [conv.out_size(), conv.in_size()];
    let at = |[d, h, w]: [usize; 3], [z, y, x]: [usize; 3]| {
        debug_assert!(z < d && y < h && x < w);
        (z * h + y) * w + x
    };
    let voxels = |size: [usize; 3]| {
        (0..volume(size))
            .map(move |i| [i / (size[1] * size[2]), i / size[2] % size[1], i % size[2]])
    };
    for voxel in voxels(out) {
        for tap in voxels([3; 3]) {
            let mut from = [0; 3];
            let inside = (0..3).all(|axis| {
                let Extent {
                    input,
                    low,
                    dilation,
                    ..
                } = conv.extent[axis];
                let place = (voxel[axis] + tap[axis] * dilation).checked_sub(low);
                from[axis] = place.unwrap_or(input);
                from[axis] < input
            });
            if !inside {
                continue;
            }
            for n in 0..conv.batch {
                for o in 0..conv.outputs {
                    for i in 0..conv.inputs {
                        body(
                            (n * conv.outputs + o) * volume(out) + at(out, voxel),
                            (n * conv.inputs + i) * volume(size) + at(size, from),
                            (o * conv.inputs + i) * 27 + at([3; 3], tap),
                        );
                    }
                }
            }
        }
    }
}

fn assert_close(what: &str, conv: &Conv, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what} of {conv:?}");
    let scale = expected.iter().fold(1.0_f64, |most, v| most.max(v.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(*found) - expected).abs() <= 1e-5 * scale,
            "{what}[{index}] of {conv:?}: {found}, expected {expected}"
        );
    }
}

#[test]
fn outputs_and_gradients_are_those_of_the_definition() {
    let mut random = Random(7);
    for _ in 0..150 {
        let conv = random.conv();
        let x = random.values(conv.batch * conv.inputs * volume(conv.in_size()));
        let pull = random.values(conv.batch * conv.outputs * volume(conv.out_size()));
        let weights = random.values(conv.outputs * conv.inputs * 27);
        let mut y = vec![0.0; pull.len()];
        let mut dx = vec![0.0; x.len()];
        let mut dw = vec![0.0; weights.len()];
        products(&conv, |output, input, weight| {
            let [a, w, g] = [x[input], weights[weight], pull[output]].map(f64::from);
            y[output] += a * w;
            dx[input] += g * w;
            dw[weight] += g * a;
        });
        let plain = Epilogue::default();
        let forward = conv.minimal(&weights, false).run(&conv.input(&x), &plain);
        assert_close("output", &conv, &forward.values, &y);
        let data = conv
            .minimal(&weights, true)
            .run(&conv.output(&pull), &plain);
        assert_close("data gradient", &conv, &data.values, &dx);
        for minimal in [false, true] {
            let dense = conv
                .dense(&weights, false, minimal)
                .run(&conv.input(&x), &plain);
            assert_close("dense output", &conv, &dense.values, &y);
            let dense = conv.dense(&weights, true, minimal);
            let dense = dense.run(&conv.output(&pull), &plain);
            assert_close("dense data gradient", &conv, &dense.values, &dx);
        }
        let weight = conv.minimal_gradient().run(&x, &pull);
        assert_close("weight gradient", &conv, &weight, &dw);
    }
}

#[test]
fn joined_and_mapped_inputs_are_read_as_their_values() {
    let mut random = Random(11);
    for _ in 0..60 {
        let conv = random.conv();
        let first = random.below(conv.inputs) + 1;
        let channels = [first, conv.inputs - first];
        let size = volume(conv.in_size());
        let raw = channels.map(|channels| random.values(conv.batch * channels * size));
        let maps = random.values(conv.batch * first * 3);
        let activation = Some(Activation::LeakyRelu { slope: 0.01 });
        let mut x = Vec::new();
        for n in 0..conv.batch {
            for (i, map) in maps.chunks_exact(3).skip(n * first).take(first).enumerate() {
                let values = &raw[0][(n * first + i) * size..][..size];
                x.extend(values.iter().map(|value| {
                    let value = (value - map[0]) * map[1] + map[2];
                    if value > 0.0 { value } else { 0.01 * value }
                }));
            }
            x.extend_from_slice(&raw[1][n * channels[1] * size..][..channels[1] * size]);
        }
        let part = |values, channels, maps| Part {
            values,
            channels,
            maps,
        };
        let source = Source::new(
            part(&raw[0], first, Some((&maps, activation))),
            (channels[1] > 0).then(|| part(&raw[1], channels[1], None)),
            conv.in_size(),
        );
        let weights = random.values(conv.outputs * conv.inputs * 27);
        let mut y = vec![0.0; conv.batch * conv.outputs * volume(conv.out_size())];
        products(&conv, |output, input, weight| {
            y[output] += f64::from(x[input]) * f64::from(weights[weight]);
        });
        let moments = Epilogue {
            moments: true,
            ..Epilogue::default()
        };
        let outputs = [
            conv.minimal(&weights, false).run(&source, &moments),
            conv.dense(&weights, false, true).run(&source, &moments),
        ];
        for output in &outputs {
            assert_close("output", &conv, &output.values, &y);
        }
        let voxels = volume(conv.out_size());
        let moments = outputs.map(|output| output.moments.expect("moments were wanted"));
        let ys = y.chunks_exact(voxels).cycle();
        for (y, moments) in ys.zip(moments.iter().flatten()) {
            let mean = y.iter().sum::<f64>() / voxels as f64;
            let variance = y.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / voxels as f64;
            let [origin, scale, shift] = moments.map(1e-5, 1.0, 0.0);
            let expected = [mean, (variance + 1e-5).sqrt().recip()];
            assert_close("mean", &conv, &[origin - shift / scale], &expected[..1]);
            // The deviation is checked as such: its inverse has no scale of its own.
            let found = scale.recip();
            assert_close("deviation", &conv, &[found], &[expected[1].recip()]);
        }
    }
}
