//! What each kernel does with Flex tensors: shapes in, slices to the processor kernels, tensors out.

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};

use super::Windows;
use super::cpu::{self, Attention, Epilogue, Join, LayerNorm, Norm, Pool, Resize, Summand, memory};
use super::extension::Kernels;
use super::op::{Op, Saved, five};

/// A tensor of the Flex backend.
pub(super) type FlexTensor = FloatTensor<Flex>;

impl Kernels for Flex {
    fn forward(
        op: Op,
        x: &FlexTensor,
        weight: Option<&FlexTensor>,
        bias: Option<&FlexTensor>,
        keep: bool,
    ) -> (FlexTensor, Option<FlexTensor>) {
        op.forward(x, weight, bias, keep)
    }

    fn backward(
        op: Op,
        saved: &Saved<FlexTensor>,
        gradient: &FlexTensor,
        wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        op.backward(saved, gradient, wanted)
    }
}

impl Op {
    /// The output and, if `keep`, what the gradients need besides the inputs.
    fn forward(
        self,
        x: &FlexTensor,
        weight: Option<&FlexTensor>,
        bias: Option<&FlexTensor>,
        keep: bool,
    ) -> (FlexTensor, Option<FlexTensor>) {
        let (x, weight, bias) = (contiguous(x), weight.map(contiguous), bias.map(contiguous));
        let bias = bias.as_ref().map(values);
        let shape = dims(&x);
        let [batch, channels, size @ ..] = shape;
        if let Some((conv, transposed, activation)) =
            self.convolution(shape, weight.as_ref().map(dims))
        {
            debug_assert!(!keep || activation.is_none());
            let weight = weight.as_ref().map_or(&[][..], values);
            let epilogue = Epilogue {
                bias,
                activation,
                ..Epilogue::default()
            };
            let out = if transposed {
                let out = conv.data_gradient(&conv.output(values(&x)), weight, &epilogue);
                output(out.values, batch, conv.groups * conv.inputs, conv.in_size())
            } else {
                let out = conv.forward(&conv.input(values(&x)), weight, &epilogue);
                let channels = conv.groups * conv.outputs;
                output(out.values, batch, channels, conv.out_size())
            };
            return (out, None);
        }
        let pool = Pool {
            channels: batch * channels,
            size,
        };
        match self {
            Self::Norm { eps, activation } => {
                let norm = Norm {
                    batch,
                    channels,
                    eps,
                    activation,
                };
                let weight = weight.as_ref().map(values);
                let (out, statistics) = norm.forward(values(&x), weight, bias);
                let kept = keep.then(|| tensor(statistics, [batch * channels, cpu::KEPT]));
                (output(out, batch, channels, size), kept)
            }
            Self::Activate(activation) => {
                let out = cpu::activate(activation, values(&x));
                let out = Flex::float_from_data(memory::data(out, x.shape()), &Default::default());
                (out, None)
            }
            Self::MaxPool2 => (
                output(pool.forward(values(&x)), batch, channels, pool.out_size()),
                None,
            ),
            Self::AvgPool2 => (
                output(pool.average(values(&x)), batch, channels, pool.out_size()),
                None,
            ),
            Self::Join => {
                let Some(second) = &weight else {
                    unreachable!("{self:?} has two parts")
                };
                let channels = [channels, dims(second)[1]];
                let join = join(batch, channels, size);
                let out = join.forward([&x, second].map(values));
                (output(out, batch, channels.iter().sum(), size), None)
            }
            Self::Residual(activation) => {
                let (Some(residual), Some(slope)) = (&weight, activation.slope()) else {
                    unreachable!("{self:?} has a residual and keeps the sign")
                };
                let parts = [&x, residual].map(|part| Summand {
                    values: values(part),
                    maps: None,
                    slope: 1.0,
                });
                let out = cpu::residual_sum(parts, batch * channels, slope);
                let out = output(out, batch, channels, size);
                let kept = keep.then(|| out.clone());
                (out, kept)
            }
            Self::Resize(to) => {
                let resize = Resize::new(batch * channels, size, to);
                (
                    output(resize.forward(values(&x)), batch, channels, to),
                    None,
                )
            }
            Self::LayerNorm { eps } => {
                let norm = LayerNorm {
                    batch,
                    channels,
                    voxels: size.iter().product(),
                    eps,
                    weight: weight.as_ref().map(values),
                };
                let (out, statistics) = norm.forward(values(&x), bias);
                let kept = keep.then(|| tensor(statistics, [2, batch, norm.voxels]));
                (output(out, batch, channels, size), kept)
            }
            Self::Attention(windows) => {
                let bias = weight.as_ref().map(values).unwrap_or_default();
                let attention = attention(windows, shape, bias);
                let (out, logs) = attention.forward(values(&x));
                let kept = keep.then(|| {
                    let len = logs.len();
                    tensor(logs, [len])
                });
                (output(out, batch, channels / 3, size), kept)
            }
            _ => unreachable!("the other operations are convolutions"),
        }
    }

