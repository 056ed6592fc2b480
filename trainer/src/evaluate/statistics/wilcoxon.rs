//! Wilcoxon's signed-rank test.

/// Pairs up to which the distribution is counted out.
const EXACT: usize = 50;

/// What the test finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wilcoxon {
    /// Differences that are not 0; the others say nothing and are left out (Wilcoxon 1945).
    pub n: usize,
    /// Sum of the ranks of positive differences.
    pub positive: f64,
    /// Sum of the ranks of negative differences.
    pub negative: f64,
    /// Two-sided p-value; 1 where no difference is left.
    pub p: f64,
    /// Whether it is exact.
    pub exact: bool,
}

impl Wilcoxon {
    /// The share of the ranks that is positive less the share that is negative (Kerby 2014).
    pub fn rank_biserial(&self) -> Option<f64> {
        let all = self.positive + self.negative;
        (all > 0.0).then(|| (self.positive - self.negative) / all)
    }
}

/// Tests whether differences are symmetric about 0. Ties share the mean of their ranks. Up to 50
/// differences the p-value is exact, ties or not: the sums of all sign flips are counted. Above, it
/// is from the normal approximation with correction for ties and none for continuity (SciPy's
/// `wilcoxon(method="approx")`).
pub fn wilcoxon(differences: &[f64]) -> Wilcoxon {
    let mut d: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    d.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = d.len();
    // Twice the rank, so that the mean rank of ties is a whole number.
    let mut doubled = Vec::with_capacity(n);
    let mut ties = 0.0;
    for group in d.chunk_by(|a, b| a.abs() == b.abs()) {
        let before = doubled.len();
        let count = group.len();
        doubled.resize(before + count, 2 * before + count + 1);
        let count = count as f64;
        ties += count * (count * count - 1.0);
    }
    let signed = |positive: bool| {
        let ranks = d.iter().zip(&doubled);
        let sum: usize = (ranks.filter(|(d, _)| (**d > 0.0) == positive))
            .map(|(_, rank)| rank)
            .sum();
        sum
    };
    let (positive, negative) = (signed(true), signed(false));
    let exact = n <= EXACT;
    let p = match (n, exact) {
        (0, _) => 1.0,
        (_, true) => exact_p(&doubled, positive.min(negative)),
        (_, false) => {
            let n = n as f64;
            let mean = n * (n + 1.0) / 4.0;
            let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
            let z = (positive.min(negative) as f64 / 2.0 - mean) / variance.sqrt();
            libm::erfc(z.abs() / std::f64::consts::SQRT_2)
        }
    };
    Wilcoxon {
        n,
        positive: positive as f64 / 2.0,
        negative: negative as f64 / 2.0,
        p: p.min(1.0),
        exact,
    }
}

/// Twice the probability that the sum of ranks with random signs is at most `smaller`.
fn exact_p(doubled: &[usize], smaller: usize) -> f64 {
    let total: usize = doubled.iter().sum();
    // Probability of each sum; halving at each rank keeps all within a double.
    let mut chance = vec![0.0; total + 1];
    chance[0] = 1.0;
    let mut reach = 0;
    for &rank in doubled {
        reach += rank;
        for sum in (0..=reach).rev() {
            let without = chance[sum];
            let with = sum.checked_sub(rank).map_or(0.0, |s| chance[s]);
            chance[sum] = (without + with) / 2.0;
        }
    }
    2.0 * chance[..=smaller].iter().sum::<f64>()
}
