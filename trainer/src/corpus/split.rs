//! The split of scikit-learn's `train_test_split`, so that the test part of a published split can
//! be held out: NumPy's `RandomState(seed).permutation(n)`, a Mersenne Twister (MT19937, Matsumoto
//! and Nishimura 1998) and a shuffle from the end.

/// Words of the generator's state, and the distance of the words that are mixed.
const N: usize = 624;
const M: usize = 397;

struct Twister {
    state: [u32; N],
    next: usize,
}

impl Twister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let last = state[i - 1];
            state[i] = (last ^ last >> 30)
                .wrapping_mul(1_812_433_253)
                .wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    fn refill(&mut self) {
        for i in 0..N {
            let y = self.state[i] & 0x8000_0000 | self.state[(i + 1) % N] & 0x7fff_ffff;
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ y >> 1 ^ odd;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == N {
            self.refill();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// A number from 0 to `most`, each equally often: words are masked and those above are left.
    fn up_to(&mut self, most: u32) -> u32 {
        let mask = u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0);
        loop {
            let word = self.word() & mask;
            if word <= most {
                return word;
            }
        }
    }
}

/// `numpy.random.RandomState(seed).permutation(n)`.
fn permutation(seed: u32, n: u32) -> Vec<u32> {
    let mut twister = Twister::new(seed);
    let mut out: Vec<u32> = (0..n).collect();
    for i in (1..n).rev() {
        let j = twister.up_to(i);
        out.swap(i as usize, j as usize);
    }
    out
}

/// Which of `n` samples are in the test part of `train_test_split(samples, test_size=test,
/// random_state=seed)`, in ascending order.
pub(crate) fn test_part(seed: u32, n: u32, test: f64) -> Vec<u32> {
    let count = (f64::from(n) * test).ceil() as usize;
    let mut out = permutation(seed, n);
    out.truncate(count);
    out.sort_unstable();
    out
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::digits::hex;

    #[test]
    fn permutations_are_those_of_numpy() {
        // numpy.random.RandomState(seed).permutation(n), NumPy 2.
        assert_eq!(
            permutation(4_215_532, 20),
            [
                6, 13, 14, 12, 3, 9, 19, 18, 1, 8, 5, 11, 0, 15, 16, 7, 4, 2, 17, 10
            ]
        );
        assert_eq!(
            permutation(859_032, 13),
            [3, 11, 10, 7, 1, 8, 0, 4, 9, 5, 2, 12, 6]
        );
        assert_eq!((permutation(1, 0), permutation(1, 1)), (vec![], vec![0]));
    }

    #[test]
    fn test_parts_are_those_of_scikit_learn() {
        assert_eq!(test_part(4_215_532, 20, 0.25), [3, 6, 12, 13, 14]);
        assert_eq!(test_part(859_032, 13, 0.25), [3, 7, 10, 11]);
        // sklearn.model_selection.train_test_split([f"BraTS2021_{i:05d}" for i in range(1251)],
        // random_state=4215532): SHA-256 of the sorted test part, joined by line ends.
        let names: Vec<String> = test_part(4_215_532, 1251, 0.25)
            .iter()
            .map(|i| format!("BraTS2021_{i:05}"))
            .collect();
        assert_eq!(names.len(), 313);
        assert_eq!(
            hex(&Sha256::digest(names.join("\n"))),
            "36da4269ebf27ec9db8af25d4dc10339f0b822f2e02f7030a5ac9f7bab354d37"
        );
    }
}
