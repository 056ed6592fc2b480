//! The samples of a run in their order, made ahead by threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::Value;

use super::sample::{Sample, Sampler};
use crate::loader::draw::message;
use crate::loader::queue::Queue;
use crate::train::error::{Result, TrainError};
use crate::train::exchange::Exchange;
use crate::train::run::{Drawn, Source};

/// Batches that wait ready where nothing is configured.
const QUEUE: usize = 4;

/// The samples of one process. Dropping it ends its threads.
pub struct Stream {
    queue: Arc<Queue<Sample, TrainError>>,
    threads: Vec<JoinHandle<()>>,
    /// Samples of this process.
    batch: usize,
    /// Steps drawn so far, by all that went before.
    step: u64,
    /// Steps of an epoch.
    epoch: u64,
}

/// How samples are made ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// Samples a step, of all processes together.
    pub(super) batch: usize,
    /// Threads; 0 takes one for every processor but one.
    pub(super) threads: usize,
    /// Batches that wait ready; 0 takes [`QUEUE`].
    pub(super) queue: usize,
    /// Steps of an epoch.
    pub(super) epoch: u64,
}

impl Stream {
    /// Starts the threads that make this process's samples after `step` steps.
    pub(super) fn new(
        sampler: Sampler,
        ahead: Ahead,
        exchange: &dyn Exchange,
        step: u64,
    ) -> Result<Self> {
        let (rank, world) = (exchange.rank() as u64, exchange.world() as u64);
        let all = ahead.batch as u64;
        if !all.is_multiple_of(world) {
            let message = format!("{all} samples are not to be shared by {world} processes");
            return Err(TrainError::config("patch.batch", message));
        }
        let own = all / world;
        let batches = match ahead.queue {
            0 => QUEUE,
            n => n,
        };
        let mut stream = Self {
            queue: Arc::new(Queue::new((batches + 1) * own as usize)),
            threads: Vec::new(),
            batch: own as usize,
            step,
            epoch: ahead.epoch,
        };
        let sampler = Arc::new(sampler);
        let make = move |ticket: u64| {
            let number = (step + ticket / own) * all + rank * own + ticket % own;
            // A panic is an error, so that nobody waits for ever.
            catch_unwind(AssertUnwindSafe(|| sampler.sample(number))).unwrap_or_else(|panic| {
                let message = message(&*panic);
                Err(TrainError::Sample { number, message })
            })
        };
        let threads = match ahead.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().saturating_sub(1)),
            n => n,
        };
        for n in 0..threads.max(1) {
            let (queue, make) = (stream.queue.clone(), make.clone());
            let thread = std::thread::Builder::new()
                .name(format!("amaes-cases-{n}"))
                .spawn(move || queue.work(make))
                // Dropping `stream` ends those that were started.
                .map_err(|e| TrainError::config("loader.threads", e.to_string()))?;
            stream.threads.push(thread);
        }
        Ok(stream)
    }
}

impl Source<Sample> for Stream {
    fn next(&mut self) -> Result<Drawn<Sample>> {
        let began = Instant::now();
        let samples = self.queue.take(self.batch);
        let wait = began.elapsed();
        let epoch = self.step / self.epoch;
        self.step += 1;
        Ok(Drawn {
            samples: samples.into_iter().collect::<Result<_>>()?,
            epoch,
            // The number of the step says it all.
            position: Value::Null,
            wait,
            skipped: Vec::new(),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.queue.stop();
        for thread in self.threads.drain(..) {
            // A panic was caught and told before.
            let _ = thread.join();
        }
    }
}
