//! SwinUNETR with MONAI's decoder.

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
    Conv3d, Conv3dConfig, ConvTranspose3d, ConvTranspose3dConfig, UnetConv, UnetResBlock,
    UnetResBlockConfig,
};

/// Encoder, a residual block on the image and on all its outputs but the fourth, five stages of
/// upsampling (transposed convolution) and a residual block, and a 1x1x1 convolution.
///
/// Parameters are named as in MONAI.
#[derive(Module, Debug)]
pub struct SwinSegmenter {
    swinViT: SwinTransformer,
    encoder1: UnetrBlock,
    encoder2: UnetrBlock,
    encoder3: UnetrBlock,
    encoder4: UnetrBlock,
    encoder10: UnetrBlock,
    decoder5: UnetrUpBlock,
    decoder4: UnetrUpBlock,
    decoder3: UnetrUpBlock,
    decoder2: UnetrUpBlock,
    decoder1: UnetrUpBlock,
    out: UnetrOut,
}

/// A residual block (MONAI `UnetrBasicBlock`).
#[derive(Module, Debug)]
pub struct UnetrBlock {
    layer: UnetResBlock,
}

/// Upsampling by a transposed convolution, then a residual block that reads a skip too (MONAI
/// `UnetrUpBlock`).
#[derive(Module, Debug)]
pub struct UnetrUpBlock {
    transp_conv: Upsampling,
    conv_block: UnetResBlock,
}

#[derive(Module, Debug)]
struct Upsampling {
    conv: ConvTranspose3d,
}

/// The classifier.
#[derive(Module, Debug)]
struct UnetrOut {
    conv: UnetConv,
}

impl SwinSegmenter {
    /// A network with MONAI's initialisation.
    pub(super) fn new(config: &SwinTransformerConfig, classes: usize, device: &Device) -> Self {
        let f = config.features;
        let block = |i, o| UnetrBlock::new([i, o], device);
        let up = |i, o| UnetrUpBlock {
            transp_conv: Upsampling {
                conv: ConvTranspose3dConfig::new([i, o], 2, 2)
                    .with_bias(false)
                    .init(device),
            },
            conv_block: UnetResBlockConfig::new([2 * o, o]).init(device),
        };
        Self {
            swinViT: config.init(device),
            encoder1: block(config.in_channels, f),
            encoder2: block(f, f),
            encoder3: block(2 * f, 2 * f),
            encoder4: block(4 * f, 4 * f),
            encoder10: block(16 * f, 16 * f),
            decoder5: up(16 * f, 8 * f),
            decoder4: up(8 * f, 4 * f),
            decoder3: up(4 * f, 2 * f),
            decoder2: up(2 * f, f),
            decoder1: up(f, f),
            out: UnetrOut {
                conv: UnetConv {
                    conv: Conv3dConfig::new([f, classes], 1).init(device),
                },
            },
        }
    }

    pub(super) fn encoder(&self) -> &SwinTransformer {
        &self.swinViT
    }

    /// The logits, see [`SwinUNETR::forward`](super::SwinUNETR::forward).
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.decode(x);
        self.classifier().forward_joined(&[x], None, None)
    }

    /// The classes, see [`SwinUNETR::classify`](super::SwinUNETR::classify).
    pub fn classify(&self, x: Tensor<5>) -> Tensor<5, Int> {
        let x = self.decode(x);
        self.classifier().classify(x)
    }

    /// A segment for the embedding, one a stage of the encoder and one a stage of the decoder.
    pub(super) fn segments(&self) -> Segments<'_> {
        let mut segments = Segments::new();
        let [x0, x1, x2, x3, x4] = self.swinViT.segments(&mut segments);
        let mut y = segments.push(&[x4, x3], move |x| {
            let [y, skip] = [0, 1].map(|n| normalized(x[n].clone()));
            let y = self.encoder10.forward(y);
            self.decoder5.forward(y, skip.into()).into_tensor()
        });
        for (block, up, skip) in [
            (&self.encoder4, &self.decoder4, x2),
            (&self.encoder3, &self.decoder3, x1),
            (&self.encoder2, &self.decoder2, x0),
        ] {
            y = segments.push(&[y, skip], move |x| {
                let skip = block.forward(normalized(x[1].clone()));
                up.forward(x[0].clone().into(), skip).into_tensor()
            });
        }
        segments.push(&[y, Segments::INPUT], move |x| {
            let skip = self.encoder1.forward(x[1].clone());
            let y = self.decoder1.forward(x[0].clone().into(), skip);
            self.classifier().forward_joined(&[y], None, None)
        });
        segments
    }

    fn classifier(&self) -> &Conv3d {
        &self.out.conv.conv
    }

    fn decode(&self, image: Tensor<5>) -> Normalized {
        let [x0, x1, x2, x3, x4] = self.swinViT.forward(image.clone(), true);
        let y = self.encoder10.forward(x4);
        let y = self.decoder5.forward(y, x3.into());
        // Each skip is made when it is read: the finest are the largest.
        let y = self.decoder4.forward(y, self.encoder4.forward(x2));
        let y = self.decoder3.forward(y, self.encoder3.forward(x1));
        let y = self.decoder2.forward(y, self.encoder2.forward(x0));
        self.decoder1.forward(y, self.encoder1.forward(image))
    }
}

impl UnetrBlock {
    /// A block with PyTorch's default initialisation.
    pub(super) fn new(channels: [usize; 2], device: &Device) -> Self {
        Self {
            layer: UnetResBlockConfig::new(channels).init(device),
        }
    }

    /// Applies the block.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels_in, depth, height, width]`
    /// - output: `[batch, channels_out, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Normalized {
        self.layer.forward(&[x.into()])
    }
}

impl UnetrUpBlock {
    /// Applies the block.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, channels_in, depth / 2, height / 2, width / 2]`
    /// - skip, output: `[batch, channels_out, depth, height, width]`
    pub fn forward(&self, x: Normalized, skip: Normalized) -> Normalized {
        let x = self.transp_conv.conv.forward(x);
        self.conv_block.forward(&[x.into(), skip])
    }
}
