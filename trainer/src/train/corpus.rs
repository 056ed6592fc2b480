//! Samples of a store: volumes held out for validation, and a stream of the others.

use std::sync::Arc;

use amaes_core::augment::{AugmentConfig, Pipeline, Preset};
use amaes_core::preprocess::Plan;
use amaes_core::volume::{Affine, Grid, Volume};

use super::config::{CorpusSize, PretrainConfig};
use super::error::{Result, TrainError};
use super::exchange::Exchange;
use super::run::{Drawn, Source};
use super::sample::Pretext;
use crate::digits::{name_hash, spread};
use crate::loader::{Loader, LoaderConfig, Position, RawPatch, SampleSeed};
use crate::store::Store;

/// Samples to validate on at most: enough for a mean, few enough to be quick.
const MOST_VALIDATION: usize = 64;

/// A store, divided.
#[derive(Debug)]
pub struct Corpus {
    store: Arc<Store>,
    config: PretrainConfig,
    /// Entries held out, in the order of the store.
    held_out: Vec<usize>,
    /// Entries that are neither trained on nor validated on, in the order of the store.
    left_out: Vec<usize>,
}

impl Corpus {
    /// Opens the configured store and divides it.
    ///
    /// # Errors
    ///
    /// Those of the store, and as [`new`](Self::new).
    pub fn open(config: &PretrainConfig) -> Result<Self> {
        let store = Store::open_with(&config.data.store, &config.data.options()?)?;
        Self::new(store, config)
    }

    /// Holds out the configured share of the volumes, drawn by the seed and their names: at least
    /// one where a share is asked for, and never all. They are the same for every `data.size`,
    /// which takes the first of the others.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] when the store has no volume to train on, or fewer than are asked
    /// for.
    pub fn new(store: Store, config: &PretrainConfig) -> Result<Self> {
        let entries = store.entries();
        if entries.is_empty() {
            return Err(TrainError::config("data.store", "it holds no volume"));
        }
        let mut drawn: Vec<(u64, usize)> = entries
            .iter()
            .enumerate()
            .map(|(n, entry)| (mix(config.run.seed, &entry.id), n))
            .collect();
        drawn.sort_unstable();
        let share = config.data.validation;
        let count = match share > 0.0 {
            true => ((entries.len() as f64 * share).round() as usize).max(1),
            false => 0,
        };
        let mut held_out: Vec<usize> = drawn.into_iter().map(|(_, n)| n).collect();
        let rest = held_out.split_off(count.min(entries.len() - 1));
        held_out.sort_unstable();
        let (used, mut left_out): (Vec<usize>, Vec<usize>) = rest.into_iter().partition(|&n| {
            let weight = config.data.sources.get(&entries[n].source);
            weight.is_none_or(|&w| w > 0.0)
        });
        let size = config.data.size.map_or(used.len(), |s| s.of(used.len()));
        if let Some(CorpusSize::Volumes(n)) = config.data.size
            && n > used.len() as u64
        {
            let message = format!("{n} volumes of {}", used.len());
            return Err(TrainError::config("data.size", message));
        }
        left_out.extend(&used[size..]);
        left_out.sort_unstable();
        Ok(Self {
            store: Arc::new(store),
            config: config.clone(),
            held_out,
            left_out,
        })
    }

    /// The preprocessing of its volumes.
    pub fn plan(&self) -> &Plan {
        &self.store.attributes().plan
    }

    /// Volumes to train on.
    pub fn volumes(&self) -> u64 {
        (self.store.entries().len() - self.held_out.len() - self.left_out.len()) as u64
    }

    /// A sample of the middle of every volume held out, which is not augmented. Of many volumes
    /// some, evenly spread.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when a volume cannot be read.
    pub fn validation<P: Pretext>(&self, pretext: &P) -> Result<Vec<P::Sample>> {
        let patch = self.config.patch.size;
        let pipeline = pipeline(AugmentConfig::preset(Preset::None))?;
        let every = self.held_out.len().div_ceil(MOST_VALIDATION).max(1);
        let mut samples = Vec::new();
        for &entry in self.held_out.iter().step_by(every) {
            let volume = &self.store.entries()[entry];
            let start = [0, 1, 2].map(|a| (volume.shape[a] as i64 - patch[a] as i64).div_euclid(2));
            let mut data = vec![0.0; patch.iter().product()];
            self.store.read(entry, start, patch, &mut data)?;
            let seed = mix(self.config.run.seed, &volume.id);
            let raw = RawPatch::new(data, patch, entry, start);
            samples.push(sample(&pipeline, pretext, patch, raw, seed));
        }
        pretext.mix(&mut samples);
        Ok(samples)
    }
}

