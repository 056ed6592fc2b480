//! Strided encoder-decoder: MeshNet's dilated convolutions, in the middle at half the resolution
//! (the "segmentation autoencoder" of brainchop-models; no skips).

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::SpecError;
use super::segments::Segments;
use super::spec::{MAX_CHANNELS, in_range};
use crate::nn::{Activation, Conv3d, Conv3dConfig, ConvTranspose3d, ConvTranspose3dConfig};

/// What a layer of a [`Strided`] network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StridedKind {
    /// 3x3x3 convolution, activated.
    Conv {
        /// Dilation, and padding.
        dilation: usize,
    },
    /// 3x3x3 convolution of stride 2 and padding 1, activated: halves the edges.
    Down,
    /// Transposed 2x2x2 convolution of stride 2, not activated: doubles the edges.
    Up,
}

/// A layer of a [`Strided`] network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StridedLayer {
    /// Output channels.
    pub channels: usize,
    /// What it does.
    #[serde(flatten)]
    pub kind: StridedKind,
}

/// Sizes of a [`Strided`] network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StridedConfig {
    /// Image channels.
    pub in_channels: usize,
    /// Classes.
    pub out_channels: usize,
    /// The layers before the 1x1x1 classifier, first to last.
    pub layers: Vec<StridedLayer>,
    /// After every convolution but the transposed ones and the classifier.
    pub activation: Activation,
}

/// A chain of convolutions, some of which change the resolution, and a classifier.
#[derive(Module, Debug)]
pub struct Strided {
    layers: Vec<Layer>,
    #[module(skip)]
    activation: Activation,
}

/// A layer with its parameters.
#[derive(Module, Debug)]
enum Layer {
    Conv(Conv3d),
    Up(ConvTranspose3d),
}

/// Dilations of the published networks at full resolution, at half and again at full.
const DILATIONS: [[usize; 5]; 3] = [[1, 2, 4, 6, 8], [10, 12, 16, 12, 10], [8, 6, 4, 2, 1]];

impl StridedConfig {
    /// The published network with `filters` channels, twice as many in the middle: 16 (tissue) or
    /// 32 (subcortical).
    pub fn of(filters: usize, in_channels: usize, classes: usize) -> Self {
        let convs = |part: usize, channels: usize| {
            DILATIONS[part].map(|dilation| StridedLayer {
                channels,
                kind: StridedKind::Conv { dilation },
            })
        };
        let layer = |channels, kind| [StridedLayer { channels, kind }];
        let layers = [
            &convs(0, filters)[..],
            &layer(2 * filters, StridedKind::Down),
            &convs(1, 2 * filters),
            &layer(filters, StridedKind::Up),
            &convs(2, filters),
        ];
        Self {
            in_channels,
            out_channels: classes,
            layers: layers.concat(),
            activation: Activation::Silu,
        }
    }

    /// Edges must be multiples of this.
    pub fn edge_multiple(&self) -> usize {
        1 << self.deepest()
    }

    /// How often the edges are halved at the lowest resolution.
    fn deepest(&self) -> usize {
        let levels = self.layers.iter().scan(0_usize, |level, layer| {
            *level = match layer.kind {
                StridedKind::Conv { .. } => *level,
                StridedKind::Down => *level + 1,
                StridedKind::Up => level.saturating_sub(1),
            };
            Some(*level)
        });
        levels.max().unwrap_or(0)
    }

    /// The most that any layer's input and output take together: what must be in memory at once,
    /// in values per voxel of the image.
    pub fn live_channels(&self) -> usize {
        let all = self.values();
        all.windows(2)
            .map(|pair| pair[0] + pair[1])
            .max()
            .unwrap_or(0)
    }

    /// The most that a tensor takes, in values per voxel of the image.
    pub(crate) fn widest(&self) -> usize {
        self.values().into_iter().max().unwrap_or(0)
    }

