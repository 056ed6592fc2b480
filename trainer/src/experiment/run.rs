//! Does what of an experiment is not done yet.

mod data;
mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn::tensor::Device;

use super::error::{ExperimentError, Result};
use super::plan::{Plan, Start};
use super::state::{Spent, Unit, set_done};
use crate::error::WithPath;
use crate::train::checkpoint;
use crate::train::log::{self, EndReason, Record};
use crate::train::run::{self, Ended};
use crate::train::{TrainError, finetune, pretrain};

/// How long a process waits for another one's work before it looks again.
const WAIT: Duration = Duration::from_secs(2);
/// How often a run says how far it is.
const EVERY: Duration = Duration::from_secs(10);

/// Something to show while an experiment runs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A unit of work begins, or goes on after a step.
    Begun {
        /// Which.
        unit: Unit,
        /// Steps that were taken before.
        step: u64,
    },
    /// How far a unit's run is.
    Step {
        /// Which.
        unit: Unit,
        /// Steps taken.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// The loss.
        loss: f64,
    },
    /// Something that is worth a line.
    Note {
        /// Of which unit.
        unit: Unit,
        /// The line.
        text: String,
    },
    /// A test set was scored.
    Tested {
        /// Of which cell.
        unit: Unit,
        /// Its name.
        test: String,
        /// Mean Dice.
        dice: Option<f64>,
    },
    /// A unit of work is done.
    Done {
        /// Which.
        unit: Unit,
        /// How long this process worked at it.
        seconds: f64,
    },
    /// A unit of work failed.
    Failed {
        /// Which.
        unit: Unit,
        /// Why.
        message: String,
    },
    /// Other processes are at what is left.
    Waiting {
        /// Cells that are left.
        cells: usize,
    },
}

/// What a process did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cells that were asked for.
    pub cells: usize,
    /// Cells that were done before.
    pub present: usize,
    /// Cells that this process finished.
    pub done: usize,
    /// Cells that another process finished meanwhile.
    pub others: usize,
    /// Cells that failed, or something that they need.
    pub failed: usize,
    /// Whether the process was told to stop.
    pub stopped: bool,
}

/// Works at a plan. Several may, in as many processes on as many machines as share the folder.
pub struct Runner<'a> {
    plan: &'a Plan,
    device: Device,
    stop: &'a AtomicBool,
    show: &'a mut dyn FnMut(&Plan, Event),
    /// What failed in this process is not tried again by it.
    failed: BTreeMap<Unit, String>,
}

/// How far an attempt came.
enum Attempt {
    Done,
    /// It was done when its turn came.
    Present,
    /// Another process is at it, or at something that it needs.
    Busy,
    /// It failed, now or before, or something that it needs: why.
    Failed(String),
    Stopped,
}

impl<'a> Runner<'a> {
    /// A worker at a plan on a device. It stops after a step once `stop` is set.
    pub fn new(
        plan: &'a Plan,
        device: Device,
        stop: &'a AtomicBool,
        show: &'a mut dyn FnMut(&Plan, Event),
    ) -> Self {
        Self {
            plan,
            device,
            stop,
            show,
            failed: BTreeMap::new(),
        }
    }

