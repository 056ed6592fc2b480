//! `amaes pretrain`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use amaes::dashboard::{History, Monitor};
use amaes::store::Store;
use amaes::tensorboard::EventWriter;
use amaes::train::checkpoint::{self, Checkpoint};
use amaes::train::config::PretrainConfig;
use amaes::train::corpus::{self, Corpus};
use amaes::train::exchange::{Alone, Exchange};
use amaes::train::log::{self, EndReason, Record};
use amaes::train::run::{Run, Setting};
use anyhow::{Context, Result, bail};
use clap::Args;

use super::{Outcome, print};

/// Set by the first signal.
static STOP: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Args)]
pub(super) struct Pretrain {
    /// TOML file; what it leaves out is as in the AMAES reference
    #[arg(short, long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// Change a field of the configuration, such as `training.lr=2e-4`
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// The store that `amaes corpus prepare` wrote: `data.store`
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Name of the run: `run.name`
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Go on with the run in this folder, from its last checkpoint
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "store", "name"])]
    resume: Option<PathBuf>,
    /// Print the configuration, whole, and do nothing
    #[arg(long)]
    print_config: bool,
    /// Print lines where the terminal would show curves
    #[arg(long)]
    plain: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

impl Pretrain {
    pub(super) fn run(self) -> Result<Outcome> {
        let config = self.config()?;
        if self.print_config {
            print(&config.to_toml()?)?;
            return Ok(Outcome::Done);
        }
        let exchange = exchange()?;
        stop_on_signals()?;
        let from = match &self.resume {
            Some(_) => Some(self.checkpoint(&config)?),
            None => None,
        };
        let device = config.run.device.open()?;
        let store = Store::open(&config.data.store)?;
        let corpus = Corpus::new(store, &config)?;
        let first = exchange.rank() == 0;
        let mut watcher = Watcher {
            folder: config.folder(),
            monitor: (first && !self.quiet).then(|| Monitor::new(self.plain)),
            tensorboard: first && config.output.tensorboard,
            events: None,
        };
        if let (Some(monitor), Some(from)) = (&mut watcher.monitor, &from) {
            let mut history = History::default();
            let records = log::read(&config.folder())?.into_iter();
            records
                .filter(|r| r.step() <= from.state.step)
                .for_each(|r| history.push(r));
            monitor.show(&history);
        }
        let setting = Setting {
            device,
            plan: corpus.plan().clone(),
            volumes: corpus.volumes(),
            validation: corpus.validation()?,
            exchange: exchange.as_ref(),
            stop: &STOP,
            watch: &mut |record| watcher.record(record),
        };
        let position = from
            .as_ref()
            .map_or(&serde_json::Value::Null, |f| &f.state.position);
        let mut source = corpus::Stream::new(&corpus, &config, exchange.as_ref(), position)?;
        let mut run = match &from {
            Some(from) => Run::resume(config.clone(), setting, from)?,
            None => Run::begin(config.clone(), setting)?,
        };
        let ended = run.go(&mut source)?;
        drop(run);
        drop(watcher);
        if ended.reason == EndReason::Interrupted && !self.quiet && first {
            eprintln!(
                "stopped after step {}; go on with: amaes pretrain --resume {}",
                ended.step,
                config.folder().display()
            );
        }
        Ok(match ended.reason {
            EndReason::Finished => Outcome::Done,
            _ => Outcome::SomeFailed,
        })
    }

    /// The configuration of a new run, or that of the run to go on with.
    fn config(&self) -> Result<PretrainConfig> {
        let mut set = Vec::new();
        if let Some(store) = &self.store {
            set.push(format!("data.store={store}"));
        }
        if let Some(name) = &self.name {
            set.push(format!("run.name={name}"));
        }
        set.extend(self.set.iter().cloned());
        if self.print_config && self.config.is_none() && self.store.is_none() {
            set.insert(0, "data.store=STORE".into());
        }
        let Some(folder) = &self.resume else {
            return Ok(PretrainConfig::read(self.config.as_deref(), &set)?);
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
        let file = folder.join("config.toml");
        Ok(PretrainConfig::read(Some(&file), &set)?)
    }

    fn checkpoint(&self, config: &PretrainConfig) -> Result<Checkpoint> {
        let (from, broken) = checkpoint::latest(&config.folder())?;
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

/// The first signal stops after the current step, the second at once.
fn stop_on_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step; once more to stop at once");
    })
    .context("cannot listen to signals")
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
