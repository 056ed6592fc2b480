//! Two models on the same cases, tested against each other.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::evaluation::{CaseScores, MEAN};
use super::statistics::{PairedTest, holm, paired_test};
use super::{Evaluation, Metric};
use crate::error::{Error, Result};

/// One metric of one label or region of two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// Number of a label, name of a region, or [`MEAN`].
    pub label: String,
    /// The metric.
    pub metric: Metric,
    /// Mean of the first model over the subjects that are compared.
    pub first: f64,
    /// Mean of the second model over them.
    pub second: f64,
    /// The test of the differences, first less second.
    #[serde(flatten)]
    pub test: PairedTest,
    /// Wilcoxon's p-value corrected for the number of labels and regions (Holm); [`MEAN`] stands
    /// alone.
    pub wilcoxon_holm: f64,
    /// The permutation test's, likewise.
    pub permutation_holm: f64,
}

/// Two models on the same cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the first model.
    pub first: String,
    /// Name of the second model.
    pub second: String,
    /// Cases of both.
    pub common: usize,
    /// Cases that only one of them has; they are left out.
    pub unpaired: Vec<String>,
    /// By label or region and metric, where any subject can be compared.
    pub rows: Vec<ComparisonRow>,
}

impl Comparison {
    /// Compares two evaluations subject by subject, a subject's value being the mean over its
    /// cases. `path` is the second evaluation's, for errors.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuitable`] where they have no case in common or measured in another way.
    pub fn new(first: &Evaluation, second: &Evaluation, path: &Path) -> Result<Self> {
        let (a, b) = (first.settings.score, second.settings.score);
        if a != b {
            let message = format!(
                "scores were computed in another way: tolerance {} mm, not {}, or other rules for \
                 lesions",
                b.tolerance_mm, a.tolerance_mm
            );
            return Err(Error::unsuitable(path, message));
        }
        let cases = |e: &'_ Evaluation| -> BTreeMap<String, CaseScores> {
            let cases = e.cases.iter();
            cases.map(|c| (c.id.clone(), c.clone())).collect()
        };
        let (ours, theirs) = (cases(first), cases(second));
        let pairs: Vec<(&CaseScores, &CaseScores)> = ours
            .iter()
            .filter_map(|(id, case)| Some((case, theirs.get(id)?)))
            .collect();
        if pairs.is_empty() {
            return Err(Error::unsuitable(path, "it has no case in common"));
        }
        let only = |a: &BTreeMap<String, CaseScores>, b: &BTreeMap<String, CaseScores>| {
            let ids = a.keys().filter(|id| !b.contains_key(*id));
            ids.cloned().collect::<Vec<_>>()
        };
        let mut unpaired = only(&ours, &theirs);
        unpaired.extend(only(&theirs, &ours));
        unpaired.sort_unstable();
        let seed = first.settings.bootstrap.seed;
        let mut rows = Vec::new();
        for metric in Metric::ALL {
            let mut family: Vec<ComparisonRow> = first
                .keys()
                .iter()
                .filter_map(|key| row(&pairs, key, metric, seed))
                .collect();
            correct(&mut family);
            rows.extend(family);
        }
        Ok(Self {
            first: first.settings.name.clone(),
            second: second.settings.name.clone(),
            common: pairs.len(),
            unpaired,
            rows,
        })
    }

    /// The row of a label or region and a metric.
    pub fn row(&self, label: &str, metric: Metric) -> Option<&ComparisonRow> {
        let mut rows = self.rows.iter();
        rows.find(|r| r.label == label && r.metric == metric)
    }
}

fn row(
    pairs: &[(&CaseScores, &CaseScores)],
    key: &str,
    metric: Metric,
    seed: u64,
) -> Option<ComparisonRow> {
    let mut subjects: BTreeMap<&str, ([f64; 2], f64)> = BTreeMap::new();
    for (a, b) in pairs {
        if let (Some(x), Some(y)) = (a.get(key, metric), b.get(key, metric)) {
            let (sums, n) = subjects.entry(&a.subject).or_default();
            (sums[0], sums[1], *n) = (sums[0] + x, sums[1] + y, *n + 1.0);
        }
    }
    let values: Vec<[f64; 2]> = (subjects.values())
        .map(|(sums, n)| sums.map(|s| s / n))
        .collect();
    let test = paired_test(&values, seed)?;
    let mean = |i: usize| values.iter().map(|v| v[i]).sum::<f64>() / values.len() as f64;
    Some(ComparisonRow {
        label: key.to_owned(),
        metric,
        first: mean(0),
        second: mean(1),
        test,
        wilcoxon_holm: test.wilcoxon_p,
        permutation_holm: test.permutation_p,
    })
}

/// Corrects the p-values of one metric for the number of labels and regions.
fn correct(rows: &mut [ComparisonRow]) {
    let mut family: Vec<&mut ComparisonRow> = rows.iter_mut().filter(|r| r.label != MEAN).collect();
    let p =
        |f: &dyn Fn(&ComparisonRow) -> f64| holm(&family.iter().map(|r| f(r)).collect::<Vec<_>>());
    let (ranks, flips) = (p(&|r| r.wilcoxon_holm), p(&|r| r.permutation_holm));
    for (row, (ranks, flips)) in family.iter_mut().zip(ranks.into_iter().zip(flips)) {
        (row.wilcoxon_holm, row.permutation_holm) = (ranks, flips);
    }
}
