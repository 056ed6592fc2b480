//! The configuration of pretraining: a TOML file, every field of which has the reference's value
//! where it is left out (AMAES, `src/pretrain.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amaes_core::augment::AugmentConfig;
use amaes_core::model::{MedNeXtConfig, Spec, UNetConfig, UNetHead};
use amaes_core::pretext::{BlockMask, LossOver};
use serde::{Deserialize, Serialize};

use super::adamw::AdamWConfig;
use super::error::{Result, TrainError};
use super::schedule::Schedule;
use crate::device::DeviceKind;
use crate::error::WithPath;
use crate::loader::Damage;

/// What `amaes pretrain` does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PretrainConfig {
    /// Where the run is kept, and its seed.
    pub run: RunConfig,
    /// The corpus.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// Patches and their masks.
    pub patch: PatchConfig,
    /// What is done to a patch before it is masked.
    pub augment: AugmentConfig,
    /// Steps, learning rates, averaging.
    pub training: TrainingConfig,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// What is written, and when.
    pub output: OutputConfig,
}

/// Where a run is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// The run's name.
    pub name: String,
    /// The folder of runs; this one's is `FOLDER/NAME`.
    pub folder: PathBuf,
    /// Everything drawn at random depends on it.
    pub seed: u64,
    /// The device.
    pub device: DeviceKind,
}

/// The corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// The store: a folder, `http(s)://` or `s3://`.
    pub store: String,
    /// How much likelier than another a volume of a source is drawn; 1 for those not named.
    pub sources: BTreeMap<String, f64>,
    /// How many of the volumes are trained on; all that are not held out without it. They are
    /// drawn by the seed, and those of a smaller corpus are in a larger one.
    pub size: Option<CorpusSize>,
    /// Share of the volumes that is held out for validation.
    pub validation: f64,
    /// Probability that a patch is centred on a voxel of the foreground.
    pub foreground: f64,
    /// What a damaged volume does: `stop` the run, or `skip` to another volume.
    pub damage: Damage,
    /// Threads that read and augment; 0 takes one for every processor but one.
    pub threads: usize,
    /// Batches that wait ready at most.
    pub queue: usize,
}

/// A part of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CorpusSize {
    /// So many volumes: a whole number.
    Volumes(u64),
    /// A share of them: a number with a point, up to 1.0.
    Share(f64),
}

impl CorpusSize {
    /// Volumes, of so many.
    pub fn of(self, volumes: usize) -> usize {
        match self {
            Self::Volumes(n) => usize::try_from(n).map_or(volumes, |n| n.min(volumes)),
            Self::Share(share) => ((share * volumes as f64).round() as usize).max(1),
        }
    }
}

/// The network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// The encoder and its size.
    pub backbone: Backbone,
    /// Channels of the first level, where they are not the backbone's own.
    pub filters: Option<usize>,
    /// Convolutions of a stage of the decoder: one or two.
    pub decoder: DecoderSize,
    /// Whether the decoder also reads the encoder's output of each level.
    pub skips: bool,
    /// Weights to begin with in place of random ones: any format that `amaes import` reads.
    pub weights: Option<PathBuf>,
}

/// The decoder that restores an image in pretraining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderSize {
    /// One convolution a stage.
    #[default]
    Light,
    /// Two convolutions a stage, as the decoder that segments has.
    Standard,
}

/// An encoder and its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Backbone {
    /// U-Net of 32 filters.
    #[default]
    UnetB,
    /// U-Net of 64 filters.
    UnetXl,
    /// MedNeXt-S, kernel 3.
    MednextS,
    /// MedNeXt-B, kernel 3.
    MednextB,
    /// MedNeXt-M, kernel 3.
    MednextM,
    /// MedNeXt-L, kernel 3.
    MednextL,
}

/// Patches and their masks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatchConfig {
    /// Edges in voxels; multiples of 16 and of the masked blocks.
    pub size: [usize; 3],
    /// Samples a step, of all processes together.
    pub batch: usize,
    /// Edge of a masked block in voxels.
    pub block: usize,
    /// Share of the blocks that is masked.
    pub ratio: f64,
    /// Which voxels the loss is taken over.
    pub loss: LossOver,
}

/// Steps, learning rates, averaging.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Passes over the corpus; each volume gives one patch a pass.
    pub epochs: u64,
    /// Steps in all, in place of `epochs`.
    pub steps: Option<u64>,
    /// Share of the steps over which the learning rate rises.
    pub warmup: f64,
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// Share of it that the first step has.
    pub lr_start: f64,
    /// Learning rate that the cosine ends at.
    pub lr_floor: f64,
    /// Largest L2 norm of all gradients together; larger ones are scaled down to it.
    pub clip: Option<f64>,
    /// Parts of a batch that are computed one after another, to save memory.
    pub accumulate: usize,
    /// Decay of the running average of the weights, such as 0.999; none is kept without it.
    pub ema: Option<f64>,
}

