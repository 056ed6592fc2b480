//! Patches of labelled images: where they lie, and how they become a network's input.

use std::sync::Arc;

use amaes_core::augment::{Pipeline, Random};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::cases::{Cases, NO_LABEL, Prepared};
use crate::train::corpus::to_c_order;
use crate::train::error::{Result, TrainError};

/// One patch, as tensors hold it: the last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// `[channels, x, y, z]`.
    pub image: Vec<f32>,
    /// The class of each voxel, `[x, y, z]`; 255 where it has no label.
    pub labels: Vec<u8>,
}

/// Samples as tensors on a device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch, channels, x, y, z]`.
    pub image: Tensor<5>,
    /// The class of each voxel, `[batch, 1, x, y, z]`; -1 where it has no label.
    pub labels: Tensor<5, Int>,
}

impl Batch {
    /// Samples that are patches of `patch` voxels.
    pub fn new(samples: &[Sample], patch: [usize; 3], on: &Device) -> Self {
        let [x, y, z] = patch;
        let voxels: usize = patch.iter().product();
        let channels = samples.first().map_or(0, |s| s.image.len() / voxels);
        let mut image = Vec::with_capacity(samples.len() * channels * voxels);
        let mut labels: Vec<i32> = Vec::with_capacity(samples.len() * voxels);
        for sample in samples {
            image.extend_from_slice(&sample.image);
            labels.extend(sample.labels.iter().map(|&label| match label {
                NO_LABEL => -1,
                label => i32::from(label),
            }));
        }
        let image = TensorData::new(image, [samples.len(), channels, x, y, z]);
        let labels = TensorData::new(labels, [samples.len(), 1, x, y, z]);
        Self {
            image: Tensor::from_data(image, (on, DType::F32)),
            labels: Tensor::from_data(labels, (on, DType::I32)),
        }
    }
}

/// Cases that are equally likely.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// Probability that a sample is of one of them.
    pub(super) share: f64,
    pub(super) cases: Arc<Cases>,
    /// Which cases, by their places in the dataset.
    pub(super) from: Vec<usize>,
}

/// Draws the samples of a run: each depends on the seed and its number alone.
#[derive(Debug)]
pub(super) struct Sampler {
    /// The cases to draw from.
    pub(super) sets: Vec<Set>,
    pub(super) pipeline: Pipeline,
    pub(super) patch: [usize; 3],
    /// Probability that a patch is centred on foreground.
    pub(super) foreground: f64,
    pub(super) seed: u64,
}

impl Sampler {
    /// The `number`th sample of the run.
    pub(super) fn sample(&self, number: u64) -> Result<Sample> {
        let mut random = Random::new(self.seed, number);
        let shares = self.sets.iter().map(|set| set.share);
        let set = self.sets.get(one_of(shares, &mut random));
        let Some((set, last)) = set.and_then(|s| Some((s, s.from.len().checked_sub(1)?))) else {
            return Err(TrainError::config("split", "there is no case to draw from"));
        };
        let case = set.cases.get(set.from[random.whole(0, last)])?;
        self.of(&case, &mut random)
    }

    /// A sample of one case.
    pub(super) fn of(&self, case: &Prepared, random: &mut Random) -> Result<Sample> {
        let start = self.place(case, random);
        // The reference does not enlarge what it rotates.
        let source = match self.pipeline.config().reference_quirks {
            true => self.patch,
            false => self.pipeline.source_size(self.patch),
        };
        let patch = self.patch;
        let start = [0, 1, 2].map(|a| start[a] - ((source[a] - patch[a]) / 2) as i64);
        let shape = case.grid.shape;
        let voxels: usize = shape.iter().product();
        let mut image = Vec::with_capacity(case.channels * source.iter().product::<usize>());
        for (channel, &outside) in case.image.chunks_exact(voxels).zip(&case.minima) {
            cut(channel, shape, start, source, outside, &mut image);
        }
        let mut labels = Vec::with_capacity(source.iter().product());
        cut(&case.labels, shape, start, source, 0, &mut labels);
        let seed = random.seed();
        let augmented = self
            .pipeline
            .apply_labelled(&image, &labels, source, patch, 0, seed)
            .map_err(|e| TrainError::config("augment", e.to_string()))?;
        let channels = augmented.image.chunks_exact(patch.iter().product());
        Ok(Sample {
            image: channels
                .flat_map(|c| to_c_order(c.to_vec(), patch))
                .collect(),
            labels: to_c_order(augmented.labels, patch),
        })
    }

