//! Names and shapes of a network's parameters, in PyTorch's order.

use crate::model::{
    MedNeXtConfig, MedNeXtDecoder, MeshNetConfig, ResEncUNetConfig, Spec, StridedConfig,
    StridedKind, UNetConfig, UNetHead,
};
use crate::weights::WeightsError;

/// Every parameter of the network with its shape, in the order of PyTorch's state dict. Names are
/// those of the AMAES reference without its `model.` prefix, or of those who published the network.
///
/// # Errors
/// If the sizes are none that such a network has.
pub fn parameters(spec: &Spec) -> Result<Vec<(String, Vec<usize>)>, WeightsError> {
    spec.validate()?;
    let mut list = List(Vec::new());
    match spec {
        Spec::UNet(config) => list.unet(config),
        Spec::MedNeXt(config) => list.mednext(config),
        Spec::MeshNet(config) => list.meshnet(config),
        Spec::ResEncUNet(config) => list.resenc(config),
        Spec::Strided(config) => list.strided(config),
        Spec::SwinUNETR(config) => list.swin_unetr(config),
    }
    Ok(list.0)
}

/// A depthwise kernel, its channels, their expansion and the channels put out.
struct Block {
    kernel: usize,
    channels: usize,
    expansion: usize,
    out: usize,
}

/// Names and shapes.
pub(super) struct List(Vec<(String, Vec<usize>)>);

impl List {
    pub(super) fn push(&mut self, name: String, shape: &[usize]) {
        self.0.push((name, shape.to_vec()));
    }

    /// A weight `[a, b, k, k, k]` and a bias.
    pub(super) fn conv(&mut self, name: &str, [a, b, k]: [usize; 3], bias: usize) {
        self.push(format!("{name}.weight"), &[a, b, k, k, k]);
        self.push(format!("{name}.bias"), &[bias]);
    }

    pub(super) fn norm(&mut self, name: &str, channels: usize) {
        self.push(format!("{name}.weight"), &[channels]);
        self.push(format!("{name}.bias"), &[channels]);
    }

    fn unet(&mut self, config: &UNetConfig) {
        let f = config.filters;
        self.stage("encoder.in_conv", config.in_channels, f, 2);
        for level in 1..5 {
            let name = format!("encoder.encoder_conv{level}");
            self.stage(&name, f << (level - 1), f << level, 2);
        }
        self.decoder(config.head, f, config.out_channels);
    }

    /// `convs` convolutions with norms.
    pub(super) fn stage(&mut self, name: &str, channels: usize, out: usize, convs: usize) {
        for conv in 1..=convs {
            let channels = if conv == 1 { channels } else { out };
            self.conv(&format!("{name}.conv{conv}.conv"), [out, channels, 3], out);
            self.norm(&format!("{name}.conv{conv}.norm"), out);
        }
    }

    /// The U-Net's decoder.
    fn decoder(&mut self, head: UNetHead, f: usize, out: usize) {
        let name = head.prefix();
        for stage in 1..5 {
            let channels = f << (4 - stage);
            let upsample = format!("{name}.upsample{stage}");
            self.conv(&upsample, [2 * channels, channels, 2], channels);
            let read = if head.skips() { 2 * channels } else { channels };
            let convs = if head.double() { 2 } else { 1 };
            self.stage(
                &format!("{name}.decoder_conv{stage}"),
                read,
                channels,
                convs,
            );
        }
        self.conv(&format!("{name}.out_conv"), [out, f, 1], out);
    }

    fn mednext(&mut self, config: &MedNeXtConfig) {
        let (f, kernel) = (config.filters, config.kernel);
        self.conv("encoder.stem", [f, config.in_channels, 1], f);
        for level in 0..4 {
            let channels = f << level;
            let expansion = config.expansion[level];
            let stage = Block {
                kernel,
                channels,
                expansion,
                out: channels,
            };
            self.blocks(
                &format!("encoder.enc_block_{level}"),
                &stage,
                config.blocks[level],
            );
            let expansion = config.expansion[level + 1];
            let down = Block {
                kernel,
                channels,
                expansion,
                out: 2 * channels,
            };
            let name = format!("encoder.down_{level}");
            self.block(&name, &down);
            self.conv(
                &format!("{name}.res_conv"),
                [2 * channels, channels, 1],
                2 * channels,
            );
        }
        let channels = 16 * f;
        let bottleneck = Block {
            kernel,
            channels,
            expansion: config.expansion[4],
            out: channels,
        };
        self.blocks("encoder.bottleneck", &bottleneck, config.blocks[4]);
        if let Some(head) = config.decoder.plain() {
            self.decoder(head, f, config.out_channels);
        }
        if let MedNeXtDecoder::Native { expansion, blocks } = &config.decoder {
            self.native(config, *expansion, *blocks);
        }
    }

    fn native(&mut self, config: &MedNeXtConfig, expansion: [usize; 4], blocks: [usize; 4]) {
        let (f, kernel, classes) = (config.filters, config.kernel, config.out_channels);
        for stage in 0..4 {
            let level = 3 - stage;
            let (channels, expansion) = (f << level, expansion[stage]);
            let up = Block {
                kernel,
                channels: 2 * channels,
                expansion,
                out: channels,
            };
            let name = format!("pred_head.up_{level}");
            self.block(&name, &up);
            self.conv(
                &format!("{name}.res_conv"),
                [2 * channels, channels, 1],
                channels,
            );
            let block = Block {
                kernel,
                channels,
                expansion,
                out: channels,
            };
            self.blocks(
                &format!("pred_head.dec_block_{level}"),
                &block,
                blocks[stage],
            );
        }
        self.conv("pred_head.out_0.conv_out", [f, classes, 1], classes);
    }

