//! What a network decides for every voxel.

use crate::label::{Label, RunnerUp};

/// The classes of an image, `[x, y, z]` with the last axis fastest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassMap {
    /// The network's output channel with the largest value, the first of equals.
    pub classes: Vec<Label>,
    /// The channel that comes second, where [`InferOptions::second`](super::InferOptions::second)
    /// asks for it and logits are averaged over windows; nothing else.
    pub second: Vec<RunnerUp>,
}

impl ClassMap {
    /// Class 0 everywhere.
    pub(super) fn new(voxels: usize, second: bool) -> Self {
        Self {
            classes: vec![0; voxels],
            second: vec![RunnerUp::default(); if second { voxels } else { 0 }],
        }
    }
}
