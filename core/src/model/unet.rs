//! Plain U-Net of five levels (AMAES reference, `unet.py`).

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::segments::Segments;
use super::spec::{MAX_CHANNELS, in_range};
use super::{SpecError, UNetDecoder, UNetDecoderConfig};
use crate::kernel::{self, Normalized};
use crate::nn::{ConvStage, ConvStageConfig};

/// Which plain decoder stands on an encoder. All but the first restore an image, and have keys
/// `rec_head.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UNetHead {
    /// Skips and two convolutions a stage; keys `pred_head.*`.
    Segmentation,
    /// No skips and one convolution a stage, as AMAES pretrains.
    Light,
    /// No skips and two convolutions a stage: the standard decoder of the paper's ablation.
    Standard,
    /// Skips and one convolution a stage.
    LightSkips,
    /// Skips and two convolutions a stage, as [`Segmentation`](Self::Segmentation) has.
    StandardSkips,
}

impl UNetHead {
    /// The decoder that restores an image in pretraining.
    pub fn restoring(double: bool, skips: bool) -> Self {
        match (double, skips) {
            (false, false) => Self::Light,
            (true, false) => Self::Standard,
            (false, true) => Self::LightSkips,
            (true, true) => Self::StandardSkips,
        }
    }

    /// Whether each stage reads the encoder's output of its level too.
    pub fn skips(self) -> bool {
        matches!(
            self,
            Self::Segmentation | Self::LightSkips | Self::StandardSkips
        )
    }

    /// Whether a stage has two convolutions instead of one.
    pub fn double(self) -> bool {
        matches!(
            self,
            Self::Segmentation | Self::Standard | Self::StandardSkips
        )
    }

    /// What the names of its parameters begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Segmentation => "pred_head",
            _ => "rec_head",
        }
    }

    /// The decoder on an encoder of `filters` channels at its first level.
    pub(super) fn init(self, filters: usize, out_channels: usize, device: &Device) -> UNetDecoder {
        UNetDecoderConfig {
            filters,
            out_channels,
            skips: self.skips(),
            double: self.double(),
        }
        .init(device)
    }
}

/// Sizes of a [`UNet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UNetConfig {
    /// Channels of the first level; each level below doubles them.
    pub filters: usize,
    /// Image channels.
    pub in_channels: usize,
    /// Classes, or channels to reconstruct.
    pub out_channels: usize,
    /// The decoder.
    pub head: UNetHead,
}

/// Encoder of four poolings, and one of two heads.
#[derive(Module, Debug)]
pub struct UNet {
    encoder: UNetEncoder,
    pred_head: Option<UNetDecoder>,
    rec_head: Option<UNetDecoder>,
}

/// Five stages of two convolutions, max-pooled between.
#[derive(Module, Debug)]
pub struct UNetEncoder {
    in_conv: ConvStage,
    encoder_conv1: ConvStage,
    encoder_conv2: ConvStage,
    encoder_conv3: ConvStage,
    encoder_conv4: ConvStage,
}

impl UNetConfig {
    /// U-Net B for segmentation: 32 filters, 22.58 M parameters.
    pub fn b(in_channels: usize, classes: usize) -> Self {
        Self {
            filters: 32,
            in_channels,
            out_channels: classes,
            head: UNetHead::Segmentation,
        }
    }

    /// U-Net XL for segmentation: 64 filters, 90.30 M parameters.
    pub fn xl(in_channels: usize, classes: usize) -> Self {
        Self {
            filters: 64,
            ..Self::b(in_channels, classes)
        }
    }

    /// U-Net B for pretraining: the light decoder, 17.88 M parameters.
    pub fn b_light(channels: usize) -> Self {
        Self {
            head: UNetHead::Light,
            ..Self::b(channels, channels)
        }
    }

    /// U-Net XL for pretraining: the light decoder, 71.50 M parameters.
    pub fn xl_light(channels: usize) -> Self {
        Self {
            head: UNetHead::Light,
            ..Self::xl(channels, channels)
        }
    }