    /// Where a patch begins: within the image where that is large enough, else about its middle.
    fn place(&self, case: &Prepared, random: &mut Random) -> [i64; 3] {
        let centre = match random.happens(self.foreground) {
            true => case.foreground(random),
            false => None,
        };
        let shape = case.grid.shape;
        let mut start = [0; 3];
        for axis in 0..3 {
            let (n, patch) = (shape[axis], self.patch[axis]);
            start[axis] = match (n.checked_sub(patch), centre) {
                (None, _) => -(((patch - n) / 2) as i64),
                (Some(room), Some(centre)) => {
                    centre[axis].saturating_sub(patch / 2).min(room) as i64
                }
                (Some(room), None) => random.whole(0, room) as i64,
            };
        }
        start
    }
}

/// The place of one of some shares, which sum to 1, by their sizes. Nothing is drawn where there
/// is but one.
fn one_of(shares: impl ExactSizeIterator<Item = f64>, random: &mut Random) -> usize {
    let last = shares.len().saturating_sub(1);
    let mut left = 1.0;
    for (place, share) in shares.take(last).enumerate() {
        if random.happens(share / left) {
            return place;
        }
        left -= share;
    }
    last
}

/// Appends the box of `size` voxels at `start` of a volume, first axis fastest; `outside` where it
/// is not within the volume.
fn cut<T: Copy>(
    volume: &[T],
    shape: [usize; 3],
    start: [i64; 3],
    size: [usize; 3],
    outside: T,
    out: &mut Vec<T>,
) {
    let inside = |axis: usize, i: usize| {
        let at = start[axis] + i as i64;
        usize::try_from(at).ok().filter(|&at| at < shape[axis])
    };
    let before = usize::try_from(-start[0]).unwrap_or(0).min(size[0]);
    let first = usize::try_from(start[0]).unwrap_or(0);
    let count = (size[0] - before).min(shape[0].saturating_sub(first));
    for (z, y) in (0..size[2]).flat_map(|z| (0..size[1]).map(move |y| (z, y))) {
        let end = out.len() + size[0];
        if let (Some(y), Some(z), 1..) = (inside(1, y), inside(2, z), count) {
            let row = first + shape[0] * (y + shape[1] * z);
            out.resize(out.len() + before, outside);
            out.extend_from_slice(&volume[row..row + count]);
        }
        out.resize(end, outside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_drawn_by_their_shares() {
        let mut counts = [0; 3];
        for number in 0..10_000 {
            let shares = [0.5, 0.2, 0.3].into_iter();
            counts[one_of(shares, &mut Random::new(1, number))] += 1;
        }
        // Four standard deviations of a count are 200 at most.
        for (count, expected) in counts.into_iter().zip([5000, 2000, 3000]) {
            assert!(i32::abs_diff(count, expected) < 200, "{counts:?}");
        }
        // Runs of one dataset go on as before there could be others.
        let (mut drawn, mut fresh) = (Random::new(1, 1), Random::new(1, 1));
        assert_eq!(one_of([1.0].into_iter(), &mut drawn), 0);
        assert_eq!(drawn.seed(), fresh.seed());
    }

    #[test]
    fn boxes_reach_beyond_the_volume() {
        let shape = [4, 3, 2];
        let volume: Vec<i32> = (0..24).collect();
        for start in [
            [0, 0, 0],
            [-1, 1, 0],
            [2, -2, 1],
            [5, 0, 0],
            [-7, 0, 0],
            [1, 1, -3],
        ] {
            let size = [3, 4, 2];
            let mut found = Vec::new();
            cut(&volume, shape, start, size, -1, &mut found);
            let mut expected = Vec::new();
            for z in 0..2 {
                for y in 0..4 {
                    for x in 0..3 {
                        let at = [x + start[0], y + start[1], z + start[2]];
                        let inside = (0..3).all(|a| at[a] >= 0 && at[a] < shape[a] as i64);
                        let value = at[0] + 4 * (at[1] + 3 * at[2]);
                        expected.push(if inside { value as i32 } else { -1 });
                    }
                }
            }
            assert_eq!(found, expected, "{start:?}");
        }
    }
}
