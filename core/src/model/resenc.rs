//! U-Net with a residual encoder, as nnU-Net builds it (`ResidualEncoderUNet` of
//! dynamic-network-architectures; arXiv 2404.09556).

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::SpecError;
use super::segments::Segments;
use super::spec::{MAX_CHANNELS, in_range};
use crate::kernel::Normalized;
use crate::nn::{
    Conv3d, Conv3dConfig, ConvBlock, ConvBlockConfig, ConvTranspose3d, ConvTranspose3dConfig,
    ResidualBlock, ResidualBlockConfig,
};

/// Sizes of a [`ResEncUNet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResEncUNetConfig {
    /// Channels of each stage of the encoder; each stage but the first halves the edges.
    pub features: Vec<usize>,
    /// Residual blocks of each stage.
    pub blocks: Vec<usize>,
    /// Image channels.
    pub in_channels: usize,
    /// Classes, or channels to reconstruct.
    pub out_channels: usize,
    /// Convolutions of a stage of the decoder.
    pub decoder_convs: usize,
    /// Whether the decoder also reads the encoder's output of each stage.
    pub skips: bool,
}

/// Residual encoder, and a decoder of transposed convolutions.
///
/// Parameters are named as in the package.
#[derive(Module, Debug)]
pub struct ResEncUNet {
    encoder: ResEncEncoder,
    decoder: ResEncDecoder,
}

/// A convolution, then stages of residual blocks.
#[derive(Module, Debug)]
pub struct ResEncEncoder {
    stem: ConvBlocks,
    stages: Vec<ResEncStage>,
}

/// Residual blocks one after another; the first may halve the edges.
#[derive(Module, Debug)]
pub struct ResEncStage {
    blocks: Vec<ResidualBlock>,
}

/// Stages of upsampling and convolutions, deepest first.
#[derive(Module, Debug)]
pub struct ResEncDecoder {
    stages: Vec<ConvBlocks>,
    transpconvs: Vec<ConvTranspose3d>,
    /// An output for every stage. That of the last is the network's; the others are for deep
    /// supervision, which is not done here, and are there to come and go with the weights.
    seg_layers: Vec<Conv3d>,
    skips: bool,
}

/// Convolutions with norms one after another (`StackedConvBlocks`).
#[derive(Module, Debug)]
pub struct ConvBlocks {
    convs: Vec<ConvBlock>,
}

impl ResEncUNetConfig {
    /// ResEnc B of the AMAES group, which nnU-Net and OpenMind call ResEnc L: 102 M parameters.
    pub fn b(in_channels: usize, classes: usize) -> Self {
        Self::of(32, in_channels, classes)
    }

    /// The published depths with `filters` channels at first, which double down to the third
    /// stage below and stay at ten times `filters` from there on.
    pub fn of(filters: usize, in_channels: usize, classes: usize) -> Self {
        Self {
            features: [1, 2, 4, 8, 10, 10].map(|n| n * filters).to_vec(),
            blocks: vec![1, 3, 4, 6, 6, 6],
            in_channels,
            out_channels: classes,
            decoder_convs: 1,
            skips: true,
        }
    }

    /// The network with a decoder of one convolution a stage that reads only the encoder's last
    /// output, as AMAES pretrains.
    #[must_use]
    pub fn light(self) -> Self {
        Self {
            decoder_convs: 1,
            skips: false,
            ..self
        }
    }

    /// Edges must be multiples of this.
    pub fn edge_multiple(&self) -> usize {
        1 << self.features.len().saturating_sub(1)
    }

    pub(super) fn validate(&self) -> Result<(), SpecError> {
        let (features, blocks) = (self.features.len(), self.blocks.len());
        // Without two stages there is none to upsample.
        if features != blocks || !(2..=MAX_STAGES).contains(&features) {
            return Err(SpecError::Stages {
                features,
                blocks,
                max: MAX_STAGES,
            });
        }
        for &channels in &self.features {
            in_range("features", channels, MAX_CHANNELS)?;
        }
        for &count in &self.blocks {
            in_range("blocks", count, 64)?;
        }
        in_range("in_channels", self.in_channels, MAX_CHANNELS)?;
        in_range("out_channels", self.out_channels, MAX_CHANNELS)?;
        in_range("decoder_convs", self.decoder_convs, 16)
    }

