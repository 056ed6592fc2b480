//! From the volumes of a catalogue to a store: each is read, brought to one form by a plan and
//! written whole or not at all, several at a time within a limit of memory.

mod budget;
mod quarantine;
mod worker;

use std::collections::HashSet;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use amaes_core::preprocess::{Plan, Step};
use serde::Serialize;

use self::budget::Budget;
use self::quarantine::Quarantine;
use self::worker::{Answer, Job, Worker};
use super::archive::Kind;
use super::catalogue::{Catalogue, Entry};
use super::location::Trees;
use super::walk::own_name;
use crate::digits::name_hash;
use crate::error::Result;
use crate::store::{Access, OpenOptions, StoreError, StoreOptions, Writer};

/// Volumes that are asked of the catalogue at once.
const PAGE: usize = 256;
/// Bytes that a thread needs by default: enough for 380^3 voxels.
const PER_THREAD: u64 = 512 << 20;

/// How a corpus is prepared.
#[derive(Clone, Debug)]
pub struct PrepareOptions {
    /// The plan, and how voxels are stored.
    pub store: StoreOptions,
    /// Volumes that are worked on at once.
    pub threads: usize,
    /// Bytes that these may take together; one volume that needs more is worked on alone.
    pub memory: u64,
    /// This process' number among `world`.
    pub rank: u32,
    /// Processes that share the work, each with a number of its own from 0.
    pub world: u32,
    /// Go on with a store that is there.
    pub resume: bool,
    /// How files behind an address are read.
    pub remote: OpenOptions,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            store: StoreOptions::default(),
            threads,
            memory: PER_THREAD * threads.max(4) as u64,
            rank: 0,
            world: 1,
            resume: false,
            remote: OpenOptions::default(),
        }
    }
}

