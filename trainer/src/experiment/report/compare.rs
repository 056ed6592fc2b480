//! One number of a table: the mean over seeds, and how it differs from that of another row.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::scores::{Results, mean};
use crate::evaluate::statistics::{
    BootstrapConfig, Description, bootstrap_interval, holm, paired_test,
};
use crate::experiment::matrix::GridKind;
use crate::train::config::CorpusSize;

/// Seed of what the statistics draw.
const SEED: u64 = 1;

/// What makes a row of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The encoder.
    pub backbone: String,
    /// The variant of pretraining.
    pub pretraining: String,
    /// Size of the corpus.
    pub corpus: Option<CorpusSize>,
    /// Labelled cases.
    pub labelled: Option<usize>,
}

/// Which scores a number is made of.
pub(super) struct Selection {
    /// Cells of grids of this kind.
    pub(super) kind: GridKind,
    /// Tasks and names of test sets.
    pub(super) columns: Vec<(String, String)>,
}

/// A number of a table. Dice from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Entry {
    /// Seeds that the matrix asks for.
    pub wanted: usize,
    /// Seeds that are done.
    pub done: usize,
    /// Mean over these seeds, of the mean over test sets, of the mean over cases.
    pub mean: Option<f64>,
    /// Standard deviation over seeds.
    pub sd: Option<f64>,
    /// How it differs from the row that it is compared with.
    pub difference: Option<Difference>,
    /// The largest of those that it is to be compared with, all of which are complete.
    pub best: bool,
}

/// How a row differs from another on the same cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Difference of the means over the seeds that both rows have.
    pub mean: f64,
    /// Interval that covers the mean difference of a subject, averaged over these seeds, with
    /// 95 %: by drawing subjects.
    pub interval: Option<[f64; 2]>,
    /// Two-sided p-value of the sign-flip permutation test over subjects.
    pub p: f64,
    /// The same corrected for the number of comparisons in the table (Holm).
    pub p_corrected: f64,
    /// Subjects.
    pub subjects: usize,
    /// Seeds that both have.
    pub seeds: usize,
}

impl Entry {
    /// Whether every seed is done.
    pub fn complete(&self) -> bool {
        self.wanted > 0 && self.done == self.wanted
    }
}

/// A case: task, test set, subject and name.
type Case = [String; 4];

/// Scores of a row by seed: the mean over its columns, and each case.
struct Seeds {
    wanted: BTreeSet<u64>,
    means: BTreeMap<u64, f64>,
    cases: BTreeMap<u64, BTreeMap<Case, f64>>,
}

impl Seeds {
    fn of(results: &Results<'_>, row: &Row, selection: &Selection) -> Self {
        let mut found = Self {
            wanted: BTreeSet::new(),
            means: BTreeMap::new(),
            cases: BTreeMap::new(),
        };
        let cells = results.cells(row, selection);
        let seeds = cells.iter().map(|&c| results.plan.cells[c].axes.seed);
        found.wanted.extend(seeds);
        for &seed in &found.wanted {
            let mut means = Vec::new();
            let mut cases = BTreeMap::new();
            for (task, test) in &selection.columns {
                let cell = cells.iter().find(|&&c| {
                    let axes = &results.plan.cells[c].axes;
                    axes.seed == seed && axes.task == *task
                });
                let Some(scores) = cell.and_then(|&c| results.of(c, test)) else {
                    continue;
                };
                for ((subject, id), &dice) in scores {
                    let case = [task, test, subject, id].map(String::clone);
                    cases.insert(case, dice);
                }
                means.extend(mean(scores.values().copied()));
            }
            // A mean over fewer test sets is another number.
            if means.len() == selection.columns.len()
                && let Some(mean) = mean(means)
            {
                found.means.insert(seed, mean);
                found.cases.insert(seed, cases);
            }
        }
        found
    }

    /// Every case that has a score in each of some seeds, averaged over them.
    fn averaged(&self, seeds: &BTreeSet<u64>) -> BTreeMap<&Case, f64> {
        let mut sums: BTreeMap<_, (f64, usize)> = BTreeMap::new();
        for seed in seeds {
            for (case, dice) in self.cases.get(seed).into_iter().flatten() {
                let (sum, n) = sums.entry(case).or_default();
                *sum += dice;
                *n += 1;
            }
        }
        sums.retain(|_, (_, n)| *n == seeds.len());
        let average = |(case, (sum, n)): (_, (f64, usize))| (case, sum / n as f64);
        sums.into_iter().map(average).collect()
    }
}

/// The number of a row, compared with another.
pub(super) fn entry(
    results: &Results<'_>,
    row: &Row,
    with: Option<&Row>,
    selection: &Selection,
) -> Entry {
    let own = Seeds::of(results, row, selection);
    let means: Vec<f64> = own.means.values().copied().collect();
    let described = Description::of(&means);
    let difference = with.and_then(|with| {
        let other = Seeds::of(results, with, selection);
        let both = own.means.keys().filter(|s| other.means.contains_key(s));
        let both: BTreeSet<u64> = both.copied().collect();
        if both.is_empty() {
            return None;
        }
        let (a, b) = (own.averaged(&both), other.averaged(&both));
        // A subject's cases are no independent pairs: they are averaged.
        let mut subjects: BTreeMap<&[String], Vec<[f64; 2]>> = BTreeMap::new();
        for (case, a) in a {
            if let Some(&b) = b.get(case) {
                subjects.entry(&case[..3]).or_default().push([a, b]);
            }
        }
        let average = |cases: Vec<[f64; 2]>| {
            let of = |n: usize| mean(cases.iter().map(|c| c[n]));
            Some([of(0)?, of(1)?])
        };
        let pairs: Vec<[f64; 2]> = subjects.into_values().filter_map(average).collect();
        let test = paired_test(&pairs, SEED)?;
        let differences = pairs.iter().map(|[a, b]| a - b).enumerate();
        let of_seeds = |s: &Seeds| mean(both.iter().filter_map(|seed| s.means.get(seed).copied()));
        Some(Difference {
            mean: of_seeds(&own)? - of_seeds(&other)?,
            interval: bootstrap_interval(differences, &BootstrapConfig::default()),
            p: test.permutation_p,
            p_corrected: test.permutation_p,
            subjects: test.n,
            seeds: both.len(),
        })
    });
    Entry {
        wanted: own.wanted.len(),
        done: own.means.len(),
        mean: described.as_ref().map(|d| d.mean),
        sd: described.and_then(|d| d.sd),
        difference,
        best: false,
    }
}

/// Corrects the p-values of a table for their number.
pub(super) fn correct(entries: &mut [&mut Entry]) {
    let p = |e: &&mut Entry| e.difference.map(|d| d.p);
    let corrected = holm(&entries.iter().filter_map(p).collect::<Vec<_>>());
    let differences = entries.iter_mut().filter_map(|e| e.difference.as_mut());
    for (difference, p) in differences.zip(corrected) {
        difference.p_corrected = p;
    }
}

/// Marks the largest of some numbers, where all are complete and there are several.
pub(super) fn mark_best(entries: &mut [&mut Entry]) {
    if entries.len() < 2 || !entries.iter().all(|e| e.complete()) {
        return;
    }
    let best = entries.iter().filter_map(|e| e.mean).reduce(f64::max);
    for entry in entries {
        entry.best = entry.mean == best;
    }
}