    /// Gradients for data, weight and bias, those that are `wanted`.
    fn backward(
        self,
        saved: &Saved<FlexTensor>,
        gradient: &FlexTensor,
        wanted: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let gradient = contiguous(gradient);
        let dy = values(&gradient);
        let x = saved.x.as_ref().map(contiguous);
        let x = x.as_ref().map(values);
        let weight = saved.weight.as_ref().map(contiguous);
        let [batch, channels, size @ ..] = five(&saved.shape);
        let like_x = |values| {
            let data = memory::data(values, saved.shape.clone());
            Flex::float_from_data(data, &Default::default())
        };
        let convolution = self.convolution(five(&saved.shape), weight.as_ref().map(dims));
        let (Some((conv, transposed, _)), Some(weight)) = (convolution, &weight) else {
            let weight = weight.as_ref().map(values);
            let pool = Pool {
                channels: batch * channels,
                size,
            };
            return match (self, x) {
                (Self::Norm { eps, activation }, Some(x)) => {
                    let norm = Norm {
                        batch,
                        channels,
                        eps,
                        activation,
                    };
                    let bias = saved.bias.as_ref().map(contiguous);
                    let statistics = saved.kept.as_ref().map(values).unwrap_or_default();
                    let result =
                        norm.backward(x, weight, bias.as_ref().map(values), statistics, dy);
                    let vector = |values| tensor(values, [channels]);
                    [
                        wanted[0].then(|| like_x(result.data)),
                        wanted[1].then(|| vector(result.weight)),
                        wanted[2].then(|| vector(result.bias)),
                    ]
                }
                (Self::Activate(activation), Some(x)) => [
                    wanted[0].then(|| like_x(cpu::activate_gradient(activation, x, dy))),
                    None,
                    None,
                ],
                (Self::MaxPool2, Some(x)) => {
                    [wanted[0].then(|| like_x(pool.backward(x, dy))), None, None]
                }
                (Self::AvgPool2, _) => [
                    wanted[0].then(|| like_x(pool.average_backward(dy))),
                    None,
                    None,
                ],
                (Self::Join, _) => {
                    let second = dims(&gradient)[1] - channels;
                    let join = join(batch, [channels, second], size);
                    [
                        wanted[0].then(|| like_x(join.backward(0, dy))),
                        wanted[1].then(|| output(join.backward(1, dy), batch, second, size)),
                        None,
                    ]
                }
                (Self::Residual(activation), _) => {
                    // The output has the sign of the sum.
                    let out = saved.kept.as_ref().map(values).unwrap_or_default();
                    let gradient = like_x(cpu::activate_gradient(activation, out, dy));
                    [
                        wanted[0].then(|| gradient.clone()),
                        wanted[1].then_some(gradient),
                        None,
                    ]
                }
                (Self::LayerNorm { eps }, Some(x)) => {
                    let norm = LayerNorm {
                        batch,
                        channels,
                        voxels: size.iter().product(),
                        eps,
                        weight,
                    };
                    let statistics = saved.kept.as_ref().map(values).unwrap_or_default();
                    let result = norm.backward(x, statistics, dy);
                    let vector = |values| tensor(values, [channels]);
                    [
                        wanted[0].then(|| like_x(result.data)),
                        wanted[1].then(|| vector(result.weight)),
                        wanted[2].then(|| vector(result.bias)),
                    ]
                }
                (Self::Attention(windows), Some(x)) => {
                    let logs = saved.kept.as_ref().map(values).unwrap_or_default();
                    let bias = weight.unwrap_or_default();
                    let attention = attention(windows, five(&saved.shape), bias);
                    let result = attention.backward(x, logs, dy);
                    let n = windows.volume();
                    [
                        wanted[0].then(|| like_x(result.data)),
                        wanted[1].then(|| tensor(result.bias, [1, 1, windows.heads, n, n])),
                        None,
                    ]
                }
                (Self::Resize(to), _) => {
                    let resize = Resize::new(batch * channels, size, to);
                    [wanted[0].then(|| like_x(resize.backward(dy))), None, None]
                }
                _ => unreachable!("{self:?} keeps what its gradients need"),
            };
        };
        let dx = wanted[0].then(|| {
            let (weight, nothing) = (values(weight), Epilogue::default());
            let result = if transposed {
                conv.forward(&conv.input(dy), weight, &nothing)
            } else {
                conv.data_gradient(&conv.output(dy), weight, &nothing)
            };
            like_x(result.values)
        });
        let dw = x.filter(|_| wanted[1]).map(|x| {
            let (input, output) = if transposed { (dy, x) } else { (x, dy) };
            tensor(conv.weight_gradient(input, output), dims(weight))
        });
        let db = wanted[2].then(|| {
            let outputs = conv.groups
                * if transposed {
                    conv.inputs
                } else {
                    conv.outputs
                };
            tensor(cpu::sum_per_channel(dy, batch, outputs), [outputs])
        });
        [dx, dw, db]
    }
}

fn join(batch: usize, channels: [usize; 2], size: [usize; 3]) -> Join {
    Join {
        batch,
        channels,
        voxels: size.iter().product(),
    }
}

fn attention(
    windows: Windows,
    [batch, channels, image @ ..]: [usize; 5],
    bias: &[f32],
) -> Attention<'_> {
    Attention {
        batch,
        depth: channels / 3 / windows.heads,
        image,
        windows,
        bias,
    }
}

/// The same tensor with its elements in memory order; no copy where they are.
pub(super) fn contiguous(tensor: &FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() {
        tensor.clone()
    } else {
        tensor.to_contiguous()
    }
}

/// Elements of a contiguous tensor.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    match tensor.as_slice() {
        Some(values) => values,
        None => unreachable!("made contiguous before"),
    }
}

pub(super) fn dims(tensor: &FlexTensor) -> [usize; 5] {
    five(&tensor.shape())
}

pub(super) fn output(
    values: Vec<f32>,
    batch: usize,
    channels: usize,
    [d, h, w]: [usize; 3],
) -> FlexTensor {
    tensor(values, [batch, channels, d, h, w])
}

pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    Flex::float_from_data(memory::data(values, shape), &Default::default())
}