    /// Finishes some cells, and whatever they need. A cell that fails is reported, and the others
    /// go on.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] where the experiment's folder cannot be written.
    pub fn run(&mut self, cells: &[usize]) -> Result<Summary> {
        let mut summary = Summary {
            cells: cells.len(),
            ..Summary::default()
        };
        let is_done = |c: &usize| self.plan.is_done(Unit::Cell(*c));
        let (present, mut left): (Vec<usize>, Vec<usize>) = cells.iter().partition(|c| is_done(c));
        summary.present = present.len();
        let mut told = false;
        while !left.is_empty() {
            let mut busy = Vec::new();
            for &cell in &left {
                match self.attempt(Unit::Cell(cell))? {
                    Attempt::Done => summary.done += 1,
                    Attempt::Present => summary.others += 1,
                    Attempt::Busy => busy.push(cell),
                    Attempt::Failed(_) => summary.failed += 1,
                    Attempt::Stopped => {
                        summary.stopped = true;
                        return Ok(summary);
                    }
                }
            }
            if busy.len() == left.len() {
                if !told {
                    (self.show)(self.plan, Event::Waiting { cells: busy.len() });
                    told = true;
                }
                sleep(WAIT);
            }
            left = busy;
            if self.stopped() {
                summary.stopped = true;
                return Ok(summary);
            }
        }
        Ok(summary)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Does a unit of work and what it needs, if nobody else is at it.
    fn attempt(&mut self, unit: Unit) -> Result<Attempt> {
        if self.plan.is_done(unit) {
            return Ok(Attempt::Present);
        }
        if let Some(message) = self.failed.get(&unit) {
            return Ok(Attempt::Failed(message.clone()));
        }
        for needed in self.needs(unit) {
            match self.attempt(needed)? {
                Attempt::Done | Attempt::Present => {}
                Attempt::Failed(message) => return self.fail(unit, message),
                other => return Ok(other),
            }
        }
        if self.stopped() {
            return Ok(Attempt::Stopped);
        }
        let Some(lock) = self.plan.lock(unit)? else {
            return Ok(Attempt::Busy);
        };
        // It may have been finished since.
        if self.plan.is_done(unit) {
            return Ok(Attempt::Present);
        }
        self.plan.set_error(unit, None)?;
        let begun = Instant::now();
        let done = match unit {
            Unit::Data(index) => self.make(index),
            Unit::Pretraining(index) => self.pretrain(index),
            Unit::Cell(index) => self.cell(index),
        };
        drop(lock);
        match done {
            Ok(true) => {
                let seconds = begun.elapsed().as_secs_f64();
                (self.show)(self.plan, Event::Done { unit, seconds });
                Ok(Attempt::Done)
            }
            Ok(false) => Ok(Attempt::Stopped),
            Err(error) => self.fail(unit, error.to_string()),
        }
    }

    /// What must be done before a unit of work.
    fn needs(&self, unit: Unit) -> BTreeSet<Unit> {
        let data = |indices: &mut dyn Iterator<Item = usize>| indices.map(Unit::Data).collect();
        match unit {
            Unit::Data(n) => data(&mut self.plan.data[n].needs.into_iter()),
            Unit::Pretraining(n) => data(&mut self.plan.pretrainings[n].needs.into_iter()),
            Unit::Cell(n) => {
                let cell = &self.plan.cells[n];
                let mut needs: BTreeSet<Unit> = data(&mut cell.needs.iter().copied());
                needs.extend(match cell.start {
                    Start::Pretrained(p) => Some(Unit::Pretraining(p)),
                    Start::Cell(before) => Some(Unit::Cell(before)),
                    Start::Scratch | Start::Weights(_) => None,
                });
                needs
            }
        }
    }

    fn fail(&mut self, unit: Unit, message: String) -> Result<Attempt> {
        self.plan.set_error(unit, Some(&message))?;
        let of_need = format!("{}: {message}", self.plan.unit_name(unit));
        self.failed.insert(unit, of_need.clone());
        (self.show)(self.plan, Event::Failed { unit, message });
        Ok(Attempt::Failed(of_need))
    }

    fn pretrain(&mut self, index: usize) -> Result<bool> {
        let unit = Unit::Pretraining(index);
        let config = &self.plan.pretrainings[index].config;
        let device = self.device.clone();
        self.train(unit, |start, stop, watch| {
            pretrain::run(config, start, device, stop, watch)
        })
    }

    fn cell(&mut self, index: usize) -> Result<bool> {
        let plan = self.plan;
        let unit = Unit::Cell(index);
        let folder = plan.finetuning_folder(index);
        if !folder.join(super::DONE).is_file() {
            let config = &plan.cells[index].finetune;
            let device = self.device.clone();
            let finished = self.train(unit, |start, stop, watch| {
                finetune::run(config, start, device, stop, watch)
            })?;
            if !finished {
                return Ok(false);
            }
        }
        for test in 0..plan.cells[index].tests.len() {
            if !plan.is_tested(index, test) && !self.test(index, test)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Begins or goes on with the run of a unit of work; whether it came to its end.
    fn train(
        &mut self,
        unit: Unit,
        run: impl FnOnce(
            run::Start,
            &AtomicBool,
            &mut dyn FnMut(&Record),
        ) -> std::result::Result<Ended, TrainError>,
    ) -> Result<bool> {
        let folder = self.plan.folder(unit);
        let (start, step) = start(&folder)?;
        if let (Unit::Cell(index), run::Start::Begin) = (unit, start) {
            // Of a network that is no more.
            remove(&self.plan.tests_folder(index))?;
        }
        (self.show)(self.plan, Event::Begun { unit, step });
        crate::train::memory::forget_peak();
        let mut said = Instant::now();
        // Not from the log: a run that goes on does not repeat its first line.
        let steps = self.plan.steps(unit).unwrap_or_default();
        let (plan, show) = (self.plan, &mut self.show);
        let mut watch = |record: &Record| match record {
            Record::Step(line) if said.elapsed() >= EVERY => {
                said = Instant::now();
                let event = Event::Step {
                    unit,
                    step: line.step,
                    steps,
                    loss: line.loss,
                };
                show(plan, event);
            }
            Record::Damaged { message, .. } => {
                let text = message.clone();
                show(plan, Event::Note { unit, text });
            }
            _ => {}
        };
        let ended = run(start, self.stop, &mut watch);
        let ended = ended.map_err(|e| ExperimentError::train(self.plan.unit_name(unit), e))?;
        if ended.reason != EndReason::Finished {
            return Ok(false);
        }
        set_done(&folder, &Spent::of(&folder)?)?;
        Ok(true)
    }
}

/// Where the run in a folder goes on, and after which step. What a process that was killed before
/// its first checkpoint left is taken away.
fn start(folder: &Path) -> Result<(run::Start, u64)> {
    let steps = checkpoint::list(folder).unwrap_or_default();
    if let Some(&step) = steps.last()
        && folder.join(log::FILE).is_file()
    {
        return Ok((run::Start::Resume, step));
    }
    remove(folder)?;
    Ok((run::Start::Begin, 0))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_path(folder)?;
    }
    Ok(())
}
