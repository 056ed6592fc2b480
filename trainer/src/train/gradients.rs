//! The gradients of a network, as one list in the order of its parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// A flat gradient for every float parameter, in the order in which the module is visited.
///
/// A parameter that the loss does not depend on has zeros.
#[derive(Clone, Debug)]
pub struct FlatGradients(pub Vec<Tensor<1>>);

impl FlatGradients {
    /// Takes the gradients of a module's parameters.
    pub fn take<M: Module>(module: &M, gradients: &mut Gradients) -> Self {
        let mut taker = Taker {
            gradients,
            taken: Vec::new(),
        };
        module.visit(&mut taker);
        Self(taker.taken)
    }

    /// Adds others of the same module.
    #[must_use]
    pub fn plus(self, others: Self) -> Self {
        let sums = self.0.into_iter().zip(others.0).map(|(a, b)| a + b);
        Self(sums.collect())
    }

    /// Multiplies all by a number.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self(self.0.into_iter().map(|g| g * factor).collect())
    }

    /// The L2 norm of all together (`torch.nn.utils.clip_grad_norm_`'s `total_norm`).
    pub fn norm(&self) -> f64 {
        let squares = self.0.iter().map(|g| (g.clone() * g.clone()).sum());
        let Some(sum) = squares.reduce(|a, b| a + b) else {
            return 0.0;
        };
        f64::from(sum.into_scalar::<f32>()).sqrt()
    }
}

struct Taker<'a> {
    gradients: &'a mut Gradients,
    taken: Vec<Tensor<1>>,
}

impl ModuleVisitor for Taker<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let gradient = match param.is_require_grad() {
            true => value.grad_remove(self.gradients),
            false => None,
        };
        self.taken.push(match gradient {
            Some(gradient) => gradient.reshape([-1]),
            None => value.inner().zeros_like().reshape([-1]),
        });
    }
}
