//! SwinUNETR's encoder with a light decoder, to restore images.

#![expect(
    non_snake_case,
    reason = "a parameter's published name begins with `swinViT`"
)]

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use super::encoder::normalized;
use super::{SwinTransformer, SwinTransformerConfig};
use crate::kernel::Normalized;
use crate::model::segments::Segments;
use crate::nn::{
    Conv3d, Conv3dConfig, ConvStage, ConvStageConfig, ConvTranspose3d, ConvTranspose3dConfig,
};

/// Encoder and light decoder.
#[derive(Module, Debug)]
pub struct SwinRestorer {
    swinViT: SwinTransformer,
    rec_head: SwinLightDecoder,
}

/// Five stages of upsampling (transposed convolution) and one convolution, without skips, then a
/// 1x1x1 convolution: the light decoder of AMAES, one stage deeper and as wide as MONAI's decoder.
///
/// Parameters are named as in the U-Net's: `upsample{1..5}`, `decoder_conv{1..5}`, `out_conv`,
/// deepest stage first.
#[derive(Module, Debug)]
pub struct SwinLightDecoder {
    upsample1: ConvTranspose3d,
    decoder_conv1: ConvStage,
    upsample2: ConvTranspose3d,
    decoder_conv2: ConvStage,
    upsample3: ConvTranspose3d,
    decoder_conv3: ConvStage,
    upsample4: ConvTranspose3d,
    decoder_conv4: ConvStage,
    upsample5: ConvTranspose3d,
    decoder_conv5: ConvStage,
    out_conv: Conv3d,
}

/// Channels into the stages of the decoder and out of the last, in units of the features.
pub(crate) const WIDTHS: [usize; 6] = [16, 8, 4, 2, 1, 1];

impl SwinRestorer {
    /// A network with PyTorch's default initialisation.
    pub(super) fn new(config: &SwinTransformerConfig, channels: usize, device: &Device) -> Self {
        let width = |stage: usize| WIDTHS[stage] * config.features;
        let up = |stage: usize| {
            let channels = [width(stage), width(stage + 1)];
            ConvTranspose3dConfig::new(channels, 2, 2).init(device)
        };
        let conv = |stage: usize| ConvStageConfig::new([width(stage + 1); 2], false).init(device);
        Self {
            swinViT: config.init(device),
            rec_head: SwinLightDecoder {
                upsample1: up(0),
                decoder_conv1: conv(0),
                upsample2: up(1),
                decoder_conv2: conv(1),
                upsample3: up(2),
                decoder_conv3: conv(2),
                upsample4: up(3),
                decoder_conv4: conv(3),
                upsample5: up(4),
                decoder_conv5: conv(4),
                out_conv: Conv3dConfig::new([width(5), channels], 1).init(device),
            },
        }
    }

    pub(super) fn encoder(&self) -> &SwinTransformer {
        &self.swinViT
    }

    /// The image, see [`SwinUNETR::forward`](super::SwinUNETR::forward).
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.rec_head.forward(self.encode(x))
    }

    /// The largest channel, see [`SwinUNETR::classify`](super::SwinUNETR::classify).
    pub fn classify(&self, x: Tensor<5>) -> Tensor<5, Int> {
        let x = self.rec_head.decode(self.encode(x));
        self.rec_head.out_conv.classify(x)
    }

    /// A segment for the embedding, one a stage of the encoder and one a stage of the decoder.
    pub(super) fn segments(&self) -> Segments<'_> {
        let mut segments = Segments::new();
        let [.., mut x] = self.swinViT.segments(&mut segments);
        let head = &self.rec_head;
        for (n, (upsample, conv)) in head.stages().into_iter().enumerate() {
            x = segments.push(&[x], move |x| {
                let x = x[0].clone();
                let x = if n == 0 { normalized(x) } else { x };
                let x = conv.forward(&[upsample.forward(x).into()]);
                match n {
                    4 => head.out_conv.forward_joined(&[x], None, None),
                    _ => x.into_tensor(),
                }
            });
        }
        segments
    }

    fn encode(&self, x: Tensor<5>) -> Tensor<5> {
        let [.., x] = self.swinViT.forward(x, true);
        x
    }
}

impl SwinLightDecoder {
    /// Decodes the deepest output of the encoder.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, 16 * features, depth / 32, height / 32, width / 32]`
    /// - output: `[batch, channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.decode(x);
        self.out_conv.forward_joined(&[x], None, None)
    }

    fn decode(&self, x: Tensor<5>) -> Normalized {
        let stages = self.stages().into_iter();
        stages.fold(x.into(), |x, (upsample, conv)| {
            conv.forward(&[upsample.forward(x).into()])
        })
    }

    fn stages(&self) -> [(&ConvTranspose3d, &ConvStage); 5] {
        [
            (&self.upsample1, &self.decoder_conv1),
            (&self.upsample2, &self.decoder_conv2),
            (&self.upsample3, &self.decoder_conv3),
            (&self.upsample4, &self.decoder_conv4),
            (&self.upsample5, &self.decoder_conv5),
        ]
    }
}
