//! Random patches of a store, decoded and transformed by threads while the caller computes.
//!
//! Which sample comes when depends on the seed, the epoch and the sample's number alone: not on
//! threads, queue or rank. A [`Position`] says where to go on after a batch. `docs/store.md`
//! describes the order.

pub(crate) mod draw;
mod error;
mod order;
mod permute;
pub(crate) mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::store::Store;

pub use self::error::LoaderError;
pub(crate) use self::permute::Random;

use self::draw::{Drawer, Drawn};
use self::order::Order;
use self::queue::{Pool, Queue};

/// How samples are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoaderConfig {
    /// Voxels of a patch as the transform gets it, x first. Where the transform crops, this is the
    /// larger size it needs.
    pub patch: [usize; 3],
    /// Samples of a batch of this rank.
    pub batch: usize,
    /// Decides everything that is random.
    pub seed: u64,
    /// Threads that decode and transform; 0 is one a core.
    pub threads: usize,
    /// Batches kept ready.
    pub queue: usize,
    /// How often volumes of a source are drawn beside those of others; 1 where absent, 0 leaves
    /// the source out. Twice the weight is twice as many draws for each volume.
    pub weights: BTreeMap<String, f64>,
    /// Part of the patches that are centred on a block with foreground, 0 to 1; the others lie
    /// anywhere with equal probability.
    pub foreground: f64,
    /// Samples of an epoch of all ranks; by default one for each volume that is drawn from.
    pub epoch: Option<u64>,
    /// Number of this process among `world`.
    pub rank: usize,
    /// Processes that share each batch's samples.
    pub world: usize,
    /// What a damaged volume does.
    pub damage: Damage,
    /// Entries of the store that no sample is drawn from.
    pub held_out: Vec<usize>,
    /// Where to begin.
    pub start: Position,
}

impl Default for LoaderConfig {
    /// As the reference: patches of 128^3, eight a batch, one a volume and epoch.
    fn default() -> Self {
        Self {
            patch: [128; 3],
            batch: 8,
            seed: 0,
            threads: 0,
            queue: 2,
            weights: BTreeMap::new(),
            foreground: 0.0,
            epoch: None,
            rank: 0,
            world: 1,
            damage: Damage::Stop,
            held_out: Vec::new(),
            start: Position::default(),
        }
    }
}

/// What a damaged chunk or a lost file of a volume does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Damage {
    /// Ends the run with an error that names it.
    #[default]
    Stop,
    /// Another volume is drawn in its place, and the batch tells.
    Skip,
}

/// A place in the sequence of batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Batch of the epoch, from 0.
    pub step: u64,
    /// Of what: the store's index and what the order depends on. 0 is not checked.
    pub fingerprint: u32,
}

/// Voxels of a volume before the transform.
#[derive(Debug)]
pub struct RawPatch {
    /// Values, x fastest. The memory is used again when the patch is dropped; take it with
    /// [`RawPatch::into_data`] to keep it.
    pub data: Vec<f32>,
    /// Voxels along each axis, x first.
    pub shape: [usize; 3],
    /// The volume, among the store's entries.
    pub entry: usize,
    /// First voxel of the patch in the volume; negative where the patch begins before it.
    pub start: [i64; 3],
    pool: Option<Arc<Pool>>,
}

impl RawPatch {
    /// A patch of one's own, for tests of transforms.
    pub fn new(data: Vec<f32>, shape: [usize; 3], entry: usize, start: [i64; 3]) -> Self {
        Self {
            data,
            shape,
            entry,
            start,
            pool: None,
        }
    }

    /// The values.
    pub fn into_data(mut self) -> Vec<f32> {
        self.pool = None;
        std::mem::take(&mut self.data)
    }
}

impl Drop for RawPatch {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give(std::mem::take(&mut self.data));
        }
    }
}

/// Seed of one sample's transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleSeed(pub u64);

/// What a network is shown and what it should make of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Input values, x fastest.
    pub input: Vec<f32>,
    /// Target values; empty where they are the input's.
    pub target: Vec<f32>,
    /// Voxels along each axis, x first.
    pub shape: [usize; 3],
}

