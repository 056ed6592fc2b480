//! What the voxels of a volume say about it, in one pass and a plane's memory.

use std::io::Read;

use amaes_core::volume::{VolumeError, VolumeReader};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Voxels that are decoded at once, where a plane has fewer.
const SLAB: usize = 1 << 16;
/// Most voxels of a plane: 4096 x 4096. A header that claims more is refused before memory is
/// taken.
const MAX_PLANE: usize = 1 << 24;
/// Buckets of the histogram: the upper half of a number's bits.
const BUCKETS: usize = 1 << 16;

/// Statistics of a volume's voxels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Smallest finite value; 0 where there is none.
    pub min: f32,
    /// Largest finite value; 0 where there is none.
    pub max: f32,
    /// Mean of the finite values.
    pub mean: f64,
    /// Population standard deviation of the finite values.
    pub deviation: f64,
    /// Voxels that are NaN or infinite.
    pub non_finite: u64,
    /// Share of the voxels in -1100..-900, air in Hounsfield units.
    pub air_share: f64,
    /// Different values, as far as their first eight digits (bits) tell them apart.
    pub values: u32,
    /// The voxels that are not the minimum, `None` where there are none.
    pub foreground: Option<Foreground>,
    /// SHA-256 of shape and values as float32, by which equal images are found whatever their
    /// file's format.
    pub voxels: [u8; 32],
}

/// The voxels that are not the minimum: what the reference crops to and normalises by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Foreground {
    /// Share of all voxels.
    pub share: f64,
    /// Mean.
    pub mean: f64,
    /// Population standard deviation.
    pub deviation: f64,
    /// Median, exact for whole numbers to 256, else at most 0.8 % too near to 0.
    pub median: f32,
    /// The 0.99 quantile, as exact.
    pub p99: f32,
    /// First voxel of the bounding box.
    pub start: [usize; 3],
    /// Voxels of the bounding box along each axis.
    pub shape: [usize; 3],
}

/// Buffers that are used again for every volume of a thread.
#[derive(Debug)]
pub(super) struct Scratch {
    slab: Vec<f32>,
    counts: Vec<u64>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            slab: Vec::new(),
            counts: vec![0; BUCKETS],
        }
    }
}

/// Measures the volume behind a reader of which nothing has been taken yet.
pub(super) fn measure<R: Read>(
    mut reader: VolumeReader<R>,
    scratch: &mut Scratch,
) -> Result<Measured, VolumeError> {
    let shape = reader.grid().shape;
    let plane = reader.plane_len();
    if plane > MAX_PLANE {
        return Err(VolumeError::TooLarge {
            what: "voxels of a plane",
            found: plane as u64,
            limit: MAX_PLANE as u64,
        });
    }
    let planes = (SLAB / plane).clamp(1, shape[2]);
    // A much larger plane before must not be kept for ever.
    if scratch.slab.capacity() > 4 * (planes * plane).max(SLAB) {
        scratch.slab = Vec::new();
    }
    scratch.slab.resize(planes * plane, 0.0);
    scratch.counts.fill(0);
    let mut hash = Sha256::new();
    for n in shape {
        hash.update((n as u64).to_le_bytes());
    }
    let mut sums = Sums::new(shape);
    let mut z = 0;
    loop {
        let n = reader.read_slab(&mut scratch.slab)?;
        if n == 0 {
            break;
        }
        let slab = &mut scratch.slab[..n * plane];
        // -0 is 0, and one NaN is as good as another.
        for v in slab.iter_mut() {
            *v = if v.is_nan() { f32::NAN } else { *v + 0.0 };
        }
        if cfg!(target_endian = "little") {
            hash.update(bytemuck::cast_slice::<f32, u8>(slab));
        } else {
            slab.iter().for_each(|v| hash.update(v.to_le_bytes()));
        }
        for values in slab.chunks_exact(plane) {
            sums.add(values, z, &mut scratch.counts);
            z += 1;
        }
    }
    Ok(sums.finish(&scratch.counts, hash.finalize().into()))
}

/// Running sums over the planes seen so far.
struct Sums {
    shape: [usize; 3],
    min: f32,
    max: f32,
    /// Finite voxels, and those of them that are the minimum.
    count: u64,
    darkest: u64,
    non_finite: u64,
    air: u64,
    /// Sums of the values and of their squares.
    sum: f64,
    squares: f64,
    /// First and last voxel that is not the minimum.
    first: [usize; 3],
    last: [usize; 3],
}

