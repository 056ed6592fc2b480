//! The learning rate of every step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// Linear warm-up, then half a cosine down to a floor: PyTorch's `SequentialLR` of `LinearLR` and
/// `CosineAnnealingLR`, stepped once a batch, in closed form.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Learning rate after the warm-up.
    pub peak: f64,
    /// Share of the peak that the first step has.
    pub start: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Steps in all.
    pub steps: u64,
    /// Learning rate that the cosine ends at.
    pub floor: f64,
}

impl Schedule {
    /// The learning rate of a step, counted from 0. After the last step it stays at the floor.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            let done = step as f64 / self.warmup as f64;
            return self.peak * (self.start + (1.0 - self.start) * done);
        }
        let length = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let done = ((step - self.warmup) as f64 / length).min(1.0);
        self.floor + (self.peak - self.floor) * (1.0 + (PI * done).cos()) / 2.0
    }
}
