//! Pretraining: a network learns from patches of a store without labels.

mod masked;
mod views;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use amaes_core::model::{Model, Spec};
use amaes_core::preprocess::Plan;
use amaes_core::weights::{StateDict, initial};
use burn::tensor::{Device, Tensor};
use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::config::PretrainConfig;
use super::corpus::{Corpus, Stream};
use super::error::{Result, TrainError};
use super::log::{self, Record, Validation};
use super::network::Network;
use super::picture::{self, Row};
use super::pretext::PretextConfig;
use super::run::{Ended, Run, Setting, Start};
use super::sample::Pretext;
use super::schedule::Schedule;
use super::sections::on_device;
use super::step::Learner;
use super::task::{Common, Settings, Task};
use super::views::ViewMaker;
use crate::model::{self, Beside};

/// Pictures show this many samples at most.
const ROWS: usize = 4;

/// Pretraining on a corpus.
#[derive(Clone, Debug)]
pub struct Pretraining<S> {
    config: PretrainConfig,
    plan: Plan,
    volumes: u64,
    validation: Vec<S>,
    schedule: Schedule,
}

/// Samples of a kind, and what a network learns from them.
pub trait Objective: Sized {
    /// The losses of a batch.
    type Losses: Copy;

    /// What is minimised, and parts of it, each `[1]`.
    fn loss(
        config: &PretrainConfig,
        network: &Network<'_>,
        samples: &[Self],
        device: &Device,
    ) -> Vec<Tensor<1>>;

    /// The losses that [`loss`](Self::loss) found, in its order.
    fn losses(values: &[f64]) -> Self::Losses;

    /// Puts losses into a line of the log.
    fn fill(losses: Self::Losses, line: &mut log::Step);

    /// Judges a network on the validation samples, of which there is at least one.
    fn validate(task: &Pretraining<Self>, learner: &Learner, step: u64) -> Validation;

    /// What a picture shows of a sample.
    fn show(&self, config: &PretrainConfig, model: &Model, device: &Device) -> Row;
}

impl<S: Objective> Pretraining<S> {
    /// Pretraining on `volumes` volumes that were preprocessed by `plan`; `validation` are samples
    /// of others.
    pub fn new(config: PretrainConfig, plan: Plan, volumes: u64, validation: Vec<S>) -> Self {
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
    on_device(config.training.precision, &config.run, &setting.device)?;
    match &config.pretext {
        PretextConfig::Amaes(_) => run_pretext(config.mask()?, config, from, setting),
        PretextConfig::SwinUNETR(views) => {
            let patch = config.patch.size;
            let parts = setting.exchange.world() * config.training.accumulate;
            views.validate(patch, config.patch.batch / parts)?;
            let pretext = ViewMaker::new(patch, views.cutout)?;
            run_pretext(pretext, config, from, setting)
        }
    }
}

fn run_pretext<P>(
    pretext: P,
    config: &PretrainConfig,
    from: Option<&Checkpoint>,
    setting: Setting<'_>,
) -> Result<Ended>
where
    P: Pretext<Sample: Objective>,
{
    let corpus = Corpus::open(config)?;
    let task = Pretraining::new(
        config.clone(),
        corpus.plan().clone(),
        corpus.volumes(),
        corpus.validation(&pretext)?,
    );
    let position = from.map_or(&Value::Null, |f| &f.state.position);
    let mut source = Stream::new(&corpus, config, pretext, setting.exchange, position)?;
    let mut run = match from {
        Some(from) => Run::resume(task, setting, from)?,
        None => {
            let weights = task.first_weights()?;
            Run::begin(task, weights, setting)?
        }
    };
    run.go(&mut source)
}

impl<S: Objective> Task for Pretraining<S> {
    const NAME: &'static str = "pretrain";
    type Config = PretrainConfig;
    type Sample = S;
    type Losses = S::Losses;

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

    fn loss(&self, network: &Network<'_>, samples: &[S], device: &Device) -> Vec<Tensor<1>> {
        S::loss(&self.config, network, samples, device)
    }

    fn losses(values: &[f64]) -> S::Losses {
        S::losses(values)
    }

    fn fill(losses: S::Losses, line: &mut log::Step) {
        S::fill(losses, line);
    }

    fn validate(&self, learner: &Learner, step: u64) -> Result<Option<Validation>> {
        let some = !self.validation.is_empty();
        Ok(some.then(|| S::validate(self, learner, step)))
    }

    fn picture(&self, learner: &Learner, path: &Path) -> Result<bool> {
        if self.validation.is_empty() {
            return Ok(false);
        }
        let (model, device) = (learner.model(), learner.device());
        let samples = self.validation.iter().take(ROWS);
        let rows: Vec<Row> = samples
            .map(|sample| sample.show(&self.config, &model, device))
            .collect();
        picture::write(path, &rows, self.config.patch.size)?;
        Ok(true)
    }
}
