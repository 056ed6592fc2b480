//! AdamW (Decoupled Weight Decay Regularization, arXiv 1711.05101), as PyTorch computes it.
//!
//! burn-optim has one too, but its state is keyed by numbers drawn at random when a network is
//! built, and is loaded to whichever device burn prefers. Here it is a list in the order of the
//! parameters, on their device, so that a checkpoint can name it and a resumed run goes on to the
//! bit.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::gradients::FlatGradients;

/// Settings of [`AdamW`]; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the running mean and of the running mean square of a gradient.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Share of a weight that is taken off, times the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }
}

/// The optimiser and its state.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    steps: u64,
    moments: Vec<Moments>,
    /// Steps that the first parameters took no part in at first.
    delays: Vec<u64>,
}

/// Running means of a parameter's gradient.
#[derive(Clone, Debug)]
struct Moments {
    mean: Tensor<1>,
    square: Tensor<1>,
}

impl AdamW {
    /// An optimiser that has taken no step.
    pub fn new(config: AdamWConfig) -> Self {
        Self {
            config,
            steps: 0,
            moments: Vec::new(),
            delays: Vec::new(),
        }
    }

    /// An optimiser that goes on after `steps` steps. The moments are in the order of the
    /// parameters, the mean (`exp_avg`) and the mean square (`exp_avg_sq`) of each.
    pub fn resume(
        config: AdamWConfig,
        steps: u64,
        moments: impl IntoIterator<Item = [Tensor<1>; 2]>,
    ) -> Self {
        let moments = moments
            .into_iter()
            .map(|[mean, square]| Moments { mean, square })
            .collect();
        Self {
            config,
            steps,
            moments,
            delays: Vec::new(),
        }
    }

    /// The same, where parameters take no part in their first steps, because they need no gradient
    /// then: so many for each in their order, 0 for those that are not named. As with PyTorch, a
    /// parameter's moments are corrected for the steps that it took itself.
    #[must_use]
    pub fn delayed(self, delays: Vec<u64>) -> Self {
        Self { delays, ..self }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Copies of the moments, as [`resume`](Self::resume) takes them.
    pub fn moments(&self) -> impl Iterator<Item = [TensorData; 2]> + '_ {
        let data = |tensor: &Tensor<1>| tensor.clone().into_data();
        self.moments
            .iter()
            .map(move |m| [data(&m.mean), data(&m.square)])
    }

    /// Takes a step: the module with its parameters moved against the gradients.
    pub fn step<M: Module>(&mut self, module: M, gradients: FlatGradients, lr: f64) -> M {
        if self.moments.is_empty() {
            let zeros = gradients.0.iter().map(|g| Moments {
                mean: g.zeros_like(),
                square: g.zeros_like(),
            });
            self.moments = zeros.collect();
        }
        self.steps += 1;
        let delays = self.delays.iter().copied().chain(std::iter::repeat(0));
        let parts = self.moments.iter_mut().zip(gradients.0).zip(delays);
        let mut update = Update {
            config: self.config,
            lr,
            steps: self.steps,
            parts: parts.map(|((moments, gradient), delay)| (moments, gradient, delay)),
        };
        module.map(&mut update)
    }
}

struct Update<I> {
    config: AdamWConfig,
    lr: f64,
    steps: u64,
    parts: I,
}

impl<'a, I: Iterator<Item = (&'a mut Moments, Tensor<1>, u64)>> ModuleMapper for Update<I> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((moments, gradient, delay)) = self.parts.next() else {
            unreachable!("a gradient for every parameter");
        };
        if !param.is_require_grad() {
            return param;
        }
        let steps = i32::try_from(self.steps.saturating_sub(delay)).unwrap_or(i32::MAX);
        let [b1, b2] = self.config.betas;
        let keep = 1.0 - self.lr * self.config.weight_decay;
        let step = self.lr / (1.0 - b1.powi(steps));
        let root = (1.0 - b2.powi(steps)).sqrt();
        let square = gradient.clone() * gradient.clone() * (1.0 - b2);
        moments.mean = moments.mean.clone() * b1 + gradient * (1.0 - b1);
        moments.square = moments.square.clone() * b2 + square;
        let divisor = moments.square.clone().sqrt() / root + self.config.epsilon;
        let change = moments.mean.clone() / divisor * step;

        let (id, tensor, mapper) = param.consume();
        let value = tensor.inner();
        let change = change.reshape(value.dims());
        let value = Tensor::from_inner(value * keep - change).require_grad();
        Param::from_mapped_value(id, value, mapper)
    }
}
