//! The encoder of SwinUNETR: a Swin Transformer of four stages in three dimensions.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::kernel;
use crate::model::SpecError;
use crate::model::segments::Segments;
use crate::model::spec::{MAX_CHANNELS, in_range};
use crate::nn::{
    Conv3d, Conv3dConfig, Merging, PatchMerging, PatchMergingConfig, SwinBlock, SwinBlockConfig,
    UnetResBlock, UnetResBlockConfig,
};

/// Sizes of a [`SwinTransformer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwinTransformerConfig {
    /// Channels of the first level, which the heads divide; each level below doubles them.
    pub features: usize,
    /// Image channels.
    pub in_channels: usize,
    /// Blocks of each stage.
    pub depths: [usize; 4],
    /// Heads of each stage's attention.
    pub heads: [usize; 4],
    /// Edge of the cubic windows.
    pub window: usize,
    /// Whether a residual block of convolutions stands before each stage (SwinUNETR-V2).
    #[serde(default)]
    pub v2: bool,
    /// How voxels are merged.
    #[serde(default)]
    pub merging: Merging,
}

/// Patch embedding and four stages of attention within windows, each followed by a merging of
/// patches (MONAI `SwinTransformer`, arXiv 2201.01266).
#[derive(Module, Debug)]
pub struct SwinTransformer {
    patch_embed: PatchEmbed,
    // Each is a list of one, as in the published names.
    layers1: Vec<SwinStage>,
    layers2: Vec<SwinStage>,
    layers3: Vec<SwinStage>,
    layers4: Vec<SwinStage>,
    layers1c: Vec<ResidualStem>,
    layers2c: Vec<ResidualStem>,
    layers3c: Vec<ResidualStem>,
    layers4c: Vec<ResidualStem>,
}

/// Blocks of 2 x 2 x 2 voxels to channels.
#[derive(Module, Debug)]
struct PatchEmbed {
    proj: Conv3d,
}

/// Blocks of attention, every second one with moved windows, and a merging of patches.
#[derive(Module, Debug)]
struct SwinStage {
    blocks: Vec<SwinBlock>,
    downsample: PatchMerging,
    window: usize,
}

/// The block before a stage of SwinUNETR-V2 (MONAI `UnetrBasicBlock`).
#[derive(Module, Debug)]
struct ResidualStem {
    layer: UnetResBlock,
}

/// Added to the variance by the norm of the outputs.
const EPSILON: f64 = 1e-5;

impl SwinTransformerConfig {
    /// The published sizes: two blocks a stage, 3 to 24 heads, windows of 7.
    pub fn new(features: usize, in_channels: usize) -> Self {
        Self {
            features,
            in_channels,
            depths: [2; 4],
            heads: [3, 6, 12, 24],
            window: 7,
            v2: false,
            merging: Merging::V1,
        }
    }

    /// Refuses sizes that no such network has.
    ///
    /// # Errors
    ///
    /// [`SpecError`] names the field.
    pub fn validate(&self) -> Result<(), SpecError> {
        in_range("features", self.features, 512)?;
        in_range("in_channels", self.in_channels, MAX_CHANNELS)?;
        in_range("window", self.window, 16)?;
        for (stage, (&depth, &heads)) in self.depths.iter().zip(&self.heads).enumerate() {
            in_range("depths", depth, 64)?;
            let channels = self.features << stage;
            in_range("heads", heads, channels)?;
            if !channels.is_multiple_of(heads) {
                return Err(SpecError::Heads { heads, channels });
            }
        }
        Ok(())
    }

