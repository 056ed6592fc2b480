//! Learning to restore masked and augmented patches (AMAES).

use amaes_core::model::Model;
use amaes_core::pretext::reconstruction;
use burn::tensor::{Device, Tensor};

use super::{Objective, Pretraining};
use crate::train::config::PretrainConfig;
use crate::train::log::{self, Validation};
use crate::train::network::Network;
use crate::train::picture::Row;
use crate::train::sample::{Batch, Sample};
use crate::train::step::Learner;

/// Squared errors of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// What is minimised.
    pub loss: f64,
    /// Mean over the masked voxels.
    pub masked: f64,
    /// Mean over the visible voxels.
    pub visible: f64,
}

impl Objective for Sample {
    type Losses = Losses;

    fn loss(
        config: &PretrainConfig,
        network: &Network<'_>,
        samples: &[Self],
        device: &Device,
    ) -> Vec<Tensor<1>> {
        let batch = Batch::new(samples, config.patch.size, device);
        let output = network.forward(batch.input);
        let over = config.patch.loss;
        let found = reconstruction(output, batch.target, batch.mask, over);
        vec![found.loss, found.masked, found.visible]
    }

    fn losses(values: &[f64]) -> Losses {
        Losses {
            loss: values[0],
            masked: values[1],
            visible: values[2],
        }
    }

    fn fill(losses: Losses, line: &mut log::Step) {
        line.loss = losses.loss;
        line.masked_loss = Some(losses.masked);
        line.visible_loss = Some(losses.visible);
    }

    fn validate(task: &Pretraining<Self>, learner: &Learner, step: u64) -> Validation {
        let (mut sum, mut mean) = ([0.0; 3], 0.0);
        for sample in &task.validation {
            let found = learner.evaluate(task, std::slice::from_ref(sample));
            for (sum, value) in sum
                .iter_mut()
                .zip([found.loss, found.masked, found.visible])
            {
                *sum += value;
            }
            mean += variance(&sample.target);
        }
        let count = task.validation.len() as f64;
        let [loss, masked, visible] = sum.map(|s| s / count);
        Validation {
            step,
            loss,
            masked_loss: Some(masked),
            visible_loss: Some(visible),
            mean_loss: Some(mean / count),
            ..Validation::default()
        }
    }

    fn show(&self, config: &PretrainConfig, model: &Model, device: &Device) -> Row {
        let batch = Batch::new(std::slice::from_ref(self), config.patch.size, device);
        let output = model.forward(batch.input);
        let hidden = self.input.iter().zip(&self.mask);
        Row {
            shown: hidden
                .map(|(&v, &m)| if m == 1.0 { f32::NAN } else { v })
                .collect(),
            restored: output.into_data().iter::<f32>().collect(),
            truth: self.target.clone(),
        }
    }
}

/// Mean squared error of predicting the mean.
fn variance(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2));
    squares.sum::<f64>() / count
}
