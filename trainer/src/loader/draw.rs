//! One sample: read, with other volumes in place of damaged ones, and transformed.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::store::Store;

use super::error::LoaderError;
use super::order::{Order, place};
use super::permute::mix;
use super::queue::Pool;
use super::{Damage, LoaderConfig, RawPatch, SampleSeed, Transform};

/// Volumes that are skipped for one sample before that is an error.
const MOST_SKIPPED: usize = 15;

/// A sample and what was skipped for it.
#[derive(Debug)]
pub(crate) struct Drawn<S> {
    pub(crate) sample: S,
    pub(crate) skipped: Vec<String>,
}

/// Draws samples; threads share one.
pub(crate) struct Drawer<S> {
    store: Arc<Store>,
    order: Order,
    patch: [usize; 3],
    foreground: f64,
    damage: Damage,
    first: u64,
    pool: Arc<Pool>,
    transform: Transform<S>,
}

impl<S> Drawer<S> {
    pub(crate) fn new(
        store: Arc<Store>,
        order: Order,
        config: &LoaderConfig,
        pool: Arc<Pool>,
        transform: Transform<S>,
    ) -> Self {
        let first_batch = config.start.epoch * order.steps() + config.start.step;
        Self {
            store,
            patch: config.patch,
            foreground: config.foreground,
            damage: config.damage,
            first: first_batch * config.batch as u64,
            order,
            pool,
            transform,
        }
    }

    /// The `ticket`th sample since the start. A panic is an error, so that nobody waits for ever.
    pub(crate) fn draw(&self, ticket: u64) -> Result<Drawn<S>, LoaderError> {
        let (epoch, sample) = self.order.sample(self.first + ticket);
        let entry = Cell::new(self.order.entry(epoch, sample));
        catch_unwind(AssertUnwindSafe(|| self.sample(epoch, sample, &entry))).unwrap_or_else(
            |panic| {
                Err(LoaderError::Panic {
                    epoch,
                    sample,
                    volume: self.store.entries()[entry.get()].id.clone(),
                    message: message(&*panic),
                })
            },
        )
    }

    /// A sample of `entry`, which changes where that volume is damaged.
    fn sample(
        &self,
        epoch: u64,
        sample: u64,
        entry: &Cell<usize>,
    ) -> Result<Drawn<S>, LoaderError> {
        let mut skipped = Vec::new();
        let mut attempt = 0;
        loop {
            let seed = self.order.seed(epoch, sample, attempt);
            if attempt > 0 {
                entry.set(self.order.another(seed));
            }
            let start = place(&self.store, entry.get(), self.patch, self.foreground, seed);
            let mut data = self.pool.take();
            let read = self.store.read(entry.get(), start, self.patch, &mut data);
            let raw = RawPatch {
                data,
                shape: self.patch,
                entry: entry.get(),
                start,
                pool: Some(self.pool.clone()),
            };
            match read {
                Ok(()) => {
                    // Another stream than the patch's place is drawn from.
                    let seed = SampleSeed(mix(seed, u64::MAX));
                    let sample = (self.transform)(raw, seed);
                    return Ok(Drawn { sample, skipped });
                }
                Err(source) if source.is_damage() && self.damage == Damage::Skip => {
                    if skipped.len() == MOST_SKIPPED {
                        return Err(LoaderError::TooMuchDamage {
                            epoch,
                            sample,
                            skipped: skipped.len() + 1,
                            source: Box::new(source),
                        });
                    }
                    skipped.push(source.to_string());
                    attempt += 1;
                }
                Err(source) => {
                    return Err(LoaderError::Read {
                        epoch,
                        sample,
                        source: Box::new(source),
                    });
                }
            }
        }
    }
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
