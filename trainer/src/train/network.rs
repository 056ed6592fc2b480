//! A network as the loss of a task sees it: its forward pass, with all activations kept for the
//! gradients or with checkpointing.

use std::cell::RefCell;

use amaes_core::model::{Model, Tape};
use amaes_core::nn::Precision;
use amaes_core::pretext::ViewOutput;
use burn::tensor::{Gradients, Tensor};

/// A network and what its forward passes left for the gradients.
#[derive(Debug)]
pub struct Network<'a> {
    model: &'a Model,
    /// With activation checkpointing: what each forward pass left.
    tapes: Option<RefCell<Vec<Tape>>>,
    precision: Precision,
}

impl<'a> Network<'a> {
    /// A network that keeps its activations, or computes them again if `checkpoint`.
    pub fn new(model: &'a Model, checkpoint: bool) -> Self {
        Self {
            model,
            tapes: checkpoint.then(RefCell::default),
            precision: Precision::Float32,
        }
    }

    /// The same with activations of this precision.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// As [`Model::forward`], from and to single precision.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.precision.enter(x);
        self.precision.leave(self.activated(x))
    }

    fn activated(&self, x: Tensor<5>) -> Tensor<5> {
        let Some(tapes) = &self.tapes else {
            return self.model.forward(x);
        };
        match self.model.forward_checkpointed(x.clone()) {
            Some((output, tape)) => {
                tapes.borrow_mut().push(tape);
                output
            }
            None => self.model.forward(x),
        }
    }

    /// As [`Model::views`]; its activations are kept, in single precision.
    pub fn views(&self, x: Tensor<5>) -> Option<ViewOutput> {
        self.model.views(x)
    }

    /// Takes the gradients of a loss of what [`forward`](Self::forward) gave. `take` is called once
    /// or more; the gradient of a parameter is the sum of those that it is given.
    pub fn backward(self, loss: Tensor<1>, mut take: impl FnMut(&mut Gradients)) {
        let mut gradients = loss.backward();
        drop(loss);
        take(&mut gradients);
        for tape in self.tapes.map(RefCell::into_inner).unwrap_or_default() {
            tape.backward(self.model, &mut gradients, &mut take);
        }
    }
}
