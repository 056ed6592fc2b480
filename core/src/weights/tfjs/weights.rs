//! From a chain of layers and their weights to a MeshNet's state dict.

use burn::tensor::TensorData;

use super::manifest::{Weight, Weights};
use super::topology::{BatchNorm, Chain, Conv};
use super::{TfjsModel, error};
use crate::model::{MeshNetConfig, MeshNetLayer};
use crate::weights::state_dict::reserve;
use crate::weights::{StateDict, WeightsError};

pub(super) fn assemble(chain: Chain, mut weights: Weights) -> Result<TfjsModel, WeightsError> {
    let Chain {
        in_channels,
        input,
        convs,
    } = chain;
    let Some((last, hidden)) = convs.split_last() else {
        return Err(error("no convolution in it"));
    };
    let config = config(in_channels, hidden, last)?;

    let mut state = StateDict::new();
    let mut channels = in_channels;
    for (index, conv) in convs.iter().enumerate() {
        let (weight, bias) = conv_weights(conv, &mut weights, channels, config.bias)?;
        let kernel = conv.kernel;
        let shape = [conv.filters, channels, kernel, kernel, kernel];
        state.insert(
            format!("convs.{index}.weight"),
            TensorData::new(weight, shape),
        )?;
        if let Some(bias) = bias {
            state.insert(
                format!("convs.{index}.bias"),
                TensorData::new(bias, [conv.filters]),
            )?;
        }
        channels = conv.filters;
    }
    if let Some(name) = weights.into_keys().min() {
        return Err(error(format!("weight `{name}` belongs to no layer")));
    }
    Ok(TfjsModel {
        config,
        state,
        input,
    })
}

fn config(in_channels: usize, hidden: &[Conv], last: &Conv) -> Result<MeshNetConfig, WeightsError> {
    let layer_error = |conv: &Conv, message: &str| WeightsError::Layer {
        layer: conv.name.clone(),
        message: message.to_owned(),
    };
    let Some(first) = hidden.first() else {
        return Err(layer_error(last, "the only convolution"));
    };
    if in_channels == 0 {
        return Err(layer_error(
            first,
            "the number of image channels is not given",
        ));
    }
    if last.kernel != 1 || last.activation.is_some() || last.norm || last.batch_norm.is_some() {
        return Err(layer_error(
            last,
            "the last convolution, but not a plain one of kernel 1",
        ));
    }
    for conv in hidden {
        if conv.kernel != 3 {
            return Err(layer_error(conv, "kernel 1 before the last convolution"));
        }
        if conv.activation != first.activation || conv.norm != first.norm {
            return Err(layer_error(
                conv,
                "another activation or norm than the layers before",
            ));
        }
    }
    let Some(activation) = first.activation else {
        return Err(layer_error(first, "no activation behind it"));
    };
    // One flag for all: layers without a bias get one of zeros where others have one.
    let bias = hidden
        .iter()
        .chain([last])
        .any(|conv| conv.use_bias || conv.batch_norm.is_some());
    Ok(MeshNetConfig {
        in_channels,
        out_channels: last.filters,
        layers: hidden
            .iter()
            .map(|conv| MeshNetLayer {
                channels: conv.filters,
                dilation: conv.dilation,
            })
            .collect(),
        activation,
        norm: first.norm,
        bias,
    })
}

/// The kernel in PyTorch's layout and the bias of one convolution.
fn conv_weights(
    conv: &Conv,
    weights: &mut Weights,
    channels: usize,
    with_bias: bool,
) -> Result<(Vec<f32>, Option<Vec<f32>>), WeightsError> {
    let kernel = conv.kernel;
    let shape = [kernel, kernel, kernel, channels, conv.filters];
    let stored = take(weights, &conv.name, "kernel", &shape)?;
    let mut weight = transpose(&stored.values, channels, conv.filters, &conv.name)?;
    let mut bias = if conv.use_bias {
        Some(take(weights, &conv.name, "bias", &[conv.filters])?.values)
    } else if with_bias {
        Some(vec![0.0; conv.filters])
    } else {
        None
    };
    if let (Some(norm), Some(bias)) = (&conv.batch_norm, &mut bias) {
        fold(norm, weights, &mut weight, bias)?;
    }
    Ok((weight, bias))
}

fn take(
    weights: &mut Weights,
    layer: &str,
    kind: &str,
    shape: &[usize],
) -> Result<Weight, WeightsError> {
    let name = format!("{layer}/{kind}");
    let weight = weights
        .remove(&name)
        .ok_or(WeightsError::MissingTensor(name))?;
    if weight.shape != shape {
        return Err(WeightsError::Layer {
            layer: layer.to_owned(),
            message: format!("its {kind} has shape {:?}, not {shape:?}", weight.shape),
        });
    }
    Ok(weight)
}

/// `[taps, in, out]` to `[out, in, taps]`.
fn transpose(
    values: &[f32],
    channels: usize,
    filters: usize,
    name: &str,
) -> Result<Vec<f32>, WeightsError> {
    let mut out = reserve(values.len(), name)?;
    for filter in 0..filters {
        for channel in 0..channels {
            let column = values.iter().skip(channel * filters + filter);
            out.extend(column.step_by(channels * filters));
        }
    }
    Ok(out)
}

/// Folds a batch normalisation with its moving statistics into the convolution before it.
fn fold(
    norm: &BatchNorm,
    weights: &mut Weights,
    weight: &mut [f32],
    bias: &mut [f32],
) -> Result<(), WeightsError> {
    let filters = bias.len();
    let mut take = |kind: &str, default: Option<f32>| match default {
        // Without `scale` or `center` the layer lacks the weight.
        Some(value) if !weights.contains_key(&format!("{}/{kind}", norm.name)) => {
            Ok(vec![value; filters])
        }
        _ => take(weights, &norm.name, kind, &[filters]).map(|weight| weight.values),
    };
    let mean = take("moving_mean", None)?;
    let variance = take("moving_variance", None)?;
    let gamma = take("gamma", Some(1.0))?;
    let beta = take("beta", Some(0.0))?;
    let taps = weight.len() / filters;
    for filter in 0..filters {
        let scale = f64::from(gamma[filter]) / (f64::from(variance[filter]) + norm.epsilon).sqrt();
        for value in &mut weight[filter * taps..(filter + 1) * taps] {
            *value = (f64::from(*value) * scale) as f32;
        }
        let centred = f64::from(bias[filter]) - f64::from(mean[filter]);
        bias[filter] = (centred * scale + f64::from(beta[filter])) as f32;
    }
    Ok(())
}