/// What is written, and when. 0 is never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Steps between checkpoints. One is written at the end in any case.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept.
    pub keep: usize,
    /// Checkpoints at multiples of so many steps are kept for good.
    pub milestone: Option<u64>,
    /// Steps between validations.
    pub validate_every: u64,
    /// Steps between pictures of masked, restored and true patches.
    pub picture_every: u64,
    /// Also write TensorBoard events.
    pub tensorboard: bool,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            name: "pretrain".into(),
            folder: "runs".into(),
            seed: 1,
            device: DeviceKind::default(),
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            store: String::new(),
            sources: BTreeMap::new(),
            size: None,
            validation: 0.01,
            foreground: 0.0,
            damage: Damage::Stop,
            threads: 0,
            queue: 4,
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            backbone: Backbone::UnetB,
            filters: None,
            decoder: DecoderSize::Light,
            skips: false,
            weights: None,
        }
    }
}

impl Default for PatchConfig {
    fn default() -> Self {
        Self {
            size: [128; 3],
            batch: 8,
            block: 4,
            ratio: 0.6,
            loss: LossOver::All,
        }
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            steps: None,
            warmup: 0.05,
            lr: 1e-4,
            lr_start: 1e-3,
            lr_floor: 0.0,
            clip: None,
            accumulate: 1,
            ema: None,
        }
    }
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self {
            checkpoint_every: 1000,
            keep: 3,
            milestone: None,
            validate_every: 1000,
            picture_every: 1000,
            tensorboard: true,
        }
    }
}

