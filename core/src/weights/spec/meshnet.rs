//! MeshNet: widths from the shapes; dilations and activation from a configuration or from the
//! table of published networks.

use std::collections::BTreeMap;

use burn::tensor::TensorData;

use super::config::{self, Description};
use super::unknown;
use crate::model::{MeshNetConfig, MeshNetLayer};
use crate::weights::known::{self, Known};
use crate::weights::{StateDict, WeightsError};

/// Names the layers `convs.{i}` and finds the network.
pub(super) fn infer(
    state: &mut StateDict,
    config: Option<&[u8]>,
) -> Result<(MeshNetConfig, Option<&'static Known>), WeightsError> {
    let first = state.preview();
    normalise(state)?;
    // The message has the names of the file.
    let widths =
        Widths::of(state).map_err(|reason| WeightsError::UnknownNetwork { reason, first })?;
    let bias = complete_biases(state, &widths)?;
    let description = match config {
        Some(config) => config::parse(config)?,
        None => match known::find(&widths.hidden, widths.in_channels, widths.classes) {
            Some(known) => Description::of(known),
            None => {
                return Err(WeightsError::NeedsConfig {
                    widths: widths.hidden,
                    classes: widths.classes,
                });
            }
        },
    };
    let Description {
        dilations,
        activation,
        norm,
    } = description;
    if dilations.len() != widths.hidden.len() {
        return Err(WeightsError::Config(format!(
            "{} dilated layers, but the weights have {}",
            dilations.len(),
            widths.hidden.len()
        )));
    }
    let layers = widths.hidden.iter().zip(dilations);
    let layers = layers.map(|(&channels, dilation)| MeshNetLayer { channels, dilation });
    let config = MeshNetConfig {
        in_channels: widths.in_channels,
        out_channels: widths.classes,
        layers: layers.collect(),
        activation,
        norm,
        bias,
    };
    let known = known::of(&config);
    Ok((config, known))
}

/// Renames `convs.{i}`, `{i}` and `{i}.0`, which count other layers too, to `convs.0`, `convs.1`,
/// in numeric order. Other names mean another network.
fn normalise(state: &mut StateDict) -> Result<(), WeightsError> {
    let mut indices = BTreeMap::new();
    for name in state.names() {
        let Some((index, _)) = parse(name) else {
            return Err(unknown(
                state,
                "no network that is known here has such names",
            ));
        };
        indices.insert(index, 0);
    }
    for (order, value) in indices.values_mut().enumerate() {
        *value = order;
    }
    let mut named: Vec<(usize, &'static str, TensorData)> = Vec::new();
    for (name, data) in std::mem::take(state) {
        if let Some((index, kind)) = parse(&name) {
            named.push((indices[&index], kind, data));
        }
    }
    // The weight of a layer before its bias.
    named.sort_by_key(|(layer, kind, _)| (*layer, *kind == "bias"));
    for (layer, kind, data) in named {
        state.insert(format!("convs.{layer}.{kind}"), data)?;
    }
    Ok(())
}

/// The number in a name, and what the tensor is.
fn parse(name: &str) -> Option<(usize, &'static str)> {
    let name = name.strip_prefix("convs.").unwrap_or(name);
    let (rest, kind) = name.rsplit_once('.')?;
    let kind = match kind {
        "weight" => "weight",
        "bias" => "bias",
        _ => return None,
    };
    let rest = rest.strip_suffix(".0").unwrap_or(rest);
    let digits = (1..=6).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| rest.parse().ok())
        .flatten()
        .map(|index| (index, kind))
}

struct Widths {
    in_channels: usize,
    hidden: Vec<usize>,
    classes: usize,
}

impl Widths {
    /// A chain of convolutions of kernel 3 and a last one of kernel 1.
    fn of(state: &StateDict) -> Result<Self, String> {
        let layers = state
            .names()
            .filter(|name| name.ends_with(".weight"))
            .count();
        let mut outs: Vec<usize> = Vec::new();
        let mut in_channels = 0;
        for layer in 0..layers {
            let kernel = if layer + 1 == layers { 1 } else { 3 };
            let found = state
                .shape(&format!("convs.{layer}.weight"))
                .unwrap_or_default();
            match *found {
                [out, channels, a, b, c]
                    if [a, b, c] == [kernel; 3]
                        && out > 0
                        && channels > 0
                        && outs.last().is_none_or(|&previous| previous == channels) =>
                {
                    if layer == 0 {
                        in_channels = channels;
                    }
                    outs.push(out);
                }
                _ => {
                    return Err(format!(
                        "layer {layer} of {layers} has weights {found:?}, so it is no MeshNet"
                    ));
                }
            }
        }
        match outs.pop() {
            Some(classes) if !outs.is_empty() => Ok(Self {
                in_channels,
                hidden: outs,
                classes,
            }),
            _ => Err(format!("a MeshNet of {layers} layers")),
        }
    }
}

/// One flag says whether the layers have biases: where only some have one (a classifier behind
/// normalised layers), the others get zeros.
fn complete_biases(state: &mut StateDict, widths: &Widths) -> Result<bool, WeightsError> {
    if !state.names().any(|name| name.ends_with(".bias")) {
        return Ok(false);
    }
    let mut complete = StateDict::new();
    for (layer, &out) in widths.hidden.iter().chain([&widths.classes]).enumerate() {
        let weight = format!("convs.{layer}.weight");
        if let Some(data) = state.remove(&weight) {
            complete.insert(weight, data)?;
        }
        let bias = format!("convs.{layer}.bias");
        let data = state.remove(&bias);
        let data = data.unwrap_or_else(|| TensorData::new(vec![0f32; out], [out]));
        complete.insert(bias, data)?;
    }
    if !state.is_empty() {
        return Err(unknown(state, "biases without weights"));
    }
    *state = complete;
    Ok(true)
}
