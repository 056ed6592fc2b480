//! The plain decoder that stands on the U-Net's and on MedNeXt's encoder.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use super::segments::Segments;
use crate::kernel::Normalized;
use crate::nn::{
    Conv3d, Conv3dConfig, ConvStage, ConvStageConfig, ConvTranspose3d, ConvTranspose3dConfig,
};

/// Sizes of a [`UNetDecoder`].
#[derive(Clone, Debug)]
pub struct UNetDecoderConfig {
    /// Channels of the first level of the encoder.
    pub filters: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Whether each stage reads the encoder's output of its level too.
    pub skips: bool,
    /// Whether a stage has two convolutions instead of one.
    pub double: bool,
}

/// Four stages of upsampling (transposed convolution) and convolution, then a 1x1x1 convolution.
///
/// Parameters are named as in the AMAES reference: `upsample{1..4}`, `decoder_conv{1..4}`,
/// `out_conv`, deepest stage first.
#[derive(Module, Debug)]
pub struct UNetDecoder {
    upsample1: ConvTranspose3d,
    decoder_conv1: ConvStage,
    upsample2: ConvTranspose3d,
    decoder_conv2: ConvStage,
    upsample3: ConvTranspose3d,
    decoder_conv3: ConvStage,
    upsample4: ConvTranspose3d,
    decoder_conv4: ConvStage,
    out_conv: Conv3d,
    skips: bool,
}

impl UNetDecoderConfig {
    /// A decoder with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> UNetDecoder {
        let f = self.filters;
        let up = |c: usize| ConvTranspose3dConfig::new([2 * c, c], 2, 2).init(device);
        let stage = |c: usize| {
            let c_in = if self.skips { 2 * c } else { c };
            ConvStageConfig::new([c_in, c], self.double).init(device)
        };
        UNetDecoder {
            upsample1: up(8 * f),
            decoder_conv1: stage(8 * f),
            upsample2: up(4 * f),
            decoder_conv2: stage(4 * f),
            upsample3: up(2 * f),
            decoder_conv3: stage(2 * f),
            upsample4: up(f),
            decoder_conv4: stage(f),
            out_conv: Conv3dConfig::new([f, self.out_channels], 1).init(device),
            skips: self.skips,
        }
    }
}

impl UNetDecoder {
    /// Decodes the five outputs of an encoder, finest first.
    ///
    /// # Shapes
    ///
    /// - inputs: `[batch, 2^i * filters, depth / 2^i, height / 2^i, width / 2^i]`, `i` in `0..5`
    /// - output: `[batch, out_channels, depth, height, width]`
    pub fn forward(&self, features: [Normalized; 5]) -> Tensor<5> {
        let x = self.decode(features);
        self.out_conv.forward_joined(&[x], None, None)
    }

    /// The output channel with the largest value of [`forward`](Self::forward), per voxel.
    ///
    /// # Shapes
    ///
    /// - inputs: as [`forward`](Self::forward)
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, features: [Normalized; 5]) -> Tensor<5, Int> {
        self.out_conv.classify(self.decode(features))
    }

    /// Whether each stage reads the encoder's output of its level too.
    pub(super) fn skips(&self) -> bool {
        self.skips
    }

    /// Adds a segment a stage, the last with the 1x1x1 convolution; `features` are the places of an
    /// encoder's outputs, finest first.
    pub(super) fn segments<'a>(&'a self, segments: &mut Segments<'a>, features: [usize; 5]) {
        let [x0, x1, x2, x3, mut x] = features;
        for (n, (upsample, conv, skip)) in [
            (&self.upsample1, &self.decoder_conv1, x3),
            (&self.upsample2, &self.decoder_conv2, x2),
            (&self.upsample3, &self.decoder_conv3, x1),
            (&self.upsample4, &self.decoder_conv4, x0),
        ]
        .into_iter()
        .enumerate()
        {
            let reads = [x, skip];
            let reads = &reads[..if self.skips { 2 } else { 1 }];
            x = segments.push(reads, move |x| {
                let skip = x.get(1).cloned().map(Normalized::from);
                let x = stage(upsample, conv, x[0].clone().into(), skip);
                match n {
                    3 => self.out_conv.forward_joined(&[x], None, None),
                    _ => x.into_tensor(),
                }
            });
        }
    }

    fn decode(&self, features: [Normalized; 5]) -> Normalized {
        // What is not a skip need not be kept.
        let [x0, x1, x2, x3, x] = features;
        let [x0, x1, x2, x3] = [x0, x1, x2, x3].map(|x| self.skips.then_some(x));
        let x = stage(&self.upsample1, &self.decoder_conv1, x, x3);
        let x = stage(&self.upsample2, &self.decoder_conv2, x, x2);
        let x = stage(&self.upsample3, &self.decoder_conv3, x, x1);
        stage(&self.upsample4, &self.decoder_conv4, x, x0)
    }
}

fn stage(
    upsample: &ConvTranspose3d,
    conv: &ConvStage,
    x: Normalized,
    skip: Option<Normalized>,
) -> Normalized {
    let x = upsample.forward(x).into();
    match skip {
        Some(skip) => conv.forward(&[x, skip]),
        None => conv.forward(&[x]),
    }
}
