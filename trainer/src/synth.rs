//! Synthetic data sets: a BIDS tree of labelled brains that never were.
//!
//! A subject depends on the seed and its number alone, whatever the number of threads. Each is
//! made and written by one thread, so that a thread holds one at a time; what a killed run left
//! finished is kept.

mod config;
mod error;
mod preview;
mod subject;
mod tree;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

pub use self::config::{ImageConfig, LabelConfig, LesionConfig, SynthConfig};
pub use self::error::{Result, SynthError};
pub use self::preview::preview;
use self::subject::{Participant, Recipe};

/// How far a run is, or was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Subjects that are asked for.
    pub total: u64,
    /// Subjects that this run made.
    pub made: u64,
    /// Subjects that were there.
    pub present: u64,
}

impl Progress {
    /// Whether all subjects are there.
    pub fn is_complete(&self) -> bool {
        self.made + self.present == self.total
    }
}

/// Makes a tree, or what is missing of it; stops early, after the subjects under work, when
/// `stop` is set.
///
/// # Errors
///
/// [`SynthError::Tree`] where the folder holds something else, [`SynthError::Subject`] where one
/// cannot be made, [`SynthError::File`].
pub fn generate(
    config: &SynthConfig,
    out: &Path,
    threads: usize,
    stop: &AtomicBool,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Progress> {
    let recipe = Recipe::new(config)?;
    tree::begin(config, out)?;
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let state = Mutex::new(State {
        progress: Progress {
            total: config.count,
            ..Progress::default()
        },
        participants: Vec::new(),
        error: None,
    });
    let work = || {
        while !stop.load(Ordering::Relaxed) && !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= config.count {
                return;
            }
            let present = recipe.finished(index, out);
            let there = present.is_some();
            let result = present.map_or_else(|| recipe.write(index, out), Ok);
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(participant) => {
                    state.participants.push((index, participant));
                    match there {
                        true => state.progress.present += 1,
                        false => state.progress.made += 1,
                    }
                    progress(state.progress);
                }
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    state.error.get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, 1024) {
            scope.spawn(work);
        }
    });
    let mut state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.error {
        return Err(error);
    }
    state.participants.sort_by_key(|p| p.0);
    let participants: Vec<Participant> = state.participants.into_iter().map(|p| p.1).collect();
    tree::end(out, &participants)?;
    Ok(state.progress)
}

/// What the threads share.
struct State {
    progress: Progress,
    participants: Vec<(u64, Participant)>,
    error: Option<SynthError>,
}
