//! U-Net: filters and channels from the first convolution, the head from its prefix and shapes.

use super::{Part, shape};
use crate::model::{UNetConfig, UNetHead};
use crate::weights::{StateDict, WeightsError};

pub(super) fn infer(state: &StateDict, part: Part) -> Result<UNetConfig, WeightsError> {
    let [filters, in_channels, ..]: [usize; 5] = shape(state, "encoder.in_conv.conv1.conv.weight")?;
    let (head, out_channels) = match head(state)? {
        Some(found) => found,
        None => {
            let reason = "a U-Net encoder without `pred_head` or `rec_head`";
            (UNetHead::Segmentation, part.classes(state, reason)?)
        }
    };
    Ok(UNetConfig {
        filters,
        in_channels,
        out_channels,
        head,
    })
}

/// The plain decoder in `state` and its channels of output, if there is one.
pub(super) fn head(state: &StateDict) -> Result<Option<(UNetHead, usize)>, WeightsError> {
    let has = |name: &str| state.shape(name).is_some();
    let (head, out) = if has("pred_head.out_conv.weight") {
        (UNetHead::Segmentation, "pred_head.out_conv.weight")
    } else if has("rec_head.out_conv.weight") {
        let first = "rec_head.decoder_conv1.conv1.conv.weight";
        let [out, read, ..]: [usize; 5] = shape(state, first)?;
        let double = has("rec_head.decoder_conv1.conv2.conv.weight");
        let head = UNetHead::restoring(double, read > out);
        (head, "rec_head.out_conv.weight")
    } else {
        return Ok(None);
    };
    let [out_channels, ..]: [usize; 5] = shape(state, out)?;
    Ok(Some((head, out_channels)))
}
