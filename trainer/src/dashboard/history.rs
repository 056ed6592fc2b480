//! A run as its log tells it.

use std::path::PathBuf;

use serde::Serialize;

use crate::train::log::{EndReason, Record, Run, Step, Validation};

/// Steps over which speeds and losses are averaged for a summary.
const RECENT: usize = 50;
/// A run that has not written for so many steps' time, and at least so many seconds, is not
/// running.
const SILENT_STEPS: f64 = 20.0;
const SILENT_S: f64 = 120.0;

/// Everything that a log says, in order.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The first line.
    pub run: Option<Run>,
    /// Optimiser steps.
    pub steps: Vec<Step>,
    /// Validations.
    pub validations: Vec<Validation>,
    /// Steps and files of pictures, relative to the run's folder.
    pub pictures: Vec<(u64, PathBuf)>,
    /// Steps and files of checkpoints, relative to the run's folder.
    pub checkpoints: Vec<(u64, PathBuf)>,
    /// Steps after which the run was resumed.
    pub resumed: Vec<u64>,
    /// Why the run stopped.
    pub end: Option<EndReason>,
}

/// Whether a run still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It writes its log.
    Running,
    /// It took all its steps.
    Finished,
    /// It was asked to stop.
    Interrupted,
    /// It stopped with an error.
    Failed,
    /// It says nothing any more: it was killed, or waits for something.
    Silent,
}

impl State {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Silent => "silent",
        }
    }
}

/// Where a run is and how it does. Losses and speeds are means over the last 50 steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Whether it still runs.
    pub state: State,
    /// The network.
    pub model: String,
    /// Its parameters.
    pub parameters: u64,
    /// The device.
    pub device: String,
    /// Samples a step.
    pub batch: usize,
    /// Steps taken.
    pub step: u64,
    /// Steps until the end.
    pub steps: u64,
    /// What is minimised.
    pub loss: Option<f64>,
    /// Over masked voxels.
    pub masked_loss: Option<f64>,
    /// Over visible voxels.
    pub visible_loss: Option<f64>,
    /// Of telling how views are rotated.
    pub rotation_loss: Option<f64>,
    /// Of finding the other view of a patch.
    pub contrastive_loss: Option<f64>,
    /// Of restored views.
    pub inpainting_loss: Option<f64>,
    /// The Dice part of a segmentation's loss.
    pub dice_loss: Option<f64>,
    /// The cross-entropy of a segmentation.
    pub cross_entropy: Option<f64>,
    /// Of the last validation.
    pub validation_loss: Option<f64>,
    /// Of the best validation, and its step.
    pub best_validation: Option<(f64, u64)>,
    /// The mean Dice coefficient of the last validation.
    pub dice: Option<f64>,
    /// The best mean Dice coefficient, and its step.
    pub best_dice: Option<(f64, u64)>,
    /// Samples a second.
    pub samples_per_s: Option<f64>,
    /// Part of the time spent waiting for samples.
    pub waiting: Option<f64>,
    /// Largest resident memory, MiB.
    pub memory_mib: Option<f64>,
    /// Seconds spent in steps.
    pub seconds: f64,
    /// Seconds until the end at the recent speed.
    pub left_s: Option<f64>,
    /// When it was begun, seconds since 1970.
    pub started: f64,
}

impl History {
    /// Adds a line of the log. A step that is not after the last one replaces what follows it, as
    /// a resumed run's does.
    pub fn push(&mut self, record: Record) {
        match record {
            Record::Run(run) => self.run = Some(run),
            Record::Step(step) => {
                let keep = self.steps.partition_point(|s| s.step < step.step);
                self.steps.truncate(keep);
                self.steps.push(step);
                self.end = None;
            }
            Record::Validation(validation) => {
                self.validations.retain(|v| v.step < validation.step);
                self.validations.push(validation);
            }
            Record::Note { .. } | Record::Damaged { .. } => {}
            Record::Picture { step, path } => {
                self.pictures.retain(|(s, _)| *s < step);
                self.pictures.push((step, path));
            }
            Record::Checkpoint { step, path } => {
                self.checkpoints.retain(|(s, _)| *s < step);
                self.checkpoints.push((step, path));
            }
            Record::Resume { step, .. } => {
                self.resumed.push(step);
                self.end = None;
            }
            Record::End { reason, .. } => self.end = Some(reason),
        }
    }

