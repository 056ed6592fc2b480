//! What a network is pretrained on: a masked patch, the mask, and the patch to restore.

use amaes_core::pretext::BlockMask;
use burn::tensor::{DType, Device, Tensor, TensorData};

/// What makes samples of patches.
pub trait Pretext: Send + Sync + 'static {
    /// What it makes.
    type Sample: Send + 'static;

    /// A sample of an augmented patch and of the patch to restore, both `[x, y, z]` with the last
    /// axis fastest. The same patches and seed must give the same sample.
    fn sample(&self, input: Vec<f32>, target: Vec<f32>, seed: u64) -> Self::Sample;

    /// What the samples of a batch take from each other.
    fn mix(&self, _batch: &mut [Self::Sample]) {}
}

impl Pretext for BlockMask {
    type Sample = Sample;

    fn sample(&self, input: Vec<f32>, target: Vec<f32>, seed: u64) -> Sample {
        Sample::new(input, target, self.draw(seed))
    }
}

/// One patch, as tensors hold it: `[x, y, z]`, last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The augmented patch, 0 where it is masked.
    pub input: Vec<f32>,
    /// The patch to restore: its spatial augmentation kept, its intensities as they were.
    pub target: Vec<f32>,
    /// 1 where it is masked, 0 where it is visible.
    pub mask: Vec<f32>,
}

impl Sample {
    /// A sample of an augmented patch.
    pub fn new(mut input: Vec<f32>, target: Vec<f32>, mask: Vec<f32>) -> Self {
        for (value, &masked) in input.iter_mut().zip(&mask) {
            if masked == 1.0 {
                *value = 0.0;
            }
        }
        Self {
            input,
            target,
            mask,
        }
    }
}

/// Samples as tensors on a device, each `[batch, 1, x, y, z]`.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the network sees.
    pub input: Tensor<5>,
    /// What it should restore.
    pub target: Tensor<5>,
    /// 1 where it is masked, 0 where it is visible.
    pub mask: Tensor<5>,
}

impl Batch {
    /// Samples that are patches of `patch` voxels.
    pub fn new(samples: &[Sample], patch: [usize; 3], on: &Device) -> Self {
        let tensor = |of: fn(&Sample) -> &Vec<f32>| {
            let mut values = Vec::with_capacity(samples.len() * patch.iter().product::<usize>());
            for sample in samples {
                values.extend_from_slice(of(sample));
            }
            let shape = [samples.len(), 1, patch[0], patch[1], patch[2]];
            Tensor::from_data(TensorData::new(values, shape), (on, DType::F32))
        };
        Self {
            input: tensor(|s| &s.input),
            target: tensor(|s| &s.target),
            mask: tensor(|s| &s.mask),
        }
    }
}