    /// Values per voxel of the image: in the image, after every layer and in the output.
    fn values(&self) -> Vec<usize> {
        let mut level = 0_u32;
        let mut all = vec![self.in_channels];
        all.extend(self.layers.iter().map(|layer| {
            level = match layer.kind {
                StridedKind::Conv { .. } => level,
                StridedKind::Down => level + 1,
                StridedKind::Up => level.saturating_sub(1),
            };
            layer.channels.div_ceil(1 << (3 * level))
        }));
        all.push(self.out_channels);
        all
    }

    pub(super) fn validate(&self) -> Result<(), SpecError> {
        in_range("in_channels", self.in_channels, MAX_CHANNELS)?;
        in_range("out_channels", self.out_channels, MAX_CHANNELS)?;
        in_range("layers", self.layers.len(), 256)?;
        let mut level = 0_usize;
        for layer in &self.layers {
            in_range("channels", layer.channels, MAX_CHANNELS)?;
            match layer.kind {
                StridedKind::Conv { dilation } => in_range("dilation", dilation, 1024)?,
                StridedKind::Down => level += 1,
                StridedKind::Up => level = level.checked_sub(1).ok_or(SpecError::Resolution)?,
            }
            in_range("layers", level.max(1), MAX_LEVELS)?;
        }
        match level {
            0 => Ok(()),
            _ => Err(SpecError::Resolution),
        }
    }

    /// A network with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> Strided {
        let mut c_in = self.in_channels;
        let mut layers: Vec<Layer> = Vec::with_capacity(self.layers.len() + 1);
        for layer in &self.layers {
            let channels = [c_in, layer.channels];
            let conv = Conv3dConfig::new(channels, 3);
            layers.push(match layer.kind {
                StridedKind::Conv { dilation } => Layer::Conv(
                    conv.with_padding(dilation)
                        .with_dilation(dilation)
                        .init(device),
                ),
                StridedKind::Down => Layer::Conv(conv.with_padding(1).with_stride(2).init(device)),
                StridedKind::Up => {
                    Layer::Up(ConvTranspose3dConfig::new(channels, 2, 2).init(device))
                }
            });
            c_in = layer.channels;
        }
        let classifier = Conv3dConfig::new([c_in, self.out_channels], 1);
        layers.push(Layer::Conv(classifier.init(device)));
        Strided {
            layers,
            activation: self.activation,
        }
    }
}

/// Most halvings of the edges.
const MAX_LEVELS: usize = 10;

impl Strided {
    /// Applies the network.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`, edges multiples of
    ///   [`StridedConfig::edge_multiple`]
    /// - output: `[batch, out_channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let (x, classifier) = self.features(x);
        classifier.forward(x)
    }

    /// The output channel with the largest value of [`forward`](Self::forward), per voxel.
    ///
    /// # Shapes
    ///
    /// - input: as [`forward`](Self::forward)
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, x: Tensor<5>) -> Tensor<5, Int> {
        let (x, classifier) = self.features(x);
        classifier.classify(x)
    }

    /// A segment a layer.
    pub(super) fn segments(&self) -> Segments<'_> {
        let mut segments = Segments::new();
        let (layers, classifier) = self.parts();
        let x = layers.iter().fold(Segments::INPUT, |x, layer| {
            segments.push(&[x], move |x| self.layer(layer, x[0].clone()))
        });
        segments.push(&[x], |x| classifier.forward(x[0].clone()));
        segments
    }

    /// What the classifier reads, and the classifier.
    fn features(&self, x: Tensor<5>) -> (Tensor<5>, &Conv3d) {
        let (layers, classifier) = self.parts();
        let x = layers.iter().fold(x, |x, layer| self.layer(layer, x));
        (x, classifier)
    }

    /// The layers before the classifier, and the classifier.
    fn parts(&self) -> (&[Layer], &Conv3d) {
        match self.layers.split_last() {
            Some((Layer::Conv(classifier), layers)) => (layers, classifier),
            _ => unreachable!("the last layer is a convolution"),
        }
    }

    fn layer(&self, layer: &Layer, x: Tensor<5>) -> Tensor<5> {
        match layer {
            Layer::Conv(conv) => conv.forward_joined(&[x.into()], Some(self.activation), None),
            Layer::Up(up) => up.forward(x),
        }
    }
}
