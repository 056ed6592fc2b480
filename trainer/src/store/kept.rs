//! Decoded chunks that stay in memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Stored numbers of the first chunks that were read, as many as a budget holds.
#[derive(Debug)]
pub(super) struct Kept {
    state: RwLock<State>,
    budget: usize,
}

#[derive(Debug, Default)]
struct State {
    /// By volume and number of the chunk in it.
    chunks: HashMap<(usize, usize), Arc<[u16]>>,
    bytes: usize,
}

impl Kept {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            state: RwLock::default(),
            budget,
        }
    }

    pub(super) fn get(&self, volume: usize, chunk: usize) -> Option<Arc<[u16]>> {
        if self.budget == 0 {
            return None;
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.chunks.get(&(volume, chunk)).cloned()
    }

    /// Keeps a chunk if there is room.
    pub(super) fn put(&self, volume: usize, chunk: usize, codes: &[u16]) {
        let fits = |state: &State| state.bytes + size_of_val(codes) <= self.budget;
        if !fits(&self.state.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let codes: Arc<[u16]> = codes.into();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = size_of_val(&*codes);
        if state.bytes + bytes <= self.budget
            && state.chunks.insert((volume, chunk), codes).is_none()
        {
            state.bytes += bytes;
        }
    }
}
