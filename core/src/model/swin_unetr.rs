//! SwinUNETR (arXiv 2201.01266; MONAI `SwinUNETR`): a Swin Transformer that encodes, and
//! convolutions that decode.

mod encoder;
mod restorer;
mod segmenter;
mod views;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::SpecError;
use super::segments::Segments;
use super::spec::{MAX_CHANNELS, in_range};
use crate::pretext::ViewOutput;

pub use self::encoder::{SwinTransformer, SwinTransformerConfig};
pub(crate) use self::restorer::WIDTHS as SWIN_LIGHT_WIDTHS;
pub use self::restorer::{SwinLightDecoder, SwinRestorer};
pub use self::segmenter::{SwinSegmenter, UnetrBlock, UnetrUpBlock};
pub use self::views::SwinViews;
pub(crate) use self::views::{
    CODE as SWIN_VIEWS_CODE, LAYERS as SWIN_VIEWS_LAYERS, WIDTHS as SWIN_VIEWS_WIDTHS,
};

/// Which decoder stands on the encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwinUNETRHead {
    /// MONAI's: skips, and a residual block on each of them and after each is joined.
    #[default]
    Segmentation,
    /// No skips and one convolution a stage, to restore images; keys `rec_head.*`.
    Light,
    /// The heads of its own pretraining, and a decoder that restores images.
    Views,
}

/// Sizes of a [`SwinUNETR`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwinUNETRConfig {
    /// The encoder's.
    #[serde(flatten)]
    pub encoder: SwinTransformerConfig,
    /// Classes, or channels to reconstruct.
    pub out_channels: usize,
    /// The decoder.
    #[serde(default)]
    pub head: SwinUNETRHead,
}

/// A Swin Transformer with one of its decoders.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a program holds one; never moved in bulk"
)]
pub enum SwinUNETR {
    /// With MONAI's decoder.
    Segmentation(SwinSegmenter),
    /// With the light decoder.
    Light(SwinRestorer),
    /// With the heads of its own pretraining.
    Views(SwinViews),
}

impl SwinUNETRConfig {
    /// A published size that segments: 24, 36, 48 or 60 features (15.70, 35.07, 62.19, 97.05 M
    /// parameters with one image channel and two classes).
    pub fn new(features: usize, in_channels: usize, classes: usize) -> Self {
        Self {
            encoder: SwinTransformerConfig::new(features, in_channels),
            out_channels: classes,
            head: SwinUNETRHead::Segmentation,
        }
    }

    /// The same with residual blocks of convolutions before the stages (SwinUNETR-V2).
    pub fn v2(mut self) -> Self {
        self.encoder.v2 = true;
        self
    }

    /// The same with the light decoder, for pretraining.
    pub fn light(self) -> Self {
        Self {
            head: SwinUNETRHead::Light,
            ..self
        }
    }

    /// The same with the heads of its own pretraining.
    pub fn views(self) -> Self {
        Self {
            head: SwinUNETRHead::Views,
            ..self
        }
    }

    pub(super) fn validate(&self) -> Result<(), SpecError> {
        self.encoder.validate()?;
        in_range("out_channels", self.out_channels, MAX_CHANNELS)
    }

    /// A network with MONAI's initialisation; see
    /// [`WindowAttentionConfig::init`](crate::nn::WindowAttentionConfig::init).
    pub fn init(&self, device: &Device) -> SwinUNETR {
        match self.head {
            SwinUNETRHead::Segmentation => {
                let net = SwinSegmenter::new(&self.encoder, self.out_channels, device);
                SwinUNETR::Segmentation(net)
            }
            SwinUNETRHead::Light => {
                SwinUNETR::Light(SwinRestorer::new(&self.encoder, self.out_channels, device))
            }
            SwinUNETRHead::Views => {
                SwinUNETR::Views(SwinViews::new(&self.encoder, self.out_channels, device))
            }
        }
    }
}

impl SwinUNETR {
    /// Applies encoder and decoder.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`, edges multiples of 32
    /// - output: `[batch, out_channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match self {
            Self::Segmentation(net) => net.forward(x),
            Self::Light(net) => net.forward(x),
            Self::Views(net) => net.forward(x),
        }
    }

    /// The output channel with the largest value of [`forward`](Self::forward), per voxel.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`, edges multiples of 32
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, x: Tensor<5>) -> Tensor<5, Int> {
        match self {
            Self::Segmentation(net) => net.classify(x),
            Self::Light(net) => net.classify(x),
            Self::Views(net) => net.classify(x),
        }
    }

    /// What the heads of its own pretraining make of views, where it has them.
    ///
    /// # Shapes
    ///
    /// - input: `[views, in_channels, depth, height, width]`, edges multiples of 32, not all 32
    pub fn views(&self, x: Tensor<5>) -> Option<ViewOutput> {
        match self {
            Self::Views(net) => Some(net.views(x)),
            Self::Segmentation(_) | Self::Light(_) => None,
        }
    }

    pub(super) fn segments(&self) -> Option<Segments<'_>> {
        match self {
            Self::Segmentation(net) => Some(net.segments()),
            Self::Light(net) => Some(net.segments()),
            Self::Views(_) => None,
        }
    }

    /// The encoder.
    pub fn encoder(&self) -> &SwinTransformer {
        match self {
            Self::Segmentation(net) => net.encoder(),
            Self::Light(net) => net.encoder(),
            Self::Views(net) => net.encoder(),
        }
    }
}
