//! A pretraining run: steps, validation, pictures and checkpoints, from its first step or its
//! last checkpoint on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use amaes_core::model::Spec;
use amaes_core::preprocess::Plan;
use amaes_core::weights::{StateDict, initial};
use burn::tensor::Device;

use super::checkpoint::{self, Checkpoint, State};
use super::config::PretrainConfig;
use super::error::{Result, TrainError};
use super::exchange::Exchange;
use super::export;
use super::log::{self, EndReason, Logger, Record, Validation};
use super::sample::Sample;
use super::step::{Learner, Losses};
use super::{memory, picture};
use crate::atomic::write_bytes;
use crate::error::WithPath;
use crate::model::{self, Beside};

/// Where the samples of a run come from.
pub trait Source {
    /// This process's share of the next batch.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when the corpus cannot be read.
    fn next(&mut self) -> Result<Drawn>;
}

/// A process's share of a batch.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Passes over the corpus begun before it.
    pub epoch: u64,
    /// Where a source goes on after it.
    pub position: serde_json::Value,
    /// How long the step waited for it.
    pub wait: Duration,
    /// Damaged volumes that were passed over: what is wrong with each.
    pub skipped: Vec<String>,
}

/// What a run is given beside its configuration.
pub struct Setting<'a> {
    /// The device to train on.
    pub device: Device,
    /// The preprocessing of the corpus.
    pub plan: Plan,
    /// Volumes to train on.
    pub volumes: u64,
    /// Samples to validate on.
    pub validation: Vec<Sample>,
    /// The processes of the run.
    pub exchange: &'a dyn Exchange,
    /// Set to stop after the current step.
    pub stop: &'a AtomicBool,
    /// Is told of every line of the log.
    pub watch: &'a mut dyn FnMut(&Record),
}

/// A run that is ready to take steps.
pub struct Run<'a> {
    config: PretrainConfig,
    setting: Setting<'a>,
    folder: PathBuf,
    learner: Learner,
    state: State,
    /// Only the first process writes.
    logger: Option<Logger>,
}

/// How a run ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Steps taken.
    pub step: u64,
    /// Whether they were all of them.
    pub reason: EndReason,
}

impl<'a> Run<'a> {
    /// Begins a run in its folder, which must hold none yet.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when there is a run already, or its first weights do not fit.
    pub fn begin(config: PretrainConfig, setting: Setting<'a>) -> Result<Self> {
        let folder = config.folder();
        let spec = config.spec();
        let weights = first_weights(&config, &spec)?;
        let learner = Learner::new(&config, &spec, &weights, &setting.device)?;
        let json = config_json(&config)?;
        let state = State::new("pretrain", spec, setting.plan.clone(), json);
        let mut logger = None;
        if setting.exchange.rank() == 0 {
            fs::create_dir_all(&folder).with_path(&folder)?;
            if folder.join(log::FILE).exists() {
                return Err(TrainError::config(
                    "run.name",
                    format!(
                        "{} holds a run already; resume it or choose another name",
                        folder.display()
                    ),
                ));
            }
            let path = folder.join("config.toml");
            write_bytes(&path, config.to_toml()?.as_bytes())?;
            logger = Some(Logger::create(&folder)?);
        }
        let mut run = Self {
            config,
            setting,
            folder,
            learner,
            state,
            logger,
        };
        let first = run.first_line();
        run.log(&Record::Run(first))?;
        run.save()?;
        Ok(run)
    }

