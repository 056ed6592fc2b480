//! Samples of SwinUNETR's pretext: two views of a patch, rotated and with boxes cut out.

use amaes_core::augment::Random;
use amaes_core::pretext::{Cutout, CutoutConfig, TURNS, rotate};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::error::Result;
use super::sample::Pretext;

/// Streams of random numbers of a view: for itself, and for what it takes from other patches.
const STREAMS: u64 = 2;

/// One view of a patch, as tensors hold it: `[x, y, z]`, last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The rotated patch, with boxes cut out.
    pub input: Vec<f32>,
    /// The rotated patch, its intensities as they were.
    pub target: Vec<f32>,
    /// Quarter turns.
    pub turns: usize,
}

/// Two views of a patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Views {
    /// The views.
    pub views: [View; 2],
    /// What is taken from other patches depends on it.
    pub seed: u64,
}

/// Makes [`Views`] of patches.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewMaker {
    patch: [usize; 3],
    cutout: Cutout,
}

impl ViewMaker {
    /// Views of patches of `patch` voxels, of which the edges y and z are equal.
    ///
    /// # Errors
    ///
    /// [`TrainError::Pretext`](super::TrainError::Pretext) for boxes that do not fit in.
    pub fn new(patch: [usize; 3], cutout: CutoutConfig) -> Result<Self> {
        Ok(Self {
            patch,
            cutout: Cutout::new(patch, cutout)?,
        })
    }

    fn view(&self, input: &[f32], target: &[f32], random: &mut Random) -> View {
        let turns = random.whole(0, TURNS - 1);
        let mut input = rotate(input, self.patch, turns);
        for cuboid in self.cutout.draw(random) {
            self.cutout.fill_with_noise(&mut input, &cuboid, random);
        }
        View {
            input,
            target: rotate(target, self.patch, turns),
            turns,
        }
    }
}

impl Pretext for ViewMaker {
    type Sample = Views;

    fn sample(&self, input: Vec<f32>, target: Vec<f32>, seed: u64) -> Views {
        let view = |n| self.view(&input, &target, &mut Random::new(seed, STREAMS * n));
        Views {
            views: [view(0), view(1)],
            seed,
        }
    }

    /// Puts boxes of the same view of another patch into each view, in the order of the batch: of
    /// a patch that had its turn as it is by then, of a later one from before its cuts. Which patch
    /// is drawn among all; where a view draws its own nothing is done.
    fn mix(&self, batch: &mut [Views]) {
        let last = match batch.len() {
            0 | 1 => return,
            count => count - 1,
        };
        for n in 0..2 {
            for i in 0..batch.len() {
                let random = &mut Random::new(batch[i].seed, STREAMS * n as u64 + 1);
                let other = random.whole(0, last);
                if other == i {
                    continue;
                }
                let from = match other < i {
                    true => batch[other].views[n].input.clone(),
                    false => batch[other].views[n].target.clone(),
                };
                for cuboid in self.cutout.draw(random) {
                    let into = &mut batch[i].views[n].input;
                    self.cutout.fill_from(into, &cuboid, &from);
                }
            }
        }
    }
}

/// Views as tensors on a device: the first of every sample, then the second of every sample.
#[derive(Clone, Debug)]
pub struct ViewBatch {
    /// What the network sees, `[2 * batch, 1, x, y, z]`.
    pub input: Tensor<5>,
    /// What it should restore, `[2 * batch, 1, x, y, z]`.
    pub target: Tensor<5>,
    /// Quarter turns, `[2 * batch]`.
    pub turns: Tensor<1, Int>,
}

impl ViewBatch {
    /// Samples that are patches of `patch` voxels.
    pub fn new(samples: &[Views], patch: [usize; 3], on: &Device) -> Self {
        let views = || {
            [0, 1]
                .into_iter()
                .flat_map(|n| samples.iter().map(move |s| &s.views[n]))
        };
        let [x, y, z] = patch;
        let count = 2 * samples.len();
        let tensor = |of: fn(&View) -> &Vec<f32>| {
            let mut values = Vec::with_capacity(count * x * y * z);
            for view in views() {
                values.extend_from_slice(of(view));
            }
            let data = TensorData::new(values, [count, 1, x, y, z]);
            Tensor::from_data(data, (on, DType::F32))
        };
        let turns: Vec<i32> = views().map(|v| v.turns as i32).collect();
        Self {
            input: tensor(|v| &v.input),
            target: tensor(|v| &v.target),
            turns: Tensor::from_data(TensorData::new(turns, [count]), (on, DType::I32)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: [usize; 3] = [16, 32, 32];

    fn maker() -> ViewMaker {
        let cutout = CutoutConfig {
            share: 0.3,
            edge: [0.1, 0.5],
        };
        ViewMaker::new(PATCH, cutout).expect("fits")
    }

    /// Patches whose voxels tell which they are and where: all of patch n are above 10 n + 1.
    fn samples(count: usize) -> Vec<Views> {
        let sample = |n: usize| {
            let voxels = PATCH.iter().product::<usize>();
            let patch: Vec<f32> = (0..voxels)
                .map(|v| (10 * n) as f32 + 2.0 + v as f32 / voxels as f32)
                .collect();
            maker().sample(patch.clone(), patch, 17 + n as u64)
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn views_are_rotated_and_cut_differently() {
        let samples = samples(40);
        let mut turns = [0; TURNS];
        for (n, sample) in samples.iter().enumerate() {
            for view in &sample.views {
                turns[view.turns] += 1;
                let back = rotate(&view.target, PATCH, TURNS - view.turns);
                assert!(back.is_sorted(), "the target is the rotated patch");
                let noise = view.input.iter().zip(&view.target).filter(|(i, t)| i != t);
                let noise: Vec<f32> = noise.map(|(i, _)| *i).collect();
                assert!(noise.iter().all(|v| (0.0..=1.0).contains(v)), "{n}");
                assert!(noise.len() < view.input.len() / 2);
            }
            let [first, second] = &sample.views;
            assert_ne!(first.input, second.input);
        }
        // 20 each of 80, with a standard deviation of 3.9.
        assert!(turns.iter().all(|n| (6..35).contains(n)), "{turns:?}");
    }

    #[test]
    fn views_take_boxes_of_the_same_view_of_other_patches() {
        let before = samples(6);
        let mut after = before.clone();
        maker().mix(&mut after);
        let owner = |value: f32| ((value - 2.0) / 10.0).floor() as usize;
        let mut taken = 0;
        for (i, (before, after)) in before.iter().zip(&after).enumerate() {
            for (before, after) in before.views.iter().zip(&after.views) {
                assert_eq!((before.turns, &before.target), (after.turns, &after.target));
                let changed = before
                    .input
                    .iter()
                    .zip(&after.input)
                    .filter(|(b, a)| b != a);
                let mut from = changed.filter(|(_, a)| **a > 1.0).map(|(_, a)| owner(*a));
                taken += usize::from(from.any(|other| other != i));
            }
        }
        // One in six draws itself, and a few draw hardly any box.
        assert!((5..=12).contains(&taken), "{taken}");
        // One patch has nobody to take from.
        let mut alone = samples(1);
        maker().mix(&mut alone);
        assert_eq!(alone, samples(1));
    }
}
