//! The description of a network that travels with its weights, and the network it describes.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::pretext::ViewOutput;

use super::segments::Segments;
use super::{
    MedNeXt, MedNeXtConfig, MeshNet, MeshNetConfig, ResEncUNet, ResEncUNetConfig, SpecError,
    Strided, StridedConfig, SwinUNETR, SwinUNETRConfig, UNet, UNetConfig,
};

/// Which network, and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "network", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Spec {
    /// Plain U-Net.
    UNet(UNetConfig),
    /// MedNeXt encoder with one of its decoders.
    MedNeXt(MedNeXtConfig),
    /// MeshNet: a chain of dilated convolutions.
    MeshNet(MeshNetConfig),
    /// U-Net with a residual encoder.
    ResEncUNet(ResEncUNetConfig),
    /// Strided encoder-decoder: a chain of dilated convolutions, in the middle at half resolution.
    Strided(StridedConfig),
    /// Swin Transformer with a decoder of convolutions.
    SwinUNETR(SwinUNETRConfig),
}

impl Spec {
    /// Refuses sizes that no such network has, so that a broken file cannot ask for endless
    /// memory.
    ///
    /// # Errors
    ///
    /// [`SpecError`] names the field.
    pub fn validate(&self) -> Result<(), SpecError> {
        match self {
            Self::UNet(c) => c.validate(),
            Self::MedNeXt(c) => c.validate(),
            Self::MeshNet(c) => c.validate(),
            Self::ResEncUNet(c) => c.validate(),
            Self::Strided(c) => c.validate(),
            Self::SwinUNETR(c) => c.validate(),
        }
    }

    /// The network with PyTorch's default initialisation; parameters are drawn when first used.
    ///
    /// # Errors
    ///
    /// What [`validate`](Self::validate) returns.
    pub fn init(&self, device: &Device) -> Result<Model, SpecError> {
        self.validate()?;
        Ok(match self {
            Self::UNet(c) => Model::UNet(c.init(device)),
            Self::MedNeXt(c) => Model::MedNeXt(c.init(device)),
            Self::MeshNet(c) => Model::MeshNet(c.init(device)),
            Self::ResEncUNet(c) => Model::ResEncUNet(c.init(device)),
            Self::Strided(c) => Model::Strided(c.init(device)),
            Self::SwinUNETR(c) => Model::SwinUNETR(c.init(device)),
        })
    }

    /// Image channels.
    pub fn in_channels(&self) -> usize {
        match self {
            Self::UNet(c) => c.in_channels,
            Self::MedNeXt(c) => c.in_channels,
            Self::MeshNet(c) => c.in_channels,
            Self::ResEncUNet(c) => c.in_channels,
            Self::Strided(c) => c.in_channels,
            Self::SwinUNETR(c) => c.encoder.in_channels,
        }
    }

    /// Classes, or channels to reconstruct.
    pub fn out_channels(&self) -> usize {
        match self {
            Self::UNet(c) => c.out_channels,
            Self::MedNeXt(c) => c.out_channels,
            Self::MeshNet(c) => c.out_channels,
            Self::ResEncUNet(c) => c.out_channels,
            Self::Strided(c) => c.out_channels,
            Self::SwinUNETR(c) => c.out_channels,
        }
    }

    /// The same network for images of other channels and other classes.
    #[must_use]
    pub fn with_channels(mut self, channels: usize, classes: usize) -> Self {
        let sizes = match &mut self {
            Self::UNet(c) => (&mut c.in_channels, &mut c.out_channels),
            Self::MedNeXt(c) => (&mut c.in_channels, &mut c.out_channels),
            Self::MeshNet(c) => (&mut c.in_channels, &mut c.out_channels),
            Self::ResEncUNet(c) => (&mut c.in_channels, &mut c.out_channels),
            Self::Strided(c) => (&mut c.in_channels, &mut c.out_channels),
            Self::SwinUNETR(c) => (&mut c.encoder.in_channels, &mut c.out_channels),
        };
        (*sizes.0, *sizes.1) = (channels, classes);
        self
    }

    /// The edges of an input must be multiples of this.
    pub fn edge_multiple(&self) -> usize {
        match self {
            Self::UNet(_) | Self::MedNeXt(_) => 16,
            Self::MeshNet(_) => 1,
            Self::ResEncUNet(c) => c.edge_multiple(),
            Self::Strided(c) => c.edge_multiple(),
            Self::SwinUNETR(_) => 32,
        }
    }

