//! Pretraining: a network learns to restore masked and augmented patches of a store.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use amaes_core::model::Spec;
use amaes_core::preprocess::Plan;
use amaes_core::pretext::reconstruction;
use amaes_core::weights::{StateDict, initial};
use burn::tensor::{Device, Tensor};
use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::config::PretrainConfig;
use super::corpus::{Corpus, Stream};
use super::error::{Result, TrainError};
use super::log::{self, Record, Validation};
use super::network::Network;
use super::picture;
use super::run::{Ended, Run, Setting, Start};
use super::sample::{Batch, Sample};
use super::schedule::Schedule;
use super::step::Learner;
use super::task::{Common, Settings, Task};
use crate::model::{self, Beside};

/// Pictures show this many samples at most.
const ROWS: usize = 4;

/// Pretraining on a corpus.
#[derive(Clone, Debug)]
pub struct Pretraining {
    config: PretrainConfig,
    plan: Plan,
    volumes: u64,
    validation: Vec<Sample>,
    schedule: Schedule,
}

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

impl Pretraining {
    /// Pretraining on `volumes` volumes that were preprocessed by `plan`; `validation` are samples
    /// of others.
    pub fn new(config: PretrainConfig, plan: Plan, volumes: u64, validation: Vec<Sample>) -> Self {
        let schedule = config.schedule(config.steps(volumes));
        Self {
            config,
            plan,
            volumes,
            validation,
            schedule,
        }
    }

    /// Random weights, or those that the configuration names.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when they cannot be read or none fits.
    pub fn first_weights(&self) -> Result<StateDict> {
        let random = initial(&self.spec(), self.config.run.seed)?;
        let Some(path) = &self.config.model.weights else {
            return Ok(random);
        };
        let opened = model::open(path, &Beside::default())?;
        let mut weights = random;
        let mut taken = 0;
        for (name, data) in opened.file.state.iter() {
            if weights.shape(name) == Some(data.shape().as_slice()) {
                weights.replace(name, opened.file.state.f32(name)?);
                taken += 1;
            }
        }
        match taken {
            0 => Err(TrainError::config(
                "model.weights",
                format!("{} has no weight of this network", path.display()),
            )),
            _ => Ok(weights),
        }
    }
}

/// Runs pretraining from its beginning or from its last checkpoint, in this process alone.
///
/// # Errors
///
/// [`TrainError`]; the log says that the run failed.
pub fn run(
    config: &PretrainConfig,
    start: Start,
    device: Device,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Record),
) -> Result<Ended> {
    let from = start.checkpoint(&config.folder())?;
    run_from(config, from.as_ref(), Setting::alone(device, stop, watch))
}

/// Runs pretraining from its beginning or from a checkpoint, among the processes of `setting`.
///
/// # Errors
///
/// As [`run`].
pub fn run_from(
    config: &PretrainConfig,
    from: Option<&Checkpoint>,
    setting: Setting<'_>,
) -> Result<Ended> {
    let corpus = Corpus::open(config)?;
    let task = Pretraining::new(
        config.clone(),
        corpus.plan().clone(),
        corpus.volumes(),
        corpus.validation()?,
    );
    let position = from.map_or(&Value::Null, |f| &f.state.position);
    let mut source = Stream::new(&corpus, config, setting.exchange, position)?;
    let mut run = match from {
        Some(from) => Run::resume(task, setting, from)?,
        None => {
            let weights = task.first_weights()?;
            Run::begin(task, weights, setting)?
        }
    };
    run.go(&mut source)
}

impl Task for Pretraining {
    const NAME: &'static str = "pretrain";
    type Config = PretrainConfig;
    type Sample = Sample;
    type Losses = Losses;

    fn config(&self) -> &PretrainConfig {
        &self.config
    }

    fn common(&self) -> Common<'_> {
        Common {
            run: &self.config.run,
            output: &self.config.output,
            patch: self.config.patch.size,
            batch: self.config.patch.batch,
            volumes: self.volumes,
        }
    }

    fn settings(&self) -> Settings {
        self.config.settings()
    }

    fn spec(&self) -> Spec {
        self.config.spec()
    }

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn steps(&self) -> u64 {
        self.schedule.steps
    }

    fn lr(&self, step: u64) -> f64 {
        self.schedule.at(step)
    }

    fn loss(&self, network: &Network<'_>, samples: &[Sample], device: &Device) -> [Tensor<1>; 3] {
        let batch = Batch::new(samples, self.config.patch.size, device);
        let output = network.forward(batch.input);
        let over = self.config.patch.loss;
        let found = reconstruction(output, batch.target, batch.mask, over);
        [found.loss, found.masked, found.visible]
    }

    fn losses([loss, masked, visible]: [f64; 3]) -> Losses {
        Losses {
            loss,
            masked,
            visible,
        }
    }

    fn fill(losses: Losses, line: &mut log::Step) {
        line.loss = losses.loss;
        line.masked_loss = Some(losses.masked);
        line.visible_loss = Some(losses.visible);
    }

    fn validate(&self, learner: &Learner, step: u64) -> Result<Option<Validation>> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        let (mut sum, mut mean) = ([0.0; 3], 0.0);
        for sample in &self.validation {
            let found = learner.evaluate(self, std::slice::from_ref(sample));
            for (sum, value) in sum
                .iter_mut()
                .zip([found.loss, found.masked, found.visible])
            {
                *sum += value;
            }
            mean += variance(&sample.target);
        }
        let count = self.validation.len() as f64;
        let [loss, masked, visible] = sum.map(|s| s / count);
        Ok(Some(Validation {
            step,
            loss,
            masked_loss: Some(masked),
            visible_loss: Some(visible),
            mean_loss: Some(mean / count),
            ..Validation::default()
        }))
    }

    fn picture(&self, learner: &Learner, path: &Path) -> Result<bool> {
        if self.validation.is_empty() {
            return Ok(false);
        }
        let samples = &self.validation[..self.validation.len().min(ROWS)];
        let patch = self.config.patch.size;
        let model = learner.model();
        let restored: Vec<Vec<f32>> = samples
            .iter()
            .map(|sample| {
                let batch = Batch::new(std::slice::from_ref(sample), patch, learner.device());
                let output = model.forward(batch.input);
                output.into_data().iter::<f32>().collect()
            })
            .collect();
        picture::write(path, samples, &restored, patch)?;
        Ok(true)
    }
}

/// Mean squared error of predicting the mean.
fn variance(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2));
    squares.sum::<f64>() / count
}
