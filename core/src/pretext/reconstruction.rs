//! How well masked images are restored.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Which voxels the loss is taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossOver {
    /// All voxels, as the reference's default.
    #[default]
    All,
    /// Masked voxels: the sum of their squared errors divided by their number.
    Masked,
    /// The same sum divided by the number of all voxels: what the reference's
    /// `--loss_masked_tokens_only` computes.
    MaskedOfAll,
}

/// Squared errors of a restored batch. Each is a scalar, `[1]`.
#[derive(Clone, Debug)]
pub struct Reconstruction {
    /// What is minimised.
    pub loss: Tensor<1>,
    /// Mean over the masked voxels.
    pub masked: Tensor<1>,
    /// Mean over the visible voxels.
    pub visible: Tensor<1>,
}

/// Compares what the network restored with the target (`torch.nn.MSELoss`).
///
/// # Shapes
///
/// - output, target: `[batch, channels, x, y, z]`
/// - mask: `[batch, 1, x, y, z]`, 1 where masked and 0 where visible
pub fn reconstruction(
    output: Tensor<5>,
    target: Tensor<5>,
    mask: Tensor<5>,
    over: LossOver,
) -> Reconstruction {
    let [batch, channels, x, y, z] = output.dims();
    let voxels = (batch * channels * x * y * z) as f64;
    let masked_voxels = mask.clone().sum() * channels as f64;
    let visible_voxels = masked_voxels.clone().neg() + voxels;
    let difference = output - target;
    let squared = difference.clone() * difference;
    let all = squared.clone().sum();
    let masked = (squared * mask).sum();
    let visible = all.clone() - masked.clone();
    let loss = match over {
        LossOver::All => all / voxels,
        LossOver::Masked => masked.clone() / masked_voxels.clone(),
        LossOver::MaskedOfAll => masked.clone() / voxels,
    };
    Reconstruction {
        loss,
        masked: (masked / masked_voxels).detach(),
        visible: (visible / visible_voxels).detach(),
    }
}
