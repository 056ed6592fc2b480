//! The configuration of pretraining: a TOML file, every field of which has the reference's value
//! where it is left out (AMAES, `src/pretrain.py`; of SwinUNETR's pretext, what it was published
//! with).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amaes_core::augment::{AugmentConfig, Preset};
use amaes_core::model::Spec;
use amaes_core::nn::Precision;
use amaes_core::pretext::{BlockMask, LossOver};
use serde::{Deserialize, Serialize};

use super::adamw::AdamWConfig;
use super::backbone::Backbone;
use super::error::{Result, TrainError};
use super::memory;
use super::pretext::PretextConfig;
use super::schedule::Schedule;
use super::sections::{
    self, OutputConfig, RunConfig, accumulate, check, is_single, patch_size, positive, share,
};
use super::task::Settings;
use crate::loader::Damage;
use crate::store::{CacheOptions, OpenOptions};

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
    /// What the network is pretrained for.
    #[serde(skip_serializing_if = "PretextConfig::is_amaes")]
    pub pretext: PretextConfig,
    /// Steps, learning rates, averaging.
    pub training: TrainingConfig,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// What is written, and when.
    pub output: OutputConfig,
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
    /// MiB of decoded chunks that a process keeps in memory, two bytes a voxel, taken as they are
    /// read; 0 keeps none.
    pub memory_mib: u64,
    /// A folder that keeps what was fetched of a store that is not on the file system.
    pub cache: Option<PathBuf>,
    /// MiB that it may take.
    pub cache_mib: u64,
}

/// MiB of the largest memory and disk cache that can be asked for: 1 TiB and 1 PiB.
const MOST_MEMORY: u64 = 1 << 20;
const MOST_CACHE: u64 = 1 << 30;

impl DataConfig {
    /// How the store is opened.
    pub(super) fn options(&self) -> Result<OpenOptions> {
        self.keeping()?;
        let bytes = |mib: u64| mib << 20;
        let cache = self.cache.as_ref().map(|folder| CacheOptions {
            folder: folder.clone(),
            bytes: bytes(self.cache_mib),
        });
        Ok(OpenOptions {
            memory: usize::try_from(bytes(self.memory_mib)).unwrap_or(usize::MAX),
            cache,
            ..OpenOptions::default()
        })
    }

