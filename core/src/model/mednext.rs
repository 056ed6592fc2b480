//! MedNeXt encoder with a plain or its native decoder (MedNeXt, arXiv 2303.09975; the
//! AMAES reference's `mednext.py`).

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::segments::Segments;
use super::spec::{MAX_CHANNELS, in_range};
use super::{SpecError, UNetDecoder, UNetHead};
use crate::nn::{
    Conv3d, Conv3dConfig, ConvTranspose3d, ConvTranspose3dConfig, MedNeXtBlock, MedNeXtBlockConfig,
    Resampling,
};

/// Which decoder stands on the MedNeXt encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MedNeXtDecoder {
    /// The U-Net's decoder with skips; keys `pred_head.*`.
    Plain,
    /// The U-Net's light decoder without skips; keys `rec_head.*`.
    Light,
    /// [`UNetHead::Standard`]; keys `rec_head.*`.
    Standard,
    /// [`UNetHead::LightSkips`]; keys `rec_head.*`.
    LightSkips,
    /// [`UNetHead::StandardSkips`]; keys `rec_head.*`.
    StandardSkips,
    /// MedNeXt's own: skips by addition; keys `pred_head.{up_i, dec_block_i, out_0}`.
    Native {
        /// Expansion ratios of the stages `up_3` .. `up_0`.
        expansion: [usize; 4],
        /// Blocks of the stages `dec_block_3` .. `dec_block_0`.
        blocks: [usize; 4],
    },
}

impl MedNeXtDecoder {
    /// The U-Net's decoder that it is, or [`None`] for MedNeXt's own.
    pub fn plain(&self) -> Option<UNetHead> {
        match self {
            Self::Plain => Some(UNetHead::Segmentation),
            Self::Light => Some(UNetHead::Light),
            Self::Standard => Some(UNetHead::Standard),
            Self::LightSkips => Some(UNetHead::LightSkips),
            Self::StandardSkips => Some(UNetHead::StandardSkips),
            Self::Native { .. } => None,
        }
    }

    /// Expansion ratio of the finest stage; 0 for a plain decoder, which expands nothing.
    pub(crate) fn last_expansion(&self) -> usize {
        match self {
            Self::Native { expansion, .. } => expansion[3],
            _ => 0,
        }
    }
}

impl From<UNetHead> for MedNeXtDecoder {
    fn from(head: UNetHead) -> Self {
        match head {
            UNetHead::Segmentation => Self::Plain,
            UNetHead::Light => Self::Light,
            UNetHead::Standard => Self::Standard,
            UNetHead::LightSkips => Self::LightSkips,
            UNetHead::StandardSkips => Self::StandardSkips,
        }
    }
}

/// Sizes of a [`MedNeXt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MedNeXtConfig {
    /// Channels of the first level; each level below doubles them.
    pub filters: usize,
    /// Image channels.
    pub in_channels: usize,
    /// Classes, or channels to reconstruct.
    pub out_channels: usize,
    /// Edge of the depthwise kernels: 3 or 5.
    pub kernel: usize,
    /// Expansion ratios of `enc_block_0` .. `enc_block_3` and the bottleneck.
    pub expansion: [usize; 5],
    /// Blocks of `enc_block_0` .. `enc_block_3` and the bottleneck.
    pub blocks: [usize; 5],
    /// The decoder.
    pub decoder: MedNeXtDecoder,
}

/// MedNeXt encoder and one of its decoders.
#[derive(Module, Debug)]
pub struct MedNeXt {
    encoder: MedNeXtEncoder,
    pred_head: Option<MedNeXtHead>,
    rec_head: Option<UNetDecoder>,
}

/// The segmentation decoders of a MedNeXt.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one head per network; never moved in bulk"
)]
pub enum MedNeXtHead {
    /// The U-Net's.
    Plain(UNetDecoder),
    /// Its own.
    Native(MedNeXtNativeDecoder),
}

