//! What a run leaves to its caller: how results are waited for, and what happens between two
//! pieces of work.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use burn::tensor::kind::Basic;
use burn::tensor::{Tensor, TensorData};

use super::InferError;
use super::network::{OnProgress, Progress};

/// The caller of a run.
pub trait Host {
    /// Whether results are awaited, as a browser must; otherwise reading blocks.
    const AWAITS: bool;

    /// Called after each piece of work; may wait, and ask to stop.
    fn progress(&mut self, progress: Progress) -> impl Future<Output = ControlFlow<()>>;

    /// Gives rows to the neighbours of a [strip](super::Pieces::together) and takes theirs: as many
    /// as were given. Each strip of a column calls it as often as the others.
    ///
    /// # Errors
    ///
    /// [`InferError::Device`] where a neighbour is missing, as there are none by default, and
    /// [`InferError::Cancelled`].
    fn exchange(&mut self, _: Rows) -> impl Future<Output = Result<Rows, InferError>> {
        let missing = "a strip has no neighbours to exchange rows with";
        async move { Err(InferError::Device(missing.into())) }
    }
}

/// Values of the rows at both ends of a strip along y, `[channels, planes, rows, z]`: the first, for
/// the neighbour before it, and the last, for that after it. None where there is no neighbour.
pub type Rows = [Option<Vec<f32>>; 2];

/// A caller that waits and is told by a closure.
pub(super) struct Blocking<'a>(pub(super) OnProgress<'a>);

impl Host for Blocking<'_> {
    const AWAITS: bool = false;

    async fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        (self.0)(progress)
    }
}

/// The result of a run whose host is [`Blocking`]: nothing in it waits.
pub(super) fn now<T>(run: impl Future<Output = Result<T, InferError>>) -> Result<T, InferError> {
    match pin!(run).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(InferError::Device("the result is not there".into())),
    }
}

/// The values of a tensor.
pub(super) async fn data<H: Host, const D: usize, K: Basic>(
    tensor: Tensor<D, K>,
) -> Result<TensorData, InferError> {
    let data = match H::AWAITS {
        true => tensor.into_data_async().await,
        false => tensor.try_into_data(),
    };
    data.map_err(|e| InferError::Device(format!("{e:?}")))
}

/// Reports progress.
pub(super) async fn report<H: Host>(host: &mut H, done: u64, total: u64) -> Result<(), InferError> {
    match host.progress(Progress { done, total }).await {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(InferError::Cancelled),
    }
}
