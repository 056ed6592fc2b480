//! MedNeXt: filters and channels from the stem, expansions from the blocks' widths.

use super::{Part, shape, unet, unknown};
use crate::model::{MedNeXtConfig, MedNeXtDecoder, UNetHead};
use crate::weights::{StateDict, WeightsError};

pub(super) fn infer(state: &StateDict, part: Part) -> Result<MedNeXtConfig, WeightsError> {
    let [filters, in_channels, ..]: [usize; 5] = shape(state, "encoder.stem.weight")?;
    let [.., kernel]: [usize; 5] = shape(state, "encoder.enc_block_0.0.conv1.weight")?;
    let mut expansion = [0; 5];
    let mut blocks = [0; 5];
    for level in 0..5 {
        let stage = match level {
            4 => "encoder.bottleneck".to_owned(),
            _ => format!("encoder.enc_block_{level}"),
        };
        (expansion[level], blocks[level]) = measure(state, &stage)?;
    }
    let (decoder, out_channels) = if state.shape("pred_head.out_0.conv_out.weight").is_some() {
        let mut expansion = [0; 4];
        let mut blocks = [0; 4];
        for stage in 0..4 {
            let name = format!("pred_head.dec_block_{}", 3 - stage);
            (expansion[stage], blocks[stage]) = measure(state, &name)?;
        }
        // A transposed convolution: [in, out, ..].
        let [_, out, ..]: [usize; 5] = shape(state, "pred_head.out_0.conv_out.weight")?;
        (MedNeXtDecoder::Native { expansion, blocks }, out)
    } else if let Some((head, out)) = unet::head(state)? {
        (head.into(), out)
    } else {
        let reason = "a MedNeXt encoder without `pred_head` or `rec_head`";
        let classes = part.classes(state, reason)?;
        (UNetHead::Segmentation.into(), classes)
    };
    Ok(MedNeXtConfig {
        filters,
        in_channels,
        out_channels,
        kernel,
        expansion,
        blocks,
        decoder,
    })
}

/// Expansion ratio and number of blocks of a stage.
fn measure(state: &StateDict, stage: &str) -> Result<(usize, usize), WeightsError> {
    let weight = format!("{stage}.0.conv2.weight");
    let [wide, channels, ..]: [usize; 5] = shape(state, &weight)?;
    if channels == 0 || wide % channels != 0 {
        return Err(unknown(
            state,
            format!("`{weight}` widens {channels} channels to {wide}"),
        ));
    }
    let mut blocks = 1;
    while state
        .shape(&format!("{stage}.{blocks}.conv2.weight"))
        .is_some()
    {
        blocks += 1;
    }
    Ok((wide / channels, blocks))
}