    /// Goes on from the last checkpoint that can be read.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when no checkpoint can be read, or is of another network.
    pub fn resume(config: PretrainConfig, setting: Setting<'a>, from: &Checkpoint) -> Result<Self> {
        let folder = config.folder();
        let spec = config.spec();
        if spec != from.state.spec {
            return Err(TrainError::checkpoint(
                &folder.join(checkpoint::file(from.state.step)),
                "is of another network than the configuration's `model`",
            ));
        }
        if setting.plan != from.state.plan {
            return Err(TrainError::checkpoint(
                &folder.join(checkpoint::file(from.state.step)),
                "was trained on volumes that were preprocessed by another plan than the store's",
            ));
        }
        let learner = Learner::resume(&config, from, &setting.device)?;
        let state = State {
            config: config_json(&config)?,
            ..from.state.clone()
        };
        let logger = match setting.exchange.rank() {
            0 => Some(Logger::resume(&folder, from.state.step)?),
            _ => None,
        };
        let mut run = Self {
            config,
            setting,
            folder,
            learner,
            state,
            logger,
        };
        let step = run.learner.steps();
        let time = log::now();
        run.log(&Record::Resume { step, time })?;
        Ok(run)
    }

    /// Takes all steps that are left, or those until the run is told to stop. A checkpoint is
    /// written in both cases, and the network is exported once all are taken.
    ///
    /// # Errors
    ///
    /// [`TrainError`]; the log says that the run failed, and the last checkpoint is left as it is.
    pub fn go(&mut self, source: &mut dyn Source) -> Result<Ended> {
        let ended = self.steps(source);
        let (step, reason) = match &ended {
            Ok(ended) => (ended.step, ended.reason),
            Err(_) => (self.learner.steps(), EndReason::Failed),
        };
        let time = log::now();
        let logged = self.log(&Record::End { step, reason, time });
        let ended = ended?;
        logged?;
        Ok(ended)
    }

    fn steps(&mut self, source: &mut dyn Source) -> Result<Ended> {
        let steps = self.config.steps(self.setting.volumes);
        let schedule = self.config.schedule(steps);
        let output = self.config.output.clone();
        let due = |every: u64, step: u64| every > 0 && step.is_multiple_of(every);
        while self.learner.steps() < steps {
            if self.interrupted()? {
                self.save()?;
                return Ok(Ended {
                    step: self.learner.steps(),
                    reason: EndReason::Interrupted,
                });
            }
            let begin = Instant::now();
            let lr = schedule.at(self.learner.steps());
            let drawn = source.next()?;
            for message in drawn.skipped {
                let step = self.learner.steps();
                self.log(&Record::Damaged { step, message })?;
            }
            let (losses, norm) = self
                .learner
                .step(&drawn.samples, lr, self.setting.exchange)?;
            self.state.position = drawn.position;
            let step = self.learner.steps();
            let line = self.line(
                step,
                drawn.epoch,
                losses,
                lr,
                norm,
                begin.elapsed(),
                drawn.wait,
            );
            self.log(&Record::Step(line))?;

            let last = step == steps;
            if due(output.validate_every, step) || last {
                self.validate(step)?;
            }
            if due(output.picture_every, step) || last {
                self.picture(step)?;
            }
            if due(output.checkpoint_every, step) || last {
                self.save()?;
            }
        }
        self.export()?;
        Ok(Ended {
            step: steps,
            reason: EndReason::Finished,
        })
    }

    /// Whether any process was told to stop: they stop after the same step.
    fn interrupted(&self) -> Result<bool> {
        let stop = self.setting.stop.load(Ordering::Relaxed);
        let mut flag = [f32::from(u8::from(stop))];
        self.setting.exchange.sum(&mut flag)?;
        Ok(flag[0] > 0.0)
    }

    fn log(&mut self, record: &Record) -> Result<()> {
        if let Some(logger) = &mut self.logger {
            logger.write(record)?;
            (self.setting.watch)(record);
        }
        Ok(())
    }

