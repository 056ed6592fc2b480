//! MeshNet: dilated 3x3x3 convolutions at full resolution, then a 1x1x1 classifier
//! (arXiv 1612.00940).

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::SpecError;
use super::segments::Segments;
use super::spec::{MAX_CHANNELS, in_range};
use crate::kernel::Normalized;
use crate::nn::{Activation, Conv3d, Conv3dConfig, InstanceNorm, InstanceNormConfig};

/// One 3x3x3 convolution of a MeshNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshNetLayer {
    /// Output channels.
    pub channels: usize,
    /// Dilation, and padding.
    pub dilation: usize,
}

/// Sizes of a [`MeshNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeshNetConfig {
    /// Image channels.
    pub in_channels: usize,
    /// Classes.
    pub out_channels: usize,
    /// The dilated convolutions, first to last.
    pub layers: Vec<MeshNetLayer>,
    /// After every dilated convolution.
    pub activation: Activation,
    /// Per-channel instance norm (no affine, eps 1e-5) between convolution and activation.
    pub norm: bool,
    /// Whether the convolutions have a bias.
    pub bias: bool,
}

/// A chain of dilated convolutions with zero padding, and a classifier.
#[derive(Module, Debug)]
pub struct MeshNet {
    convs: Vec<Conv3d>,
    norm: Option<InstanceNorm>,
    #[module(skip)]
    dilations: Vec<usize>,
    #[module(skip)]
    activation: Activation,
}

impl MeshNetConfig {
    pub(super) fn validate(&self) -> Result<(), SpecError> {
        in_range("in_channels", self.in_channels, MAX_CHANNELS)?;
        in_range("out_channels", self.out_channels, MAX_CHANNELS)?;
        in_range("layers", self.layers.len(), 256)?;
        for layer in &self.layers {
            in_range("channels", layer.channels, MAX_CHANNELS)?;
            in_range("dilation", layer.dilation, 1024)?;
        }
        Ok(())
    }

    /// A network with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> MeshNet {
        let mut convs = Vec::with_capacity(self.layers.len() + 1);
        let mut c_in = self.in_channels;
        for layer in &self.layers {
            convs.push(
                Conv3dConfig::new([c_in, layer.channels], 3)
                    .with_padding(layer.dilation)
                    .with_dilation(layer.dilation)
                    .with_bias(self.bias)
                    .init(device),
            );
            c_in = layer.channels;
        }
        let classifier = Conv3dConfig::new([c_in, self.out_channels], 1).with_bias(self.bias);
        convs.push(classifier.init(device));
        let norm = || {
            InstanceNormConfig::new(c_in)
                .with_affine(false)
                .init(device)
        };
        MeshNet {
            convs,
            norm: self.norm.then(norm),
            dilations: self.layers.iter().map(|l| l.dilation).collect(),
            activation: self.activation,
        }
    }

    /// Voxels on each side of an output voxel that its value depends on, or `None` where the norm
    /// makes it depend on all.
    pub fn halo(&self) -> Option<usize> {
        (!self.norm).then(|| self.layers.iter().map(|l| l.dilation).sum())
    }

    /// The most channels of any layer's input and output together: what must be in memory at once,
    /// per voxel.
    pub fn live_channels(&self) -> usize {
        let mut c_in = self.in_channels;
        let mut most = 0;
        for c_out in self
            .layers
            .iter()
            .map(|l| l.channels)
            .chain([self.out_channels])
        {
            most = most.max(c_in + c_out);
            c_in = c_out;
        }
        most
    }
}

impl MeshNet {
    /// Applies the network.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`
    /// - output: `[batch, out_channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.features(x);
        self.classifier().forward_joined(&[x], None, None)
    }

    /// The output channel with the largest value of [`forward`](Self::forward), per voxel.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, x: Tensor<5>) -> Tensor<5, Int> {
        self.classifier().classify(self.features(x))
    }

    fn features(&self, x: Tensor<5>) -> Normalized {
        (0..self.dilations.len()).fold(x.into(), |x, i| self.whole_layer(i, x))
    }

    fn whole_layer(&self, i: usize, x: Normalized) -> Normalized {
        match &self.norm {
            Some(norm) => self.convs[i].forward_normalized(&[x], norm, Some(self.activation)),
            None => self.convs[i]
                .forward_joined(&[x], Some(self.activation), None)
                .into(),
        }
    }

    /// A segment a layer.
    pub(super) fn segments(&self) -> Segments<'_> {
        let mut segments = Segments::new();
        let mut x = Segments::INPUT;
        for i in 0..self.dilations.len() {
            x = segments.push(&[x], move |x| {
                self.whole_layer(i, x[0].clone().into()).into_tensor()
            });
        }
        segments.push(&[x], |x| self.classifier().forward(x[0].clone()));
        segments
    }

    fn classifier(&self) -> &Conv3d {
        &self.convs[self.dilations.len()]
    }

    /// Dilations of the layers before the classifier.
    pub fn dilations(&self) -> &[usize] {
        &self.dilations
    }

    /// Layer `i` with other padding than its own, without the norm: convolution, activation.
    ///
    /// # Shapes
    ///
    /// - slabs: `[batch, channels_in, planes, height, width]`, whose planes follow each other; the
    ///   first `depth` of all are read
    /// - output: edges `n + low + high - 2 * dilation`
    pub fn layer(
        &self,
        i: usize,
        slabs: &[Tensor<5>],
        depth: usize,
        padding: [[usize; 2]; 3],
    ) -> Tensor<5> {
        self.convs[i].forward_slabs(slabs, depth, padding, self.activation)
    }

    /// Whether [`layer`](Self::layer) reads slabs as they are, and does not join them first.
    pub fn reads_slabs(&self) -> bool {
        self.classifier().reads_slabs()
    }

    /// The output channel of the 1x1x1 convolution with the largest value, after the layers.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels, depth, height, width]`
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify_features(&self, x: Tensor<5>) -> Tensor<5, Int> {
        self.classifier().classify(x)
    }
}