    /// An encoder with MONAI's initialisation; see
    /// [`WindowAttentionConfig::init`](crate::nn::WindowAttentionConfig::init).
    pub fn init(&self, device: &Device) -> SwinTransformer {
        let stage = |level: usize| {
            let channels = self.features << level;
            let block = SwinBlockConfig::new(channels, self.heads[level], self.window);
            vec![SwinStage {
                blocks: (0..self.depths[level])
                    .map(|_| block.init(device))
                    .collect(),
                downsample: PatchMergingConfig::new(channels, self.merging).init(device),
                window: self.window,
            }]
        };
        let stem = |level: usize| {
            let channels = self.features << level;
            let layer = || UnetResBlockConfig::new([channels; 2]).init(device);
            let stem = self.v2.then(|| ResidualStem { layer: layer() });
            stem.into_iter().collect()
        };
        SwinTransformer {
            patch_embed: PatchEmbed {
                proj: Conv3dConfig::new([self.in_channels, self.features], 2)
                    .with_stride(2)
                    .init(device),
            },
            layers1: stage(0),
            layers2: stage(1),
            layers3: stage(2),
            layers4: stage(3),
            layers1c: stem(0),
            layers2c: stem(1),
            layers3c: stem(2),
            layers4c: stem(3),
        }
    }
}

impl SwinTransformer {
    /// The embedded patches and the outputs of the four stages, finest first; the channels of each
    /// voxel normalised where `normalize` asks. The stages read what is not normalised.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`
    /// - outputs: `[batch, 2^i * features, depth / 2^(i + 1), ..]`, `i` in `0..5`, halves rounded up
    pub fn forward(&self, x: Tensor<5>, normalize: bool) -> [Tensor<5>; 5] {
        let output = |x: &Tensor<5>| match normalize {
            true => normalized(x.clone()),
            false => x.clone(),
        };
        let mut x = self.patch_embed.forward(x);
        let x0 = output(&x);
        let [x1, x2, x3, x4] = self.stages().map(|(stems, stages)| {
            x = stage(stems, stages, x.clone());
            output(&x)
        });
        [x0, x1, x2, x3, x4]
    }

    /// What stands before each stage, and the stage.
    fn stages(&self) -> [(&[ResidualStem], &[SwinStage]); 4] {
        [
            (&self.layers1c, &self.layers1),
            (&self.layers2c, &self.layers2),
            (&self.layers3c, &self.layers3),
            (&self.layers4c, &self.layers4),
        ]
    }

    /// Adds a segment for the embedding and one a stage; the places of their outputs, not
    /// normalised.
    pub(super) fn segments<'a>(&'a self, segments: &mut Segments<'a>) -> [usize; 5] {
        let first = segments.push(&[Segments::INPUT], |x| {
            self.patch_embed.forward(x[0].clone())
        });
        let mut places = [first; 5];
        for (n, (stems, stages)) in self.stages().into_iter().enumerate() {
            places[n + 1] =
                segments.push(&[places[n]], move |x| stage(stems, stages, x[0].clone()));
        }
        places
    }
}

/// The channels of every voxel to mean 0 and variance 1.
pub(super) fn normalized(x: Tensor<5>) -> Tensor<5> {
    kernel::layer_norm(x, None, None, EPSILON)
}

fn stage(stems: &[ResidualStem], stages: &[SwinStage], x: Tensor<5>) -> Tensor<5> {
    let x = stems
        .iter()
        .fold(x, |x, stem| stem.layer.forward(&[x.into()]).into_tensor());
    stages.iter().fold(x, |x, stage| stage.forward(x))
}

impl PatchEmbed {
    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let [_, _, image @ ..] = x.dims();
        let x = match image.map(|n| (0, n % 2)) {
            [(0, 0), (0, 0), (0, 0)] => x,
            missing => x.pad(missing, 0.0),
        };
        self.proj.forward(x)
    }
}

impl SwinStage {
    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let [_, _, image @ ..] = x.dims();
        // A window no smaller than the image is the image, and has nowhere to move.
        let size = image.map(|n| n.min(self.window));
        let moved = image.map(|n| if n > self.window { self.window / 2 } else { 0 });
        let blocks = self.blocks.iter().enumerate();
        let x = blocks.fold(x, |x, (index, block)| {
            let shift = if index % 2 == 1 { moved } else { [0; 3] };
            block.forward(x, size, shift)
        });
        self.downsample.forward(x)
    }
}
