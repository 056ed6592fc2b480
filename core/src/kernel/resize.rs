//! Trilinear resampling: which voxels meet, and the definition of the operation.

use burn::Tensor;
use burn::tensor::{Device, Int, TensorData};

/// For each voxel of an axis of the output, the two of the input that it lies between
/// (`align_corners=False`), in single precision as PyTorch has it.
pub(super) struct Places {
    low: Vec<usize>,
    high: Vec<usize>,
    /// Share of the higher one.
    share: Vec<f32>,
}

impl Places {
    pub(super) fn new(from: usize, to: usize) -> Self {
        let scale = from as f32 / to as f32;
        let (mut low, mut high, mut share) = (Vec::new(), Vec::new(), Vec::new());
        for voxel in 0..to {
            let place = (scale * (voxel as f32 + 0.5) - 0.5).max(0.0);
            let below = (place as usize).min(from - 1);
            low.push(below);
            high.push((below + 1).min(from - 1));
            share.push((place - below as f32).min(1.0));
        }
        Self { low, high, share }
    }

    #[cfg(feature = "flex")]
    pub(super) fn len(&self) -> usize {
        self.low.len()
    }

    /// The lower voxel, the higher one, and the share of the higher one.
    #[cfg(feature = "flex")]
    pub(super) fn at(&self, voxel: usize) -> (usize, usize, f32) {
        (self.low[voxel], self.high[voxel], self.share[voxel])
    }
}

/// Composed of burn's own operations, axis by axis.
pub(super) fn portable(x: Tensor<5>, size: [usize; 3]) -> Tensor<5> {
    (0..3).fold(x, |x, axis| along(&x, axis + 2, size[axis]))
}

fn along(x: &Tensor<5>, axis: usize, to: usize) -> Tensor<5> {
    let places = Places::new(x.dims()[axis], to);
    let device: Device = x.device();
    let pick = |of: &[usize]| {
        let indices: Vec<i32> = of.iter().map(|&index| index as i32).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [to]), &device);
        x.clone().select(axis, indices)
    };
    let (low, high) = (pick(&places.low), pick(&places.high));
    let mut shape = [1; 5];
    shape[axis] = to;
    let share = Tensor::<5>::from_data(TensorData::new(places.share, shape), &device);
    low * (share.clone().neg() + 1.0) + high * share
}
