//! The gradients of a network, as one list in the order of its parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// A flat gradient for every float parameter, in the order in which the module is visited.
///
/// A parameter that the loss does not depend on has zeros.
#[derive(Clone, Debug)]
pub struct FlatGradients(pub Vec<Tensor<1>>);

impl FlatGradients {
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

/// The sum of the gradients of several backward passes.
#[derive(Debug, Default)]
pub struct GradientSum(Vec<Option<Tensor<1>>>);

impl GradientSum {
    /// Takes the gradients of a module's parameters and adds them.
    pub fn add<M: Module>(&mut self, module: &M, gradients: &mut Gradients) {
        let mut adder = Adder {
            sums: &mut self.0,
            gradients,
            next: 0,
        };
        module.visit(&mut adder);
    }

    /// The sum, for the same module.
    pub fn flat<M: Module>(self, module: &M) -> FlatGradients {
        let mut flattener = Flattener {
            sums: self.0.into_iter(),
            flat: Vec::new(),
        };
        module.visit(&mut flattener);
        FlatGradients(flattener.flat)
    }
}

struct Adder<'a> {
    sums: &'a mut Vec<Option<Tensor<1>>>,
    gradients: &'a mut Gradients,
    next: usize,
}

impl ModuleVisitor for Adder<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.sums.len() == self.next {
            self.sums.push(None);
        }
        let sum = &mut self.sums[self.next];
        self.next += 1;
        if !param.is_require_grad() {
            return;
        }
        if let Some(gradient) = param.val().grad_remove(self.gradients) {
            let gradient = gradient.reshape([-1]);
            *sum = Some(match sum.take() {
                Some(sum) => sum + gradient,
                None => gradient,
            });
        }
    }
}

struct Flattener {
    sums: std::vec::IntoIter<Option<Tensor<1>>>,
    flat: Vec<Tensor<1>>,
}

impl ModuleVisitor for Flattener {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let sum = self.sums.next().flatten();
        let zeros = || param.val().inner().zeros_like().reshape([-1]);
        self.flat.push(sum.unwrap_or_else(zeros));
    }
}
