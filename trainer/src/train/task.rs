//! What a run works at: the part that pretraining and finetuning do not share.

use std::path::Path;

use amaes_core::label::LabelTable;
use amaes_core::model::Spec;
use amaes_core::nn::Precision;
use amaes_core::preprocess::Plan;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::adamw::AdamWConfig;
use super::error::Result;
use super::log::{self, Validation};
use super::network::Network;
use super::sections::{OutputConfig, RunConfig};
use super::step::Learner;

/// What a network is trained for, and on what.
pub trait Task {
    /// Its name in logs and checkpoints.
    const NAME: &'static str;

    /// The configuration, as the run's folder keeps it.
    type Config: Serialize;

    /// What a batch is made of.
    type Sample;

    /// The losses of a batch.
    type Losses: Copy;

    /// The configuration.
    fn config(&self) -> &Self::Config;

    /// What of it every task has.
    fn common(&self) -> Common<'_>;

    /// How the network learns.
    fn settings(&self) -> Settings;

    /// The network.
    fn spec(&self) -> Spec;

    /// The preprocessing of its volumes.
    fn plan(&self) -> &Plan;

    /// Steps in all.
    fn steps(&self) -> u64;

    /// The learning rate of a step, counted from 0.
    fn lr(&self, step: u64) -> f64;

    /// What is minimised, and parts of it that are logged, each `[1]`.
    fn loss(
        &self,
        network: &Network<'_>,
        samples: &[Self::Sample],
        device: &Device,
    ) -> Vec<Tensor<1>>;

    /// The losses that [`loss`](Self::loss) found, in its order.
    fn losses(values: &[f64]) -> Self::Losses;

    /// Puts losses into a line of the log.
    fn fill(losses: Self::Losses, line: &mut log::Step);

    /// Judges the network on samples that it does not learn from, where there are any.
    ///
    /// # Errors
    ///
    /// [`TrainError`](super::TrainError) when they cannot be read.
    fn validate(&self, learner: &Learner, step: u64) -> Result<Option<Validation>>;

    /// Writes a picture of what the network does; whether there was something to show.
    ///
    /// # Errors
    ///
    /// [`TrainError`](super::TrainError) when it cannot be written.
    fn picture(&self, learner: &Learner, path: &Path) -> Result<bool>;

    /// The classes that the network puts out.
    fn labels(&self) -> LabelTable {
        LabelTable::default()
    }

    /// Which weights the run is for.
    fn selection(&self) -> Selection {
        Selection::default()
    }
}

/// What of a configuration every task has.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// Where the run is kept.
    pub run: &'a RunConfig,
    /// What is written, and when.
    pub output: &'a OutputConfig,
    /// Edges of a patch in voxels.
    pub patch: [usize; 3],
    /// Samples a step, of all processes together.
    pub batch: usize,
    /// Volumes to train on.
    pub volumes: u64,
}

/// How a network learns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settings {
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// Parts of a batch that are computed one after another.
    pub accumulate: usize,
    /// Largest norm of the gradients.
    pub clip: Option<f64>,
    /// Decay of the running average of the weights.
    pub ema: Option<f64>,
    /// First steps in which the encoder stays as it is.
    pub frozen: u64,
    /// Whether activations are computed again in the backward pass, in place of being kept.
    pub checkpoint_activations: bool,
    /// What activations are stored as.
    pub precision: Precision,
}

/// Which weights a run is for: the last, unless validation chooses them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those of the best validation.
    pub best: bool,
    /// Validations without a better one after which the run ends.
    pub patience: Option<u64>,
}