    /// What the names of the encoder's parameters begin with. In a chain of layers without an
    /// encoder of its own, those of the last layer, which classifies, begin so too: see
    /// [`in_encoder`](Self::in_encoder).
    fn encoder_prefix(&self) -> &'static str {
        match self {
            Self::UNet(_) | Self::MedNeXt(_) | Self::ResEncUNet(_) => "encoder.",
            Self::MeshNet(_) => "convs.",
            Self::Strided(_) => "layers.",
            Self::SwinUNETR(_) => "swinViT.",
        }
    }

    /// Whether a parameter is one of the encoder's, which is what other tasks can begin with. In a
    /// chain of layers it is all but the last.
    pub fn in_encoder(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(self.encoder_prefix()) else {
            return false;
        };
        let last = match self {
            Self::UNet(_) | Self::MedNeXt(_) | Self::ResEncUNet(_) | Self::SwinUNETR(_) => {
                return true;
            }
            Self::MeshNet(c) => c.layers.len(),
            Self::Strided(c) => c.layers.len(),
        };
        let layer = rest.split('.').next().and_then(|n| n.parse::<usize>().ok());
        layer.is_some_and(|layer| layer < last)
    }

    /// The network's name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UNet(_) => "U-Net",
            Self::MedNeXt(_) => "MedNeXt",
            Self::MeshNet(_) => "MeshNet",
            Self::ResEncUNet(_) => "ResEnc U-Net",
            Self::Strided(_) => "strided encoder-decoder",
            Self::SwinUNETR(_) => "SwinUNETR",
        }
    }
}

/// Any of the networks.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a program holds one; never moved in bulk"
)]
pub enum Model {
    /// Plain U-Net.
    UNet(UNet),
    /// MedNeXt.
    MedNeXt(MedNeXt),
    /// MeshNet.
    MeshNet(MeshNet),
    /// U-Net with a residual encoder.
    ResEncUNet(ResEncUNet),
    /// Strided encoder-decoder.
    Strided(Strided),
    /// SwinUNETR.
    SwinUNETR(SwinUNETR),
}

impl Model {
    /// Applies the network.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, in_channels, depth, height, width]`, edges multiples of
    ///   [`Spec::edge_multiple`]
    /// - output: `[batch, out_channels, depth, height, width]`, logits or intensities
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match self {
            Self::UNet(net) => net.forward(x),
            Self::MedNeXt(net) => net.forward(x),
            Self::MeshNet(net) => net.forward(x),
            Self::ResEncUNet(net) => net.forward(x),
            Self::Strided(net) => net.forward(x),
            Self::SwinUNETR(net) => net.forward(x),
        }
    }

    /// Its segments, for activation checkpointing.
    pub(super) fn segments(&self) -> Option<Segments<'_>> {
        match self {
            Self::UNet(net) => Some(net.segments()),
            Self::MedNeXt(net) => Some(net.segments()),
            Self::MeshNet(net) => Some(net.segments()),
            Self::ResEncUNet(net) => Some(net.segments()),
            Self::Strided(net) => Some(net.segments()),
            Self::SwinUNETR(net) => net.segments(),
        }
    }

    /// The output channel with the largest value of [`forward`](Self::forward), per voxel; the
    /// first of equals. The output itself is not stored where the device can do without.
    ///
    /// # Shapes
    ///
    /// - input: as [`forward`](Self::forward)
    /// - output: `[batch, 1, depth, height, width]`
    pub fn classify(&self, x: Tensor<5>) -> Tensor<5, Int> {
        match self {
            Self::UNet(net) => net.classify(x),
            Self::MedNeXt(net) => net.classify(x),
            Self::MeshNet(net) => net.classify(x),
            Self::ResEncUNet(net) => net.classify(x),
            Self::Strided(net) => net.classify(x),
            Self::SwinUNETR(net) => net.classify(x),
        }
    }

    /// What the network tells of views, where it has the heads of SwinUNETR's pretraining.
    ///
    /// # Shapes
    ///
    /// - input: as [`forward`](Self::forward)
    pub fn views(&self, x: Tensor<5>) -> Option<ViewOutput> {
        match self {
            Self::SwinUNETR(net) => net.views(x),
            _ => None,
        }
    }
}

/// Refuses a field outside `1..=max`.
pub(super) fn in_range(field: &'static str, value: usize, max: usize) -> Result<(), SpecError> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(SpecError::OutOfRange { field, value, max })
    }
}

/// Image channels, classes and filters that a network may have at most.
pub(super) const MAX_CHANNELS: usize = 4096;
