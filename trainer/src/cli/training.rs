//! What the commands that train have in common.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use amaes::dashboard::{History, Monitor};
use amaes::tensorboard::EventWriter;
use amaes::train::checkpoint::{self, Checkpoint};
use amaes::train::exchange::{Alone, Exchange};
use amaes::train::log::{self, EndReason, Record};
use amaes::train::run::{Ended, Setting};
use amaes::train::sections::{OutputConfig, RunConfig};
use anyhow::{Context, Result, bail};
use clap::Args;

use super::Outcome;
use super::signals::stop_on_signals;

/// Set by the first signal.
static STOP: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// TOML file; what it leaves out is as in the AMAES reference
    #[arg(short, long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// Change a field of the configuration, such as `training.lr=2e-4`
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Name of the run: `run.name`
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Go on with the run in this folder, from its last checkpoint
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "name"])]
    resume: Option<PathBuf>,
    /// Print the configuration, whole, and do nothing
    #[arg(long)]
    pub(super) print_config: bool,
    /// Print lines where the terminal would show curves
    #[arg(long)]
    plain: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

impl TrainArgs {
    /// The configuration's file and the fields that are set beside it: of a new run, or of the one
    /// to go on with. `first` come before those that the user sets.
    pub(super) fn sources(&self, first: Vec<String>) -> Result<(Option<PathBuf>, Vec<String>)> {
        let mut set = first;
        if let Some(name) = &self.name {
            set.push(format!("run.name={name}"));
        }
        set.extend(self.set.iter().cloned());
        let Some(folder) = &self.resume else {
            return Ok((self.config.clone(), set));
        };
        // The folder may have been moved since.
        let folder = folder
            .canonicalize()
            .with_context(|| folder.display().to_string())?;
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
            bail!("{}: no folder of a run", folder.display());
        };
        set.push(format!("run.folder={}", parent.display()));
        set.push(format!("run.name={}", name.to_string_lossy()));
        Ok((Some(folder.join("config.toml")), set))
    }

    /// Whether a configuration is given.
    pub(super) fn is_configured(&self) -> bool {
        self.config.is_some() || self.resume.is_some()
    }

    /// Runs `train` from the run's checkpoint where it is to be resumed, and shows how it goes.
    /// `command` is what the user would go on with.
    pub(super) fn run(
        &self,
        run: &RunConfig,
        output: &OutputConfig,
        command: &str,
        train: impl FnOnce(Option<&Checkpoint>, Setting<'_>) -> amaes::train::Result<Ended>,
    ) -> Result<Outcome> {
        let folder = run.path();
        let exchange = exchange()?;
        stop_on_signals(&STOP)?;
        let from = match &self.resume {
            Some(_) => Some(self.checkpoint(&folder)?),
            None => None,
        };
        let device = run.device.open()?;
        let first = exchange.rank() == 0;
        let mut watcher = Watcher {
            folder: folder.clone(),
            monitor: (first && !self.quiet).then(|| Monitor::new(self.plain)),
            tensorboard: first && output.tensorboard,
            events: None,
        };
        if let (Some(monitor), Some(from)) = (&mut watcher.monitor, &from) {
            let mut history = History::default();
            let records = log::read(&folder)?.into_iter();
            records
                .filter(|r| r.step() <= from.state.step)
                .for_each(|r| history.push(r));
            monitor.show(&history);
        }
        let setting = Setting {
            device,
            exchange: exchange.as_ref(),
            stop: &STOP,
            watch: &mut |record| watcher.record(record),
        };
        let ended = train(from.as_ref(), setting)?;
        drop(watcher);
        if ended.reason == EndReason::Interrupted && !self.quiet && first {
            eprintln!(
                "stopped after step {}; go on with: amaes {command} --resume {}",
                ended.step,
                folder.display()
            );
        }
        Ok(match ended.reason {
            EndReason::Finished => Outcome::Done,
            _ => Outcome::SomeFailed,
        })
    }

    fn checkpoint(&self, folder: &Path) -> Result<Checkpoint> {
        let (from, broken) = checkpoint::latest(folder)?;
        if !self.quiet {
            for message in broken {
                eprintln!("warning: {message}; going back to the one before");
            }
        }
        Ok(from)
    }
}

/// The other processes of the run: those that `mpirun` started, or none.
#[cfg(feature = "mpi")]
fn exchange() -> Result<Box<dyn Exchange>> {
    let started = [
        "OMPI_COMM_WORLD_SIZE",
        "PMI_SIZE",
        "PMIX_RANK",
        "SLURM_STEP_NUM_TASKS",
    ];
    match started.iter().any(|name| std::env::var_os(name).is_some()) {
        true => Ok(Box::new(amaes::train::mpi::Mpi::join()?)),
        false => Ok(Box::new(Alone)),
    }
}

/// Refuses to train the same network several times over.
#[cfg(not(feature = "mpi"))]
fn exchange() -> Result<Box<dyn Exchange>> {
    let several = |name| std::env::var(name).is_ok_and(|n: String| n.trim() != "1");
    if several("OMPI_COMM_WORLD_SIZE") || several("PMI_SIZE") {
        bail!("started by mpirun, but built without MPI: build with `--features mpi`");
    }
    Ok(Box::new(Alone))
}

/// Tells people and TensorBoard of a run.
struct Watcher {
    folder: PathBuf,
    monitor: Option<Monitor>,
    tensorboard: bool,
    events: Option<EventWriter>,
}

impl Watcher {
    fn record(&mut self, record: &Record) {
        if let Some(monitor) = &mut self.monitor {
            monitor.record(record);
        }
        // Events are a copy of the log: a run does not end for want of them.
        if let Err(error) = self.event(record) {
            self.tensorboard = false;
            match &mut self.monitor {
                Some(monitor) => monitor.note(&format!("no more TensorBoard events: {error}")),
                None => eprintln!("warning: no more TensorBoard events: {error}"),
            }
        }
    }

    fn event(&mut self, record: &Record) -> amaes::Result<()> {
        if !self.tensorboard {
            return Ok(());
        }
        let resumed = match record {
            Record::Resume { step, .. } => Some(*step),
            _ => None,
        };
        let events = match &mut self.events {
            Some(events) => events,
            None => self
                .events
                .insert(EventWriter::create(&self.folder, resumed)?),
        };
        events.write(&self.folder, record)
    }
}
