//! The configuration of finetuning: a TOML file, every field of which has the reference's value
//! where it is left out (AMAES, `src/train.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amaes_core::augment::{AugmentConfig, Preset};
use amaes_core::loss::DiceCeConfig;
use amaes_core::nn::Precision;
use serde::{Deserialize, Serialize};

use crate::labelled::{DatasetConfig, SplitConfig};
use crate::train::adamw::AdamWConfig;
use crate::train::backbone::Backbone;
use crate::train::error::{Result, TrainError};
use crate::train::schedule::Schedule;
use crate::train::sections::{
    self, OutputConfig, RunConfig, accumulate, check, is_single, patch_size, positive, share,
};
use crate::train::task::{Selection, Settings};

/// What `amaes finetune` does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FinetuneConfig {
    /// Where the run is kept, and its seed.
    pub run: RunConfig,
    /// The labelled images.
    pub data: DatasetConfig,
    /// Other labelled images that are trained on beside them, by a name of the user's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub also: BTreeMap<String, AlsoConfig>,
    /// Which of them are trained on, validated on and left to be tested on.
    pub split: SplitConfig,
    /// The network, and the weights that it begins with.
    pub model: ModelConfig,
    /// Patches, and where they are taken.
    pub patch: PatchConfig,
    /// What is done to a patch.
    pub augment: AugmentConfig,
    /// Threads and memory of those that make patches.
    pub loader: LoaderConfig,
    /// What is minimised.
    pub loss: DiceCeConfig,
    /// Steps, learning rates, averaging.
    pub training: TrainingConfig,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// What is written, and when.
    pub output: OutputConfig,
}

/// Labelled images that are only trained on: `split` divides those of `data` alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlsoConfig {
    /// Probability that a sample is of one of them.
    pub share: f64,
    /// Where they are; channels and classes are those of the other dataset where they are left out.
    pub data: DatasetConfig,
}

/// The network, and the weights that it begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// The encoder and its size; that of the weights where it is left out, U-Net B where there
    /// are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backbone: Option<Backbone>,
    /// Channels of the first level, where they are not the backbone's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<usize>,
    /// Weights to begin with: a model file, the folder of a run or one of its checkpoints, or any
    /// format that `amaes import` reads. Random ones where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// Which of them are taken.
    pub transfer: Transfer,
    /// Where the image has several channels and the weights were made for one: repeat the first
    /// convolution, divided by the number of channels.
    pub repeat_stem: bool,
    /// JSON with the preprocessing, in place of the weights' own, or the reference's where they
    /// say none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PathBuf>,
    /// Python types that a PyTorch file may mention (`module.name`); they are skipped, never run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_globals: Vec<String>,
}

/// Which of the weights that are there are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// Those of the encoder.
    #[default]
    Encoder,
    /// Those of the encoder, and of the decoder what fits.
    All,
}

/// Patches, and where they are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatchConfig {
    /// Edges in voxels; multiples of 16, for a residual encoder of 32, for a strided
    /// encoder-decoder of 2.
    pub size: [usize; 3],
    /// Samples a step, of all processes together.
    pub batch: usize,
    /// Probability that a patch is centred on a voxel that is not background, of a class that is
    /// drawn first.
    pub foreground: f64,
}

/// Threads and memory of those that make patches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderConfig {
    /// MiB of prepared images that are held; those beyond it are prepared again. Half of the
    /// machine's memory where it is left out, 4 GiB where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<f64>,
    /// Threads that prepare and augment; 0 takes one for every processor but one.
    pub threads: usize,
    /// Batches that wait ready at most; 0 takes 4.
    pub queue: usize,
}

