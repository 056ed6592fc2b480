//! JSON descriptions of MeshNets.

use serde::Deserialize;

use crate::model::{MeshNetConfig, Spec};
use crate::nn::Activation;
use crate::weights::WeightsError;
use crate::weights::known::Known;

/// What shapes do not tell.
pub(super) struct Description {
    pub(super) dilations: Vec<usize>,
    pub(super) activation: Activation,
    pub(super) norm: bool,
}

impl Description {
    pub(super) fn of(known: &Known) -> Self {
        Self {
            dilations: known.dilations.to_vec(),
            activation: known.activation,
            norm: known.norm,
        }
    }
}

/// The file beside brainchop's models. Its channels are a template (often -1 or those of another
/// network), so that widths are taken from the weights instead.
#[derive(Deserialize)]
struct Published {
    #[serde(default)]
    bnorm: bool,
    #[serde(default)]
    affine: bool,
    #[serde(default)]
    elu: bool,
    #[serde(default)]
    gelu: bool,
    layers: Vec<PublishedLayer>,
}

#[derive(Deserialize)]
struct PublishedLayer {
    kernel_size: usize,
    padding: usize,
    #[serde(default = "one")]
    stride: usize,
    dilation: usize,
}

fn one() -> usize {
    1
}

/// Reads a brainchop configuration, a [`MeshNetConfig`] or a [`Spec`].
pub(super) fn parse(json: &[u8]) -> Result<Description, WeightsError> {
    let error = |cause: serde_json::Error| WeightsError::Config(cause.to_string());
    let value: serde_json::Value = serde_json::from_slice(json).map_err(error)?;
    if value.get("network").is_some() {
        return match serde_json::from_value(value).map_err(error)? {
            Spec::MeshNet(config) => Ok(ours(&config)),
            other => {
                let message = format!("it describes a {}, not a MeshNet", other.name());
                Err(WeightsError::Config(message))
            }
        };
    }
    if value.pointer("/layers/0/kernel_size").is_some() {
        return published(&serde_json::from_value(value).map_err(error)?);
    }
    Ok(ours(&serde_json::from_value(value).map_err(error)?))
}

fn ours(config: &MeshNetConfig) -> Description {
    Description {
        dilations: config.layers.iter().map(|layer| layer.dilation).collect(),
        activation: config.activation,
        norm: config.norm,
    }
}

fn published(config: &Published) -> Result<Description, WeightsError> {
    let error = |message: String| Err(WeightsError::Config(message));
    let Some((last, hidden)) = config.layers.split_last() else {
        return error("no layers".to_owned());
    };
    if last.kernel_size != 1 {
        return error(format!(
            "the last layer has kernel_size {}, not 1",
            last.kernel_size
        ));
    }
    if config.affine && config.bnorm {
        return error("a norm with `affine`, which a MeshNet here has not".to_owned());
    }
    for (index, layer) in hidden.iter().enumerate() {
        let PublishedLayer {
            kernel_size,
            padding,
            stride,
            dilation,
        } = *layer;
        if kernel_size != 3 || stride != 1 || padding != dilation {
            return error(format!(
                "layer {index} has kernel_size {kernel_size}, stride {stride}, padding {padding}, \
                 dilation {dilation}; a MeshNet has 3, 1 and padding = dilation"
            ));
        }
    }
    let activation = match (config.elu, config.gelu) {
        (false, false) => Activation::Relu,
        (true, false) => Activation::Elu,
        (false, true) => Activation::Gelu,
        (true, true) => return error("both `elu` and `gelu`".to_owned()),
    };
    Ok(Description {
        dilations: hidden.iter().map(|layer| layer.dilation).collect(),
        activation,
        norm: config.bnorm,
    })
}