impl Sums {
    fn new(shape: [usize; 3]) -> Self {
        Self {
            shape,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            count: 0,
            darkest: 0,
            non_finite: 0,
            air: 0,
            sum: 0.0,
            squares: 0.0,
            first: shape,
            last: [0; 3],
        }
    }

    fn add(&mut self, plane: &[f32], z: usize, counts: &mut [u64]) {
        let (mut lo, mut hi) = (f32::INFINITY, f32::NEG_INFINITY);
        let (mut sum, mut squares) = (0.0, 0.0);
        let mut finite = 0;
        for &v in plane {
            if v.is_finite() {
                lo = lo.min(v);
                hi = hi.max(v);
                sum += f64::from(v);
                squares += f64::from(v) * f64::from(v);
                finite += 1;
                self.air += u64::from((-1100.0..=-900.0).contains(&v));
                counts[bucket(v)] += 1;
            }
        }
        self.non_finite += plane.len() as u64 - finite;
        self.count += finite;
        self.sum += sum;
        self.squares += squares;
        self.max = self.max.max(hi);
        if lo < self.min {
            // Whatever came before is brighter than the new minimum.
            self.min = lo;
            self.darkest = 0;
            if z > 0 {
                self.first = [0; 3];
                self.last = [self.shape[0] - 1, self.shape[1] - 1, z - 1];
            }
        }
        for (y, row) in plane.chunks_exact(self.shape[0]).enumerate() {
            self.darkest += row.iter().filter(|v| **v == self.min).count() as u64;
            let Some(a) = row.iter().position(|v| *v != self.min) else {
                continue;
            };
            let b = row.iter().rposition(|v| *v != self.min).unwrap_or(a);
            for (axis, (from, to)) in [(a, b), (y, y), (z, z)].into_iter().enumerate() {
                self.first[axis] = self.first[axis].min(from);
                self.last[axis] = self.last[axis].max(to);
            }
        }
    }

    fn finish(self, counts: &[u64], voxels: [u8; 32]) -> Measured {
        let all: u64 = self.shape.iter().map(|n| *n as u64).product();
        let moments = |n: u64, sum: f64, squares: f64| {
            let mean = sum / n.max(1) as f64;
            (
                mean,
                (squares / n.max(1) as f64 - mean * mean).max(0.0).sqrt(),
            )
        };
        let (mean, deviation) = moments(self.count, self.sum, self.squares);
        let bright = self.count - self.darkest;
        let foreground = (bright > 0).then(|| {
            let (lo, n) = (f64::from(self.min), self.darkest as f64);
            let (mean, deviation) = moments(bright, self.sum - n * lo, self.squares - n * lo * lo);
            let quantile = |q| quantile(counts, bucket(self.min), self.darkest, bright, q);
            Foreground {
                share: bright as f64 / all as f64,
                mean,
                deviation,
                median: quantile(0.5),
                p99: quantile(0.99),
                start: self.first,
                shape: [0, 1, 2].map(|a| self.last[a] + 1 - self.first[a]),
            }
        });
        let some = self.count > 0;
        Measured {
            min: if some { self.min } else { 0.0 },
            max: if some { self.max } else { 0.0 },
            mean,
            deviation,
            non_finite: self.non_finite,
            air_share: self.air as f64 / all as f64,
            values: counts.iter().filter(|n| **n > 0).count() as u32,
            foreground,
            voxels,
        }
    }
}

/// The bucket of a value: the upper half of its bits, ordered as numbers are.
fn bucket(v: f32) -> usize {
    let bits = v.to_bits();
    let key = if bits >> 31 == 0 {
        bits | 1 << 31
    } else {
        !bits
    };
    (key >> 16) as usize
}

/// The value of a bucket that is nearest to 0.
fn value(bucket: usize) -> f32 {
    let key = bucket as u32;
    f32::from_bits(if key >> 15 == 1 {
        key << 16 & !(1 << 31)
    } else {
        !(key << 16 | 0xffff)
    })
}

