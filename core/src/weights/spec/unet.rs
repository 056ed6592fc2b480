//! U-Net: filters and channels from the first convolution, the head from its prefix.

use super::{shape, unknown};
use crate::model::{UNetConfig, UNetHead};
use crate::weights::{StateDict, WeightsError};

pub(super) fn infer(state: &StateDict) -> Result<UNetConfig, WeightsError> {
    let [filters, in_channels, ..]: [usize; 5] = shape(state, "encoder.in_conv.conv1.conv.weight")?;
    let (head, out) = if state.shape("pred_head.out_conv.weight").is_some() {
        (UNetHead::Segmentation, "pred_head.out_conv.weight")
    } else if state.shape("rec_head.out_conv.weight").is_some() {
        (UNetHead::Light, "rec_head.out_conv.weight")
    } else {
        return Err(unknown(
            state,
            "a U-Net encoder without `pred_head` or `rec_head`",
        ));
    };
    let [out_channels, ..]: [usize; 5] = shape(state, out)?;
    Ok(UNetConfig {
        filters,
        in_channels,
        out_channels,
        head,
    })
}