/// Stem, four stages with a downsampling block after each, and a bottleneck.
#[derive(Module, Debug)]
pub struct MedNeXtEncoder {
    stem: Conv3d,
    enc_block_0: Vec<MedNeXtBlock>,
    down_0: MedNeXtBlock,
    enc_block_1: Vec<MedNeXtBlock>,
    down_1: MedNeXtBlock,
    enc_block_2: Vec<MedNeXtBlock>,
    down_2: MedNeXtBlock,
    enc_block_3: Vec<MedNeXtBlock>,
    down_3: MedNeXtBlock,
    bottleneck: Vec<MedNeXtBlock>,
}

/// Four upsampling blocks, each added to its skip and followed by a stage.
#[derive(Module, Debug)]
pub struct MedNeXtNativeDecoder {
    up_3: MedNeXtBlock,
    dec_block_3: Vec<MedNeXtBlock>,
    up_2: MedNeXtBlock,
    dec_block_2: Vec<MedNeXtBlock>,
    up_1: MedNeXtBlock,
    dec_block_1: Vec<MedNeXtBlock>,
    up_0: MedNeXtBlock,
    dec_block_0: Vec<MedNeXtBlock>,
    out_0: MedNeXtOut,
}

/// The classifier of the native decoder.
#[derive(Module, Debug)]
pub struct MedNeXtOut {
    conv_out: ConvTranspose3d,
}

impl MedNeXtConfig {
    /// MedNeXt-S at kernel 3 with the plain decoder.
    pub fn s(in_channels: usize, classes: usize) -> Self {
        Self::sized(in_channels, classes, [2; 5], [2; 5])
    }

    /// MedNeXt-B at kernel 3 with the plain decoder.
    pub fn b(in_channels: usize, classes: usize) -> Self {
        Self::sized(in_channels, classes, [2, 3, 4, 4, 4], [2; 5])
    }

    /// MedNeXt-M at kernel 3 with the plain decoder: 20.94 M parameters.
    pub fn m(in_channels: usize, classes: usize) -> Self {
        Self::sized(in_channels, classes, [2, 3, 4, 4, 4], [3, 4, 4, 4, 4])
    }

    /// MedNeXt-L at kernel 3 with the plain decoder: 55.20 M parameters.
    pub fn l(in_channels: usize, classes: usize) -> Self {
        Self::sized(in_channels, classes, [3, 4, 8, 8, 8], [3, 4, 8, 8, 8])
    }

    /// The same with depthwise kernels of edge `kernel`: 3 or 5.
    pub fn with_kernel(self, kernel: usize) -> Self {
        Self { kernel, ..self }
    }

    /// The same with the light decoder, for pretraining.
    pub fn light(self) -> Self {
        Self {
            decoder: MedNeXtDecoder::Light,
            ..self
        }
    }

    /// The same with MedNeXt's own decoder, which mirrors the encoder's four stages.
    pub fn native(self) -> Self {
        let mirror = |e: [usize; 5]| [e[3], e[2], e[1], e[0]];
        let (expansion, blocks) = (mirror(self.expansion), mirror(self.blocks));
        Self {
            decoder: MedNeXtDecoder::Native { expansion, blocks },
            ..self
        }
    }

    fn sized(
        in_channels: usize,
        out_channels: usize,
        expansion: [usize; 5],
        blocks: [usize; 5],
    ) -> Self {
        let decoder = MedNeXtDecoder::Plain;
        Self {
            filters: 32,
            in_channels,
            out_channels,
            kernel: 3,
            expansion,
            blocks,
            decoder,
        }
    }

    pub(super) fn validate(&self) -> Result<(), SpecError> {
        in_range("filters", self.filters, 512)?;
        in_range("in_channels", self.in_channels, MAX_CHANNELS)?;
        in_range("out_channels", self.out_channels, MAX_CHANNELS)?;
        if ![3, 5].contains(&self.kernel) {
            return Err(SpecError::Kernel(self.kernel));
        }
        let (mut expansion, mut blocks) = (self.expansion.to_vec(), self.blocks.to_vec());
        if let MedNeXtDecoder::Native {
            expansion: e,
            blocks: b,
        } = &self.decoder
        {
            expansion.extend(e);
            blocks.extend(b);
        }
        for e in expansion {
            in_range("expansion", e, 16)?;
        }
        for b in blocks {
            in_range("blocks", b, 64)?;
        }
        Ok(())
    }

