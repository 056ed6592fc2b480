//! A training run: steps, validation, pictures and checkpoints, from its first step or its
//! last checkpoint on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use amaes_core::kernel::keep_memory;
use amaes_core::weights::{Hints, StateDict};
use burn::tensor::Device;

use super::checkpoint::{self, Best, Checkpoint, State};
use super::error::{Result, TrainError};
use super::exchange::{Alone, Exchange};
use super::export::{self, Described};
use super::log::{self, EndReason, Logger, Record};
use super::step::Learner;
use super::task::Task;
use super::{memory, sections};
use crate::atomic::write_bytes;
use crate::error::WithPath;

/// Where the samples of a run come from.
pub trait Source<S> {
    /// This process's share of the next batch.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when the corpus cannot be read.
    fn next(&mut self) -> Result<Drawn<S>>;
}

/// A process's share of a batch.
#[derive(Clone, Debug)]
pub struct Drawn<S> {
    /// The samples.
    pub samples: Vec<S>,
    /// Passes over the corpus begun before it.
    pub epoch: u64,
    /// Where a source goes on after it.
    pub position: serde_json::Value,
    /// How long the step waited for it.
    pub wait: Duration,
    /// Damaged volumes that were passed over: what is wrong with each.
    pub skipped: Vec<String>,
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At its first step, in a folder that holds no run yet.
    Begin,
    /// After its last checkpoint that can be read.
    Resume,
}

impl Start {
    /// The checkpoint that a run in `folder` goes on from.
    pub(super) fn checkpoint(self, folder: &Path) -> Result<Option<Checkpoint>> {
        Ok(match self {
            Self::Begin => None,
            Self::Resume => Some(checkpoint::latest(folder)?.0),
        })
    }
}

/// What a run begins with.
#[derive(Clone, Debug)]
pub struct First {
    /// The weights.
    pub weights: StateDict,
    /// What is to be said about them and the run's data, a line each.
    pub notes: Vec<String>,
    /// Files for the run's folder: names and contents.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

impl From<StateDict> for First {
    fn from(weights: StateDict) -> Self {
        Self {
            weights,
            notes: Vec::new(),
            files: Vec::new(),
        }
    }
}

/// What a run is given beside its task.
pub struct Setting<'a> {
    /// The device to train on.
    pub device: Device,
    /// The processes of the run.
    pub exchange: &'a dyn Exchange,
    /// Set to stop after the current step.
    pub stop: &'a AtomicBool,
    /// Is told of every line of the log.
    pub watch: &'a mut dyn FnMut(&Record),
}

impl<'a> Setting<'a> {
    /// Of a run in this process alone.
    pub(super) fn alone(
        device: Device,
        stop: &'a AtomicBool,
        watch: &'a mut dyn FnMut(&Record),
    ) -> Self {
        Self {
            device,
            exchange: &Alone,
            stop,
            watch,
        }
    }
}

/// A run that is ready to take steps.
pub struct Run<'a, T> {
    task: T,
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

impl<'a, T: Task> Run<'a, T> {
    /// Begins a run in its folder, which must hold none yet.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when there is a run already, or its first weights do not fit.
    pub fn begin(task: T, first: impl Into<First>, setting: Setting<'a>) -> Result<Self> {
        let First {
            weights,
            notes,
            files,
        } = first.into();
        let folder = task.common().run.path();
        let writes = setting.exchange.rank() == 0;
        if writes && folder.join(log::FILE).exists() {
            return Err(TrainError::config(
                "run.name",
                format!(
                    "{} holds a run already; resume it or choose another name",
                    folder.display()
                ),
            ));
        }
        let spec = task.spec();
        let learner = Learner::new(task.settings(), &spec, &weights, &setting.device)?;
        let state = State::new(T::NAME, spec, task.plan().clone(), config_json(&task)?);
        let mut logger = None;
        if writes {
            fs::create_dir_all(&folder).with_path(&folder)?;
            let path = folder.join("config.toml");
            write_bytes(&path, sections::to_toml(task.config())?.as_bytes())?;
            for (name, bytes) in files {
                write_bytes(&folder.join(name), &bytes)?;
            }
            logger = Some(Logger::create(&folder)?);
        }
        let mut run = Self {
            task,
            setting,
            folder,
            learner,
            state,
            logger,
        };
        let first = run.first_line();
        run.log(&Record::Run(first))?;
        for message in notes {
            run.log(&Record::Note { step: 0, message })?;
        }
        run.save()?;
        Ok(run)
    }

