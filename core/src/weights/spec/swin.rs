//! SwinUNETR: sizes from the embedding of patches and from the tables of relative positions.

use super::parameters::List;
use super::{Part, shape, unknown};
use crate::model::{
    SWIN_LIGHT_WIDTHS, SWIN_VIEWS_CODE, SWIN_VIEWS_LAYERS, SWIN_VIEWS_WIDTHS, Spec,
    SwinTransformerConfig, SwinUNETRConfig, SwinUNETRHead,
};
use crate::nn::Merging;
use crate::pretext::TURNS;
use crate::weights::{StateDict, WeightsError};

const EMBEDDING: &str = "swinViT.patch_embed.proj.weight";
const ENCODER: &str = "swinViT.";
/// The encoder in the code of its own pretraining.
const PUBLISHED: &str = "swin_vit.";
/// A buffer of MONAI's: what it holds follows from the window.
const INDEX: &str = ".attn.relative_position_index";

/// Whether it is one. Checkpoints of its own pretraining have other names for the encoder, or
/// none, and older ones for the layers of a block; they are brought to those of MONAI's network.
pub(super) fn is(state: &mut StateDict) -> Result<bool, WeightsError> {
    const EMBED: &str = "patch_embed.proj.weight";
    let bare = state.shape(EMBED).is_some_and(|s| s.len() == 5);
    if bare || state.shape(&format!("{PUBLISHED}{EMBED}")).is_some() {
        state.rename(|name| {
            let own = bare && (name.starts_with("patch_embed.") || name.starts_with("layers"));
            let rest = name.strip_prefix(PUBLISHED).or(own.then_some(name));
            let name = rest.map_or_else(|| name.to_owned(), |rest| format!("{ENCODER}{rest}"));
            name.replace(".mlp.fc1.", ".mlp.linear1.")
                .replace(".mlp.fc2.", ".mlp.linear2.")
        })?;
    }
    Ok(state.shape(EMBEDDING).is_some())
}

/// `config` is a [`Spec`] as JSON, for what the shapes do not tell: how patches are merged.
pub(super) fn infer(
    state: &mut StateDict,
    config: Option<&[u8]>,
    part: Part,
) -> Result<SwinUNETRConfig, WeightsError> {
    state.retain(|name| !name.ends_with(INDEX));
    let [features, in_channels, ..]: [usize; 5] = shape(state, EMBEDDING)?;
    let mut encoder = SwinTransformerConfig {
        v2: state
            .shape("swinViT.layers1c.0.layer.conv1.conv.weight")
            .is_some(),
        merging: merging(config)?,
        ..SwinTransformerConfig::new(features, in_channels)
    };
    for stage in 0..4 {
        let table = |block: usize| {
            let layer = format!("swinViT.layers{}.0.blocks.{block}", stage + 1);
            format!("{layer}.attn.relative_position_bias_table")
        };
        let [distances, heads]: [usize; 2] = shape(state, &table(0))?;
        let edge = (distances as f64).cbrt().round() as usize;
        if edge.is_multiple_of(2) || edge.checked_pow(3) != Some(distances) {
            let reason = format!("`{}` is not of a cubic window", table(0));
            return Err(unknown(state, reason));
        }
        encoder.window = edge.div_ceil(2);
        encoder.heads[stage] = heads;
        encoder.depths[stage] = (0..)
            .take_while(|&b| state.shape(&table(b)).is_some())
            .count();
    }
    let has = |name: &str| state.shape(name).is_some();
    let found = if has("out.conv.conv.weight") {
        Some((SwinUNETRHead::Segmentation, "out.conv.conv.weight"))
    } else if has("rec_head.out_conv.weight") {
        Some((SwinUNETRHead::Light, "rec_head.out_conv.weight"))
    } else if has("contrastive_head.weight") {
        Some((SwinUNETRHead::Views, "conv.20.weight"))
    } else {
        None
    };
    let (head, out_channels) = match found {
        Some((head, out)) => {
            let [channels, ..]: [usize; 5] = shape(state, out)?;
            (head, channels)
        }
        None => {
            let reason = "an encoder of SwinUNETR without `out`, `rec_head` or `contrastive_head`";
            (SwinUNETRHead::Segmentation, part.classes(state, reason)?)
        }
    };
    Ok(SwinUNETRConfig {
        encoder,
        out_channels,
        head,
    })
}

fn merging(config: Option<&[u8]>) -> Result<Merging, WeightsError> {
    let Some(config) = config else {
        return Ok(Merging::default());
    };
    match serde_json::from_slice(config) {
        Ok(Spec::SwinUNETR(config)) => Ok(config.encoder.merging),
        Ok(other) => Err(WeightsError::Config(format!(
            "it describes a {}, not a SwinUNETR",
            other.name()
        ))),
        Err(cause) => Err(WeightsError::Config(cause.to_string())),
    }
}

