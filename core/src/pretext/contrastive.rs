//! Contrastive coding: two views of a patch are alike, and unlike those of others.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Norms below this are taken for it.
const LEAST_NORM: f64 = 1e-12;
/// In place of the likeness of a code to itself, which is no choice.
const NEVER: f32 = -1e30;

/// How well the code of each view finds that of the other view of its patch among all others
/// (NT-Xent: Chen et al., SimCLR, arXiv 2002.05709), a scalar `[1]`.
///
/// The likeness of two codes is the cosine of the angle between them over `temperature`; the loss
/// is the mean over both views of all patches of the cross-entropy of choosing the other view.
/// For one patch alone it is 0: there is nothing to choose from.
///
/// # Shapes
///
/// - first, second: `[batch, features]`, the codes of two views of each patch
pub fn contrastive(first: Tensor<2>, second: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [batch, _] = first.dims();
    let device = first.device();
    let codes = Tensor::cat(vec![first, second], 0);
    let norms = codes.clone().square().sum_dim(1).sqrt();
    let codes = codes / norms.clamp_min(LEAST_NORM);
    let likeness = codes.clone().matmul(codes.transpose()) / temperature;
    let likeness = likeness + itself(2 * batch, &device);
    let other = (0..2 * batch).map(|n| ((n + batch) % (2 * batch)) as i32);
    let other = TensorData::new(other.collect::<Vec<_>>(), [2 * batch, 1]);
    let other = Tensor::<2, Int>::from_data(other, &device);
    log_softmax(likeness, 1).gather(1, other).mean().neg()
}

/// A matrix that takes its diagonal out of every choice.
fn itself(size: usize, device: &Device) -> Tensor<2> {
    let on = |n: usize| if n / size == n % size { NEVER } else { 0.0 };
    let values: Vec<f32> = (0..size * size).map(on).collect();
    Tensor::from_data(TensorData::new(values, [size, size]), device)
}
