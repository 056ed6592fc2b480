//! SwinUNETR's encoder with the heads that its authors pretrained it with.

#![expect(
    non_snake_case,
    reason = "a parameter's published name begins with `swinViT`"
)]

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, s};

use super::{SwinTransformer, SwinTransformerConfig};
use crate::kernel;
use crate::nn::{Activation, Conv3d, Conv3dConfig, InstanceNormConfig, Linear, LinearConfig};
use crate::pretext::{TURNS, ViewOutput};

/// Encoder and three heads on its deepest output: two linear layers, of which one tells the
/// rotation from the first voxel and one codes the second, and a decoder that restores the image
/// (Tang et al., CVPR 2022).
///
/// Parameters have the published names; `conv` is indexed as its layers are there, of which only
/// the convolutions have parameters.
#[derive(Module, Debug)]
pub struct SwinViews {
    swinViT: SwinTransformer,
    rotation_head: Linear,
    contrastive_head: Linear,
    conv: Vec<Option<Conv3d>>,
}

/// Numbers of a code.
pub(crate) const CODE: usize = 512;
/// Channels into the convolutions of the decoder, in units of the features. After each of them but
/// the last the image doubles in size.
pub(crate) const WIDTHS: [usize; 6] = [16, 8, 4, 2, 1, 1];
/// Layers of the decoder from one convolution to the next: norm, activation and doubling.
pub(crate) const LAYERS: usize = 4;

impl SwinViews {
    /// A network with PyTorch's default initialisation.
    pub(super) fn new(config: &SwinTransformerConfig, channels: usize, device: &Device) -> Self {
        let width = |stage: usize| WIDTHS[stage] * config.features;
        let head = |out| LinearConfig::new([width(0), out]).init(device);
        let last = WIDTHS.len() - 1;
        let mut conv: Vec<Option<Conv3d>> = vec![None; LAYERS * last + 1];
        for stage in 0..last {
            let channels = [width(stage), width(stage + 1)];
            let layer = Conv3dConfig::new(channels, 3).with_padding(1);
            conv[LAYERS * stage] = Some(layer.init(device));
        }
        conv[LAYERS * last] = Some(Conv3dConfig::new([width(last), channels], 1).init(device));
        Self {
            swinViT: config.init(device),
            rotation_head: head(TURNS),
            contrastive_head: head(CODE),
            conv,
        }
    }

    pub(super) fn encoder(&self) -> &SwinTransformer {
        &self.swinViT
    }

    /// What the heads make of views.
    ///
    /// # Shapes
    ///
    /// - input: `[views, in_channels, depth, height, width]`, edges multiples of 32, not all 32
    pub fn views(&self, x: Tensor<5>) -> ViewOutput {
        let deepest = self.encode(x);
        let [views, channels, x, y, z] = deepest.dims();
        let voxels = deepest.clone().reshape([views, channels, x * y * z, 1, 1]);
        let apply = |head: &Linear, voxel: usize| {
            let voxel = voxels.clone().slice(s![.., .., voxel..voxel + 1]);
            head.forward(voxel, None, None).flatten::<2>(1, 4)
        };
        ViewOutput {
            rotation: apply(&self.rotation_head, 0),
            code: apply(&self.contrastive_head, 1),
            restored: self.restore(deepest),
        }
    }

    /// The restored image, see [`SwinUNETR::forward`](super::SwinUNETR::forward).
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.restore(self.encode(x))
    }

    /// The largest channel, see [`SwinUNETR::classify`](super::SwinUNETR::classify).
    pub fn classify(&self, x: Tensor<5>) -> Tensor<5, Int> {
        self.forward(x).argmax(1)
    }

    fn encode(&self, x: Tensor<5>) -> Tensor<5> {
        let [.., x] = self.swinViT.forward(x, true);
        x
    }

    fn restore(&self, mut x: Tensor<5>) -> Tensor<5> {
        let activation = Activation::LeakyRelu { slope: 0.01 };
        let mut convs = self.conv.iter().flatten().peekable();
        while let Some(conv) = convs.next() {
            x = conv.forward(x);
            if convs.peek().is_none() {
                break;
            }
            let [_, channels, d, h, w] = x.dims();
            let norm = InstanceNormConfig::new(channels)
                .with_affine(false)
                .init(&x.device());
            x = norm.forward(x, Some(activation));
            x = kernel::resize_trilinear(x, [2 * d, 2 * h, 2 * w]);
        }
        x
    }
}