impl List {
    pub(super) fn swin_unetr(&mut self, config: &SwinUNETRConfig) {
        let f = config.encoder.features;
        self.swin_transformer(&config.encoder);
        match config.head {
            SwinUNETRHead::Segmentation => {
                let skips = [(1, 1), (2, 1), (3, 2), (4, 4), (10, 16)];
                for (index, width) in skips {
                    let c_in = match index {
                        1 => config.encoder.in_channels,
                        _ => width * f,
                    };
                    self.residual(&format!("encoder{index}.layer"), c_in, width * f);
                }
                for (index, read, width) in [(5, 16, 8), (4, 8, 4), (3, 4, 2), (2, 2, 1), (1, 1, 1)]
                {
                    let (name, c) = (format!("decoder{index}"), width * f);
                    let up = format!("{name}.transp_conv.conv.weight");
                    self.push(up, &[read * f, c, 2, 2, 2]);
                    self.residual(&format!("{name}.conv_block"), 2 * c, c);
                }
                let classes = config.out_channels;
                self.conv("out.conv.conv", [classes, f, 1], classes);
            }
            SwinUNETRHead::Light => {
                for (stage, pair) in SWIN_LIGHT_WIDTHS.windows(2).enumerate() {
                    let [c_in, c] = [pair[0] * f, pair[1] * f];
                    let stage = stage + 1;
                    self.conv(&format!("rec_head.upsample{stage}"), [c_in, c, 2], c);
                    self.stage(&format!("rec_head.decoder_conv{stage}"), c, c, 1);
                }
                let channels = config.out_channels;
                self.conv("rec_head.out_conv", [channels, f, 1], channels);
            }
            SwinUNETRHead::Views => {
                let deepest = SWIN_VIEWS_WIDTHS[0] * f;
                self.linear("rotation_head", [TURNS, deepest]);
                self.linear("contrastive_head", [SWIN_VIEWS_CODE, deepest]);
                let pairs = SWIN_VIEWS_WIDTHS.windows(2).enumerate();
                for (stage, pair) in pairs {
                    let [c_in, c] = [pair[0] * f, pair[1] * f];
                    self.conv(
                        &format!("conv.{}", SWIN_VIEWS_LAYERS * stage),
                        [c, c_in, 3],
                        c,
                    );
                }
                let last = SWIN_VIEWS_LAYERS * (SWIN_VIEWS_WIDTHS.len() - 1);
                let channels = config.out_channels;
                self.conv(&format!("conv.{last}"), [channels, f, 1], channels);
            }
        }
    }

    fn swin_transformer(&mut self, config: &SwinTransformerConfig) {
        let f = config.features;
        self.conv("swinViT.patch_embed.proj", [f, config.in_channels, 2], f);
        let distances = (2 * config.window - 1).pow(3);
        for stage in 0..4 {
            let (c, heads) = (f << stage, config.heads[stage]);
            let layer = format!("swinViT.layers{}.0", stage + 1);
            for block in 0..config.depths[stage] {
                let name = format!("{layer}.blocks.{block}");
                self.norm(&format!("{name}.norm1"), c);
                let table = format!("{name}.attn.relative_position_bias_table");
                self.push(table, &[distances, heads]);
                self.linear(&format!("{name}.attn.qkv"), [3 * c, c]);
                self.linear(&format!("{name}.attn.proj"), [c, c]);
                self.norm(&format!("{name}.norm2"), c);
                self.linear(&format!("{name}.mlp.linear1"), [4 * c, c]);
                self.linear(&format!("{name}.mlp.linear2"), [c, 4 * c]);
            }
            let merging = format!("{layer}.downsample");
            self.push(format!("{merging}.reduction.weight"), &[2 * c, 8 * c]);
            self.norm(&format!("{merging}.norm"), 8 * c);
        }
        for stage in (0..4).filter(|_| config.v2) {
            let c = f << stage;
            self.residual(&format!("swinViT.layers{}c.0.layer", stage + 1), c, c);
        }
    }

    /// A residual block without biases and norms of its own.
    fn residual(&mut self, name: &str, c_in: usize, c: usize) {
        self.push(format!("{name}.conv1.conv.weight"), &[c, c_in, 3, 3, 3]);
        self.push(format!("{name}.conv2.conv.weight"), &[c, c, 3, 3, 3]);
        if c_in != c {
            self.push(format!("{name}.conv3.conv.weight"), &[c, c_in, 1, 1, 1]);
        }
    }

    fn linear(&mut self, name: &str, [outputs, inputs]: [usize; 2]) {
        self.push(format!("{name}.weight"), &[outputs, inputs]);
        self.push(format!("{name}.bias"), &[outputs]);
    }
}
