//! What each kernel does with Flex tensors: shapes in, slices to the processor kernels, tensors out.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{Shape, TensorData};

use super::Conv3dOptions;
use super::cpu::{self, Conv, Epilogue, Extent, Norm, Pool};
use super::flex::FlexTensor;
use crate::nn::Activation;

/// An operation with its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// Dense convolution. With an activation it has no gradient.
    Conv {
        options: Conv3dOptions,
        activation: Option<Activation>,
    },
    /// Convolution of each channel.
    Depthwise {
        stride: usize,
        padding: usize,
    },
    /// Transposed convolution of each channel, stride 2, padding half the kernel.
    DepthwiseTranspose,
    /// Transposed convolution, stride 2.
    Transpose,
    /// Instance normalisation, then an activation.
    Norm {
        eps: f64,
        activation: Option<Activation>,
    },
    Activate(Activation),
    MaxPool2,
}

/// Inputs of the gradients.
pub(super) struct Saved {
    /// The data, where [`Op::needs_data`].
    pub(super) x: Option<FlexTensor>,
    pub(super) shape: Shape,
    pub(super) weight: Option<FlexTensor>,
    /// The bias, where [`Op::needs_bias`].
    pub(super) bias: Option<FlexTensor>,
    /// What the forward pass kept.
    pub(super) kept: Option<FlexTensor>,
}

impl Op {
    /// Whether gradients need the data.
    pub(super) fn needs_data(self, weight_tracked: bool) -> bool {
        match self {
            Self::Norm { .. } | Self::Activate(_) | Self::MaxPool2 => true,
            _ => weight_tracked,
        }
    }

    /// Whether gradients need the bias.
    pub(super) fn needs_bias(self) -> bool {
        matches!(self, Self::Norm { .. })
    }

    /// The output and, if `keep`, what the gradients need besides the inputs.
    pub(super) fn forward(
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
        if let Some((conv, transposed, activation)) = self.convolution(shape, weight.as_ref()) {
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
                (
                    Flex::float_from_data(TensorData::new(out, x.shape()), &Default::default()),
                    None,
                )
            }
            Self::MaxPool2 => {
                let pool = Pool {
                    channels: batch * channels,
                    size,
                };
                (
                    output(pool.forward(values(&x)), batch, channels, pool.out_size()),
                    None,
                )
            }
            _ => unreachable!("the other operations are convolutions"),
        }
    }

    /// Gradients for data, weight and bias, those that are `wanted`.
    pub(super) fn backward(
        self,
        saved: &Saved,
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
            let data = TensorData::new(values, saved.shape.clone());
            Flex::float_from_data(data, &Default::default())
        };
        let convolution = self.convolution(five(&saved.shape), weight.as_ref());
        let (Some((conv, transposed, _)), Some(weight)) = (convolution, &weight) else {
            let weight = weight.as_ref().map(values);
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
                    let pool = Pool {
                        channels: batch * channels,
                        size,
                    };
                    [wanted[0].then(|| like_x(pool.backward(x, dy))), None, None]
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

    /// The convolution that this operation, or its transpose (second), is; and its activation.
    fn convolution(
        self,
        x: [usize; 5],
        weight: Option<&FlexTensor>,
    ) -> Option<(Conv, bool, Option<Activation>)> {
        let weight = dims(weight?);
        Some(match self {
            Self::Conv {
                options,
                activation,
            } => (conv_shape(x, weight, 1, &options), false, activation),
            Self::Depthwise { stride, padding } => {
                let options = Conv3dOptions::new(stride, padding, 1);
                (conv_shape(x, weight, x[1], &options), false, None)
            }
            Self::DepthwiseTranspose => {
                (transpose_shape(x, weight, x[1], weight[2] / 2), true, None)
            }
            Self::Transpose => (transpose_shape(x, weight, 1, 0), true, None),
            Self::Norm { .. } | Self::Activate(_) | Self::MaxPool2 => return None,
        })
    }
}

fn conv_shape(x: [usize; 5], weight: [usize; 5], groups: usize, options: &Conv3dOptions) -> Conv {
    let [batch, _, size @ ..] = x;
    let [outputs, inputs, kernel @ ..] = weight;
    // The public functions have checked that there is one.
    let out = options.output_size(size, kernel).unwrap_or_default();
    Conv {
        batch,
        groups,
        inputs,
        outputs: outputs / groups.max(1),
        extent: std::array::from_fn(|axis| Extent {
            input: size[axis],
            output: out[axis],
            kernel: kernel[axis],
            stride: options.stride[axis],
            low: options.padding[axis][0],
            dilation: options.dilation[axis],
        }),
    }
}

/// The strided convolution whose transpose takes `x`.
fn transpose_shape(x: [usize; 5], weight: [usize; 5], groups: usize, padding: usize) -> Conv {
    let [batch, _, size @ ..] = x;
    let [outputs, inputs, kernel @ ..] = weight;
    Conv {
        batch,
        groups,
        inputs,
        outputs: outputs / groups.max(1),
        extent: std::array::from_fn(|axis| Extent {
            input: 2 * (size[axis] - 1) + kernel[axis] - 2 * padding,
            output: size[axis],
            kernel: kernel[axis],
            stride: 2,
            low: padding,
            dilation: 1,
        }),
    }
}

/// The same tensor with its elements in memory order; no copy where they are.
fn contiguous(tensor: &FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() {
        tensor.clone()
    } else {
        tensor.to_contiguous()
    }
}

/// Elements of a contiguous tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    match tensor.as_slice() {
        Some(values) => values,
        None => unreachable!("made contiguous before"),
    }
}

fn dims(tensor: &FlexTensor) -> [usize; 5] {
    five(&tensor.shape())
}

/// Extents of a tensor, ones before them up to five.
fn five(shape: &Shape) -> [usize; 5] {
    let mut dims = [1; 5];
    let skip = 5_usize.saturating_sub(shape.num_dims());
    for (dim, size) in dims[skip..].iter_mut().zip(shape.iter()) {
        *dim = *size;
    }
    dims
}

fn output(values: Vec<f32>, batch: usize, channels: usize, [d, h, w]: [usize; 3]) -> FlexTensor {
    tensor(values, [batch, channels, d, h, w])
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    Flex::float_from_data(TensorData::new(values, shape), &Default::default())
}
