//! Finetuning: a network learns to segment labelled images, with the encoder of a pretrained one.

mod cases;
mod config;
mod judge;
mod origin;
mod sample;
mod stream;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use amaes_core::augment::{AugmentConfig, Pipeline, Preset};
use amaes_core::label::LabelTable;
use amaes_core::loss::dice_cross_entropy;
use amaes_core::model::Spec;
use amaes_core::preprocess::Plan;
use burn::tensor::{Device, Tensor};

pub use self::config::{
    AlsoConfig, FinetuneConfig, LoaderConfig, ModelConfig, PatchConfig, Rates, Select,
    TrainingConfig, Transfer,
};
pub use self::sample::{Batch, Sample};
pub use self::stream::Stream;

use self::cases::{Cases, MOST_CLASSES};
use self::origin::Origin;
use self::sample::{Sampler, Set};
use self::stream::Ahead;
use super::checkpoint::Checkpoint;
use super::error::{Result, TrainError};
use super::exchange::Exchange;
use super::log::{self, Record, Validation};
use super::memory;
use super::network::Network;
use super::run::{Ended, First, Run, Setting, Start};
use super::sections::{on_device, patch_size};
use super::step::Learner;
use super::task::{Common, Selection, Settings, Task};
use crate::error::WithPath;
use crate::labelled::{self, Dataset, LabelledError, Split};
use crate::model;

/// The file within a run's folder that says which cases are trained, validated and tested on.
pub const SPLIT: &str = "split.json";
/// The file within a run's folder that says which weights were taken.
pub const WEIGHTS: &str = "weights.json";

/// MiB of prepared images that are held where the system does not tell how much memory there is.
const MEMORY_MIB: f64 = 4096.0;

/// Finetuning on the cases of a split.
#[derive(Debug)]
pub struct Finetuning {
    config: FinetuneConfig,
    spec: Spec,
    plan: Plan,
    labels: LabelTable,
    cases: Arc<Cases>,
    /// What is trained on: cases of the dataset, and of others.
    sets: Vec<Set>,
    /// Places in the dataset.
    validation: Vec<usize>,
    rates: Rates,
    steps: u64,
}

/// The losses of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// What is minimised.
    pub loss: f64,
    /// 1 less the mean soft Dice coefficient.
    pub dice: f64,
    /// Mean cross-entropy of a voxel.
    pub cross_entropy: f64,
}

/// Runs finetuning from its beginning or from its last checkpoint, in this process alone.
///
/// # Errors
///
/// [`TrainError`]; the log says that the run failed.
pub fn run(
    config: &FinetuneConfig,
    start: Start,
    device: Device,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Record),
) -> Result<Ended> {
    let from = start.checkpoint(&config.folder())?;
    run_from(config, from.as_ref(), Setting::alone(device, stop, watch))
}

/// Runs finetuning from its beginning or from a checkpoint, among the processes of `setting`.
///
/// # Errors
///
/// As [`run`].
pub fn run_from(
    config: &FinetuneConfig,
    from: Option<&Checkpoint>,
    setting: Setting<'_>,
) -> Result<Ended> {
    on_device(config.training.precision, &config.run, &setting.device)?;
    let dataset = Dataset::open(&config.data)?;
    let mut split = labelled::split(&dataset, &config.split)?;
    let also = also(config, &dataset)?;
    for (name, dataset) in config.also.keys().zip(&also) {
        let ids = dataset.cases.iter().map(|c| c.id.clone()).collect();
        split.also.insert(name.clone(), ids);
    }
    if from.is_some() {
        same_split(&split, &config.folder().join(SPLIT))?;
    }
    let (channels, classes) = (dataset.channels.len(), dataset.classes.len());
    let origin = match from {
        Some(from) => Origin::of(from),
        None => Origin::new(config, channels, classes)?,
    };
    let unlabelled = dataset.unlabelled.len();
    let (spec, plan) = (origin.spec.clone(), origin.plan.clone());
    let task = Finetuning::new(config.clone(), dataset, also, &split, spec, plan)?;
    let step = from.map_or(0, |f| f.state.step);
    let mut source = task.stream(setting.exchange, step)?;
    let mut run = match from {
        Some(from) => Run::resume(task, setting, from)?,
        None => Run::begin(task, first(origin, &split, unlabelled)?, setting)?,
    };
    run.go(&mut source)
}