/// Something to show while a corpus is prepared.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A volume that could not be prepared.
    Quarantined {
        /// Its name in the catalogue.
        name: &'a str,
        /// Its file.
        path: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// Something else that is worth a line.
    Note(&'a str),
    /// How far it is.
    Progress(&'a PrepareSummary),
}

/// What preparing did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PrepareSummary {
    /// Volumes that are used, over all ranks.
    pub total: u64,
    /// Volumes that were written.
    pub written: u64,
    /// Volumes that were there already.
    pub present: u64,
    /// Volumes that could not be prepared.
    pub quarantined: u64,
    /// Bytes of files that were read.
    pub bytes: u64,
    /// Voxels that were read.
    pub voxels: u64,
    /// Voxels that were written.
    pub prepared_voxels: u64,
    /// Volumes in the index, where this process wrote it.
    pub sealed: Option<u64>,
    /// How long it took.
    pub seconds: f64,
}

/// Prepares the volumes of a catalogue that are used, and writes the store's index when no other
/// rank is at work.
///
/// The store does not depend on threads, ranks or how often a run was killed: what is there is
/// left alone, what a killed run left half done is done again. A volume that cannot be prepared
/// goes to `quarantine.jsonl` in the store and to the catalogue, with its reason.
///
/// # Errors
///
/// [`Error::Store`](crate::Error::Store) where the store cannot be written (another writer, other
/// options, a full disk); [`Error::Catalogue`](crate::Error::Catalogue).
pub fn prepare(
    catalogue: &Path,
    out: &Path,
    options: &PrepareOptions,
    show: &(dyn Fn(Event<'_>) + Sync),
) -> Result<PrepareSummary> {
    let started = Instant::now();
    let mut summary = PrepareSummary {
        total: Catalogue::open(catalogue)?.selected()?.used,
        ..PrepareSummary::default()
    };
    let access = match options.world {
        0 | 1 => Access::Alone,
        _ => Access::Rank(options.rank),
    };
    let writer = match options.resume {
        true => Writer::open_for_resume(out, options.store.clone(), access)?,
        false => Writer::create(out, options.store.clone(), access)?,
    };
    let mut quarantine = Quarantine::create(out, options.rank, options.world)?;
    run(
        catalogue,
        &writer,
        options,
        show,
        &mut summary,
        &mut quarantine,
        started,
    )?;
    quarantine.finish()?;
    match writer.seal() {
        Ok(n) => {
            summary.sealed = Some(n as u64);
            let found = quarantine::merge(out, options.world)?;
            match Catalogue::create(catalogue) {
                Ok(writable) => writable.set_quarantine(found.into_iter())?,
                Err(error) => show(Event::Note(&format!(
                    "the catalogue does not say what was quarantined: {error}"
                ))),
            }
        }
        Err(StoreError::Locked { .. }) => {
            show(Event::Note(
                "other ranks are at work: the last one writes the index",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

/// Whether a volume is this rank's: by its name, so that it does not matter in which order a
/// catalogue lists them.
fn is_mine(name: &str, options: &PrepareOptions) -> bool {
    options.world <= 1 || name_hash(name) % u64::from(options.world) == u64::from(options.rank)
}

fn run(
    catalogue: &Path,
    writer: &Writer,
    options: &PrepareOptions,
    show: &(dyn Fn(Event<'_>) + Sync),
    summary: &mut PrepareSummary,
    quarantine: &mut Quarantine,
    started: Instant,
) -> Result<()> {
    let threads = options.threads.max(1);
    let (jobs, taken) = sync_channel::<Job>(2 * threads);
    let (answers, heard) = sync_channel::<Answer>(2 * threads);
    let budget = Budget::new(options.memory);
    let taken = Arc::new(Mutex::new(taken));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (answers, taken) = (answers.clone(), Arc::clone(&taken));
            let budget = &budget;
            scope.spawn(move || {
                let mut worker = Worker::new(catalogue, writer, budget, options);
                while let Some(job) = next(&taken) {
                    if !worker.run(job, &mut |answer| answers.send(answer).is_ok()) {
                        break;
                    }
                }
            });
        }
        drop((answers, taken));
        let feeder = scope.spawn(move || feed(catalogue, writer, options, &jobs));
        let done = collect(&heard, show, summary, quarantine, started);
        drop(heard);
        let fed = feeder
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let present = done.and(fed)?;
        summary.present += present;
        Ok(())
    })
}

fn next(taken: &Mutex<Receiver<Job>>) -> Option<Job> {
    taken
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}

/// Hands on the volumes that are not there yet; how many are.
fn feed(
    catalogue: &Path,
    writer: &Writer,
    options: &PrepareOptions,
    jobs: &SyncSender<Job>,
) -> Result<u64> {
    let catalogue = Catalogue::open(catalogue)?;
    let mut present = 0;
    let mut trees = Trees::new(options.remote.clone());
    let mut streams: HashSet<i64> = HashSet::new();
    let mut after = 0;
    loop {
        let page = catalogue.used_after(after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(present);
        };
        after = last.id;
        for entry in page {
            if !is_mine(&entry.name, options) {
                continue;
            }
            if writer.contains(&entry.name) {
                present += 1;
                continue;
            }
            let location = trees.get(&entry.root)?.file(&entry.place.path);
            let job = match Kind::of(&own_name(&location.path())) {
                Some(Kind::TarGz) if !streams.insert(entry.file) => continue,
                Some(Kind::TarGz) => Job::Stream {
                    file: entry.file,
                    archive: location,
                },
                kind => Job::Volume(Box::new(entry), location, kind),
            };
            if jobs.send(job).is_err() {
                // The reason is known to those who do not listen.
                return Ok(present);
            }
        }
    }
}

/// Takes the results; the first error that is not about one volume ends the run.
fn collect(
    heard: &Receiver<Answer>,
    show: &(dyn Fn(Event<'_>) + Sync),
    summary: &mut PrepareSummary,
    quarantine: &mut Quarantine,
    started: Instant,
) -> Result<u64> {
    for answer in heard {
        match answer {
            Answer::Written {
                bytes,
                voxels,
                prepared,
            } => {
                summary.written += 1;
                summary.bytes += bytes;
                summary.voxels += voxels;
                summary.prepared_voxels += prepared;
            }
            Answer::Present => summary.present += 1,
            Answer::Quarantined { name, path, reason } => {
                summary.quarantined += 1;
                quarantine.add(&name, &path, &reason)?;
                show(Event::Quarantined {
                    name: &name,
                    path: &path,
                    reason: &reason,
                });
            }
            Answer::Failed(error) => return Err(error),
        }
        summary.seconds = started.elapsed().as_secs_f64();
        show(Event::Progress(summary));
    }
    Ok(0)
}

/// Bytes that a volume takes at most while it is prepared: two copies in the larger of its grids.
fn bytes_needed(entry: &Entry, plan: &Plan) -> u64 {
    let voxels = |shape: [f64; 3]| shape.iter().product::<f64>();
    let native = voxels(entry.shape.map(|n| n as f64));
    let mut most = native;
    for step in &plan.steps {
        let size = match step {
            Step::Resample { spacing, .. } => {
                // In whatever orientation: the axes of a spacing may be any of the volume's.
                let finest = spacing.iter().copied().fold(f64::INFINITY, f64::min);
                voxels(
                    [0, 1, 2].map(|a| (entry.shape[a] as f64 * entry.spacing[a] / finest).ceil()),
                )
            }
            Step::Conform { size, .. } => (*size as f64).powi(3),
            _ => native,
        };
        most = most.max(size);
    }
    // A gibibyte of voxels is refused elsewhere; casting saturates.
    (8.5 * most) as u64 + (4 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_share_every_volume_once() {
        let names: Vec<String> = (0..2000)
            .map(|i| format!("sub-{i:04}_T1w-0011aabb"))
            .collect();
        let mut counts = [0; 5];
        for name in &names {
            let mine: Vec<u32> = (0..5)
                .filter(|&rank| {
                    let world = 5;
                    is_mine(
                        name,
                        &PrepareOptions {
                            rank,
                            world,
                            ..PrepareOptions::default()
                        },
                    )
                })
                .collect();
            assert_eq!(mine.len(), 1);
            counts[mine[0] as usize] += 1;
        }
        assert!(counts.iter().all(|n| (320..480).contains(n)), "{counts:?}");
    }
}