    /// A network with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> MedNeXt {
        let plain = self.decoder.plain();
        let plain = plain.map(|head| head.init(self.filters, self.out_channels, device));
        let (pred_head, rec_head) = match (&self.decoder, plain) {
            (MedNeXtDecoder::Native { expansion, blocks }, _) => {
                let head = self.init_native(*expansion, *blocks, device);
                (Some(MedNeXtHead::Native(head)), None)
            }
            (MedNeXtDecoder::Plain, head) => (head.map(MedNeXtHead::Plain), None),
            (_, head) => (None, head),
        };
        MedNeXt {
            encoder: self.init_encoder(device),
            pred_head,
            rec_head,
        }
    }

    fn block(&self, level: usize, expansion: usize, resampling: Resampling) -> MedNeXtBlockConfig {
        MedNeXtBlockConfig::new(self.filters << level, expansion, self.kernel, resampling)
    }

    fn stage(&self, level: usize, e: usize, blocks: usize, device: &Device) -> Vec<MedNeXtBlock> {
        (0..blocks)
            .map(|_| self.block(level, e, Resampling::None).init(device))
            .collect()
    }

    fn init_encoder(&self, device: &Device) -> MedNeXtEncoder {
        let (e, b) = (self.expansion, self.blocks);
        let stage = |i: usize| self.stage(i, e[i], b[i], device);
        // A downsampling block expands as the stage below it does.
        let down = |i: usize| self.block(i, e[i + 1], Resampling::Down).init(device);
        MedNeXtEncoder {
            stem: Conv3dConfig::new([self.in_channels, self.filters], 1).init(device),
            enc_block_0: stage(0),
            down_0: down(0),
            enc_block_1: stage(1),
            down_1: down(1),
            enc_block_2: stage(2),
            down_2: down(2),
            enc_block_3: stage(3),
            down_3: down(3),
            bottleneck: stage(4),
        }
    }

    fn init_native(&self, e: [usize; 4], b: [usize; 4], device: &Device) -> MedNeXtNativeDecoder {
        // `i` counts from the bottom: stage 0 is `up_3`, whose input has level 4's channels.
        let up = |i: usize| self.block(4 - i, e[i], Resampling::Up).init(device);
        let stage = |i: usize| self.stage(3 - i, e[i], b[i], device);
        MedNeXtNativeDecoder {
            up_3: up(0),
            dec_block_3: stage(0),
            up_2: up(1),
            dec_block_2: stage(1),
            up_1: up(2),
            dec_block_1: stage(2),
            up_0: up(3),
            dec_block_0: stage(3),
            out_0: MedNeXtOut {
                conv_out: ConvTranspose3dConfig::new([self.filters, self.out_channels], 1, 1)
                    .init(device),
            },
        }
    }
}

impl MedNeXt {
    /// Applies encoder and head.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`, edges multiples of 16
    /// - output: `[batch, out_channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let features = self.encoder.forward(x);
        match (&self.pred_head, &self.rec_head) {
            (Some(MedNeXtHead::Plain(head)), _) | (None, Some(head)) => {
                head.forward(features.map(Into::into))
            }
            (Some(MedNeXtHead::Native(head)), _) => head.forward(features),
            (None, None) => unreachable!("a MedNeXt is built with one head"),
        }
    }

    /// The output channel with the largest value of [`forward`](Self::forward), per voxel.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`, edges multiples of 16
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, x: Tensor<5>) -> Tensor<5, Int> {
        let features = self.encoder.forward(x);
        match (&self.pred_head, &self.rec_head) {
            (Some(MedNeXtHead::Plain(head)), _) | (None, Some(head)) => {
                head.classify(features.map(Into::into))
            }
            (Some(MedNeXtHead::Native(head)), _) => head.classify(features),
            (None, None) => unreachable!("a MedNeXt is built with one head"),
        }
    }
}

impl MedNeXt {
    /// A segment a block.
    pub(super) fn segments(&self) -> Segments<'_> {
        let mut segments = Segments::new();
        let features = self.encoder.segments(&mut segments);
        match (&self.pred_head, &self.rec_head) {
            (Some(MedNeXtHead::Plain(head)), _) | (None, Some(head)) => {
                head.segments(&mut segments, features);
            }
            (Some(MedNeXtHead::Native(head)), _) => head.segments(&mut segments, features),
            (None, None) => unreachable!("a MedNeXt is built with one head"),
        }
        segments
    }
}

