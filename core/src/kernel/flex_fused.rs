//! The fused operations on the Flex backend, without autodiff.

use std::ops::Range;

use burn::Tensor;
use burn::backend::{DispatchTensorKind, Flex};
use burn::tensor::{DType, Int, TensorData};

use super::cpu::{self, Epilogue, MAP, Part, Pool, Slab, Source, Summand};
use super::flex_op::{FlexTensor, contiguous, dims, output, tensor, values};
use super::fused::NormParameters;
use super::shape::{self, Conv};
use super::{Conv3dOptions, Normalized};
use crate::nn::Activation;

/// Whether these kernels take a call.
pub(super) fn takes(
    inputs: &[Normalized],
    weight: &Tensor<5>,
    vectors: &[Option<&Tensor<1>>],
    residual: Option<&Tensor<5>>,
) -> bool {
    inputs.iter().all(reads)
        && single(weight)
        && vectors.iter().flatten().all(|vector| single(vector))
        && residual.is_none_or(single)
}

/// Whether these kernels read `x`.
pub(super) fn reads(x: &Normalized) -> bool {
    single(&x.x) && x.map.as_ref().is_none_or(|(map, _)| single(map))
}

/// Whether a tensor is on Flex, of single precision, without autodiff.
pub(super) fn single<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32
        && matches!(
            tensor.clone().into_dispatch().kind,
            DispatchTensorKind::Flex(_)
        )
}

/// The memory of a tensor that [`takes`] has seen.
fn held<const D: usize>(tensor: &Tensor<D>) -> FlexTensor {
    match tensor.clone().try_into_primitive::<Flex>() {
        Ok(tensor) => contiguous(&tensor),
        Err(_) => unreachable!("checked before"),
    }
}

fn wrap(tensor: FlexTensor) -> Tensor<5> {
    Tensor::from_primitive::<Flex>(tensor)
}

/// The memory of the inputs of a call.
struct Inputs {
    x: Vec<FlexTensor>,
    maps: Vec<Option<(FlexTensor, Option<Activation>)>>,
    dims: [usize; 5],
}

impl Inputs {
    fn new(inputs: &[Normalized]) -> Self {
        let mut dims = inputs[0].dims();
        dims[1] = inputs.iter().map(|input| input.dims()[1]).sum();
        let map = |input: &Normalized| {
            let (map, activation) = input.map.as_ref()?;
            Some((held(map), *activation))
        };
        Self {
            x: inputs.iter().map(|input| held(&input.x)).collect(),
            maps: inputs.iter().map(map).collect(),
            dims,
        }
    }

    fn source(&self) -> Source<'_> {
        let mut parts = self.x.iter().zip(&self.maps).map(|(x, map)| Part {
            values: values(x),
            channels: dims(x)[1],
            maps: map
                .as_ref()
                .map(|(map, activation)| (values(map), *activation)),
        });
        let size = [self.dims[2], self.dims[3], self.dims[4]];
        match (parts.next(), parts.next()) {
            (Some(first), second) => Source::new(first, second, size),
            (None, _) => unreachable!("an operation has an input"),
        }
    }
}

pub(super) fn conv3d(
    inputs: &[Normalized],
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    options: &Conv3dOptions,
    activation: Option<Activation>,
    residual: Option<&Tensor<5>>,
) -> Tensor<5> {
    let (inputs, weight) = (Inputs::new(inputs), held(weight));
    let (bias, residual) = (bias.map(held), residual.map(held));
    let conv = shape::convolution(inputs.dims, dims(&weight), 1, options);
    let epilogue = Epilogue {
        bias: bias.as_ref().map(values),
        activation,
        residual: residual.as_ref().map(values),
        moments: false,
    };
    convolved(&conv, &inputs.source(), &weight, &epilogue)
}

fn convolved(
    conv: &Conv,
    source: &Source<'_>,
    weight: &FlexTensor,
    epilogue: &Epilogue<'_>,
) -> Tensor<5> {
    let out = conv.forward(source, values(weight), epilogue).values;
    wrap(output(out, conv.batch, conv.outputs, conv.out_size()))
}

/// The convolution of the first `depth` planes of slabs, if there is one that reads them.
pub(super) fn conv3d_slabs(
    slabs: &[Tensor<5>],
    depth: usize,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    options: &Conv3dOptions,
    activation: Activation,
) -> Option<Tensor<5>> {
    if !slabs.iter().all(single) || !single(weight) || !bias.is_none_or(single) {
        return None;
    }
    let (x, weight, bias) = (slabs.iter().map(held), held(weight), bias.map(held));
    let x: Vec<FlexTensor> = x.collect();
    let mut next = 0;
    let slab = |x| {
        let (first, planes) = (next, dims(x)[2]);
        next += planes;
        Slab {
            values: values(x),
            planes,
            first,
        }
    };
    let slabs: Vec<Slab<'_>> = x.iter().map(slab).collect();
    let mut read = dims(x.first()?);
    read[2] = depth;
    let conv = shape::convolution(read, dims(&weight), 1, options);
    if !conv.reads_slabs(values(&weight)) {
        return None;
    }
    let epilogue = Epilogue {
        bias: bias.as_ref().map(values),
        activation: Some(activation),
        ..Epilogue::default()
    };
    let source = Source::slabs(&slabs, read[1], conv.in_size());
    Some(convolved(&conv, &source, &weight, &epilogue))
}