/// The datasets of `also`, in its order.
fn also(config: &FinetuneConfig, dataset: &Dataset) -> Result<Vec<Dataset>> {
    let open = |(name, also): (&String, &AlsoConfig)| {
        let mut data = also.data.clone();
        if data.channels.is_empty() {
            data.channels.clone_from(&dataset.channels);
        }
        if data.classes.is_empty() {
            data.classes.clone_from(&dataset.classes);
        }
        let bad = |message: String| TrainError::config("also", format!("`{name}`: {message}"));
        let other = Dataset::open(&data).map_err(|error| match error {
            LabelledError::Config { field, message } => bad(format!("{field}: {message}")),
            error => error.into(),
        })?;
        let same = other.channels.len() == dataset.channels.len();
        if !same || other.classes != dataset.classes {
            return Err(bad(format!(
                "channels {:?} and classes {:?}; those of `data` are {:?} and {:?}",
                other.channels, other.classes, dataset.channels, dataset.classes
            )));
        }
        Ok(other)
    };
    config.also.iter().map(open).collect()
}

/// What a run begins with and keeps in its folder.
fn first(origin: Origin, split: &Split, unlabelled: usize) -> Result<First> {
    let path = Path::new(SPLIT);
    let mut files = vec![(SPLIT, serde_json::to_vec_pretty(split).with_path(path)?)];
    let mut notes = vec![format!(
        "{} cases to train on, {} to validate on, {} left to test on",
        split.train.len(),
        split.validation.len(),
        split.test.len()
    )];
    for (name, cases) in &split.also {
        notes.push(format!(
            "{} cases of `{name}` to train on as well",
            cases.len()
        ));
    }
    if unlabelled > 0 {
        notes.push(format!(
            "{unlabelled} images have no labels and are left out"
        ));
    }
    if let Some(report) = &origin.report {
        let path = Path::new(WEIGHTS);
        files.push((WEIGHTS, serde_json::to_vec_pretty(report).with_path(path)?));
        notes.push(report.to_string());
    }
    notes.extend(origin.notes);
    Ok(First {
        weights: origin.weights,
        notes,
        files,
    })
}

/// Refuses to go on with other cases than the run began with.
fn same_split(split: &Split, path: &Path) -> Result<()> {
    let begun: Split = model::json(path)?;
    match begun == *split {
        true => Ok(()),
        false => Err(TrainError::checkpoint(
            path,
            "the run began with other cases: the dataset, its channels or `split` changed",
        )),
    }
}

impl Finetuning {
    /// Finetuning of a network on images that are prepared by `plan`: on those of `dataset` that
    /// `split` names, and on all of `also`, the datasets of the configuration's field.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] when the network, the patches or the selection do not suit the
    /// dataset.
    pub fn new(
        config: FinetuneConfig,
        dataset: Dataset,
        also: Vec<Dataset>,
        split: &Split,
        spec: Spec,
        plan: Plan,
    ) -> Result<Self> {
        let (channels, classes) = (dataset.channels.len(), dataset.classes.len());
        if (spec.in_channels(), spec.out_channels()) != (channels, classes) {
            let message = format!(
                "the network has {} channels and {} classes, the dataset {channels} and {classes}",
                spec.in_channels(),
                spec.out_channels()
            );
            return Err(TrainError::config("data", message));
        }
        if classes > MOST_CLASSES {
            let message = format!("{classes} classes; {MOST_CLASSES} at most");
            return Err(TrainError::config("data.classes", message));
        }
        patch_size(config.patch.size, spec.edge_multiple())?;
        if config.selection().best && split.validation.is_empty() {
            let message = "there is no case to validate on: see split.validation";
            return Err(TrainError::config("training.select", message));
        }
        let mut labels = LabelTable::generic(classes);
        for (entry, name) in labels.0.iter_mut().zip(&dataset.classes) {
            entry.name.clone_from(name);
        }
        let places = |ids: &[String]| -> Vec<usize> {
            let place = |id: &String| dataset.cases.iter().position(|c| c.id == *id);
            ids.iter().filter_map(place).collect()
        };
        let (train, validation) = (places(&split.train), places(&split.validation));
        let memory = config.loader.memory_mib;
        let memory = memory.or_else(|| Some(memory::total_mib()? / 2.0));
        let memory = memory.unwrap_or(MEMORY_MIB) * f64::from(1 << 20);
        let all: usize = also.iter().chain([&dataset]).map(|d| d.cases.len()).sum();
        let cases = |dataset: Dataset| {
            let memory = memory * dataset.cases.len() as f64 / all as f64;
            Arc::new(Cases::new(dataset, plan.clone(), memory as u64))
        };
        let shares = config.also.values().map(|also| also.share);
        let own = Set {
            share: 1.0 - shares.clone().sum::<f64>(),
            from: train,
            cases: cases(dataset),
        };
        let also = shares.zip(also).map(|(share, dataset)| Set {
            share,
            from: (0..dataset.cases.len()).collect(),
            cases: cases(dataset),
        });
        let (cases, sets) = (own.cases.clone(), [own].into_iter().chain(also).collect());
        Ok(Self {
            rates: config.rates(),
            steps: config.steps(),
            cases,
            sets,
            config,
            spec,
            plan,
            labels,
            validation,
        })
    }

