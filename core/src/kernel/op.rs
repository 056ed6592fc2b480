//! The kernels as data: which operation, and what its gradients need.

use burn::tensor::Shape;

use super::Conv3dOptions;
#[cfg(feature = "flex")]
use super::Windows;
use super::shape::{self, Conv};
use crate::nn::Activation;

/// An operation with its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// Dense convolution. With an activation it has no gradient.
    Conv {
        options: Conv3dOptions,
        activation: Option<Activation>,
    },
    /// Convolution of each channel.
    Depthwise {
        stride: usize,
        padding: usize,
    },
    /// Transposed convolution of each channel, stride 2, padding half the kernel.
    DepthwiseTranspose,
    /// Transposed convolution, stride 2.
    Transpose,
    /// Instance normalisation, then an activation.
    Norm {
        eps: f64,
        activation: Option<Activation>,
    },
    Activate(Activation),
    MaxPool2,
    /// Mean over blocks of 2 x 2 x 2 voxels.
    #[cfg(feature = "flex")]
    AvgPool2,
    /// The channels of the data, then those of the weight.
    #[cfg(feature = "flex")]
    Join,
    /// The sum with the weight, then an activation that keeps the sign. The gradients need only
    /// the output.
    #[cfg(feature = "flex")]
    Residual(Activation),
    /// Trilinear resampling to a size.
    #[cfg(feature = "flex")]
    Resize([usize; 3]),
    /// Normalisation of the channels of each voxel.
    #[cfg(feature = "flex")]
    LayerNorm {
        eps: f64,
    },
    /// Attention within windows; the weight is the bias of the scores.
    #[cfg(feature = "flex")]
    Attention(Windows),
}

impl Op {
    /// Whether gradients need the data.
    pub(super) fn needs_data(self, weight_tracked: bool) -> bool {
        match self {
            Self::Norm { .. } | Self::Activate(_) | Self::MaxPool2 => true,
            #[cfg(feature = "flex")]
            Self::LayerNorm { .. } | Self::Attention(_) => true,
            #[cfg(feature = "flex")]
            Self::Join | Self::Residual(_) => false,
            _ => weight_tracked,
        }
    }

    /// Whether gradients need the weight.
    pub(super) fn needs_weight(self) -> bool {
        match self {
            #[cfg(feature = "flex")]
            Self::Join | Self::Residual(_) => false,
            _ => true,
        }
    }

    /// Whether gradients need the bias.
    pub(super) fn needs_bias(self) -> bool {
        matches!(self, Self::Norm { .. })
    }

    /// The convolution that this operation, or its transpose (second), is; and its activation.
    pub(super) fn convolution(
        self,
        x: [usize; 5],
        weight: Option<[usize; 5]>,
    ) -> Option<(Conv, bool, Option<Activation>)> {
        let weight = weight?;
        Some(match self {
            Self::Conv {
                options,
                activation,
            } => (
                shape::convolution(x, weight, 1, &options),
                false,
                activation,
            ),
            Self::Depthwise { stride, padding } => {
                let options = Conv3dOptions::new(stride, padding, 1);
                (shape::convolution(x, weight, x[1], &options), false, None)
            }
            Self::DepthwiseTranspose => (
                shape::transposed(x, weight, x[1], weight[2] / 2),
                true,
                None,
            ),
            Self::Transpose => (shape::transposed(x, weight, 1, 0), true, None),
            Self::Norm { .. } | Self::Activate(_) | Self::MaxPool2 => return None,
            #[cfg(feature = "flex")]
            Self::Resize(_)
            | Self::AvgPool2
            | Self::Join
            | Self::Residual(_)
            | Self::LayerNorm { .. }
            | Self::Attention(_) => return None,
        })
    }
}

/// Inputs of the gradients; `T` is a tensor of the backend.
pub(super) struct Saved<T> {
    /// The data, where [`Op::needs_data`].
    pub(super) x: Option<T>,
    pub(super) shape: Shape,
    pub(super) weight: Option<T>,
    /// The bias, where [`Op::needs_bias`].
    pub(super) bias: Option<T>,
    /// What the forward pass kept.
    pub(super) kept: Option<T>,
}

/// Extents of a tensor, ones before them up to five.
pub(super) fn five(shape: &Shape) -> [usize; 5] {
    let mut dims = [1; 5];
    let skip = 5_usize.saturating_sub(shape.num_dims());
    for (dim, size) in dims[skip..].iter_mut().zip(shape.iter()) {
        *dim = *size;
    }
    dims
}
