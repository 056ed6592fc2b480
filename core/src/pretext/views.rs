//! What SwinUNETR is pretrained for: two views of each patch, rotated and cut differently.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, s};
use serde::{Deserialize, Serialize};

use super::contrastive;

/// How the parts of the loss are weighed. The default is the published one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewLossConfig {
    /// Weight of telling the rotation.
    pub rotation: f64,
    /// Weight of the contrastive part.
    pub contrastive: f64,
    /// Weight of restoring what was cut out.
    pub inpainting: f64,
    /// Temperature of the contrastive part.
    pub temperature: f64,
}

impl Default for ViewLossConfig {
    fn default() -> Self {
        Self {
            rotation: 1.0,
            contrastive: 1.0,
            inpainting: 1.0,
            temperature: 0.5,
        }
    }
}

/// What a network makes of views: the first of every patch, then the second of every patch.
#[derive(Clone, Debug)]
pub struct ViewOutput {
    /// Logits of the rotations, `[2 * batch, 4]`.
    pub rotation: Tensor<2>,
    /// Codes, `[2 * batch, features]`.
    pub code: Tensor<2>,
    /// Restored views, `[2 * batch, channels, x, y, z]`.
    pub restored: Tensor<5>,
}

/// The loss of a batch of views. Each is a scalar, `[1]`.
#[derive(Clone, Debug)]
pub struct ViewLoss {
    /// What is minimised: the weighted sum of the others.
    pub loss: Tensor<1>,
    /// Cross-entropy of the rotations.
    pub rotation: Tensor<1>,
    /// Mean cross-entropy of finding the other view ([`contrastive`]).
    pub contrastive: Tensor<1>,
    /// Mean absolute error over all voxels (`torch.nn.L1Loss`).
    pub inpainting: Tensor<1>,
}

/// Compares what a network made of views with what it should (Tang et al., CVPR 2022).
///
/// # Shapes
///
/// - turns: `[2 * batch]`, quarter turns of each view
/// - target: `[2 * batch, channels, x, y, z]`, the views before anything was cut out
pub fn view_loss(
    output: ViewOutput,
    turns: Tensor<1, Int>,
    target: Tensor<5>,
    config: &ViewLossConfig,
) -> ViewLoss {
    let [views, _] = output.code.dims();
    let turns = turns.reshape([views, 1]);
    let chosen = log_softmax(output.rotation, 1).gather(1, turns);
    let rotation = chosen.mean().neg();
    let code = |from: usize, to: usize| output.code.clone().slice(s![from..to]);
    let (first, second) = (code(0, views / 2), code(views / 2, views));
    let contrastive = contrastive(first, second, config.temperature);
    let inpainting = (output.restored - target).abs().mean();
    let loss = rotation.clone() * config.rotation
        + contrastive.clone() * config.contrastive
        + inpainting.clone() * config.inpainting;
    ViewLoss {
        loss,
        rotation: rotation.detach(),
        contrastive: contrastive.detach(),
        inpainting: inpainting.detach(),
    }
}