    /// The samples of a process of the run after `step` steps.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] when the batch is not the processes' to share.
    pub fn stream(&self, exchange: &dyn Exchange, step: u64) -> Result<Stream> {
        let sampler = Sampler {
            sets: self.sets.clone(),
            foreground: self.config.patch.foreground,
            ..self.sampler(self.config.augment.clone())?
        };
        let ahead = Ahead {
            batch: self.config.patch.batch,
            threads: self.config.loader.threads,
            queue: self.config.loader.queue,
            epoch: self.config.training.batches,
        };
        Stream::new(sampler, ahead, exchange, step)
    }

    /// Draws patches of validation cases about their foreground, as they are.
    fn judging(&self) -> Result<Sampler> {
        self.sampler(AugmentConfig::preset(Preset::None))
    }

    fn sampler(&self, augment: AugmentConfig) -> Result<Sampler> {
        let pipeline =
            Pipeline::new(augment).map_err(|e| TrainError::config("augment", e.to_string()))?;
        Ok(Sampler {
            sets: Vec::new(),
            pipeline,
            patch: self.config.patch.size,
            foreground: 1.0,
            seed: self.config.run.seed,
        })
    }
}

impl Task for Finetuning {
    const NAME: &'static str = "finetune";
    type Config = FinetuneConfig;
    type Sample = Sample;
    type Losses = Losses;

    fn config(&self) -> &FinetuneConfig {
        &self.config
    }

    fn common(&self) -> Common<'_> {
        Common {
            run: &self.config.run,
            output: &self.config.output,
            patch: self.config.patch.size,
            batch: self.config.patch.batch,
            volumes: self.sets.iter().map(|set| set.from.len() as u64).sum(),
        }
    }

    fn settings(&self) -> Settings {
        self.config.settings()
    }

    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn lr(&self, step: u64) -> f64 {
        self.rates.at(step)
    }

    fn loss(&self, network: &Network<'_>, samples: &[Sample], device: &Device) -> Vec<Tensor<1>> {
        let batch = Batch::new(samples, self.config.patch.size, device);
        let logits = network.forward(batch.image);
        let found = dice_cross_entropy(logits, batch.labels, &self.config.loss);
        vec![found.loss, found.dice, found.cross_entropy]
    }

    fn losses(values: &[f64]) -> Losses {
        Losses {
            loss: values[0],
            dice: values[1],
            cross_entropy: values[2],
        }
    }

    fn fill(losses: Losses, line: &mut log::Step) {
        line.loss = losses.loss;
        line.dice_loss = Some(losses.dice);
        line.cross_entropy = Some(losses.cross_entropy);
    }

    fn validate(&self, learner: &Learner, step: u64) -> Result<Option<Validation>> {
        judge::validate(self, learner, step)
    }

    fn picture(&self, learner: &Learner, path: &Path) -> Result<bool> {
        judge::picture(self, learner, path)
    }

    fn labels(&self) -> LabelTable {
        self.labels.clone()
    }

    fn selection(&self) -> Selection {
        self.config.selection()
    }
}
