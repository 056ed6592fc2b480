//! The encoders by name and size.

use amaes_core::model::{
    MedNeXtConfig, MedNeXtDecoder, MeshNetConfig, MeshNetLayer, ResEncUNetConfig, Spec,
    StridedConfig, SwinUNETRConfig, SwinUNETRHead, UNetConfig, UNetHead,
};
use amaes_core::nn::Activation;
use serde::{Deserialize, Serialize};

/// An encoder and its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Backbone {
    /// U-Net of 32 filters.
    #[default]
    UnetB,
    /// U-Net of 64 filters.
    UnetXl,
    /// MedNeXt-S, kernel 3.
    MednextS,
    /// MedNeXt-B, kernel 3.
    MednextB,
    /// MedNeXt-M, kernel 3.
    MednextM,
    /// MedNeXt-L, kernel 3.
    MednextL,
    /// U-Net with a residual encoder of 32 filters: ResEnc B of the AMAES group, which is ResEnc L
    /// of nnU-Net and OpenMind (`resenc-l`).
    #[serde(alias = "resenc-l")]
    ResencB,
    /// MeshNet of 21 channels, as brainchop's `model18cls`; finetuned only.
    Meshnet,
    /// The published strided encoder-decoder of 16 channels; finetuned only.
    Strided,
    /// SwinUNETR of 48 features, as MONAI has it.
    Swinunetr,
    /// The same with convolutions before the stages.
    SwinunetrV2,
}

/// Dilations of the MeshNet.
const DILATIONS: [usize; 9] = [1, 2, 4, 8, 16, 8, 4, 2, 1];

impl Backbone {
    /// Whether it is SwinUNETR's encoder.
    pub(super) fn is_swin_unetr(self) -> bool {
        matches!(self, Self::Swinunetr | Self::SwinunetrV2)
    }

    /// The network that segments, of one image channel and two classes; with another number of
    /// filters than its own where one is given.
    pub fn segmenting(self, filters: Option<usize>) -> Spec {
        let unet = |config: UNetConfig| {
            Spec::UNet(UNetConfig {
                filters: filters.unwrap_or(config.filters),
                ..config
            })
        };
        let mednext = |config: MedNeXtConfig| {
            Spec::MedNeXt(MedNeXtConfig {
                filters: filters.unwrap_or(config.filters),
                ..config
            })
        };
        match self {
            Self::UnetB => unet(UNetConfig::b(1, 2)),
            Self::UnetXl => unet(UNetConfig::xl(1, 2)),
            Self::MednextS => mednext(MedNeXtConfig::s(1, 2)),
            Self::MednextB => mednext(MedNeXtConfig::b(1, 2)),
            Self::MednextM => mednext(MedNeXtConfig::m(1, 2)),
            Self::MednextL => mednext(MedNeXtConfig::l(1, 2)),
            Self::ResencB => Spec::ResEncUNet(ResEncUNetConfig::of(filters.unwrap_or(32), 1, 2)),
            Self::Meshnet => {
                let channels = filters.unwrap_or(21);
                let layers = DILATIONS.map(|dilation| MeshNetLayer { channels, dilation });
                Spec::MeshNet(MeshNetConfig {
                    in_channels: 1,
                    out_channels: 2,
                    layers: layers.to_vec(),
                    activation: Activation::Elu,
                    norm: false,
                    bias: true,
                })
            }
            Self::Strided => Spec::Strided(StridedConfig::of(filters.unwrap_or(16), 1, 2)),
            Self::Swinunetr => Spec::SwinUNETR(SwinUNETRConfig::new(filters.unwrap_or(48), 1, 2)),
            Self::SwinunetrV2 => {
                Spec::SwinUNETR(SwinUNETRConfig::new(filters.unwrap_or(48), 1, 2).v2())
            }
        }
    }