impl MedNeXtEncoder {
    /// Adds a segment for the stem and one a block; the places of the levels' outputs.
    fn segments<'a>(&'a self, segments: &mut Segments<'a>) -> [usize; 5] {
        let stem = segments.push(&[Segments::INPUT], |x| self.stem.forward(x[0].clone()));
        let mut places = [stem; 5];
        for (n, (down, stage)) in [
            (None, &self.enc_block_0),
            (Some(&self.down_0), &self.enc_block_1),
            (Some(&self.down_1), &self.enc_block_2),
            (Some(&self.down_2), &self.enc_block_3),
            (Some(&self.down_3), &self.bottleneck),
        ]
        .into_iter()
        .enumerate()
        {
            let mut x = places[n.saturating_sub(1)];
            for block in down.into_iter().chain(stage) {
                x = segments.push(&[x], |x| block.forward(x[0].clone()));
            }
            places[n] = x;
        }
        places
    }

    /// The outputs of the five levels, finest first.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`
    /// - outputs: `[batch, 2^i * filters, depth / 2^i, height / 2^i, width / 2^i]`, `i` in `0..5`
    pub fn forward(&self, x: Tensor<5>) -> [Tensor<5>; 5] {
        let x0 = chain(&self.enc_block_0, self.stem.forward(x));
        let x1 = chain(&self.enc_block_1, self.down_0.forward(x0.clone()));
        let x2 = chain(&self.enc_block_2, self.down_1.forward(x1.clone()));
        let x3 = chain(&self.enc_block_3, self.down_2.forward(x2.clone()));
        let x4 = chain(&self.bottleneck, self.down_3.forward(x3.clone()));
        [x0, x1, x2, x3, x4]
    }
}

impl MedNeXtNativeDecoder {
    /// Decodes the five outputs of an encoder, finest first.
    ///
    /// # Shapes
    ///
    /// - inputs: as [`MedNeXtEncoder::forward`] gives them
    /// - output: `[batch, out_channels, depth, height, width]`
    pub fn forward(&self, features: [Tensor<5>; 5]) -> Tensor<5> {
        self.out_0.conv_out.forward(self.decode(features))
    }

    /// The output channel with the largest value of [`forward`](Self::forward), per voxel.
    ///
    /// # Shapes
    ///
    /// - inputs: as [`forward`](Self::forward)
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, features: [Tensor<5>; 5]) -> Tensor<5, Int> {
        self.out_0.conv_out.classify(self.decode(features))
    }

    /// Adds a segment a block, and one for the output.
    fn segments<'a>(&'a self, segments: &mut Segments<'a>, features: [usize; 5]) {
        let [x0, x1, x2, x3, mut x] = features;
        for (up, stage, skip) in [
            (&self.up_3, &self.dec_block_3, x3),
            (&self.up_2, &self.dec_block_2, x2),
            (&self.up_1, &self.dec_block_1, x1),
            (&self.up_0, &self.dec_block_0, x0),
        ] {
            x = segments.push(&[x, skip], |x| x[1].clone() + up.forward(x[0].clone()));
            for block in stage {
                x = segments.push(&[x], |x| block.forward(x[0].clone()));
            }
        }
        segments.push(&[x], |x| self.out_0.conv_out.forward(x[0].clone()));
    }

    fn decode(&self, features: [Tensor<5>; 5]) -> Tensor<5> {
        let [x0, x1, x2, x3, x] = features;
        let x = chain(&self.dec_block_3, x3 + self.up_3.forward(x));
        let x = chain(&self.dec_block_2, x2 + self.up_2.forward(x));
        let x = chain(&self.dec_block_1, x1 + self.up_1.forward(x));
        chain(&self.dec_block_0, x0 + self.up_0.forward(x))
    }
}

fn chain(blocks: &[MedNeXtBlock], x: Tensor<5>) -> Tensor<5> {
    blocks.iter().fold(x, |x, block| block.forward(x))
}
