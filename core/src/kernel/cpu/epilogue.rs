//! What a convolution does to its outputs before they are stored.

use super::moments::{Moments, PACKED};
use super::parallel::Shared;
use super::pointwise::{apply, vectored};
use crate::nn::Activation;

/// What happens to the sums of a convolution, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue<'a> {
    /// Added per output channel.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) activation: Option<Activation>,
    /// Added at last: a tensor of the output's shape.
    pub(crate) residual: Option<&'a [f32]>,
    /// Whether mean and variance of each channel of each sample are wanted.
    pub(crate) moments: bool,
}

impl Epilogue<'_> {
    /// Finishes a row of sums of output channel `channel`, whose outputs are at `start`,
    /// `start + step` and so on.
    pub(crate) fn row(&self, channel: usize, values: &mut [f32], start: usize, step: usize) {
        if let Some(bias) = self.bias {
            let bias = bias[channel];
            vectored(
                #[inline(always)]
                || values.iter_mut().for_each(|value| *value += bias),
            );
        }
        if let Some(activation) = self.activation {
            apply(activation, values);
        }
        match self.residual {
            None => (),
            Some(residual) if step == 1 => {
                let residual = &residual[start..][..values.len()];
                vectored(
                    #[inline(always)]
                    || {
                        for (value, add) in values.iter_mut().zip(residual) {
                            *value += add;
                        }
                    },
                );
            }
            Some(residual) => {
                let residual = residual[start..].iter().step_by(step);
                for (value, add) in values.iter_mut().zip(residual) {
                    *value += add;
                }
            }
        }
    }
}

/// What a convolution gives.
pub(crate) struct Output {
    pub(crate) values: Vec<f32>,
    /// Of each channel of each sample, if wanted.
    pub(crate) moments: Option<Vec<Moments>>,
}

/// The moments that tasks found, each its own.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a>(Shared<'a>);

impl<'a> Found<'a> {
    /// `memory`: [`PACKED`] floats an entry.
    pub(crate) fn new(memory: &'a mut [f32]) -> Self {
        Self(Shared::new(memory))
    }

    /// Records entry `index`.
    ///
    /// # Safety
    /// Nobody else records it.
    pub(crate) unsafe fn set(&self, index: usize, moments: &Moments) {
        // SAFETY: the caller's promise.
        unsafe { self.0.write(index * PACKED, 1, &moments.pack()) };
    }
}
