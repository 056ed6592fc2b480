//! Exact order statistics and quantiles without a sorted copy.
//!
//! Bits of an `f32`, mapped so that they order as the numbers do, are counted by their upper and
//! then by their lower half: one pass to see in which of 65,536 ranges a rank falls, one pass to
//! find it there. Two tables of 256 KiB instead of a copy of the volume.

use super::error::{PlanError, filled};

/// Buckets of one half of a key.
const HALF: usize = 1 << 16;

/// Bits in the order of the numbers: negative ones reversed, then positive ones.
fn key(v: f32) -> u32 {
    let bits = v.to_bits();
    if bits >> 31 == 0 {
        bits | 1 << 31
    } else {
        !bits
    }
}

/// The number of a key.
fn value(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 {
        key & !(1 << 31)
    } else {
        !key
    })
}

/// Values whose quantiles are asked for: those of `data` that are not `skip`.
pub(super) struct Ranking<'a> {
    data: &'a [f32],
    skip: Option<f32>,
    upper: Vec<u32>,
    count: usize,
}

impl<'a> Ranking<'a> {
    /// Counts `data` (finite) without the voxels equal to `skip`.
    pub(super) fn new(data: &'a [f32], skip: Option<f32>) -> Result<Self, PlanError> {
        let mut upper = filled(HALF, 0u32)?;
        for &v in data {
            if Some(v) != skip {
                upper[(key(v) >> 16) as usize] += 1;
            }
        }
        let count = upper.iter().map(|&n| n as usize).sum();
        Ok(Self {
            data,
            skip,
            upper,
            count,
        })
    }

    /// The values of rank `rank` and `rank + 1` (or `rank` again for the last), 0 the smallest.
    fn pair(&self, rank: usize) -> Result<(f32, f32), PlanError> {
        let next = (rank + 1).min(self.count - 1);
        let (bucket, before) = find(&self.upper, rank);
        let lower = self.lower(bucket)?;
        let first = join(bucket, find(&lower, rank - before).0);
        let (bucket2, before2) = find(&self.upper, next);
        let second = if bucket2 == bucket {
            join(bucket, find(&lower, next - before).0)
        } else {
            join(bucket2, find(&self.lower(bucket2)?, next - before2).0)
        };
        Ok((first, second))
    }

    /// Counts of the lower halves of the values in one bucket of upper halves.
    fn lower(&self, bucket: usize) -> Result<Vec<u32>, PlanError> {
        let mut lower = filled(HALF, 0u32)?;
        for &v in self.data {
            let k = key(v);
            if (k >> 16) as usize == bucket && Some(v) != self.skip {
                lower[(k & 0xffff) as usize] += 1;
            }
        }
        Ok(lower)
    }

    /// Quantile `q` in `0..=1`, linear between the two nearest ranks: NumPy's default. There must
    /// be at least one value.
    pub(super) fn quantile(&self, q: f64) -> Result<f64, PlanError> {
        let at = q * (self.count - 1) as f64;
        let rank = (at.floor() as usize).min(self.count - 1);
        let (a, b) = self.pair(rank)?;
        let (a, b) = (f64::from(a), f64::from(b));
        Ok(a + (b - a) * (at - rank as f64))
    }
}

/// The bucket that holds `rank`, and how many values lie in the buckets before it.
fn find(counts: &[u32], rank: usize) -> (usize, usize) {
    let mut before = 0;
    for (bucket, &n) in counts.iter().enumerate() {
        if rank < before + n as usize {
            return (bucket, before);
        }
        before += n as usize;
    }
    (counts.len() - 1, before)
}

/// The number with these two halves of a key.
fn join(upper: usize, lower: usize) -> f32 {
    value((upper << 16 | lower) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_numpy() -> Result<(), PlanError> {
        // numpy.quantile([3, -1.5, 0, 7.25, 2, 2, -8], q)
        let data = [3.0, -1.5, 0.0, 7.25, 2.0, 2.0, -8.0];
        let r = Ranking::new(&data, None)?;
        for (q, expected) in [
            (0.0, -8.0),
            (0.05, -6.05),
            (0.25, -0.75),
            (0.5, 2.0),
            (0.9, 4.7),
            (0.99, 6.995),
            (1.0, 7.25),
        ] {
            assert!((r.quantile(q)? - expected).abs() < 1e-12, "{q}");
        }
        let r = Ranking::new(&data, Some(-8.0))?;
        assert_eq!(r.count, 6);
        assert_eq!(r.quantile(0.0)?, -1.5);
        Ok(())
    }

    proptest! {
        #[test]
        fn agrees_with_sorting(
            data in prop::collection::vec(-1e6f32..1e6, 1..200),
            q in 0.0..=1.0f64,
        ) {
            let mut sorted = data.clone();
            sorted.sort_by(f32::total_cmp);
            let at = q * (data.len() - 1) as f64;
            let (a, b) = (at.floor() as usize, at.ceil() as usize);
            let (lo, hi) = (f64::from(sorted[a]), f64::from(sorted[b]));
            let expected = lo + (hi - lo) * (at - a as f64);
            let r = Ranking::new(&data, None).expect("memory");
            let found = r.quantile(q).expect("memory");
            prop_assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0));
        }

        #[test]
        fn keys_order_and_return(a: f32, b: f32) {
            prop_assume!(a.is_finite() && b.is_finite());
            prop_assert_eq!(value(key(a)), a);
            prop_assert!(a >= b || key(a) < key(b));
        }
    }
}
