//! ResEnc U-Net: the names that its publishers give its parameters, and its sizes from the shapes.

use burn::tensor::TensorData;

use super::{Part, shape, unknown};
use crate::model::{ResEncUNetConfig, Spec};
use crate::weights::{StateDict, WeightsError};

/// A parameter that only this network has.
pub(super) const MARK: &str = "encoder.stages.0.blocks.0.conv1.conv.weight";

/// Brings the names to those of dynamic-network-architectures, and finds the sizes.
///
/// Three publishers are known: nnU-Net and nnssl (OpenMind), whose modules hold some parameters
/// twice (`all_modules`, `decoder.encoder`); nnssl's variant without skips (`seg_layer`); and the
/// AMAES group's asparagus (`stem.conv1`, `norm_op`, `out_conv`; `upsample1` and `decoder_conv1`,
/// in newer versions `upsample_layers.0` and `decoder_convs.0`). Outputs for deep supervision that
/// are not there are zero.
pub(super) fn infer(state: &mut StateDict, part: Part) -> Result<ResEncUNetConfig, WeightsError> {
    state.retain(|name| !name.contains(".all_modules.") && !name.starts_with("decoder.encoder."));
    let stages = count(state, |i| {
        format!("encoder.stages.{i}.blocks.0.conv1.conv.weight")
    });
    state.rename(|name| rename(name, stages))?;
    let Some(last) = stages.checked_sub(2) else {
        return Err(unknown(state, "a residual encoder of one stage"));
    };
    let [_, in_channels, ..]: [usize; 5] = shape(state, "encoder.stem.convs.0.conv.weight")?;
    let mut config = ResEncUNetConfig {
        features: Vec::with_capacity(stages),
        blocks: Vec::with_capacity(stages),
        in_channels,
        out_channels: 0,
        decoder_convs: count(state, |i| format!("decoder.stages.0.convs.{i}.conv.weight")),
        skips: false,
    };
    for stage in 0..stages {
        let blocks = |i| format!("encoder.stages.{stage}.blocks.{i}.conv1.conv.weight");
        let [channels, _, kernel @ ..]: [usize; 5] = shape(state, &blocks(0))?;
        if kernel != [3; 3] {
            let reason = format!("a residual encoder with kernels of {kernel:?} voxels, not 3");
            return Err(unknown(state, reason));
        }
        config.features.push(channels);
        config.blocks.push(count(state, blocks));
    }
    let output = format!("decoder.seg_layers.{last}.weight");
    if config.decoder_convs == 0 || state.shape(&output).is_none() {
        let reason = "a residual encoder without a decoder that segments or restores images";
        config.out_channels = part.classes(state, reason)?;
        (config.decoder_convs, config.skips) = (1, true);
        return Ok(config);
    }
    [config.out_channels, ..] = shape::<5>(state, &output)?;
    let [channels, read, ..]: [usize; 5] = shape(state, "decoder.stages.0.convs.0.conv.weight")?;
    config.skips = read > channels;
    // Before memory is taken.
    Spec::ResEncUNet(config.clone()).validate()?;
    for stage in 0..last {
        let channels = config.features[stages - 2 - stage];
        complete(state, &config, stage, channels)?;
    }
    Ok(config)
}

/// Puts zeros in the place of an output for deep supervision.
fn complete(
    state: &mut StateDict,
    config: &ResEncUNetConfig,
    stage: usize,
    channels: usize,
) -> Result<(), WeightsError> {
    let name = |kind: &str| format!("decoder.seg_layers.{stage}.{kind}");
    if state.shape(&name("weight")).is_some() || state.shape(&name("bias")).is_some() {
        return Ok(());
    }
    let classes = config.out_channels;
    let zeros = |shape: Vec<usize>| TensorData::new(vec![0_f32; shape.iter().product()], shape);
    state.insert(name("weight"), zeros(vec![classes, channels, 1, 1, 1]))?;
    state.insert(name("bias"), zeros(vec![classes]))
}

/// How many names there are of the form that `name` gives, from 0.
fn count(state: &StateDict, name: impl Fn(usize) -> String) -> usize {
    (0..state.len())
        .take_while(|&i| state.shape(&name(i)).is_some())
        .count()
}

/// The package's name for a parameter of a network of so many stages.
fn rename(name: &str, stages: usize) -> String {
    let name = name.replace(".norm_op.", ".norm.");
    if let Some(rest) = name.strip_prefix("encoder.stem.conv1.") {
        return format!("encoder.stem.convs.0.{rest}");
    }
    let decoder = name.strip_prefix("decoder.");
    decoder
        .and_then(|rest| in_decoder(rest, stages))
        .unwrap_or(name)
}

/// The package's name for a parameter of another's decoder.
fn in_decoder(name: &str, stages: usize) -> Option<String> {
    let (part, rest) = name.split_once('.')?;
    let last = stages.checked_sub(2)?;
    if matches!(part, "out_conv" | "seg_layer") {
        return Some(format!("decoder.seg_layers.{last}.{rest}"));
    }
    // Counted from 0 in a list, or from 1 in the name; outputs for deep supervision are counted
    // from the encoder's, which the package has not.
    let (list, stage, rest) = match part {
        "upsample_layers" | "decoder_convs" | "ds_out_convs" => {
            let (number, rest) = rest.split_once('.')?;
            let number = number.parse::<usize>().ok()?;
            let stage = match part {
                "ds_out_convs" => number.checked_sub(1)?,
                _ => number,
            };
            (part, stage, rest)
        }
        _ => {
            let digits = part.find(|c: char| c.is_ascii_digit())?;
            let (list, number) = part.split_at(digits);
            (list, number.parse::<usize>().ok()?.checked_sub(1)?, rest)
        }
    };
    match list {
        "ds_out_conv" | "ds_out_convs" => Some(format!("decoder.seg_layers.{stage}.{rest}")),
        "upsample" | "upsample_layers" => Some(format!("decoder.transpconvs.{stage}.{rest}")),
        "decoder_conv" | "decoder_convs" => {
            let (conv, rest) = rest.split_once('.')?;
            let conv = conv.strip_prefix("conv")?.parse::<usize>().ok()?;
            let conv = conv.checked_sub(1)?;
            Some(format!("decoder.stages.{stage}.convs.{conv}.{rest}"))
        }
        _ => None,
    }
}