    /// A network with PyTorch's default initialisation.
    pub fn init(&self, device: &Device) -> ResEncUNet {
        let first = self.features[0];
        let mut c_in = first;
        let stages = self.features.iter().zip(&self.blocks).enumerate();
        let stages = stages.map(|(level, (&channels, &count))| {
            let blocks = (0..count).map(|block| {
                let config = ResidualBlockConfig::new([c_in, channels], level > 0 && block == 0);
                c_in = channels;
                config.init(device)
            });
            ResEncStage {
                blocks: blocks.collect(),
            }
        });
        let encoder = ResEncEncoder {
            stem: ConvBlocks::new([self.in_channels, first], 1, device),
            stages: stages.collect(),
        };
        let mut decoder = ResEncDecoder {
            stages: Vec::new(),
            transpconvs: Vec::new(),
            seg_layers: Vec::new(),
            skips: self.skips,
        };
        for level in (1..self.features.len()).rev() {
            let (below, channels) = (self.features[level], self.features[level - 1]);
            let read = if self.skips { 2 * channels } else { channels };
            let up = ConvTranspose3dConfig::new([below, channels], 2, 2);
            let out = Conv3dConfig::new([channels, self.out_channels], 1);
            let convs = ConvBlocks::new([read, channels], self.decoder_convs, device);
            decoder.stages.push(convs);
            decoder.transpconvs.push(up.init(device));
            decoder.seg_layers.push(out.init(device));
        }
        ResEncUNet { encoder, decoder }
    }
}

/// Most stages of an encoder.
const MAX_STAGES: usize = 10;

impl ConvBlocks {
    fn new([c_in, c_out]: [usize; 2], count: usize, device: &Device) -> Self {
        let block = |i| ConvBlockConfig::new([if i == 0 { c_in } else { c_out }, c_out]);
        Self {
            convs: (0..count).map(|i| block(i).init(device)).collect(),
        }
    }

    fn forward(&self, inputs: &[Normalized]) -> Normalized {
        let mut convs = self.convs.iter();
        match convs.next() {
            Some(first) => convs.fold(first.forward(inputs), |x, conv| conv.forward(&[x])),
            None => unreachable!("a stage has a convolution"),
        }
    }
}

impl ResEncUNet {
    /// Applies encoder and decoder.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`, edges multiples of
    ///   [`ResEncUNetConfig::edge_multiple`]
    /// - output: `[batch, out_channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.decoder.decode(self.encoder.forward(x));
        self.decoder.classifier().forward_joined(&[x], None, None)
    }

    /// The output channel with the largest value of [`forward`](Self::forward), per voxel.
    ///
    /// # Shapes
    ///
    /// - input: as [`forward`](Self::forward)
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, x: Tensor<5>) -> Tensor<5, Int> {
        let x = self.decoder.decode(self.encoder.forward(x));
        self.decoder.classifier().classify(x)
    }
}

impl ResEncUNet {
    /// A segment for the stem, one a block and one a stage of the decoder, the last with the
    /// output.
    pub(super) fn segments(&self) -> Segments<'_> {
        let mut segments = Segments::new();
        let stem = &self.encoder.stem;
        let mut x = segments.push(&[Segments::INPUT], |x| {
            stem.forward(&[x[0].clone().into()]).into_tensor()
        });
        let mut places = Vec::with_capacity(self.encoder.stages.len());
        for stage in &self.encoder.stages {
            for block in &stage.blocks {
                x = segments.push(&[x], |x| block.forward(x[0].clone().into()).into_tensor());
            }
            places.push(x);
        }
        let decoder = &self.decoder;
        let last = decoder.stages.len() - 1;
        let skips = places.iter().rev().skip(1);
        let stages = decoder.transpconvs.iter().zip(&decoder.stages).zip(skips);
        for (n, ((up, stage), &skip)) in stages.enumerate() {
            let reads = [x, skip];
            let reads = &reads[..if decoder.skips { 2 } else { 1 }];
            x = segments.push(reads, move |x| {
                let mut inputs: Vec<Normalized> = x.iter().cloned().map(Into::into).collect();
                inputs[0] = up.forward(x[0].clone()).into();
                let x = stage.forward(&inputs);
                match n == last {
                    true => decoder.classifier().forward_joined(&[x], None, None),
                    false => x.into_tensor(),
                }
            });
        }
        segments
    }
}

impl ResEncEncoder {
    /// The outputs of the stages, finest first.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`
    /// - outputs: `[batch, features[i], depth / 2^i, height / 2^i, width / 2^i]`
    pub fn forward(&self, x: Tensor<5>) -> Vec<Normalized> {
        let mut x = self.stem.forward(&[x.into()]);
        let stages = self.stages.iter().map(|stage| {
            x = stage
                .blocks
                .iter()
                .fold(x.clone(), |x, block| block.forward(x));
            x.clone()
        });
        stages.collect()
    }
}

impl ResEncDecoder {
    fn decode(&self, mut features: Vec<Normalized>) -> Normalized {
        let Some(mut x) = features.pop() else {
            unreachable!("an encoder has stages")
        };
        for (up, stage) in self.transpconvs.iter().zip(&self.stages) {
            let skip = features.pop().filter(|_| self.skips);
            let inputs = [Some(up.forward(x).into()), skip];
            x = stage.forward(&inputs.into_iter().flatten().collect::<Vec<_>>());
        }
        x
    }

    fn classifier(&self) -> &Conv3d {
        match self.seg_layers.last() {
            Some(layer) => layer,
            None => unreachable!("a decoder has stages"),
        }
    }
}