    /// Checks what is kept of the store.
    fn keeping(&self) -> Result<()> {
        let total = memory::total_mib().unwrap_or(MOST_MEMORY as f64);
        let most = (total as u64).min(MOST_MEMORY);
        check("data.memory_mib", self.memory_mib <= most, || {
            format!("{}: at most {most}, the machine's memory", self.memory_mib)
        })?;
        let holds = (4..=MOST_CACHE).contains(&self.cache_mib);
        check("data.cache_mib", holds, || {
            format!("{} is not within 4 to {MOST_CACHE}", self.cache_mib)
        })
    }
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

/// Patches and their masks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatchConfig {
    /// Edges in voxels; multiples of the masked blocks and of 16, for a residual encoder of 32.
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
    /// Computes activations again in the backward pass in place of keeping them: less memory, a
    /// third more time.
    pub checkpoint_activations: bool,
    /// What activations and their gradients are stored as: `float32`, or `float16` on graphics cards
    /// that have it.
    #[serde(skip_serializing_if = "is_single")]
    pub precision: Precision,
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
            memory_mib: 1024,
            cache: None,
            cache_mib: 65_536,
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
            checkpoint_activations: false,
            precision: Precision::Float32,
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
        let table = sections::table(path, overrides)?;
        Self::from_table(table, path.unwrap_or(Path::new("configuration")))
    }

    /// A configuration that was put together as a table; errors call it `name`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Toml`] and [`TrainError::Config`] with the field.
    pub fn from_table(table: toml::Table, name: &Path) -> Result<Self> {
        let kind = table.get("pretext").and_then(|p| p.get("kind")?.as_str());
        let base = match kind {
            Some(PretextConfig::SWIN_UNETR) => Self::swin_unetr(),
            _ => Self::default(),
        };
        let config = sections::over(&base, table, name)?;
        config.validate()?;
        Ok(config)
    }

    /// What SwinUNETR was pretrained with: the published code's defaults.
    fn swin_unetr() -> Self {
        Self {
            model: ModelConfig {
                backbone: Backbone::Swinunetr,
                ..ModelConfig::default()
            },
            patch: PatchConfig {
                size: [96; 3],
                batch: 4,
                ..PatchConfig::default()
            },
            augment: AugmentConfig::preset(Preset::None),
            training: TrainingConfig {
                // 500 of 100,000 steps.
                warmup: 0.005,
                lr: 4e-4,
                ..TrainingConfig::default()
            },
            optimizer: AdamWConfig {
                weight_decay: 0.1,
                ..AdamWConfig::default()
            },
            ..Self::default()
        }
    }

    /// The configuration as a file that [`read`](Self::read) reads.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] for a value that TOML cannot write.
    pub fn to_toml(&self) -> Result<String> {
        sections::to_toml(self)
    }

    /// The network to pretrain.
    pub fn spec(&self) -> Spec {
        let m = &self.model;
        let double = m.decoder == DecoderSize::Standard;
        match (
            m.backbone.restoring(m.filters, double, m.skips),
            &self.pretext,
        ) {
            (Some(Spec::SwinUNETR(config)), PretextConfig::SwinUNETR(_)) => {
                Spec::SwinUNETR(config.views())
            }
            (Some(spec), _) => spec,
            // What is not pretrained is refused before.
            (None, _) => m.backbone.segmenting(m.filters).with_channels(1, 1),
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

    /// How the network learns.
    pub fn settings(&self) -> Settings {
        Settings {
            optimizer: self.optimizer,
            accumulate: self.training.accumulate,
            clip: self.training.clip,
            ema: self.training.ema,
            frozen: 0,
            checkpoint_activations: self.training.checkpoint_activations,
            precision: self.training.precision,
        }
    }

    /// The run's folder.
    pub fn folder(&self) -> PathBuf {
        self.run.path()
    }

    fn validate(&self) -> Result<()> {
        self.run.validate()?;
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
        self.data.keeping()?;
        let backbone = self.model.backbone;
        let swin = backbone.is_swin_unetr();
        check("pretext.kind", swin || self.pretext.is_amaes(), || {
            "swinunetr is for the backbones swinunetr and swinunetr-v2".into()
        })?;
        let single = is_single(&self.training.precision);
        let amaes = self.pretext.is_amaes();
        check("training.precision", single || amaes, || {
            "SwinUNETR's pretext has float32 alone".into()
        })?;
        let light = self.model.decoder == DecoderSize::Light && !self.model.skips;
        check("model.decoder", light || !swin, || {
            "SwinUNETR restores with the light decoder, which has no skips".into()
        })?;
        let spec = self.spec();
        let pretrained = backbone.restoring(None, false, false).is_some();
        check("model.backbone", pretrained, || {
            let name = spec.name();
            format!("a {name} has no decoder that restores images; it is finetuned only")
        })?;
        spec.validate()
            .map_err(|e| TrainError::config("model", e.to_string()))?;
        let p = &self.patch;
        let multiple = spec.edge_multiple();
        patch_size(p.size, multiple)?;
        check("patch.batch", (1..=65_536).contains(&p.batch), || {
            p.batch.to_string()
        })?;
        match &self.pretext {
            PretextConfig::Amaes(_) => {
                self.mask()?;
            }
            PretextConfig::SwinUNETR(views) => {
                accumulate(self.training.accumulate, p.batch)?;
                views.validate(p.size, p.batch / self.training.accumulate)?;
                let deepest: usize = p.size.iter().map(|e| e / multiple).product();
                check("patch.size", deepest > 1, || {
                    format!(
                        "{:?}: the heads read two voxels of the deepest features",
                        p.size
                    )
                })?;
            }
        }
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
        accumulate(t.accumulate, p.batch)?;
        if let Some(decay) = t.ema {
            share("training.ema", decay, true)?;
        }
        self.optimizer.validate()?;
        self.output.validate()
    }
}
