//! Samples made ahead and handed out in order, within bounds.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Numbered places for samples: threads take numbers in order and fill the places as they finish.
pub(crate) struct Queue<S, E> {
    state: Mutex<State<S, E>>,
    /// Places were taken, or all should stop.
    room: Condvar,
    /// A sample was finished, or all should stop.
    ready: Condvar,
    capacity: usize,
}

struct State<S, E> {
    /// Number of the first place.
    first: u64,
    /// Next number that a thread takes.
    next: u64,
    places: VecDeque<Option<Result<S, E>>>,
    stop: bool,
}

impl<S, E> Queue<S, E> {
    /// At most `capacity` samples are begun but not taken.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                first: 0,
                next: 0,
                places: VecDeque::new(),
                stop: false,
            }),
            room: Condvar::new(),
            ready: Condvar::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<S, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does: makes samples until it is stopped.
    pub(crate) fn work(&self, make: impl Fn(u64) -> Result<S, E>) {
        loop {
            let ticket = {
                let mut state = self.lock();
                while !state.stop && state.places.len() >= self.capacity {
                    state = self
                        .room
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                if state.stop {
                    return;
                }
                state.places.push_back(None);
                state.next += 1;
                state.next - 1
            };
            let made = make(ticket);
            let mut state = self.lock();
            let place = (ticket - state.first) as usize;
            if let Some(place) = state.places.get_mut(place) {
                *place = Some(made);
            }
            drop(state);
            self.ready.notify_one();
        }
    }

    /// The next `count` samples in order, or up to the first error.
    pub(crate) fn take(&self, count: usize) -> Vec<Result<S, E>> {
        let mut taken = Vec::with_capacity(count);
        let mut state = self.lock();
        while taken.len() < count && !state.stop {
            match state.places.front_mut().and_then(Option::take) {
                Some(made) => {
                    state.places.pop_front();
                    state.first += 1;
                    self.room.notify_one();
                    let failed = made.is_err();
                    taken.push(made);
                    if failed {
                        break;
                    }
                }
                None => {
                    state = self
                        .ready
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        taken
    }

    /// Ends the threads as soon as they finish what they are at.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stop = true;
        state.places.clear();
        drop(state);
        self.room.notify_all();
        self.ready.notify_all();
    }
}

/// Memory of patches that were dropped, for the next ones: new memory costs as much as decoding a
/// third of a patch.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Mutex<Vec<Vec<f32>>>,
    /// Values of a patch.
    length: usize,
}

/// Buffers that are kept.
const KEPT: usize = 64;

impl Pool {
    pub(crate) fn new(length: usize) -> Self {
        Self {
            free: Mutex::default(),
            length,
        }
    }

    /// Memory for a patch, with whatever values.
    pub(crate) fn take(&self) -> Vec<f32> {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        free.unwrap_or_else(|| vec![0.0; self.length])
    }

    /// Takes memory back; what has not the length of a patch is freed.
    pub(crate) fn give(&self, buffer: Vec<f32>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT && buffer.len() == self.length {
            free.push(buffer);
        }
    }
}