/// The value of rank `q * (n - 1)` among `n` values, of which `skipped` in bucket `skip` are left
/// out.
fn quantile(counts: &[u64], skip: usize, skipped: u64, n: u64, q: f64) -> f32 {
    let rank = (q * (n - 1) as f64).floor() as u64;
    let mut before = 0;
    for (b, count) in counts.iter().enumerate() {
        before += count - if b == skip { skipped } else { 0 };
        if rank < before {
            return value(b);
        }
    }
    value(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use amaes_core::volume::{
        Affine, Grid, Header, ReadOptions, Volume, WriteOptions, write_volume,
    };

    fn measured(shape: [usize; 3], data: Vec<f32>) -> Measured {
        let grid = Grid {
            shape,
            affine: Affine::IDENTITY,
        };
        let volume = Volume::new(grid.clone(), data).expect("fits");
        let mut bytes = Vec::new();
        write_volume(
            &mut bytes,
            &Header::new(&grid),
            &volume,
            &WriteOptions::PLAIN,
        )
        .expect("memory");
        let reader = VolumeReader::new(&bytes[..], &ReadOptions::default()).expect("a volume");
        measure(reader, &mut Scratch::new()).expect("measured")
    }

    /// Values in the middle of an image, whose darkest voxel comes late.
    fn sample() -> ([usize; 3], Vec<f32>) {
        let shape = [7, 6, 5];
        let mut data = vec![2.0; 210];
        for (i, v) in data.iter_mut().enumerate() {
            let [x, y, z] = [i % 7, i / 7 % 6, i / 42];
            if (2..5).contains(&x) && (1..4).contains(&y) && (1..3).contains(&z) {
                *v = (10 + i % 13) as f32;
            }
        }
        (shape, data)
    }

    #[test]
    fn statistics_agree_with_two_passes() {
        let (shape, data) = sample();
        let found = measured(shape, data.clone());
        let bright: Vec<f64> = data
            .iter()
            .filter(|v| **v != 2.0)
            .map(|v| f64::from(*v))
            .collect();
        let mean = bright.iter().sum::<f64>() / bright.len() as f64;
        let square = bright.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / bright.len() as f64;
        let f = found.foreground.expect("some");
        assert_eq!((f.start, f.shape), ([2, 1, 1], [3, 3, 2]));
        assert!((f.mean - mean).abs() < 1e-9 && (f.deviation - square.sqrt()).abs() < 1e-9);
        let mut sorted = bright.clone();
        sorted.sort_by(f64::total_cmp);
        assert_eq!(f64::from(f.median), sorted[(0.5 * 17.0) as usize]);
        assert_eq!(f64::from(f.p99), sorted[(0.99 * 17.0) as usize]);
        assert!((f.share - 18.0 / 210.0).abs() < 1e-12);
        assert_eq!((found.min, found.max, found.non_finite), (2.0, 22.0, 0));
    }

    #[test]
    fn a_late_minimum_makes_the_rest_foreground() {
        let (shape, mut data) = sample();
        let last = data.len() - 1;
        data[last] = -5.0;
        let f = measured(shape, data).foreground.expect("some");
        assert_eq!((f.start, f.shape), ([0; 3], shape));
        assert!((f.share - 209.0 / 210.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_number_is_counted_apart() {
        let (shape, mut data) = sample();
        data[0] = f32::NAN;
        data[1] = f32::NEG_INFINITY;
        let found = measured(shape, data);
        assert_eq!((found.non_finite, found.min, found.max), (2, 2.0, 22.0));
        let none = measured([1, 1, 2], vec![f32::NAN; 2]);
        assert_eq!((none.min, none.max, none.foreground), (0.0, 0.0, None));
        let constant = measured([2, 2, 2], vec![3.0; 8]);
        assert_eq!((constant.min, constant.max, constant.values), (3.0, 3.0, 1));
        assert!(constant.foreground.is_none());
    }

    #[test]
    fn equal_voxels_have_one_hash() {
        let (shape, data) = sample();
        let a = measured(shape, data.clone()).voxels;
        assert_eq!(a, measured(shape, data.clone()).voxels);
        assert_ne!(a, measured([6, 7, 5], data.clone()).voxels);
        let mut zero = data.clone();
        zero[0] = 0.0;
        let mut minus = data;
        minus[0] = -0.0;
        assert_eq!(measured(shape, zero).voxels, measured(shape, minus).voxels);
    }

    #[test]
    fn buckets_order_and_hold_small_whole_numbers() {
        for n in -256i16..=256 {
            assert_eq!(value(bucket(f32::from(n))), f32::from(n));
        }
        let mut last = 0;
        for v in [-1e30, -3.5, -1.0, 0.0, 1e-20, 1.0, 1.1, 7e8] {
            assert!(bucket(v) > last);
            last = bucket(v);
        }
    }
}