    /// The network that restores images, with one or two convolutions a stage of its decoder, and
    /// with skips or without; `None` where there is no such decoder to put in place of the one
    /// that segments.
    pub fn restoring(self, filters: Option<usize>, double: bool, skips: bool) -> Option<Spec> {
        let head = UNetHead::restoring(double, skips);
        Some(match self.segmenting(filters).with_channels(1, 1) {
            Spec::UNet(config) => Spec::UNet(UNetConfig { head, ..config }),
            Spec::MedNeXt(config) => Spec::MedNeXt(MedNeXtConfig {
                decoder: head.into(),
                ..config
            }),
            Spec::ResEncUNet(config) => Spec::ResEncUNet(ResEncUNetConfig {
                decoder_convs: if double { 2 } else { 1 },
                skips,
                ..config
            }),
            Spec::SwinUNETR(config) if !double && !skips => Spec::SwinUNETR(config.light()),
            _ => return None,
        })
    }
}

/// The network that segments with the encoder of another.
pub(super) fn segmenting(spec: &Spec) -> Option<Spec> {
    Some(match spec.clone() {
        Spec::UNet(config) => Spec::UNet(UNetConfig {
            head: UNetHead::Segmentation,
            ..config
        }),
        Spec::MedNeXt(config) => Spec::MedNeXt(MedNeXtConfig {
            decoder: match config.decoder {
                native @ MedNeXtDecoder::Native { .. } => native,
                _ => MedNeXtDecoder::Plain,
            },
            ..config
        }),
        Spec::ResEncUNet(config) => Spec::ResEncUNet(ResEncUNetConfig {
            skips: true,
            ..config
        }),
        Spec::SwinUNETR(config) => Spec::SwinUNETR(SwinUNETRConfig {
            head: SwinUNETRHead::Segmentation,
            ..config
        }),
        chain @ (Spec::MeshNet(_) | Spec::Strided(_)) => chain,
        _ => return None,
    })
}

/// Channels of the first level.
pub(super) fn filters(spec: &Spec) -> Option<usize> {
    match spec {
        Spec::UNet(c) => Some(c.filters),
        Spec::MedNeXt(c) => Some(c.filters),
        Spec::ResEncUNet(c) => c.features.first().copied(),
        Spec::MeshNet(c) => c.layers.first().map(|l| l.channels),
        Spec::Strided(c) => c.layers.first().map(|l| l.channels),
        Spec::SwinUNETR(c) => Some(c.encoder.features),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Backbone; 11] = [
        Backbone::UnetB,
        Backbone::UnetXl,
        Backbone::MednextS,
        Backbone::MednextB,
        Backbone::MednextM,
        Backbone::MednextL,
        Backbone::ResencB,
        Backbone::Meshnet,
        Backbone::Strided,
        Backbone::Swinunetr,
        Backbone::SwinunetrV2,
    ];

    #[test]
    fn what_is_pretrained_becomes_what_is_finetuned() {
        for backbone in ALL {
            let whole = backbone.segmenting(Some(12)).with_channels(1, 1);
            whole.validate().expect("a network");
            assert_eq!(segmenting(&whole), Some(whole.clone()));
            let pretrained = backbone.restoring(Some(12), false, false);
            let only = matches!(backbone, Backbone::Meshnet | Backbone::Strided);
            assert_eq!(pretrained.is_none(), only);
            if let Some(pretrained) = pretrained {
                pretrained.validate().expect("a network");
                assert_ne!(pretrained, whole);
                assert_eq!(segmenting(&pretrained), Some(whole));
            }
        }
    }

    #[test]
    fn names_are_those_of_the_documentation() {
        let name = |backbone| serde_json::to_value(backbone).expect("a name");
        let names = ALL.map(|b| name(b).as_str().expect("text").to_owned());
        assert_eq!(
            names,
            [
                "unet-b",
                "unet-xl",
                "mednext-s",
                "mednext-b",
                "mednext-m",
                "mednext-l",
                "resenc-b",
                "meshnet",
                "strided",
                "swinunetr",
                "swinunetr-v2"
            ]
        );
        let other: Backbone = serde_json::from_value("resenc-l".into()).expect("a backbone");
        assert_eq!(other, Backbone::ResencB);
    }
}