/// Samples of one step.
#[derive(Clone, Debug)]
pub struct Batch<S = Sample> {
    /// The samples of this rank, in order.
    pub samples: Vec<S>,
    /// Where to go on after this batch.
    pub position: Position,
    /// How long the caller waited for it.
    pub wait: Duration,
    /// What was skipped on the way: each damaged volume's error.
    pub skipped: Vec<String>,
}

/// Makes a sample of a patch. The same patch and seed must give the same sample.
pub type Transform<S = Sample> = Arc<dyn Fn(RawPatch, SampleSeed) -> S + Send + Sync>;

/// An endless sequence of batches, made ahead by threads; epochs follow each other.
///
/// Memory: `(queue + 1) * batch` finished samples, and for each thread one patch, one chunk and
/// what the transform takes. Dropping the loader ends its threads. After an error there is nothing
/// more.
pub struct Loader<S = Sample> {
    queue: Arc<Queue<Drawn<S>, LoaderError>>,
    pool: Arc<Pool>,
    threads: Vec<JoinHandle<()>>,
    position: Position,
    steps: u64,
    batch: usize,
    ended: bool,
}

impl<S> std::fmt::Debug for Loader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("position", &self.position)
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

impl<S: Send + 'static> Loader<S> {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// [`LoaderError::Config`] names the field; [`LoaderError::Position`] when the start is of
    /// another store or configuration; [`LoaderError::Thread`].
    pub fn new(
        store: Arc<Store>,
        config: &LoaderConfig,
        transform: Transform<S>,
    ) -> Result<Self, LoaderError> {
        let order = Order::new(&store, config)?;
        let steps = order.steps();
        let fingerprint = order.fingerprint();
        let start = config.start;
        if start.fingerprint != 0 && start.fingerprint != fingerprint {
            return Err(LoaderError::Position {
                found: start.fingerprint,
                expected: fingerprint,
            });
        }
        if start.step >= steps {
            return Err(LoaderError::config(
                "start",
                format!("step {} of an epoch of {steps}", start.step),
            ));
        }
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let pool = Arc::new(Pool::new(config.patch.iter().product()));
        let drawer = Arc::new(Drawer::new(store, order, config, pool.clone(), transform));
        let queue = Arc::new(Queue::new((config.queue + 1) * config.batch));
        let mut loader = Self {
            queue,
            pool,
            threads: Vec::new(),
            position: Position {
                fingerprint,
                ..start
            },
            steps,
            batch: config.batch,
            ended: false,
        };
        for i in 0..threads {
            let (queue, drawer) = (loader.queue.clone(), drawer.clone());
            let thread = std::thread::Builder::new()
                .name(format!("amaes-load-{i}"))
                .spawn(move || queue.work(|ticket| drawer.draw(ticket)))
                // Dropping `loader` ends those that were started.
                .map_err(LoaderError::Thread)?;
            loader.threads.push(thread);
        }
        Ok(loader)
    }

    /// Batches of an epoch.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes memory that is no longer needed, such as a sample's input, for patches to come; only
    /// what has a patch's length is kept.
    pub fn recycle(&self, values: Vec<f32>) {
        self.pool.give(values);
    }

    /// Where the next batch is.
    pub fn position(&self) -> Position {
        self.position
    }
}

impl<S: Send + 'static> Iterator for Loader<S> {
    type Item = Result<Batch<S>, LoaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let began = Instant::now();
        let drawn = self.queue.take(self.batch);
        let wait = began.elapsed();
        let mut batch = Batch {
            samples: Vec::with_capacity(self.batch),
            position: self.position,
            wait,
            skipped: Vec::new(),
        };
        for drawn in drawn {
            match drawn {
                Ok(drawn) => {
                    batch.samples.push(drawn.sample);
                    batch.skipped.extend(drawn.skipped);
                }
                Err(error) => {
                    self.ended = true;
                    self.queue.stop();
                    return Some(Err(error));
                }
            }
        }
        self.position.step += 1;
        if self.position.step == self.steps {
            self.position.epoch += 1;
            self.position.step = 0;
        }
        batch.position = self.position;
        Some(Ok(batch))
    }
}

impl<S> Drop for Loader<S> {
    fn drop(&mut self) {
        self.queue.stop();
        for thread in self.threads.drain(..) {
            // A panic was caught and told before.
            let _ = thread.join();
        }
    }
}