fn pipeline(augment: AugmentConfig) -> Result<Pipeline> {
    Pipeline::new(augment).map_err(|e| TrainError::config("augment", e.to_string()))
}

/// Makes a sample of a patch that is as large as the pipeline asks for.
fn sample<P: Pretext>(
    pipeline: &Pipeline,
    pretext: &P,
    patch: [usize; 3],
    raw: RawPatch,
    seed: u64,
) -> P::Sample {
    let augmented = pipeline.apply(&raw.data, raw.shape, patch, seed);
    let augmented = augmented.unwrap_or_else(|error| panic!("{error}"));
    drop(raw);
    pretext.sample(
        to_c_order(augmented.input, patch),
        to_c_order(augmented.target, patch),
        seed.rotate_left(32),
    )
}

/// The samples of a run, in their order.
pub struct Stream<P: Pretext> {
    loader: Loader<P::Sample>,
    pretext: Arc<P>,
}

impl<P: Pretext> Stream<P> {
    /// Starts the threads that make this process's samples, from `position` on; `null` is the
    /// beginning.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when the batch is not the processes' to share, or the position is of another
    /// corpus.
    pub fn new(
        corpus: &Corpus,
        config: &PretrainConfig,
        pretext: P,
        exchange: &dyn Exchange,
        position: &serde_json::Value,
    ) -> Result<Self> {
        let (rank, world) = (exchange.rank(), exchange.world());
        let batch = config.patch.batch;
        if !batch.is_multiple_of(world) {
            let message = format!("{batch} samples are not to be shared by {world} processes");
            return Err(TrainError::config("patch.batch", message));
        }
        let start = match position {
            serde_json::Value::Null => Position::default(),
            position => serde_json::from_value(position.clone())
                .map_err(|e| TrainError::config("resume", format!("position: {e}")))?,
        };
        let pipeline = pipeline(config.augment.clone())?;
        let threads = match config.data.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().saturating_sub(1)),
            n => n,
        };
        let loader = LoaderConfig {
            patch: pipeline.source_size(config.patch.size),
            batch: batch / world,
            seed: config.run.seed,
            threads: threads.max(1),
            queue: config.data.queue,
            weights: config.data.sources.clone(),
            foreground: config.data.foreground,
            // A corpus smaller than a batch is gone through more than once.
            epoch: Some(corpus.volumes().max(batch as u64)),
            rank,
            world,
            damage: config.data.damage,
            held_out: [corpus.held_out.as_slice(), &corpus.left_out].concat(),
            start,
        };
        let pretext = Arc::new(pretext);
        let (makes, patch) = (pretext.clone(), config.patch.size);
        let transform = move |raw: RawPatch, seed: SampleSeed| {
            sample(&pipeline, makes.as_ref(), patch, raw, seed.0)
        };
        Ok(Self {
            loader: Loader::new(corpus.store.clone(), &loader, Arc::new(transform))?,
            pretext,
        })
    }
}

impl<P: Pretext> Source<P::Sample> for Stream<P> {
    fn next(&mut self) -> Result<Drawn<P::Sample>> {
        let epoch = self.loader.position().epoch;
        let mut batch = match self.loader.next() {
            Some(batch) => batch?,
            None => unreachable!("a loader ends with an error only, and a run with it"),
        };
        self.pretext.mix(&mut batch.samples);
        Ok(Drawn {
            samples: batch.samples,
            epoch,
            position: serde_json::to_value(batch.position)
                .map_err(|e| TrainError::config("resume", e.to_string()))?,
            wait: batch.wait,
            skipped: batch.skipped,
        })
    }
}

/// A patch with the first axis fastest, in the order of tensors `[x, y, z]`: the last axis fastest.
pub(super) fn to_c_order<T: Copy>(values: Vec<T>, shape: [usize; 3]) -> Vec<T> {
    let affine = Affine::IDENTITY;
    match Volume::new(Grid { shape, affine }, values) {
        Ok(patch) => patch.to_c_order(),
        Err(error) => panic!("{error}"),
    }
}

/// A number that depends on a seed and a name.
fn mix(seed: u64, name: &str) -> u64 {
    spread(name_hash(name) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
