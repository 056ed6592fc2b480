//! A running average of a network's weights.

use amaes_core::weights::{StateDict, WeightsError, parameters_of};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

/// Weights averaged over the steps, with exponentially falling influence.
#[derive(Clone, Debug)]
pub struct Average {
    decay: f64,
    values: Vec<Tensor<1>>,
}

impl Average {
    /// An average that begins with the weights that a module has.
    pub fn new<M: Module>(decay: f64, module: &M) -> Self {
        let values = flat(module);
        Self { decay, values }
    }

    /// An average that goes on from `state`.
    ///
    /// # Errors
    ///
    /// [`WeightsError`] when a parameter of the module is not there.
    pub fn resume<M: Module>(
        decay: f64,
        module: &M,
        state: &StateDict,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        let value = |(name, _): (String, Vec<usize>)| {
            let data = state.f32(&name)?;
            let count = data.num_elements();
            let data = reshaped(data, [count]);
            let tensor = Tensor::<1>::from_data(data, (device, DType::F32));
            Ok(tensor)
        };
        let values = parameters_of(module).into_iter().map(value);
        Ok(Self {
            decay,
            values: values.collect::<Result<_, WeightsError>>()?,
        })
    }

    /// Moves the average towards the weights after a step.
    pub fn update<M: Module>(&mut self, module: &M) {
        for (average, value) in self.values.iter_mut().zip(flat(module)) {
            *average = average.clone() * self.decay + value * (1.0 - self.decay);
        }
    }

    /// The average under the names of the module's parameters.
    ///
    /// # Errors
    ///
    /// [`WeightsError`] when two parameters have one name.
    pub fn state<M: Module>(&self, module: &M) -> Result<StateDict, WeightsError> {
        let mut state = StateDict::new();
        for ((name, shape), value) in parameters_of(module).into_iter().zip(&self.values) {
            let data = reshaped(value.clone().into_data(), shape);
            state.insert(name, data)?;
        }
        Ok(state)
    }
}

/// The same values in another shape of as many elements.
pub(super) fn reshaped(data: TensorData, shape: impl Into<Shape>) -> TensorData {
    let (bytes, _, dtype) = data.into_parts();
    TensorData::from_bytes(bytes, shape, dtype)
}

fn flat<M: Module>(module: &M) -> Vec<Tensor<1>> {
    let mut flat = Flat(Vec::new());
    module.visit(&mut flat);
    flat.0
}

struct Flat(Vec<Tensor<1>>);

impl ModuleVisitor for Flat {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().inner().reshape([-1]));
    }
}
