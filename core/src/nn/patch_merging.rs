//! Halving an image by merging neighbouring voxels.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use crate::kernel::{self, Conv3dOptions};

/// Which of the eight voxels of a 2 x 2 x 2 block are merged, and in which order. Weights made for
/// one do not fit another, although their shapes are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Merging {
    /// All eight, ordered by the number of axes that they are moved along (MONAI `PatchMerging`).
    #[default]
    V1,
    /// All eight, the last axis fastest (MONAI `PatchMergingV2`).
    V2,
    /// Six of the eight, two of them twice: what `PatchMerging` was up to MONAI 1.4, and so what
    /// the SwinUNETR checkpoints of its time were trained with.
    Repeated,
}

impl Merging {
    /// The place of each part's voxel in its block, the last axis fastest.
    fn places(self) -> [i32; 8] {
        match self {
            Self::V1 => [0, 4, 2, 1, 6, 5, 3, 7],
            Self::V2 => [0, 1, 2, 3, 4, 5, 6, 7],
            Self::Repeated => [0, 4, 2, 1, 5, 2, 1, 7],
        }
    }
}

/// Configuration of a [`PatchMerging`] (MONAI `PatchMerging`, `PatchMergingV2`).
#[derive(Config, Debug)]
pub struct PatchMergingConfig {
    /// Channels in; twice as many come out.
    pub channels: usize,
    /// Which voxels are merged.
    pub merging: Merging,
}

/// The voxels of every 2 x 2 x 2 block as channels of one, normalised, and a linear layer.
#[derive(Module, Debug)]
pub struct PatchMerging {
    /// From eight times the channels to twice the channels.
    pub reduction: Linear,
    /// Before the linear layer.
    pub norm: LayerNorm,
    #[module(skip)]
    merging: Merging,
}

impl PatchMergingConfig {
    /// A layer with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> PatchMerging {
        let c = self.channels;
        PatchMerging {
            reduction: LinearConfig::new([8 * c, 2 * c])
                .with_bias(false)
                .init(device),
            norm: LayerNormConfig::new(8 * c).init(device),
            merging: self.merging,
        }
    }
}

impl PatchMerging {
    /// Applies the layer. An odd edge is filled up with zeros at its high end.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels, depth, height, width]`
    /// - output: `[batch, 2 channels, depth / 2, height / 2, width / 2]`, rounded up
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let [batch, c, image @ ..] = x.dims();
        let missing = image.map(|n| (0, n % 2));
        let x = match missing {
            [(0, 0), (0, 0), (0, 0)] => x,
            missing => x.pad(missing, 0.0),
        };
        let [d, h, w] = image.map(|n| n.div_ceil(2));
        let x: Tensor<4> = x
            .reshape([batch * c, d, 2, h, 2, w, 2])
            .permute([0, 2, 4, 6, 1, 3, 5])
            .reshape([batch, c, 8, d * h * w]);
        // Channels are outermost here and blocks' voxels in the published weights.
        let inner = |v: Tensor<1>| v.reshape([8, c]).swap_dims(0, 1);
        let weight = self.reduction.weight.val();
        let weight = weight.reshape([2 * c, 8, c]).swap_dims(1, 2);
        let scale = inner(self.norm.weight.val());
        let shift = inner(self.norm.bias.val());
        let places = |places: [i32; 8]| {
            Tensor::<1, Int>::from_data(TensorData::new(places.to_vec(), [8]), &x.device())
        };
        let parts = self.merging.places();
        let (x, weight, scale, shift) = match self.merging {
            Merging::V2 => (x, weight, scale, shift),
            Merging::V1 => {
                // Reordering weights is cheaper than reordering voxels.
                let mut part_of = [0; 8];
                for (part, place) in parts.into_iter().enumerate() {
                    part_of[place as usize] = part as i32;
                }
                let order = places(part_of);
                (
                    x,
                    weight.select(2, order.clone()),
                    scale.select(1, order.clone()),
                    shift.select(1, order),
                )
            }
            Merging::Repeated => {
                let order = places(parts);
                (x.select(2, order), weight, scale, shift)
            }
        };
        let x = self.norm.forward_with(
            x.reshape([batch, 8 * c, d, h, w]),
            scale.reshape([8 * c]),
            shift.reshape([8 * c]),
        );
        let weight = weight.reshape([2 * c, 8 * c, 1, 1, 1]);
        kernel::conv3d(x, weight, None, &Conv3dOptions::new(1, 0, 1))
    }
}