    /// Steps taken.
    pub fn step(&self) -> u64 {
        self.steps.last().map_or(0, |s| s.step)
    }

    /// The mean of something over the last steps.
    pub fn recent(&self, of: impl Fn(&Step) -> Option<f64>) -> Option<f64> {
        let last = &self.steps[self.steps.len().saturating_sub(RECENT)..];
        let values: Vec<f64> = last
            .iter()
            .filter_map(of)
            .filter(|v| v.is_finite())
            .collect();
        let count = values.len() as f64;
        (count > 0.0).then(|| values.iter().sum::<f64>() / count)
    }

    /// Part of the recent time that was spent waiting for samples.
    pub fn waiting(&self) -> Option<f64> {
        let (wait, all) = (
            self.recent(|s| Some(s.wait_s))?,
            self.recent(|s| Some(s.step_s))?,
        );
        (all > 0.0).then(|| wait / all)
    }

    /// Samples a second over the last steps: samples by time, not a mean of speeds.
    pub fn speed(&self) -> Option<f64> {
        let batch = self.run.as_ref()?.batch as f64;
        let step = self.recent(|s| Some(s.step_s))?;
        (step > 0.0).then(|| batch / step)
    }

    /// Seconds until the end at the recent speed.
    pub fn left_s(&self) -> Option<f64> {
        let steps = self.run.as_ref()?.steps.saturating_sub(self.step());
        Some(self.recent(|s| Some(s.step_s))? * steps as f64)
    }

    /// Whether the run still runs, `now` being seconds since 1970.
    pub fn state(&self, now: f64) -> State {
        match self.end {
            Some(EndReason::Finished) => return State::Finished,
            Some(EndReason::Interrupted) => return State::Interrupted,
            Some(EndReason::Failed) => return State::Failed,
            None => {}
        }
        let began = self.run.as_ref().map_or(now, |r| r.started);
        let last = self.steps.last().map_or(began, |s| s.time.max(began));
        let usual = self.recent(|s| Some(s.step_s)).unwrap_or(0.0);
        if now - last > SILENT_S.max(SILENT_STEPS * usual) {
            State::Silent
        } else {
            State::Running
        }
    }