/// Steps, learning rates, averaging.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Epochs; the learning rate changes from one to the next.
    pub epochs: u64,
    /// Steps of an epoch.
    pub batches: u64,
    /// Steps in all, in place of `epochs`; the learning rate changes with every step then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Share of the steps over which the learning rate rises.
    pub warmup: f64,
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// Share of it that the first step of a warm-up has.
    pub lr_start: f64,
    /// Learning rate that the cosine ends at.
    pub lr_floor: f64,
    /// Length of the cosine, as a multiple of the run's.
    pub cosine: f64,
    /// First steps in which only the decoder learns.
    pub frozen: u64,
    /// Largest L2 norm of all gradients together; larger ones are scaled down to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Parts of a batch that are computed one after another, to save memory.
    pub accumulate: usize,
    /// Decay of the running average of the weights, such as 0.999; none is kept without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Computes activations again in the backward pass in place of keeping them: less memory, a
    /// third more time.
    pub checkpoint_activations: bool,
    /// What activations and their gradients are stored as: `float32`, or `float16` on graphics cards
    /// that have it.
    #[serde(skip_serializing_if = "is_single")]
    pub precision: Precision,
    /// Which weights the run is for.
    pub select: Select,
    /// Validations without a better one after which the run ends; with `select = "best"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
}

/// Which weights a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// The last.
    #[default]
    Last,
    /// Those with the best mean Dice coefficient in validation.
    Best,
}

impl Default for FinetuneConfig {
    fn default() -> Self {
        Self {
            run: RunConfig {
                name: "finetune".into(),
                ..RunConfig::default()
            },
            data: DatasetConfig::default(),
            also: BTreeMap::new(),
            split: SplitConfig::default(),
            model: ModelConfig::default(),
            patch: PatchConfig::default(),
            augment: AugmentConfig::preset(Preset::Basic),
            loader: LoaderConfig::default(),
            loss: DiceCeConfig::default(),
            training: TrainingConfig::default(),
            optimizer: AdamWConfig {
                weight_decay: 3e-5,
                ..AdamWConfig::default()
            },
            output: OutputConfig::default(),
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            backbone: None,
            filters: None,
            weights: None,
            transfer: Transfer::Encoder,
            repeat_stem: true,
            plan: None,
            allow_globals: Vec::new(),
        }
    }
}

impl Default for PatchConfig {
    fn default() -> Self {
        Self {
            size: [128; 3],
            batch: 8,
            foreground: 0.33,
        }
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 500,
            batches: 100,
            steps: None,
            warmup: 0.0,
            lr: 1e-4,
            lr_start: 1e-3,
            lr_floor: 1e-9,
            cosine: 1.15,
            frozen: 0,
            clip: None,
            accumulate: 1,
            ema: None,
            checkpoint_activations: false,
            precision: Precision::Float32,
            select: Select::Last,
            patience: None,
        }
    }
}

/// The learning rates of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    schedule: Schedule,
    /// Steps between two changes after the warm-up.
    every: u64,
}

impl Rates {
    /// The learning rate of a step, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        let warmup = self.schedule.warmup;
        match step < warmup {
            true => self.schedule.at(step),
            false => self.schedule.at((step - step % self.every).max(warmup)),
        }
    }
}

impl FinetuneConfig {
    /// Reads a configuration; each of `overrides` is `section.field=value`, the value as TOML
    /// writes it, quotes of a string left out at will.
    ///
    /// # Errors
    ///
    /// [`TrainError::File`] when the file cannot be read; [`TrainError::Toml`] and
    /// [`TrainError::Config`] with the field.
    pub fn read(path: Option<&Path>, overrides: &[String]) -> Result<Self> {
        let table = sections::table(path, overrides)?;
        Self::from_table(table, path.unwrap_or(Path::new("configuration")))
    }

    /// A configuration that was put together as a table; errors call it `name`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Toml`] and [`TrainError::Config`] with the field.
    pub fn from_table(table: toml::Table, name: &Path) -> Result<Self> {
        let config: Self = sections::from_table(table, name)?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration as a file that [`read`](Self::read) reads.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] for a value that TOML cannot write.
    pub fn to_toml(&self) -> Result<String> {
        sections::to_toml(self)
    }

    /// The run's folder.
    pub fn folder(&self) -> PathBuf {
        self.run.path()
    }

    /// Steps in all.
    pub fn steps(&self) -> u64 {
        let t = &self.training;
        t.steps.unwrap_or(t.epochs.saturating_mul(t.batches))
    }

