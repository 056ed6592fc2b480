//! Gradients under the names of the parameters.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

struct Collect<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: BTreeMap<String, Vec<f64>>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        // Enum variants have no place in the names of parameters.
        self.path.push(if container.starts_with("Enum:") {
            String::new()
        } else {
            name.into()
        });
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let parts: Vec<&str> = self
            .path
            .iter()
            .map(String::as_str)
            .filter(|p| !p.is_empty())
            .collect();
        let value = param.val();
        let gradient = value.grad(self.gradients);
        let gradient = gradient.unwrap_or_else(|| value.inner().zeros_like());
        let values = gradient.into_data().iter::<f64>().collect();
        self.found.insert(parts.join("."), values);
    }
}

/// The gradient of every parameter, by the parameter's name: zeros where the result does not depend
/// on it.
pub fn gradients_of<M: Module>(model: &M, gradients: &Gradients) -> BTreeMap<String, Vec<f64>> {
    let mut collect = Collect {
        gradients,
        path: vec![],
        found: BTreeMap::new(),
    };
    model.visit(&mut collect);
    collect.found
}