    /// Where the run is, `now` being seconds since 1970. `None` where the log has no first line.
    pub fn summary(&self, now: f64) -> Option<Summary> {
        let run = self.run.as_ref()?;
        let state = self.state(now);
        let best = self.validations.iter().filter(|v| v.loss.is_finite());
        let best = best.min_by(|a, b| a.loss.total_cmp(&b.loss));
        let dice = self
            .validations
            .iter()
            .filter_map(|v| Some((v.dice?, v.step)));
        // The first of equals, as a run chooses.
        let best_dice = dice.reduce(|best, next| if next.0 > best.0 { next } else { best });
        let memory = self
            .steps
            .iter()
            .filter_map(|s| s.memory_mib)
            .reduce(f64::max);
        Some(Summary {
            name: run.name.clone(),
            state,
            model: run.model.clone(),
            parameters: run.parameters,
            device: run.device.clone(),
            batch: run.batch,
            step: self.step(),
            steps: run.steps,
            loss: self.recent(|s| Some(s.loss)),
            masked_loss: self.recent(|s| s.masked_loss),
            visible_loss: self.recent(|s| s.visible_loss),
            rotation_loss: self.recent(|s| s.rotation_loss),
            contrastive_loss: self.recent(|s| s.contrastive_loss),
            inpainting_loss: self.recent(|s| s.inpainting_loss),
            dice_loss: self.recent(|s| s.dice_loss),
            cross_entropy: self.recent(|s| s.cross_entropy),
            validation_loss: self.validations.last().map(|v| v.loss),
            best_validation: best.map(|v| (v.loss, v.step)),
            dice: self.validations.last().and_then(|v| v.dice),
            best_dice,
            samples_per_s: self.speed(),
            waiting: self.waiting(),
            memory_mib: memory,
            seconds: self.steps.iter().map(|s| s.step_s).sum(),
            left_s: self.left_s().filter(|_| state == State::Running),
            started: run.started,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::dashboard) fn run(name: &str) -> Run {
        Run {
            name: name.into(),
            task: "pretrain".into(),
            started: 1000.0,
            model: "U-Net B".into(),
            parameters: 17_879_617,
            device: "cpu".into(),
            world: 1,
            volumes: 40,
            steps: 200,
            batch: 8,
            config: serde_json::json!({"optimiser": {"lr": 1e-4}, "seed": 1}),
        }
    }

    pub(in crate::dashboard) fn step(step: u64) -> Step {
        Step {
            step,
            epoch: step / 10,
            samples: step * 8,
            loss: 1.0 / step as f64,
            masked_loss: Some(1.5 / step as f64),
            visible_loss: Some(0.25 / step as f64),
            lr: 1e-4,
            grad_norm: 2.0,
            step_s: 2.0,
            wait_s: 0.5,
            samples_per_s: 4.0,
            memory_mib: Some(900.0 + step as f64),
            time: 1000.0 + 2.0 * step as f64,
            ..Step::default()
        }
    }

    pub(in crate::dashboard) fn validation(step: u64, loss: f64) -> Validation {
        Validation {
            step,
            loss,
            masked_loss: Some(loss * 1.5),
            visible_loss: Some(loss / 2.0),
            mean_loss: Some(0.9),
            ..Validation::default()
        }
    }

    #[test]
    fn summaries_are_of_the_last_steps() {
        let mut history = History::default();
        assert_eq!(history.summary(0.0), None);
        history.push(Record::Run(run("a")));
        for i in 1..=100 {
            history.push(Record::Step(step(i)));
        }
        history.push(Record::Validation(validation(40, 0.2)));
        history.push(Record::Validation(validation(80, 0.3)));
        let summary = history.summary(1201.0).expect("a run");
        assert_eq!(summary.state, State::Running);
        assert_eq!((summary.step, summary.steps), (100, 200));
        assert_eq!(summary.samples_per_s, Some(4.0));
        assert_eq!(summary.waiting, Some(0.25));
        assert_eq!(summary.left_s, Some(200.0));
        assert_eq!(summary.memory_mib, Some(1000.0));
        assert_eq!(summary.best_validation, Some((0.2, 40)));
        assert_eq!(summary.validation_loss, Some(0.3));
        let mean: f64 = (51..=100).map(|i| 1.0 / f64::from(i)).sum::<f64>() / 50.0;
        assert!((summary.loss.expect("steps") - mean).abs() < 1e-12);
        assert_eq!(history.state(1200.0 + 121.0), State::Silent);
    }

    #[test]
    fn the_first_of_equally_good_dice_is_the_best() {
        let mut history = History::default();
        history.push(Record::Run(run("a")));
        for (step, dice) in [(10, 0.5), (20, 0.75), (30, 0.75), (40, 0.625)] {
            let found = Validation {
                dice: Some(dice),
                ..validation(step, 0.2)
            };
            history.push(Record::Validation(found));
        }
        let summary = history.summary(1000.0).expect("a run");
        assert_eq!(summary.dice, Some(0.625));
        assert_eq!(summary.best_dice, Some((0.75, 20)));
    }

    #[test]
    fn a_resumed_run_replaces_what_it_repeats() {
        let mut history = History::default();
        history.push(Record::Run(run("a")));
        for i in 1..=10 {
            history.push(Record::Step(step(i)));
        }
        let end = Record::End {
            step: 10,
            reason: EndReason::Interrupted,
            time: 1020.0,
        };
        history.push(end);
        assert_eq!(history.state(1e9), State::Interrupted);
        history.push(Record::Resume {
            step: 7,
            time: 1100.0,
        });
        history.push(Record::Step(step(8)));
        assert_eq!(history.step(), 8);
        assert_eq!(history.steps.len(), 8);
        assert_eq!(history.end, None);
    }
}
