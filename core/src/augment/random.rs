//! Random numbers: one stream for each sample and purpose.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::math::{log2, sine_cosine};

/// Normal numbers that are made at once.
const BLOCK: usize = 256;

/// A generator (PCG XSL 128/64 MCG) on a stream of its own.
#[derive(Clone, Debug)]
pub struct Random(Pcg64Mcg);

impl Random {
    /// The stream of purpose `stream` of a sample.
    pub fn new(seed: u64, stream: u64) -> Self {
        let high = mixed(seed ^ mixed(stream.wrapping_add(0x9E37_79B9_7F4A_7C15)));
        let low = mixed(high ^ seed.rotate_left(32));
        Self(Pcg64Mcg::new(u128::from(high) << 64 | u128::from(low)))
    }

    /// A number that starts streams of its own.
    pub fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..1`.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Whether something of probability `p` happens.
    pub fn happens(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform between two numbers.
    pub fn between(&mut self, [low, high]: [f64; 2]) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number in `low..=high`, all equally likely.
    pub fn whole(&mut self, low: usize, high: usize) -> usize {
        let count = high.saturating_sub(low) as u128 + 1;
        low + ((u128::from(self.0.next_u64()) * count) >> 64) as usize
    }

    /// Fills `out` with independent normal numbers of mean 0 and standard deviation 1, by Box and
    /// Muller's method from 24-bit numbers (none is beyond 5.9).
    pub fn normals(&mut self, out: &mut [f32]) {
        const HALF: usize = BLOCK / 2;
        let mut bits = [0u32; BLOCK];
        let mut block = [0.0f32; BLOCK];
        for out in out.chunks_mut(BLOCK) {
            for pair in bits.as_chunks_mut::<2>().0 {
                let word = self.0.next_u64();
                *pair = [word as u32, (word >> 32) as u32];
            }
            let unit = |bits: u32| ((bits >> 8) as i32 as f32 + 0.5) * (1.0 / (1 << 24) as f32);
            for i in 0..HALF {
                let radius = (-2.0 * std::f32::consts::LN_2 * log2(unit(bits[i]))).sqrt();
                let (sine, cosine) = sine_cosine(unit(bits[HALF + i]) - 0.5);
                block[i] = radius * cosine;
                block[HALF + i] = radius * sine;
            }
            out.copy_from_slice(&block[..out.len()]);
        }
    }
}

/// The finaliser of SplitMix64: every bit of the input changes half of the output's.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_moments_and_tails_of_a_normal() {
        let mut values = vec![0.0; 1_000_003];
        Random::new(1, 2).normals(&mut values);
        let n = values.len() as f64;
        let moment = |k: i32| values.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / n;
        assert!(moment(1).abs() < 0.005, "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.01, "variance {}", moment(2));
        assert!(moment(3).abs() < 0.02, "skew {}", moment(3));
        assert!((moment(4) - 3.0).abs() < 0.05, "kurtosis {}", moment(4));
        let beyond = |z: f32| values.iter().filter(|v| v.abs() > z).count() as f64 / n;
        assert!((beyond(1.0) - 0.3173).abs() < 0.003);
        assert!((beyond(3.0) - 0.0027).abs() < 0.0003);
        // The two halves of a block come from the same numbers and must not be correlated.
        let product: f64 = values
            .as_chunks::<BLOCK>()
            .0
            .iter()
            .flat_map(|b| (0..BLOCK / 2).map(|i| f64::from(b[i] * b[i + BLOCK / 2])))
            .sum();
        assert!((product / n).abs() < 0.005);
    }

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, stream| Random::new(seed, stream).seed();
        assert_eq!(first(3, 4), first(3, 4));
        let mut all: Vec<u64> = (0..64)
            .flat_map(|seed| (0..64).map(move |stream| (seed, stream)))
            .map(|(seed, stream)| first(seed, stream))
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 64 * 64);
    }

    #[test]
    fn whole_numbers_cover_their_range_evenly() {
        let mut random = Random::new(7, 0);
        let mut counts = [0; 9];
        for _ in 0..90_000 {
            counts[random.whole(2, 10) - 2] += 1;
        }
        assert!(
            counts.iter().all(|c| (9_500..10_500).contains(c)),
            "{counts:?}"
        );
        assert_eq!(random.whole(5, 5), 5);
        assert_eq!(random.between([2.0, 2.0]), 2.0);
    }
}
