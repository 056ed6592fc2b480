//! The largest output channel of a 1x1x1 convolution: labels without logits.

use burn::backend::Cube;
use burn::tensor::{DType, Int};
use burn::{Tensor, backend::DispatchTensorKind};
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::interleave::LANES;
use super::launch::{Place, contiguous, element, unit};
use super::takes;
use crate::kernel::Conv3dOptions;
use crate::kernel::op::Op;

/// Vectors of channels that an invocation compares at once.
const VECTORS: usize = 4;
/// Rounds of the loops of one invocation: software adapters cut loops off after 65,536.
const MOST_ROUNDS: usize = 1 << 15;

#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Extents {
    units: u32,
    voxels: u32,
    inputs: u32,
    outputs: u32,
}

/// Weights come as `[block of outputs][input][vector]`.
#[cube(launch)]
fn largest<F: Float, N: Size>(
    x: &[F],
    weight: &[Vector<f32, N>],
    bias: &[f32],
    labels: &mut [i32],
    extents: Extents,
    #[comptime] has_bias: bool,
    #[define(F)] _element: ElemType,
) {
    let at = unit();
    if at < extents.units {
        let first = at / extents.voxels * extents.inputs * extents.voxels + at % extents.voxels;
        let lanes = N::value().comptime();
        let each = comptime!((VECTORS * lanes) as u32);
        let mut best = 0.0f32;
        let mut label = 0u32;
        for block in 0..extents.outputs.div_ceil(each) {
            let mut sums = Array::<Vector<f32, N>>::new(VECTORS);
            #[unroll]
            for v in 0..VECTORS {
                sums[v] = Vector::new(0.0);
            }
            for input in 0..extents.inputs {
                let value = f32::cast_from(x[(first + input * extents.voxels) as usize]);
                let from = (block * extents.inputs + input) * comptime!(VECTORS as u32);
                #[unroll]
                for v in 0..VECTORS {
                    let factor = weight[(from + comptime!(v as u32)) as usize];
                    sums[v] = fma(Vector::new(value), factor, sums[v]);
                }
            }
            #[unroll]
            for v in 0..VECTORS {
                #[unroll]
                for lane in 0..lanes {
                    let output = block * each + comptime!((v * lanes + lane) as u32);
                    if output < extents.outputs {
                        let mut sum = sums[v].extract(lane);
                        if comptime!(has_bias) {
                            sum += bias[output as usize];
                        }
                        let better = output == 0 || sum > best;
                        best = select(better, sum, best);
                        label = select(better, output, label);
                    }
                }
            }
        }
        labels[at as usize] = label as i32;
    }
}

/// `[outputs, inputs]` as [`largest`] reads it, with zeros for the channels that pad.
#[cube(launch)]
fn pack(weight: &[f32], packed: &mut [f32], count: u32, inputs: u32, outputs: u32, block: u32) {
    let at = unit();
    if at < count {
        let lane = at % block;
        let input = at / block % inputs;
        let output = at / block / inputs * block + lane;
        let mut value = 0.0f32;
        if output < outputs {
            value = weight[(output * inputs + input) as usize];
        }
        packed[at as usize] = value;
    }
}

/// The tensor, if its elements are of one of `types` on a graphics card, without autodiff.
fn held<const D: usize>(tensor: &Tensor<D>, types: &[DType]) -> Option<CubeTensor> {
    if !types.contains(&tensor.dtype()) {
        return None;
    }
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Cube(tensor) => Some(contiguous(&tensor.float())),
        #[allow(unreachable_patterns, reason = "depends on the backends of the build")]
        _ => None,
    }
}

/// `[batch, 1, depth, height, width]`, or `None` for tensors that the kernels do not take.
pub(in crate::kernel) fn argmax(
    x: &Tensor<5>,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<5, Int>> {
    let op = Op::Conv {
        options: Conv3dOptions::new(1, 0, 1),
        activation: None,
    };
    let [batch, inputs, d, h, w] = x.dims();
    let outputs = weight.dims()[0];
    // The output has one channel, whatever the weights have.
    let short = outputs.div_ceil(VECTORS * LANES) * (inputs + 1) < MOST_ROUNDS;
    if !short || !takes(op, x.dims(), Some([1, inputs, 1, 1, 1])) {
        return None;
    }
    let bias = match bias {
        Some(bias) => Some(held(bias, &[DType::F32])?),
        None => None,
    };
    let x = held(x, &[DType::F32, DType::F16])?;
    let weight = held(weight, &[DType::F32])?;
    let place = Place::of(&x);
    let block = VECTORS * LANES;
    let count = outputs.next_multiple_of(block) * inputs;
    let packed = place.empty([count]);
    pack::launch(
        place.client(),
        place.grid(count, 1),
        place.workgroup(),
        weight.clone().into_buffer_arg(),
        packed.clone().into_buffer_arg(),
        count as u32,
        inputs as u32,
        outputs as u32,
        block as u32,
    );
    let labels = place.empty_of([batch, 1, d, h, w], DType::I32);
    let units = batch * d * h * w;
    largest::launch(
        place.client(),
        place.grid(units, 1),
        place.workgroup(),
        LANES,
        x.clone().into_buffer_arg(),
        packed.into_buffer_arg(),
        bias.clone().unwrap_or(weight).into_buffer_arg(),
        labels.clone().into_buffer_arg(),
        ExtentsLaunch::new(
            units as u32,
            (d * h * w) as u32,
            inputs as u32,
            outputs as u32,
        ),
        bias.is_some(),
        element(&x),
    );
    Some(Tensor::from_primitive::<Cube>(labels))
}
