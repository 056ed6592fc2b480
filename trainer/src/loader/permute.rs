//! Shuffling without a list: numbers mixed from seeds, and permutations computed one by one.

use crate::digits::spread;

/// Mixes two numbers into one without visible pattern.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    spread(
        a.rotate_left(32)
            .wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_add(0x9e37_79b9_7f4a_7c15),
    )
}

/// Numbers from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64, u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed, 0)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.1 += 1;
        mix(self.0, self.1)
    }

    /// A number below `n`, each as likely as the others to 2^-64.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        scale(self.next(), n)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A permutation of `0..n` that a seed chooses: "swap or not" (Hoang, Morris and Rogaway 2012).
///
/// Each round pairs every number with another and swaps half of the pairs by coin. Their bound on
/// what remains of order among a few numbers is 2^-48 after 96 rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permutation {
    n: u64,
    seed: u64,
}

const ROUNDS: u64 = 96;

impl Permutation {
    /// For `n` from 1 to 2^62.
    pub(crate) fn new(n: u64, seed: u64) -> Self {
        Self { n, seed }
    }

    /// Where `i` goes; `i` must be below `n`.
    pub(crate) fn apply(&self, i: u64) -> u64 {
        let mut v = i;
        for round in 0..ROUNDS {
            let sum = scale(mix(self.seed, 2 * round), self.n);
            let pair = if v <= sum { sum - v } else { sum + self.n - v };
            let coin = mix(mix(self.seed, 2 * round + 1), v.max(pair));
            if coin >> 63 == 1 {
                v = pair;
            }
        }
        v
    }
}

/// A number below `n` from one of 64 bits.
fn scale(random: u64, n: u64) -> u64 {
    ((u128::from(random) * u128::from(n)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once() {
        for n in [1, 2, 3, 5, 16, 17, 100, 1000, 4097] {
            for seed in [0, 1, u64::MAX] {
                let p = Permutation::new(n, seed);
                let mut seen: Vec<_> = (0..n).map(|i| p.apply(i)).collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..n));
            }
        }
        let p = Permutation::new(1 << 40, 3);
        assert!(p.apply((1 << 40) - 1) < 1 << 40);
    }

    #[test]
    fn places_are_equally_likely() {
        // Where 0 and 7 of 10 go over 20,000 seeds: chi-squared with 9 degrees of freedom is
        // below 27.9 with probability 0.999.
        for i in [0, 7] {
            let mut counts = [0f64; 10];
            for seed in 0..20_000 {
                counts[Permutation::new(10, seed).apply(i) as usize] += 1.0;
            }
            let chi: f64 = counts.iter().map(|c| (c - 2000.0).powi(2) / 2000.0).sum();
            assert!(chi < 27.9, "{counts:?}");
        }
        // Pairs of places: 90 pairs, 89 degrees of freedom, 0.999 quantile 136.
        let mut counts = [[0f64; 10]; 10];
        for seed in 0..90_000 {
            let p = Permutation::new(10, mix(seed, 5));
            counts[p.apply(2) as usize][p.apply(3) as usize] += 1.0;
        }
        let chi: f64 = (0..10)
            .flat_map(|a| (0..10).map(move |b| (a, b)))
            .filter(|(a, b)| a != b)
            .map(|(a, b)| (counts[a][b] - 1000.0).powi(2) / 1000.0)
            .sum();
        assert!(chi < 136.0, "{chi}");
    }

    #[test]
    fn numbers_below_a_bound_are_equally_likely() {
        let mut random = Random::new(1);
        let mut counts = [0f64; 7];
        for _ in 0..70_000 {
            counts[random.below(7) as usize] += 1.0;
        }
        let chi: f64 = counts
            .iter()
            .map(|c| (c - 10_000.0).powi(2) / 10_000.0)
            .sum();
        // 6 degrees of freedom, 0.999 quantile.
        assert!(chi < 22.5, "{counts:?}");
        let mean: f64 = (0..10_000).map(|_| random.unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.015, "{mean}");
    }
}