    /// The learning rates.
    pub fn rates(&self) -> Rates {
        let t = &self.training;
        let (length, every) = match t.steps {
            Some(steps) => (steps, 1),
            None => (t.epochs, t.batches),
        };
        let horizon = (length as f64 * t.cosine) as u64;
        Rates {
            schedule: Schedule {
                peak: t.lr,
                start: t.lr_start,
                warmup: (t.warmup * self.steps() as f64).round() as u64,
                steps: horizon.saturating_mul(every),
                floor: t.lr_floor,
            },
            every,
        }
    }

    /// How the network learns.
    pub fn settings(&self) -> Settings {
        Settings {
            optimizer: self.optimizer,
            accumulate: self.training.accumulate,
            clip: self.training.clip,
            ema: self.training.ema,
            checkpoint_activations: self.training.checkpoint_activations,
            precision: self.training.precision,
            frozen: self.training.frozen,
        }
    }

    /// Which weights the run is for.
    pub fn selection(&self) -> Selection {
        Selection {
            best: self.training.select == Select::Best,
            patience: self.training.patience,
        }
    }

    fn validate(&self) -> Result<()> {
        self.run.validate()?;
        let given = !self.data.path.as_os_str().is_empty();
        check("data.path", given, || "no dataset is given".into())?;
        for (name, also) in &self.also {
            check("also", also.share > 0.0, || {
                format!("`{name}`: share {}; more than 0", also.share)
            })?;
        }
        let shares: f64 = self.also.values().map(|also| also.share).sum();
        check("also", shares < 1.0, || {
            format!("shares of {shares} together: `data` has what they leave of 1")
        })?;
        let p = &self.patch;
        check("patch.batch", (1..=65_536).contains(&p.batch), || {
            p.batch.to_string()
        })?;
        share("patch.foreground", p.foreground, false)?;
        // Without a name, the weights say which network it is.
        if let Some(backbone) = self.model.backbone {
            let spec = backbone.segmenting(self.model.filters);
            spec.validate()
                .map_err(|e| TrainError::config("model", e.to_string()))?;
            patch_size(p.size, spec.edge_multiple())?;
        }
        self.augment
            .validate()
            .map_err(|e| TrainError::config("augment", e.to_string()))?;
        let memory = self.loader.memory_mib.unwrap_or(1.0);
        check("loader.memory_mib", memory > 0.0 && memory < 1e9, || {
            memory.to_string()
        })?;
        let l = &self.loss;
        let weights = [l.dice, l.cross_entropy];
        let weighed = weights.iter().all(|w| *w >= 0.0 && w.is_finite());
        check("loss", weighed && weights.iter().sum::<f64>() > 0.0, || {
            format!("weights {} and {}", l.dice, l.cross_entropy)
        })?;
        check(
            "loss.smooth",
            l.smooth > 0.0 && l.smooth.is_finite(),
            || l.smooth.to_string(),
        )?;
        let t = &self.training;
        positive("training.epochs", t.epochs)?;
        positive("training.batches", t.batches)?;
        positive("training.steps", t.steps.unwrap_or(1))?;
        share("training.warmup", t.warmup, true)?;
        share("training.lr_start", t.lr_start, false)?;
        let lr = t.lr > 0.0 && t.lr.is_finite() && (0.0..=t.lr).contains(&t.lr_floor);
        check("training.lr", lr, || {
            format!("{} with the floor {}", t.lr, t.lr_floor)
        })?;
        check("training.cosine", (1.0..=1e6).contains(&t.cosine), || {
            format!("{}: 1 or more", t.cosine)
        })?;
        check("training.clip", t.clip.is_none_or(|c| c > 0.0), || {
            "a norm is positive".into()
        })?;
        accumulate(t.accumulate, p.batch)?;
        if let Some(decay) = t.ema {
            share("training.ema", decay, true)?;
        }
        if let Some(patience) = t.patience {
            positive("training.patience", patience)?;
            check("training.patience", t.select == Select::Best, || {
                "only with training.select = \"best\"".into()
            })?;
        }
        self.optimizer.validate()?;
        self.output.validate()
    }
}
