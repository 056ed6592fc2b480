//! The published strided encoder-decoders: widths from the shapes; the rest is alike in all.

use super::shape;
use crate::model::StridedConfig;
use crate::weights::{StateDict, WeightsError};

/// A parameter that only this network has: as published, and as it is called here.
pub(super) const MARKS: [&str; 2] = ["layers.17.2", "layers.17.weight"];

/// Names weights and biases, which are published as `layers.{i}.2` and `layers.{i}.3`, and finds
/// the sizes.
pub(super) fn infer(state: &mut StateDict) -> Result<StridedConfig, WeightsError> {
    state.rename(|name| match name.split('.').collect::<Vec<_>>()[..] {
        ["layers", layer, "2"] => format!("layers.{layer}.weight"),
        ["layers", layer, "3"] => format!("layers.{layer}.bias"),
        _ => name.to_owned(),
    })?;
    let [filters, in_channels, ..]: [usize; 5] = shape(state, "layers.0.weight")?;
    let [classes, ..]: [usize; 5] = shape(state, MARKS[1])?;
    Ok(StridedConfig::of(filters, in_channels, classes))
}
