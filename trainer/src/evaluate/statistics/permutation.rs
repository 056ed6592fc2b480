//! The paired permutation test of a mean: signs of differences flipped at random.

use super::describe::mean;
use crate::loader::Random;

/// Differences up to which all sign flips are counted.
const EXACT: usize = 16;
/// Sign flips that are drawn otherwise.
const DRAWS: usize = 100_000;
/// Sums of the same numbers in another order may differ by rounding.
const ROUNDING: f64 = 1e-12;

/// What the test finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Permutation {
    /// Two-sided p-value.
    pub p: f64,
    /// Whether all sign flips were counted.
    pub exact: bool,
}

/// Tests whether the mean difference is 0: the share of sign flips whose mean is at least as far
/// from it. Up to 16 differences all flips are counted; above, 100,000 are drawn and the one that
/// was seen is counted among them (Phipson and Smyth 2010), so that p is never 0.
pub fn permutation_test(differences: &[f64], seed: u64) -> Permutation {
    let n = differences.len();
    if n == 0 {
        return Permutation {
            p: 1.0,
            exact: true,
        };
    }
    let scale: f64 = mean(&differences.iter().map(|d| d.abs()).collect::<Vec<_>>());
    let limit = mean(differences).abs() - ROUNDING * scale;
    let as_far = |flips: &dyn Fn(usize) -> bool| {
        let signed = (0..n).map(|i| {
            if flips(i) {
                -differences[i]
            } else {
                differences[i]
            }
        });
        (signed.sum::<f64>() / n as f64).abs() >= limit
    };
    if n <= EXACT {
        let all = 1usize << n;
        let far = (0..all)
            .filter(|bits| as_far(&|i| bits >> i & 1 == 1))
            .count();
        return Permutation {
            p: far as f64 / all as f64,
            exact: true,
        };
    }
    let mut random = Random::new(seed);
    let mut words = vec![0; n.div_ceil(64)];
    let mut far = 0;
    for _ in 0..DRAWS {
        words.fill_with(|| random.next());
        far += usize::from(as_far(&|i| words[i / 64] >> (i % 64) & 1 == 1));
    }
    Permutation {
        p: (far + 1) as f64 / (DRAWS + 1) as f64,
        exact: false,
    }
}
