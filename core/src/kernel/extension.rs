//! The kernels as burn operations on the backends that have them: one operation, one autodiff node.

use burn::Tensor;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, DispatchTensorKind, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Shape};

#[cfg(feature = "cube")]
use super::op::five;
use super::op::{Op, Saved};

/// Which of weight and bias an operation has. The macro below knows no optional tensors: what is
/// absent is passed as an empty tensor.
type Present = [bool; 2];

/// A backend with kernels of its own.
pub(super) trait Kernels: Backend {
    /// The output and, if `keep`, what the gradients need besides the inputs.
    fn forward(
        op: Op,
        x: &FloatTensor<Self>,
        weight: Option<&FloatTensor<Self>>,
        bias: Option<&FloatTensor<Self>>,
        keep: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);

    /// Gradients for data, weight and bias, those that are `wanted`.
    fn backward(
        op: Op,
        saved: &Saved<FloatTensor<Self>>,
        gradient: &FloatTensor<Self>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3];
}

/// Every kernel, as one operation of three tensors: data, weight, bias.
#[backend_extension(Flex: cfg(feature = "flex"), Cube: cfg(feature = "cube"), Autodiff)]
pub(super) trait Extension: Backend {
    /// Applies `op`.
    fn kernel(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        present: Present,
        op: Op,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
impl Extension for burn::backend::Flex {
    fn kernel(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        present: Present,
        op: Op,
    ) -> FloatTensor<Self> {
        plain::<Self>(&x, &weight, &bias, present, op)
    }
}

#[cfg(feature = "cube")]
impl Extension for burn::backend::Cube {
    fn kernel(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        present: Present,
        op: Op,
    ) -> FloatTensor<Self> {
        plain::<Self>(&x, &weight, &bias, present, op)
    }
}

fn plain<B: Kernels>(
    x: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    bias: &FloatTensor<B>,
    [has_weight, has_bias]: Present,
    op: Op,
) -> FloatTensor<B> {
    B::forward(
        op,
        x,
        has_weight.then_some(weight),
        has_bias.then_some(bias),
        false,
    )
    .0
}

#[derive(Debug)]
struct Gradient;

/// What an operation keeps for its gradients; `T` is a tensor of the backend.
#[derive(Clone, Debug)]
struct State<T> {
    op: Op,
    x: Option<NodeId>,
    shape: Shape,
    weight: Option<NodeId>,
    bias: Option<NodeId>,
    /// What the forward pass kept.
    kept: Option<T>,
}

impl<B: Kernels> Backward<B, 3> for Gradient {
    type State = State<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let State {
            op,
            x,
            shape,
            weight,
            bias,
            kept,
        } = ops.state;
        let mut fetch = |id: Option<NodeId>| {
            id.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id))
        };
        let saved = Saved {
            x: fetch(x),
            shape,
            weight: fetch(weight),
            bias: fetch(bias),
            kept,
        };
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let results = B::backward(op, &saved, &gradient, wanted);
        for (node, result) in ops.parents.into_iter().zip(results) {
            if let (Some(node), Some(result)) = (node, result) {
                grads.register::<B>(node.id, result);
            }
        }
    }
}

impl<B: Kernels, C: CheckpointStrategy> Extension for Autodiff<B, C> {
    fn kernel(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        [has_weight, has_bias]: Present,
        op: Op,
    ) -> FloatTensor<Self> {
        let prepared =
            Backward::<B, 3>::prepare::<C>(Gradient, [x.node(), weight.node(), bias.node()])
                .compute_bound()
                .stateful();
        let forward = |keep: bool| {
            B::forward(
                op,
                x.primitive(),
                has_weight.then(|| weight.primitive()),
                has_bias.then(|| bias.primitive()),
                keep,
            )
        };
        match prepared {
            OpsKind::Tracked(mut prepared) => {
                let (output, kept) = forward(true);
                let state = State {
                    op,
                    x: op
                        .needs_data(weight.is_tracked())
                        .then(|| prepared.checkpoint(&x)),
                    weight: (has_weight && op.needs_weight()).then(|| prepared.checkpoint(&weight)),
                    bias: (has_bias && op.needs_bias()).then(|| prepared.checkpoint(&bias)),
                    shape: x.primitive().shape(),
                    kept,
                };
                prepared.finish(state, output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(forward(false).0),
        }
    }
}

/// The operation, if the backend has a kernel for it and these tensors: single precision, on
/// graphics cards also data of half precision, and of a size that the kernel can index.
pub(super) fn accept<const D: usize>(
    op: Op,
    x: &Tensor<D>,
    weight: Option<&Tensor<5>>,
    vectors: [Option<&Tensor<1>>; 2],
) -> Option<Op> {
    let single = |dtype: DType| dtype == DType::F32;
    let vectors_single = vectors.into_iter().flatten().all(|v| single(v.dtype()));
    if weight.is_some_and(|w| !single(w.dtype())) || !vectors_single {
        return None;
    }
    let kind = match x.clone().into_dispatch().kind {
        DispatchTensorKind::Autodiff(inner) => *inner,
        kind => kind,
    };
    let accepted = match kind {
        #[cfg(feature = "flex")]
        DispatchTensorKind::Flex(_) => single(x.dtype()),
        #[cfg(feature = "cube")]
        DispatchTensorKind::Cube(_) => {
            (single(x.dtype()) || x.dtype() == DType::F16)
                && super::gpu::takes(op, five(&x.shape()), weight.map(|weight| weight.dims()))
        }
        #[allow(unreachable_patterns, reason = "depends on the backends of the build")]
        _ => false,
    };
    accepted.then_some(op)
}

/// Applies `op` to tensors that these kernels take.
pub(super) fn run<const D: usize, const W: usize, const E: usize>(
    x: Tensor<D>,
    weight: Option<Tensor<W>>,
    bias: Option<Tensor<1>>,
    op: Op,
) -> Tensor<E> {
    let present = [weight.is_some(), bias.is_some()];
    let absent = || Tensor::<1>::zeros([0], &x.device()).into_dispatch();
    let weight = weight.map_or_else(absent, Tensor::into_dispatch);
    let bias = bias.map_or_else(absent, Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::kernel(
        x.into_dispatch(),
        weight,
        bias,
        present,
        op,
    ))
}
