//! The kernels on graphics cards, in CubeCL: one backend for every CubeCL runtime.
//!
//! They use what WebGPU guarantees: 32-bit integers and floats, at most 256 invocations a
//! workgroup, 16 KiB of workgroup memory and 8 storage buffers, no subgroup operations. Every sum
//! is added in an order that depends on shapes and tile sizes alone. burn allocates no tensor
//! above the adapter's limit on bindings, so every tensor that reaches a kernel can be bound.
//!
//! Data may be of half precision where the adapter has it: what passes between operations is then
//! stored in two bytes, and each kernel converts as it loads and stores. Weights, what is computed
//! and gradients of weights are of single precision.

mod argmax;
mod conv;
mod direct;
mod filtered;
mod interleave;
mod lattice;
mod launch;
mod minimal;
mod norm;
mod outer;
mod pointwise;
mod pool;
mod reduce;
mod tile;
mod weight;

use burn::Tensor;
use burn::backend::{Cube, DispatchTensorKind, TensorMetadata};
use burn::tensor::Device;
use burn_cubecl::tensor::CubeTensor;

use self::conv::Epilogue;
use self::norm::Norm;
use super::extension::Kernels;
use super::op::{Op, Saved, five};

pub(super) use self::argmax::argmax;
pub use self::tile::{AdapterClass, GpuTiles, TileError, set_gpu_tiles};

/// Elements of a tensor whose every index and byte offset is less than 2^31.
const MOST_ELEMENTS: usize = 1 << 29;
/// Channels: one axis of a grid counts them.
const MOST_CHANNELS: usize = 1 << 13;

/// Whether the kernels take an operation of these shapes.
pub(super) fn takes(op: Op, x: [usize; 5], weight: Option<[usize; 5]>) -> bool {
    let small = |elements: &[usize]| {
        let product = elements
            .iter()
            .try_fold(1_usize, |product, &n| product.checked_mul(n));
        product.is_some_and(|n| n > 0 && n <= MOST_ELEMENTS)
    };
    let Some((conv, ..)) = op.convolution(x, weight) else {
        // Composed of burn's own operations.
        #[cfg(feature = "flex")]
        if matches!(
            op,
            Op::Resize(_)
                | Op::AvgPool2
                | Op::Join
                | Op::Residual(_)
                | Op::LayerNorm { .. }
                | Op::Attention(_)
        ) {
            return false;
        }
        return small(&x);
    };
    let [id, ih, iw] = conv.in_size();
    let [od, oh, ow] = conv.out_size();
    let kernel = conv.kernel();
    let (inputs, outputs) = (conv.groups * conv.inputs, conv.groups * conv.outputs);
    // Coordinates with padding and reach are signed.
    let far = |axis: &super::shape::Extent| {
        [axis.low, axis.dilation, axis.stride]
            .iter()
            .all(|&n| n < 1 << 24)
            && axis.kernel * axis.dilation < 1 << 28
    };
    small(&[conv.batch, inputs, id, ih, iw])
        && small(&[conv.batch, outputs, od, oh, ow])
        && small(&[outputs, conv.inputs, kernel[0], kernel[1], kernel[2]])
        && inputs.max(outputs) <= MOST_CHANNELS
        && weight::fits(kernel)
        && conv.extent.iter().all(far)
}

impl Kernels for Cube {
    fn forward(
        op: Op,
        x: &CubeTensor,
        weight: Option<&CubeTensor>,
        bias: Option<&CubeTensor>,
        keep: bool,
    ) -> (CubeTensor, Option<CubeTensor>) {
        let shape = five(&x.shape());
        let weight_shape = weight.map(|weight| five(&weight.shape()));
        if let (Some((conv, transposed, activation)), Some(weight)) =
            (op.convolution(shape, weight_shape), weight)
        {
            let epilogue = Epilogue { bias, activation };
            let out = if transposed {
                conv.run_transposed(x, weight, &epilogue)
            } else {
                conv.run_forward(x, weight, &epilogue)
            };
            return (out, None);
        }
        match op {
            Op::Norm { eps, activation } => {
                let norm = Norm {
                    shape,
                    eps,
                    activation,
                };
                let (out, kept) = norm.forward(x, weight, bias);
                (out, keep.then_some(kept))
            }
            Op::Activate(activation) => (pointwise::activate(x, activation), None),
            Op::MaxPool2 => (pool::forward(x, shape), None),
            _ => unreachable!("{op:?} is a convolution or not taken"),
        }
    }

    fn backward(
        op: Op,
        saved: &Saved<CubeTensor>,
        gradient: &CubeTensor,
        wanted: [bool; 3],
    ) -> [Option<CubeTensor>; 3] {
        let shape = five(&saved.shape);
        let weight_shape = saved.weight.as_ref().map(|weight| five(&weight.shape()));
        let convolution = op.convolution(shape, weight_shape);
        if let (Some((conv, transposed, _)), Some(weight)) = (convolution, &saved.weight) {
            let plain = Epilogue {
                bias: None,
                activation: None,
            };
            let dx = wanted[0].then(|| {
                if transposed {
                    conv.run_forward(gradient, weight, &plain)
                } else {
                    conv.run_transposed(gradient, weight, &plain)
                }
            });
            let dw = saved.x.as_ref().filter(|_| wanted[1]).map(|x| {
                let (input, output) = if transposed {
                    (gradient, x)
                } else {
                    (x, gradient)
                };
                conv.run_weight_gradient(input, output)
            });
            let db = wanted[2].then(|| conv::bias_gradient(gradient, five(&gradient.shape())));
            return [dx, dw, db];
        }
        match (op, &saved.x) {
            (Op::Norm { eps, activation }, Some(x)) => {
                let norm = Norm {
                    shape,
                    eps,
                    activation,
                };
                let Some(kept) = &saved.kept else {
                    unreachable!("the forward pass keeps statistics")
                };
                let (weight, bias) = (saved.weight.as_ref(), saved.bias.as_ref());
                let result = norm.backward(x, weight, bias, kept, gradient);
                [
                    wanted[0].then_some(result.data),
                    wanted[1].then_some(result.weight),
                    wanted[2].then_some(result.bias),
                ]
            }
            (Op::Activate(activation), Some(x)) => [
                wanted[0].then(|| pointwise::chain(x, gradient, activation)),
                None,
                None,
            ],
            (Op::MaxPool2, Some(x)) => [
                wanted[0].then(|| pool::backward(x, gradient, shape)),
                None,
                None,
            ],
            _ => unreachable!("{op:?} keeps what its gradients need"),
        }
    }
}

/// Name of the graphics adapter behind a device, or `None` for other devices.
#[must_use]
pub fn adapter_name(device: &Device) -> Option<String> {
    let kind = Tensor::<1>::zeros([1], &device.clone().inner())
        .into_dispatch()
        .kind;
    match kind {
        DispatchTensorKind::Cube(tensor) => {
            Some(tensor.float().client.properties().identity.name.clone())
        }
        #[allow(unreachable_patterns, reason = "depends on the backends of the build")]
        _ => None,
    }
}