    pub(super) fn validate(&self) -> Result<(), SpecError> {
        in_range("filters", self.filters, 512)?;
        in_range("in_channels", self.in_channels, MAX_CHANNELS)?;
        in_range("out_channels", self.out_channels, MAX_CHANNELS)
    }

    /// A network with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> UNet {
        let f = self.filters;
        let stage = |i, o| ConvStageConfig::new([i, o], true).init(device);
        let head = self.head.init(f, self.out_channels, device);
        let (pred_head, rec_head) = match self.head {
            UNetHead::Segmentation => (Some(head), None),
            _ => (None, Some(head)),
        };
        UNet {
            encoder: UNetEncoder {
                in_conv: stage(self.in_channels, f),
                encoder_conv1: stage(f, 2 * f),
                encoder_conv2: stage(2 * f, 4 * f),
                encoder_conv3: stage(4 * f, 8 * f),
                encoder_conv4: stage(8 * f, 16 * f),
            },
            pred_head,
            rec_head,
        }
    }
}

impl UNet {
    /// Applies encoder and head.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`, edges multiples of 16
    /// - output: `[batch, out_channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.head().forward(self.encoder.forward(x))
    }

    /// The output channel with the largest value of [`forward`](Self::forward), per voxel.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`, edges multiples of 16
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, x: Tensor<5>) -> Tensor<5, Int> {
        self.head().classify(self.encoder.forward(x))
    }

    pub(super) fn segments(&self) -> Segments<'_> {
        let mut segments = Segments::new();
        let head = self.head();
        let features = self.encoder.segments(&mut segments, head.skips());
        head.segments(&mut segments, features);
        segments
    }

    fn head(&self) -> &UNetDecoder {
        match self.pred_head.as_ref().or(self.rec_head.as_ref()) {
            Some(head) => head,
            None => unreachable!("a U-Net is built with one head"),
        }
    }
}

impl UNetEncoder {
    /// The outputs of the five levels, finest first.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`
    /// - outputs: `[batch, 2^i * filters, depth / 2^i, height / 2^i, width / 2^i]`, `i` in `0..5`
    pub fn forward(&self, x: Tensor<5>) -> [Normalized; 5] {
        let pool = |x: &Normalized| [kernel::max_pool2_from(x.clone()).into()];
        let x0 = self.in_conv.forward(&[x.into()]);
        let x1 = self.encoder_conv1.forward(&pool(&x0));
        let x2 = self.encoder_conv2.forward(&pool(&x1));
        let x3 = self.encoder_conv3.forward(&pool(&x2));
        let x4 = self.encoder_conv4.forward(&pool(&x3));
        [x0, x1, x2, x3, x4]
    }

    /// Adds a segment a level; the places of their outputs. Where no decoder reads the first four,
    /// they are kept pooled, an eighth of the size.
    fn segments<'a>(&'a self, segments: &mut Segments<'a>, skips: bool) -> [usize; 5] {
        let first = segments.push(&[Segments::INPUT], move |x| {
            let x = self.in_conv.forward(&[x[0].clone().into()]);
            level(x, skips)
        });
        let mut places = [first; 5];
        let below = [
            &self.encoder_conv1,
            &self.encoder_conv2,
            &self.encoder_conv3,
            &self.encoder_conv4,
        ];
        for (n, stage) in below.into_iter().enumerate() {
            places[n + 1] = segments.push(&[places[n]], move |x| {
                let x = match skips {
                    true => kernel::max_pool2(x[0].clone()),
                    false => x[0].clone(),
                };
                level(stage.forward(&[x.into()]), skips || n == 3)
            });
        }
        places
    }
}

/// The output of a level, whole or pooled.
fn level(x: Normalized, whole: bool) -> Tensor<5> {
    match whole {
        true => x.into_tensor(),
        false => kernel::max_pool2_from(x),
    }
}
