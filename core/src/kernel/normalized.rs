//! A tensor whose normalisation is left to those who read it.

use burn::Tensor;
use burn::tensor::s;

use super::portable;
#[cfg(feature = "flex")]
use super::{extension, op::Op};
use crate::nn::Activation;

/// A tensor that stands for `activation((x - origin) * scale + shift)`, with an origin, scale and
/// shift per channel of each sample. The operations that take it map its values as they read
/// them, so that the mapped tensor is never in memory.
///
/// Where a gradient is asked for, or the device has no such kernels, it holds the mapped values.
#[derive(Clone, Debug)]
pub struct Normalized {
    pub(super) x: Tensor<5>,
    /// `[batch, channels, 3]`: origin, scale and shift; and the activation after them.
    pub(super) map: Option<(Tensor<3>, Option<Activation>)>,
}

impl From<Tensor<5>> for Normalized {
    fn from(x: Tensor<5>) -> Self {
        Self { x, map: None }
    }
}

impl Normalized {
    /// Shape: `[batch, channels, depth, height, width]`.
    #[must_use]
    pub fn dims(&self) -> [usize; 5] {
        self.x.dims()
    }

    /// Without autodiff.
    pub(super) fn inner(&self) -> Self {
        Self {
            x: self.x.clone().inner(),
            map: self
                .map
                .as_ref()
                .map(|(map, activation)| (map.clone().inner(), *activation)),
        }
    }

    /// The mapped values.
    #[must_use]
    pub fn into_tensor(self) -> Tensor<5> {
        let Some((map, activation)) = self.map else {
            return self.x;
        };
        let [batch, channels, ..] = self.x.dims();
        let [origin, scale, shift] = [0, 1, 2].map(|part| {
            let part = map.clone().slice(s![.., .., part..part + 1]);
            part.reshape([batch, channels, 1, 1, 1])
        });
        let y = (self.x - origin) * scale + shift;
        match activation {
            Some(activation) => portable::activate(y, activation),
            None => y,
        }
    }
}

/// The mapped values of some tensors, their channels one after the other.
pub(super) fn joined(parts: &[Normalized]) -> Tensor<5> {
    match parts {
        [part] => part.clone().into_tensor(),
        #[cfg(feature = "flex")]
        [first, second] => {
            let [first, second] = [first, second].map(|part| part.clone().into_tensor());
            match extension::accept(Op::Join, &first, Some(&second), [None, None]) {
                Some(op) => extension::run(first, Some(second), None, op),
                None => Tensor::cat(vec![first, second], 1),
            }
        }
        parts => {
            let parts = parts.iter().map(|part| part.clone().into_tensor());
            Tensor::cat(parts.collect(), 1)
        }
    }
}