    /// Goes on from the last checkpoint that can be read.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when no checkpoint can be read, or is of another network.
    pub fn resume(task: T, setting: Setting<'a>, from: &Checkpoint) -> Result<Self> {
        let folder = task.common().run.path();
        let spec = task.spec();
        if T::NAME != from.state.task {
            return Err(TrainError::checkpoint(
                &folder.join(checkpoint::file(from.state.step)),
                format!("is of a run that does `{}`", from.state.task),
            ));
        }
        if spec != from.state.spec {
            return Err(TrainError::checkpoint(
                &folder.join(checkpoint::file(from.state.step)),
                "is of another network than the configuration's `model`",
            ));
        }
        if *task.plan() != from.state.plan {
            return Err(TrainError::checkpoint(
                &folder.join(checkpoint::file(from.state.step)),
                "was trained on volumes that were preprocessed by another plan than these",
            ));
        }
        let learner = Learner::resume(task.settings(), from, &setting.device)?;
        let state = State {
            config: config_json(&task)?,
            ..from.state.clone()
        };
        let logger = match setting.exchange.rank() {
            0 => Some(Logger::resume(&folder, from.state.step)?),
            _ => None,
        };
        let mut run = Self {
            task,
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
    pub fn go(&mut self, source: &mut dyn Source<T::Sample>) -> Result<Ended> {
        let _kept = keep_memory(None);
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

    fn steps(&mut self, source: &mut dyn Source<T::Sample>) -> Result<Ended> {
        let steps = self.task.steps();
        let output = self.task.common().output.clone();
        let due = |every: u64, step: u64| every > 0 && step.is_multiple_of(every);
        let mut ended = self.exhausted()?;
        while self.learner.steps() < steps && !ended {
            if self.interrupted()? {
                self.save()?;
                return Ok(Ended {
                    step: self.learner.steps(),
                    reason: EndReason::Interrupted,
                });
            }
            let begin = Instant::now();
            let lr = self.task.lr(self.learner.steps());
            let drawn = source.next()?;
            for message in drawn.skipped {
                let step = self.learner.steps();
                self.log(&Record::Damaged { step, message })?;
            }
            let with = self.setting.exchange;
            let scale = self.learner.loss_scale();
            let (losses, norm) = self.learner.step(&self.task, &drawn.samples, lr, with)?;
            self.state.position = drawn.position;
            let step = self.learner.steps();
            let mut line = self.line(step, begin.elapsed(), drawn.wait);
            (line.epoch, line.lr, line.loss_scale) = (drawn.epoch, lr, scale);
            let skipped = !norm.is_finite();
            line.grad_norm = if skipped { 0.0 } else { norm };
            T::fill(losses, &mut line);
            self.log(&Record::Step(line))?;
            if skipped {
                let message = "skipped: gradients are beyond float16; the loss's scale is halved";
                let message = message.to_owned();
                self.log(&Record::Note { step, message })?;
            }

            let last = step == steps;
            if due(output.validate_every, step) || last {
                self.validate(step)?;
                ended = self.exhausted()?;
            }
            let last = last || ended;
            if due(output.picture_every, step) || last {
                self.picture(step)?;
            }
            if due(output.checkpoint_every, step) || last {
                self.save()?;
            }
        }
        self.export()?;
        Ok(Ended {
            step: self.learner.steps(),
            reason: EndReason::Finished,
        })
    }

    /// Whether any process was told to stop: they stop after the same step.
    fn interrupted(&self) -> Result<bool> {
        self.any(self.setting.stop.load(Ordering::Relaxed))
    }

    /// Whether validation has not got better for as long as it may. The first process knows.
    fn exhausted(&self) -> Result<bool> {
        let Some(patience) = self.task.selection().patience else {
            return Ok(false);
        };
        self.any(self.state.best.is_some_and(|best| best.since >= patience))
    }

    /// Whether any process says so.
    fn any(&self, says: bool) -> Result<bool> {
        let mut flag = [f32::from(u8::from(says))];
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
        let common = self.task.common();
        log::Run {
            name: common.run.name.clone(),
            task: self.state.task.clone(),
            started: log::now(),
            model: self.state.spec.name().to_owned(),
            parameters: parameters.sum(),
            device: common.run.device.name().to_owned(),
            world: self.setting.exchange.world(),
            volumes: common.volumes,
            steps: self.task.steps(),
            batch: common.batch,
            config: self.state.config.clone(),
        }
    }

    /// A line without losses.
    fn line(&self, step: u64, took: Duration, wait: Duration) -> log::Step {
        let batch = self.task.common().batch;
        let seconds = took.as_secs_f64().max(1e-9);
        log::Step {
            step,
            samples: step * batch as u64,
            step_s: seconds,
            wait_s: wait.as_secs_f64(),
            samples_per_s: batch as f64 / seconds,
            memory_mib: memory::peak_mib(),
            time: log::now(),
            ..log::Step::default()
        }
    }

    fn validate(&mut self, step: u64) -> Result<()> {
        if self.logger.is_none() {
            return Ok(());
        }
        let Some(validation) = self.task.validate(&self.learner, step)? else {
            return Ok(());
        };
        if let Some(dice) = validation.dice.filter(|_| self.task.selection().best) {
            self.consider(step, dice)?;
        }
        self.log(&Record::Validation(validation))
    }

    /// Keeps the weights where validation was never better.
    fn consider(&mut self, step: u64, dice: f64) -> Result<()> {
        match &mut self.state.best {
            Some(best) if dice <= best.dice => best.since += 1,
            best => {
                *best = Some(Best {
                    step,
                    dice,
                    since: 0,
                });
                let file = export::model(self.checkpoint()?, self.described());
                export::write_model(&file, &self.folder.join(export::BEST))?;
            }
        }
        Ok(())
    }

    fn picture(&mut self, step: u64) -> Result<()> {
        if self.logger.is_none() {
            return Ok(());
        }
        let path = Path::new("pictures").join(format!("step-{step:08}.png"));
        match self.task.picture(&self.learner, &self.folder.join(&path))? {
            true => self.log(&Record::Picture { step, path }),
            false => Ok(()),
        }
    }

    fn save(&mut self) -> Result<()> {
        if self.logger.is_none() {
            return Ok(());
        }
        let checkpoint = self.checkpoint()?;
        let step = checkpoint.state.step;
        let path = checkpoint::file(step);
        checkpoint.write(&self.folder.join(&path))?;
        let output = self.task.common().output;
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

    /// Writes the network for others to use: that of the best validation where that chooses, else
    /// the last.
    fn export(&self) -> Result<()> {
        if self.logger.is_none() {
            return Ok(());
        }
        let file = match self.state.best {
            Some(_) => export::read_model(&self.folder.join(export::BEST))?,
            None => export::model(self.checkpoint()?, self.described()),
        };
        export::write(&file, &self.folder)
    }

    fn described(&self) -> Described {
        Described {
            labels: self.task.labels(),
            hints: Hints {
                patch: Some(self.task.common().patch),
                overlap: None,
            },
        }
    }
}

fn config_json<T: Task>(task: &T) -> Result<serde_json::Value> {
    let path = task.common().run.path();
    Ok(serde_json::to_value(task.config()).with_path(&path)?)
}
