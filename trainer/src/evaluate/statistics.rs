//! What scores say about cases that were not seen: spread, intervals, tests.

mod bootstrap;
mod describe;
mod holm;
mod permutation;
mod wilcoxon;

pub use self::bootstrap::{BootstrapConfig, bootstrap_interval};
pub use self::describe::{Description, quantile};
pub use self::holm::holm;
pub use self::permutation::{Permutation, permutation_test};
pub use self::wilcoxon::{Wilcoxon, wilcoxon};

use serde::{Deserialize, Serialize};

/// What a comparison of pairs finds. Differences are the first value less the second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedTest {
    /// Pairs.
    pub n: usize,
    /// Mean of the differences.
    pub mean_difference: f64,
    /// Median of the differences.
    pub median_difference: f64,
    /// Mean difference by the standard deviation of the differences (Cohen's d for pairs); `None`
    /// for fewer than two pairs and where all differences are the same.
    pub cohen_d: Option<f64>,
    /// Rank-biserial correlation of matched pairs (Kerby 2014): -1 to 1, how much of the ranks
    /// speaks for the first value; `None` where no pair differs.
    pub rank_biserial: Option<f64>,
    /// Two-sided p-value of Wilcoxon's signed-rank test; 1 where no pair differs.
    pub wilcoxon_p: f64,
    /// Whether that is exact; otherwise from the normal approximation.
    pub wilcoxon_exact: bool,
    /// Two-sided p-value of the sign-flip permutation test of the mean difference.
    pub permutation_p: f64,
    /// Whether all sign flips were counted; otherwise some were drawn.
    pub permutation_exact: bool,
}

/// Compares pairs of values; `None` without pairs. Pairs must be independent: one a subject.
pub fn paired_test(pairs: &[[f64; 2]], seed: u64) -> Option<PairedTest> {
    let differences: Vec<f64> = pairs.iter().map(|[a, b]| a - b).collect();
    let described = Description::of(&differences)?;
    let ranks = wilcoxon(&differences);
    let flips = permutation_test(&differences, seed);
    Some(PairedTest {
        n: pairs.len(),
        mean_difference: described.mean,
        median_difference: described.median,
        cohen_d: (described.sd)
            .filter(|&sd| sd > 0.0)
            .map(|sd| described.mean / sd),
        rank_biserial: ranks.rank_biserial(),
        wilcoxon_p: ranks.p,
        wilcoxon_exact: ranks.exact,
        permutation_p: flips.p,
        permutation_exact: flips.exact,
    })
}
