//! Learning from two views of each patch (SwinUNETR's pretraining).

use amaes_core::model::Model;
use amaes_core::pretext::{ViewLossConfig, ViewOutput, view_loss};
use burn::tensor::{Device, Tensor};

use super::{Objective, Pretraining};
use crate::train::config::PretrainConfig;
use crate::train::log::{self, Validation};
use crate::train::network::Network;
use crate::train::picture::Row;
use crate::train::pretext::PretextConfig;
use crate::train::step::Learner;
use crate::train::views::{ViewBatch, Views};

/// The losses of a batch of views.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// What is minimised.
    pub loss: f64,
    /// Cross-entropy of the rotations.
    pub rotation: f64,
    /// Mean cross-entropy of finding the other view of a patch.
    pub contrastive: f64,
    /// Mean absolute error of the restored views.
    pub inpainting: f64,
}

impl Objective for Views {
    type Losses = Losses;

    fn loss(
        config: &PretrainConfig,
        network: &Network<'_>,
        samples: &[Self],
        device: &Device,
    ) -> Vec<Tensor<1>> {
        let batch = ViewBatch::new(samples, config.patch.size, device);
        let output = views(network, batch.input);
        let weights = match &config.pretext {
            PretextConfig::SwinUNETR(views) => views.loss,
            PretextConfig::Amaes(_) => ViewLossConfig::default(),
        };
        let found = view_loss(output, batch.turns, batch.target, &weights);
        vec![
            found.loss,
            found.rotation,
            found.contrastive,
            found.inpainting,
        ]
    }

    fn losses(values: &[f64]) -> Losses {
        Losses {
            loss: values[0],
            rotation: values[1],
            contrastive: values[2],
            inpainting: values[3],
        }
    }

    fn fill(losses: Losses, line: &mut log::Step) {
        line.loss = losses.loss;
        line.rotation_loss = Some(losses.rotation);
        line.contrastive_loss = Some(losses.contrastive);
        line.inpainting_loss = Some(losses.inpainting);
    }

    /// In parts of a batch and a little more, because patches are told from each other. Each part
    /// counts as much as it has samples.
    fn validate(task: &Pretraining<Self>, learner: &Learner, step: u64) -> Validation {
        let samples = &task.validation;
        let batch = task.config.patch.batch / task.config.training.accumulate;
        let parts = (samples.len() / batch.max(1)).max(1);
        let mut sum = [0.0; 4];
        for n in 0..parts {
            let part = &samples[n * samples.len() / parts..(n + 1) * samples.len() / parts];
            let found = learner.evaluate(task, part);
            for (sum, value) in sum.iter_mut().zip([
                found.loss,
                found.rotation,
                found.contrastive,
                found.inpainting,
            ]) {
                *sum += value * part.len() as f64;
            }
        }
        let [loss, rotation, contrastive, inpainting] = sum.map(|s| s / samples.len() as f64);
        Validation {
            step,
            loss,
            rotation_loss: Some(rotation),
            contrastive_loss: Some(contrastive),
            inpainting_loss: Some(inpainting),
            ..Validation::default()
        }
    }

    /// The first view.
    fn show(&self, config: &PretrainConfig, model: &Model, device: &Device) -> Row {
        let batch = ViewBatch::new(std::slice::from_ref(self), config.patch.size, device);
        let [view, _] = &self.views;
        let len = view.input.len();
        let restored = views(&Network::new(model, false), batch.input).restored;
        Row {
            shown: view.input.clone(),
            restored: restored.into_data().iter::<f32>().take(len).collect(),
            truth: view.target.clone(),
        }
    }
}

fn views(network: &Network<'_>, input: Tensor<5>) -> ViewOutput {
    match network.views(input) {
        Some(output) => output,
        None => unreachable!("a configuration with views has a network with heads for them"),
    }
}