pub(super) fn planes(x: &Tensor<5>, planes: Range<usize>) -> Tensor<5> {
    let x = held(x);
    let [batch, channels, size @ ..] = dims(&x);
    let count = planes.len();
    let out = cpu::planes(values(&x), batch * channels, size, planes);
    wrap(output(out, batch, channels, [count, size[1], size[2]]))
}

pub(super) fn conv3d_normalized(
    inputs: &[Normalized],
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    options: &Conv3dOptions,
    norm: &NormParameters,
) -> Normalized {
    let (inputs, weight) = (Inputs::new(inputs), held(weight));
    let conv = shape::convolution(inputs.dims, dims(&weight), 1, options);
    normalized(&inputs, &weight, bias, &conv, norm)
}

pub(super) fn depthwise_normalized(
    x: &Normalized,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    options: &Conv3dOptions,
    norm: &NormParameters,
) -> Normalized {
    let (inputs, weight) = (Inputs::new(std::slice::from_ref(x)), held(weight));
    let conv = shape::convolution(inputs.dims, dims(&weight), inputs.dims[1], options);
    normalized(&inputs, &weight, bias, &conv, norm)
}

fn normalized(
    inputs: &Inputs,
    weight: &FlexTensor,
    bias: Option<&Tensor<1>>,
    conv: &Conv,
    norm: &NormParameters,
) -> Normalized {
    let bias = bias.map(held);
    let (scale, shift) = (norm.weight.as_ref().map(held), norm.bias.as_ref().map(held));
    let epilogue = Epilogue {
        bias: bias.as_ref().map(values),
        moments: true,
        ..Epilogue::default()
    };
    let out = conv.forward(&inputs.source(), values(weight), &epilogue);
    let channels = conv.groups * conv.outputs;
    let at = |vector: &Option<FlexTensor>, index: usize, absent: f32| {
        vector
            .as_ref()
            .map_or(absent, |v| values(v)[index % channels])
    };
    let moments = out.moments.unwrap_or_default();
    let maps: Vec<f32> = moments
        .iter()
        .enumerate()
        .flat_map(|(i, m)| m.map(norm.eps, at(&scale, i, 1.0), at(&shift, i, 0.0)))
        .collect();
    let map = tensor(maps, [conv.batch, channels, MAP]);
    Normalized {
        x: wrap(output(out.values, conv.batch, channels, conv.out_size())),
        map: Some((Tensor::from_primitive::<Flex>(map), norm.activation)),
    }
}

pub(super) fn conv_transpose3d(
    x: &Normalized,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
) -> Tensor<5> {
    let (inputs, weight) = (Inputs::new(std::slice::from_ref(x)), held(weight));
    let bias = bias.map(held);
    let conv = shape::transposed(inputs.dims, dims(&weight), 1, 0);
    let epilogue = Epilogue {
        bias: bias.as_ref().map(values),
        ..Epilogue::default()
    };
    let out = conv.data_gradient(&inputs.source(), values(&weight), &epilogue);
    wrap(output(out.values, conv.batch, conv.inputs, conv.in_size()))
}

pub(super) fn max_pool2(x: &Normalized) -> Tensor<5> {
    let inputs = Inputs::new(std::slice::from_ref(x));
    let [batch, channels, size @ ..] = inputs.dims;
    let pool = Pool {
        channels: batch * channels,
        size,
    };
    let out = pool.forward_mapped(&inputs.source());
    wrap(output(out, batch, channels, pool.out_size()))
}

/// The sum where one of the two is mapped and both are read here.
pub(super) fn residual_sum(parts: [&Normalized; 2], activation: Activation) -> Option<Tensor<5>> {
    let slope = activation.slope()?;
    let slopes = parts.map(|part| match &part.map {
        Some((_, Some(activation))) => activation.slope(),
        _ => Some(1.0),
    });
    let [Some(first), Some(second)] = slopes else {
        return None;
    };
    if parts.iter().all(|part| part.map.is_none()) || !parts.iter().all(|part| reads(part)) {
        return None;
    }
    let [batch, channels, d, h, w] = parts[0].dims();
    let held = parts.map(|part| (held(&part.x), part.map.as_ref().map(|(map, _)| held(map))));
    let summand = |i: usize, slope: f32| Summand {
        values: values(&held[i].0),
        maps: held[i].1.as_ref().map(values),
        slope,
    };
    let summands = [summand(0, first), summand(1, second)];
    let out = cpu::residual_sum(summands, batch * channels, slope);
    Some(wrap(output(out, batch, channels, [d, h, w])))
}

pub(super) fn conv3d_argmax(
    inputs: &[Normalized],
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
) -> Tensor<5, Int> {
    let (inputs, weight) = (Inputs::new(inputs), held(weight));
    let bias = bias.map(held);
    let [batch, _, d, h, w] = inputs.dims;
    let bias = bias.as_ref().map(values);
    let classes = cpu::argmax(&inputs.source(), batch, values(&weight), bias);
    let data = TensorData::new(classes, [batch, 1, d, h, w]);
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(data))
}