    fn blocks(&mut self, name: &str, block: &Block, count: usize) {
        for index in 0..count {
            self.block(&format!("{name}.{index}"), block);
        }
    }

    fn block(&mut self, name: &str, block: &Block) {
        let &Block {
            kernel,
            channels,
            expansion,
            out,
        } = block;
        let wide = channels * expansion;
        self.conv(&format!("{name}.conv1"), [channels, 1, kernel], channels);
        self.norm(&format!("{name}.norm"), channels);
        self.conv(&format!("{name}.conv2"), [wide, channels, 1], wide);
        self.conv(&format!("{name}.conv3"), [out, wide, 1], out);
    }

    fn meshnet(&mut self, config: &MeshNetConfig) {
        let mut channels = config.in_channels;
        let outs = config.layers.iter().map(|layer| (layer.channels, 3));
        for (index, (out, k)) in outs.chain([(config.out_channels, 1)]).enumerate() {
            self.push(format!("convs.{index}.weight"), &[out, channels, k, k, k]);
            if config.bias {
                self.push(format!("convs.{index}.bias"), &[out]);
            }
            channels = out;
        }
    }

    fn resenc(&mut self, config: &ResEncUNetConfig) {
        let features = &config.features;
        self.convs("encoder.stem", [config.in_channels, features[0]], 1);
        let mut read = features[0];
        for (stage, (&channels, &blocks)) in features.iter().zip(&config.blocks).enumerate() {
            for block in 0..blocks {
                let name = format!("encoder.stages.{stage}.blocks.{block}");
                self.conv_norm(&format!("{name}.conv1"), [read, channels]);
                self.conv_norm(&format!("{name}.conv2"), [channels, channels]);
                if read != channels {
                    // The mean pooling before it takes the first place.
                    let place = usize::from(stage > 0 && block == 0);
                    let skip = format!("{name}.skip.{place}");
                    self.push(format!("{skip}.conv.weight"), &[channels, read, 1, 1, 1]);
                    self.norm(&format!("{skip}.norm"), channels);
                }
                read = channels;
            }
        }
        let stages = || (1..features.len()).rev().enumerate();
        for (stage, level) in stages() {
            let channels = features[level - 1];
            let read = if config.skips { 2 * channels } else { channels };
            let name = format!("decoder.stages.{stage}");
            self.convs(&name, [read, channels], config.decoder_convs);
        }
        for (stage, level) in stages() {
            let channels = features[level - 1];
            let name = format!("decoder.transpconvs.{stage}");
            self.conv(&name, [features[level], channels, 2], channels);
        }
        for (stage, level) in stages() {
            let out = config.out_channels;
            let name = format!("decoder.seg_layers.{stage}");
            self.conv(&name, [out, features[level - 1], 1], out);
        }
    }

    /// Convolutions with norms one after another.
    fn convs(&mut self, name: &str, [read, channels]: [usize; 2], count: usize) {
        for conv in 0..count {
            let read = if conv == 0 { read } else { channels };
            self.conv_norm(&format!("{name}.convs.{conv}"), [read, channels]);
        }
    }

    fn conv_norm(&mut self, name: &str, [read, channels]: [usize; 2]) {
        self.conv(&format!("{name}.conv"), [channels, read, 3], channels);
        self.norm(&format!("{name}.norm"), channels);
    }

    fn strided(&mut self, config: &StridedConfig) {
        let mut channels = config.in_channels;
        for (index, layer) in config.layers.iter().enumerate() {
            let (name, out) = (format!("layers.{index}"), layer.channels);
            match layer.kind {
                StridedKind::Up => self.conv(&name, [channels, out, 2], out),
                _ => self.conv(&name, [out, channels, 3], out),
            }
            channels = out;
        }
        let (name, out) = (
            format!("layers.{}", config.layers.len()),
            config.out_channels,
        );
        self.conv(&name, [out, channels, 1], out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(spec: &Spec) -> usize {
        let list = parameters(spec).expect("valid");
        list.iter()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    }

    /// The counts of the published networks.
    #[test]
    fn counts_are_those_of_the_paper() {
        assert_eq!(count(&Spec::UNet(UNetConfig::b(1, 1))), 22_581_217);
        assert_eq!(count(&Spec::UNet(UNetConfig::xl(1, 1))), 90_304_449);
        assert_eq!(count(&Spec::UNet(UNetConfig::b_light(1))), 17_879_617);
        assert_eq!(count(&Spec::UNet(UNetConfig::xl_light(1))), 71_500_929);
        let pretrained =
            |config: UNetConfig, head| count(&Spec::UNet(UNetConfig { head, ..config }));
        let (b, xl) = (UNetConfig::b(1, 1), UNetConfig::xl(1, 1));
        let standard = UNetHead::Standard;
        assert_eq!(pretrained(b.clone(), standard), 14_134_944 + 6_096_193);
        assert_eq!(pretrained(xl, standard), 56_526_144 + 24_377_985);
        assert_eq!(pretrained(b, UNetHead::StandardSkips), 22_581_217);
        assert_eq!(
            count(&Spec::MedNeXt(MedNeXtConfig::m(1, 1))),
            12_491_712 + 8_446_273
        );
        assert_eq!(
            count(&Spec::MedNeXt(MedNeXtConfig::m(1, 1).light())),
            16_236_385
        );
        assert_eq!(
            count(&Spec::MedNeXt(MedNeXtConfig::m(1, 1).native())),
            17_548_929
        );
        assert_eq!(
            count(&Spec::MedNeXt(MedNeXtConfig::l(1, 1))),
            46_752_320 + 8_446_273
        );
    }
}
