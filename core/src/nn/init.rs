//! PyTorch's default initialisation of convolutions.

use burn::module::Param;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

/// `kaiming_uniform_(a = sqrt(5))`, which is uniform in `±1 / sqrt(fan_in)`; PyTorch draws the
/// bias from the same range.
pub(super) fn uniform_fan_in<const D: usize>(
    shape: [usize; D],
    fan_in: usize,
    device: &Device,
) -> Param<Tensor<D>> {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    Initializer::Uniform {
        min: -bound,
        max: bound,
    }
    .init(shape, device)
}