impl PretrainConfig {
    /// Reads a configuration; each of `overrides` is `section.field=value`, the value as TOML
    /// writes it, quotes of a string left out at will.
    ///
    /// # Errors
    ///
    /// [`TrainError::File`] when the file cannot be read; [`TrainError::Toml`] with the field and
    /// its line.
    pub fn read(path: Option<&Path>, overrides: &[String]) -> Result<Self> {
        let mut table = match path {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_path(path)?;
                text.parse::<toml::Table>()
                    .map_err(|e| TrainError::toml(path, e))?
            }
            None => toml::Table::new(),
        };
        for text in overrides {
            set(&mut table, text)?;
        }
        Self::from_table(table, path.unwrap_or(Path::new("configuration")))
    }

    /// A configuration that was put together as a table; errors call it `name`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Toml`] and [`TrainError::Config`] with the field.
    pub fn from_table(table: toml::Table, name: &Path) -> Result<Self> {
        let config: Self = table.try_into().map_err(|e| TrainError::toml(name, e))?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration as a file that [`read`](Self::read) reads.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] for a value that TOML cannot write.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|e| TrainError::config("file", e.to_string()))
    }

    /// The network to pretrain.
    pub fn spec(&self) -> Spec {
        let filters = self.model.filters;
        let double = self.model.decoder == DecoderSize::Standard;
        let head = UNetHead::restoring(double, self.model.skips);
        let unet = |config: UNetConfig| {
            Spec::UNet(UNetConfig {
                filters: filters.unwrap_or(config.filters),
                head,
                ..config
            })
        };
        let mednext = |config: MedNeXtConfig| {
            Spec::MedNeXt(MedNeXtConfig {
                filters: filters.unwrap_or(config.filters),
                decoder: head.into(),
                ..config
            })
        };
        match self.model.backbone {
            Backbone::UnetB => unet(UNetConfig::b(1, 1)),
            Backbone::UnetXl => unet(UNetConfig::xl(1, 1)),
            Backbone::MednextS => mednext(MedNeXtConfig::s(1, 1)),
            Backbone::MednextB => mednext(MedNeXtConfig::b(1, 1)),
            Backbone::MednextM => mednext(MedNeXtConfig::m(1, 1)),
            Backbone::MednextL => mednext(MedNeXtConfig::l(1, 1)),
        }
    }

    /// The masks.
    ///
    /// # Errors
    ///
    /// [`TrainError::Pretext`].
    pub fn mask(&self) -> Result<BlockMask> {
        let p = &self.patch;
        Ok(BlockMask::new(p.size, p.block, p.ratio)?)
    }

    /// Steps in all, for a corpus of so many volumes to train on.
    pub fn steps(&self, volumes: u64) -> u64 {
        let epoch = (volumes / self.patch.batch as u64).max(1);
        self.training.steps.unwrap_or(self.training.epochs * epoch)
    }

    /// The learning rates of a run of `steps` steps.
    pub fn schedule(&self, steps: u64) -> Schedule {
        let t = &self.training;
        Schedule {
            peak: t.lr,
            start: t.lr_start,
            warmup: (t.warmup * steps as f64).round() as u64,
            steps,
            floor: t.lr_floor,
        }
    }

    /// The run's folder.
    pub fn folder(&self) -> PathBuf {
        self.run.folder.join(&self.run.name)
    }

    fn validate(&self) -> Result<()> {
        let name = &self.run.name;
        check(
            "run.name",
            !name.is_empty() && !name.contains(['/', '\\']) && name != "." && name != "..",
            || format!("`{name}` is no name of a folder"),
        )?;
        check("data.store", !self.data.store.is_empty(), || {
            "no store is given".into()
        })?;
        for (source, &weight) in &self.data.sources {
            check("data.sources", weight >= 0.0 && weight.is_finite(), || {
                format!("{source} = {weight}")
            })?;
        }
        match self.data.size {
            Some(CorpusSize::Volumes(n)) => positive("data.size", n)?,
            Some(CorpusSize::Share(part)) => {
                check("data.size", part > 0.0 && part <= 1.0, || {
                    format!("{part} is no share of one; a number of volumes has no point")
                })?;
            }
            None => {}
        }
        share("data.validation", self.data.validation, true)?;
        share("data.foreground", self.data.foreground, false)?;
        positive("data.queue", self.data.queue as u64)?;
        let spec = self.spec();
        spec.validate()
            .map_err(|e| TrainError::config("model", e.to_string()))?;
        let p = &self.patch;
        let multiple = spec.edge_multiple();
        check(
            "patch.size",
            p.size
                .iter()
                .all(|e| (1..=1024).contains(e) && e % multiple == 0),
            || {
                format!(
                    "{:?}: edges are multiples of {multiple}, up to 1024",
                    p.size
                )
            },
        )?;
        check("patch.batch", (1..=65_536).contains(&p.batch), || {
            p.batch.to_string()
        })?;
        self.mask()?;
        let t = &self.training;
        positive("training.epochs", t.epochs)?;
        positive("training.steps", t.steps.unwrap_or(1))?;
        share("training.warmup", t.warmup, true)?;
        share("training.lr_start", t.lr_start, false)?;
        let lr = t.lr > 0.0 && t.lr.is_finite() && (0.0..=t.lr).contains(&t.lr_floor);
        check("training.lr", lr, || {
            format!("{} with the floor {}", t.lr, t.lr_floor)
        })?;
        check("training.clip", t.clip.is_none_or(|c| c > 0.0), || {
            "a norm is positive".into()
        })?;
        let parts = t.accumulate > 0 && p.batch.is_multiple_of(t.accumulate);
        check("training.accumulate", parts, || {
            format!("{} does not divide the batch of {}", t.accumulate, p.batch)
        })?;
        if let Some(decay) = t.ema {
            share("training.ema", decay, true)?;
        }
        let o = &self.optimizer;
        share("optimizer.betas", o.betas[0], true)?;
        share("optimizer.betas", o.betas[1], true)?;
        check("optimizer.epsilon", o.epsilon > 0.0, || {
            o.epsilon.to_string()
        })?;
        share("optimizer.weight_decay", o.weight_decay, false)?;
        positive("output.keep", self.output.keep as u64)
    }
}

fn check(field: &'static str, holds: bool, message: impl FnOnce() -> String) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(TrainError::config(field, message())),
    }
}

/// Checks that a value is in `0..=1`, or in `0..1`.
fn share(field: &'static str, value: f64, below_one: bool) -> Result<()> {
    let holds = (0.0..=1.0).contains(&value) && !(below_one && value == 1.0);
    check(field, holds, || format!("{value} is no share of one"))
}

fn positive(field: &'static str, value: u64) -> Result<()> {
    check(field, value > 0, || "0 is too few".into())
}

/// Puts `section.field=value` into a table.
fn set(table: &mut toml::Table, text: &str) -> Result<()> {
    let bad = |message: &str| TrainError::config("--set", format!("`{text}`: {message}"));
    let (key, value) = text.split_once('=').ok_or_else(|| bad("no `=`"))?;
    let value = match format!("v = {value}").parse::<toml::Table>() {
        Ok(mut parsed) => parsed.remove("v"),
        Err(_) => None,
    };
    let value = value.unwrap_or_else(|| toml::Value::String(text[key.len() + 1..].to_owned()));
    let mut path: Vec<&str> = key.trim().split('.').collect();
    let Some(field) = path.pop() else {
        return Err(bad("no field"));
    };
    let mut table = table;
    for section in path {
        table = table
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| bad("that is no section"))?;
    }
    table.insert(field.to_owned(), value);
    Ok(())
}
