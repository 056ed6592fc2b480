//! Layer normalisation of the channels of an image.

use burn::Tensor;

#[cfg(feature = "flex")]
use super::{extension, op::Op};
use super::{in_single, options};

/// Layer normalisation of the channels of every voxel
/// (`torch.nn.functional.layer_norm(x, [channels])` with the channels last).
///
/// The variance is the biased one. `weight` and `bias` are `[channels]`.
///
/// # Panics
/// If `weight` or `bias` is not `[channels]`.
#[must_use]
pub fn layer_norm(
    x: Tensor<5>,
    weight: Option<Tensor<1>>,
    bias: Option<Tensor<1>>,
    eps: f64,
) -> Tensor<5> {
    options::check_norm(&x, weight.as_ref(), bias.as_ref());
    #[cfg(feature = "flex")]
    if let Some(op) = extension::accept(
        Op::LayerNorm { eps },
        &x,
        None,
        [weight.as_ref(), bias.as_ref()],
    ) {
        return extension::run(x, weight, bias, op);
    }
    in_single(x, |x| portable(x, weight, bias, eps))
}

pub(super) fn portable(
    x: Tensor<5>,
    weight: Option<Tensor<1>>,
    bias: Option<Tensor<1>>,
    eps: f64,
) -> Tensor<5> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    let mut y = centred / (variance + eps).sqrt();
    let per_channel = |v: Tensor<1>| {
        let channels = v.dims()[0];
        v.reshape([1, channels, 1, 1, 1])
    };
    if let Some(weight) = weight {
        y = y * per_channel(weight);
    }
    match bias {
        Some(bias) => y + per_channel(bias),
        None => y,
    }
}