    fn first_line(&self) -> log::Run {
        let weights = amaes_core::weights::parameters(&self.state.spec).unwrap_or_default();
        let parameters = weights
            .iter()
            .map(|(_, s)| s.iter().product::<usize>() as u64);
        log::Run {
            name: self.config.run.name.clone(),
            task: self.state.task.clone(),
            started: log::now(),
            model: self.state.spec.name().to_owned(),
            parameters: parameters.sum(),
            device: self.config.run.device.name().to_owned(),
            world: self.setting.exchange.world(),
            volumes: self.setting.volumes,
            steps: self.config.steps(self.setting.volumes),
            batch: self.config.patch.batch,
            config: self.state.config.clone(),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a line")]
    fn line(
        &self,
        step: u64,
        epoch: u64,
        losses: Losses,
        lr: f64,
        grad_norm: f64,
        took: Duration,
        wait: Duration,
    ) -> log::Step {
        let batch = self.config.patch.batch;
        let seconds = took.as_secs_f64().max(1e-9);
        log::Step {
            step,
            epoch,
            samples: step * batch as u64,
            loss: losses.loss,
            masked_loss: Some(losses.masked),
            visible_loss: Some(losses.visible),
            lr,
            grad_norm,
            step_s: seconds,
            wait_s: wait.as_secs_f64(),
            samples_per_s: batch as f64 / seconds,
            memory_mib: memory::peak_mib(),
            time: log::now(),
        }
    }

    fn validate(&mut self, step: u64) -> Result<()> {
        if self.logger.is_none() || self.setting.validation.is_empty() {
            return Ok(());
        }
        let (mut sum, mut mean) = ([0.0; 3], 0.0);
        for sample in &self.setting.validation {
            let found = self.learner.evaluate(std::slice::from_ref(sample));
            for (sum, value) in sum
                .iter_mut()
                .zip([found.loss, found.masked, found.visible])
            {
                *sum += value;
            }
            mean += variance(&sample.target);
        }
        let count = self.setting.validation.len() as f64;
        let [loss, masked, visible] = sum.map(|s| s / count);
        self.log(&Record::Validation(Validation {
            step,
            loss,
            masked_loss: Some(masked),
            visible_loss: Some(visible),
            mean_loss: Some(mean / count),
        }))
    }

    fn picture(&mut self, step: u64) -> Result<()> {
        const ROWS: usize = 4;
        if self.logger.is_none() || self.setting.validation.is_empty() {
            return Ok(());
        }
        let count = self.setting.validation.len().min(ROWS);
        let samples = &self.setting.validation[..count];
        let restored: Vec<_> = samples.iter().map(|s| self.learner.restore(s)).collect();
        let path = Path::new("pictures").join(format!("step-{step:08}.png"));
        let patch = self.config.patch.size;
        picture::write(&self.folder.join(&path), samples, &restored, patch)?;
        self.log(&Record::Picture { step, path })
    }

    fn save(&mut self) -> Result<()> {
        if self.logger.is_none() {
            return Ok(());
        }
        let checkpoint = self.checkpoint()?;
        let step = checkpoint.state.step;
        let path = checkpoint::file(step);
        checkpoint.write(&self.folder.join(&path))?;
        let output = &self.config.output;
        checkpoint::prune(&self.folder, output.keep, output.milestone)?;
        self.log(&Record::Checkpoint { step, path })
    }

    /// Everything as it is now.
    fn checkpoint(&self) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint {
            state: self.state.clone(),
            model: StateDict::new(),
            moments: Default::default(),
            average: None,
        };
        self.learner.save(&mut checkpoint)?;
        Ok(checkpoint)
    }

    /// Writes the network for others to use: the average where there is one.
    fn export(&self) -> Result<()> {
        if self.logger.is_none() {
            return Ok(());
        }
        export::write(self.checkpoint()?, &self.folder, self.config.patch.size)
    }
}

/// Random weights, or those that the configuration names.
fn first_weights(config: &PretrainConfig, spec: &Spec) -> Result<StateDict> {
    let random = initial(spec, config.run.seed)?;
    let Some(path) = &config.model.weights else {
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

fn config_json(config: &PretrainConfig) -> Result<serde_json::Value> {
    let path = config.folder();
    Ok(serde_json::to_value(config).with_path(&path)?)
}

/// Mean squared error of predicting the mean.
fn variance(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2));
    squares.sum::<f64>() / count
}
