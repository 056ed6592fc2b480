//! The kernels as burn operations on the Flex backend: one operation, one autodiff node.

use burn::Tensor;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, DispatchTensorKind, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Shape};

use super::flex_op::{Op, Saved};

/// A tensor of the Flex backend.
pub(super) type FlexTensor = FloatTensor<Flex>;

/// Which of weight and bias an operation has. The macro below knows no optional tensors: what is
/// absent is passed as an empty tensor.
type Present = [bool; 2];

/// Every kernel, as one operation of three tensors: data, weight, bias.
#[backend_extension(Flex, Autodiff)]
pub(super) trait FlexKernels: Backend {
    /// Applies `op`.
    fn kernel(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        present: Present,
        op: Op,
    ) -> FloatTensor<Self>;
}

impl FlexKernels for Flex {
    fn kernel(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        [has_weight, has_bias]: Present,
        op: Op,
    ) -> FlexTensor {
        op.forward(
            &x,
            has_weight.then_some(&weight),
            has_bias.then_some(&bias),
            false,
        )
        .0
    }
}

#[derive(Debug)]
struct Gradient;

/// What an operation keeps for its gradients.
#[derive(Clone, Debug)]
struct State {
    op: Op,
    x: Option<NodeId>,
    shape: Shape,
    weight: Option<NodeId>,
    bias: Option<NodeId>,
    /// What the forward pass kept.
    kept: Option<FlexTensor>,
}

impl Backward<Flex, 3> for Gradient {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let State {
            op,
            x,
            shape,
            weight,
            bias,
            kept,
        } = ops.state;
        let mut fetch =
            |id: Option<NodeId>| id.map(|id| checkpointer.retrieve_node_output::<FlexTensor>(id));
        let saved = Saved {
            x: fetch(x),
            shape,
            weight: fetch(weight),
            bias: fetch(bias),
            kept,
        };
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let results = op.backward(&saved, &gradient, wanted);
        for (node, result) in ops.parents.into_iter().zip(results) {
            if let (Some(node), Some(result)) = (node, result) {
                grads.register::<Flex>(node.id, result);
            }
        }
    }
}

impl<C: CheckpointStrategy> FlexKernels for Autodiff<Flex, C> {
    fn kernel(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        [has_weight, has_bias]: Present,
        op: Op,
    ) -> FloatTensor<Self> {
        let prepared = Gradient
            .prepare::<C>([x.node(), weight.node(), bias.node()])
            .compute_bound()
            .stateful();
        let forward = |keep: bool| {
            op.forward(
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
                    weight: has_weight.then(|| prepared.checkpoint(&weight)),
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

/// Whether these kernels take `tensors`: single precision, on the Flex backend.
pub(super) fn takes<const D: usize>(
    x: &Tensor<D>,
    weight: Option<&Tensor<5>>,
    vectors: [Option<&Tensor<1>>; 2],
) -> bool {
    let single = |dtype: DType| dtype == DType::F32;
    let vectors_single = vectors.into_iter().flatten().all(|v| single(v.dtype()));
    if !single(x.dtype()) || weight.is_some_and(|w| !single(w.dtype())) || !vectors_single {
        return false;
    }
    match x.clone().into_dispatch().kind {
        DispatchTensorKind::Flex(_) => true,
        DispatchTensorKind::Autodiff(inner) => matches!(*inner, DispatchTensorKind::Flex(_)),
        #[allow(unreachable_patterns, reason = "depends on the backends of the build")]
        _ => false,
    }
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
