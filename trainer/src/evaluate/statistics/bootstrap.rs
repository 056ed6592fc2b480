//! Confidence intervals of a mean by resampling subjects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::describe::quantile;
use crate::loader::Random;

/// How intervals are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapConfig {
    /// Resamples.
    pub resamples: usize,
    /// Probability that the interval is to cover, 0 to 1.
    pub confidence: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self {
            resamples: 10_000,
            confidence: 0.95,
            seed: 1,
        }
    }
}

/// The percentile interval (Efron and Tibshirani 1993) of the mean of values that belong to
/// subjects: subjects are drawn with replacement, each with all its values. `None` for fewer than
/// two subjects.
pub fn bootstrap_interval<S: Ord>(
    values: impl IntoIterator<Item = (S, f64)>,
    config: &BootstrapConfig,
) -> Option<[f64; 2]> {
    // Sum and number of each subject's values.
    let mut subjects: BTreeMap<S, (f64, f64)> = BTreeMap::new();
    for (subject, value) in values {
        let (sum, n) = subjects.entry(subject).or_default();
        *sum += value;
        *n += 1.0;
    }
    let subjects: Vec<(f64, f64)> = subjects.into_values().collect();
    if subjects.len() < 2 || config.resamples == 0 {
        return None;
    }
    let mut random = Random::new(config.seed);
    let mut means: Vec<f64> = (0..config.resamples)
        .map(|_| {
            let (mut sum, mut n) = (0.0, 0.0);
            for _ in 0..subjects.len() {
                let drawn = subjects[random.below(subjects.len() as u64) as usize];
                sum += drawn.0;
                n += drawn.1;
            }
            sum / n
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - config.confidence) / 2.0;
    Some([quantile(&means, tail), quantile(&means, 1.0 - tail)])
}
