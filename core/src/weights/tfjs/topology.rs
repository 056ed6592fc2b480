//! The Keras topology: a chain of layers, read as the convolutions of a MeshNet.

use serde::Deserialize;
use serde_json::Value;

use super::error;
use crate::nn::Activation;
use crate::weights::WeightsError;

/// The network's layers in the order they are applied.
pub(super) struct Chain {
    pub(super) in_channels: usize,
    pub(super) input: Option<[usize; 3]>,
    pub(super) convs: Vec<Conv>,
}

/// A convolution with what follows it.
pub(super) struct Conv {
    pub(super) name: String,
    pub(super) filters: usize,
    pub(super) kernel: usize,
    pub(super) dilation: usize,
    pub(super) use_bias: bool,
    /// Instance norm without affine.
    pub(super) norm: bool,
    /// Batch normalisation to fold into the weights.
    pub(super) batch_norm: Option<BatchNorm>,
    pub(super) activation: Option<Activation>,
}

pub(super) struct BatchNorm {
    pub(super) name: String,
    pub(super) epsilon: f64,
}

#[derive(Deserialize)]
struct Layer {
    class_name: String,
    config: Value,
    #[serde(default)]
    inbound_nodes: Vec<Value>,
}

impl Layer {
    fn name(&self) -> &str {
        self.config
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or(&self.class_name)
    }

    fn error(&self, message: impl Into<String>) -> WeightsError {
        WeightsError::Layer {
            layer: self.name().to_owned(),
            message: message.into(),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.config.get(key).and_then(Value::as_str)
    }

    /// A size given once or three times alike.
    fn cube(&self, key: &str, default: usize) -> Result<usize, WeightsError> {
        let size = |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok());
        let found = match self.config.get(key) {
            None | Some(Value::Null) => Some(default),
            Some(Value::Array(values)) => match values.as_slice() {
                [a, b, c] if a == b && b == c => size(a),
                [a] => size(a),
                _ => None,
            },
            Some(value) => size(value),
        };
        found.ok_or_else(|| {
            let value = self.config.get(key).unwrap_or(&Value::Null);
            self.error(format!("`{key}` is {value}, not one size for all axes"))
        })
    }
}

/// Reads `modelTopology`.
pub(super) fn parse(topology: &Value) -> Result<Chain, WeightsError> {
    let model = topology.get("model_config").unwrap_or(topology);
    let class = model
        .get("class_name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !matches!(class, "Functional" | "Model" | "Sequential") {
        return Err(error(format!(
            "a model of class `{class}`, not a Keras layers model"
        )));
    }
    // Old Sequential models have the list of layers itself as their config.
    let config = model.get("config").unwrap_or(&Value::Null);
    let layers = config.get("layers").unwrap_or(config);
    let layers: Vec<Layer> =
        Vec::deserialize(layers).map_err(|cause| error(format!("its layers: {cause}")))?;

    let mut chain = Chain {
        in_channels: 0,
        input: None,
        convs: Vec::new(),
    };
    let mut previous: Option<&Layer> = None;
    for layer in &layers {
        if let Some(previous) = previous {
            check_chained(layer, previous)?;
        }
        chain.add(layer)?;
        previous = Some(layer);
    }
    if chain.convs.is_empty() {
        return Err(error("no convolution in it"));
    }
    Ok(chain)
}

/// The input of a layer must be the layer before it.
fn check_chained(layer: &Layer, previous: &Layer) -> Result<(), WeightsError> {
    // Sequential models have no inbound nodes.
    let Some(node) = layer.inbound_nodes.first() else {
        return Ok(());
    };
    let inputs = match node {
        Value::Array(inputs) => inputs.as_slice(),
        // Keras 3 nests the tensors under `args`.
        other => other
            .get("args")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice),
    };
    let names: Vec<&str> = inputs
        .iter()
        .filter_map(|input| {
            let history = input.pointer("/config/keras_history").unwrap_or(input);
            history.get(0).and_then(Value::as_str)
        })
        .collect();
    if layer.inbound_nodes.len() != 1 || names != [previous.name()] {
        let previous = previous.name();
        return Err(layer.error(format!(
            "its input is {names:?} where a chain has `{previous}`"
        )));
    }
    Ok(())
}

impl Chain {
    fn add(&mut self, layer: &Layer) -> Result<(), WeightsError> {
        match layer.class_name.as_str() {
            "InputLayer" => self.input(layer),
            "Conv3D" => self.conv(layer),
            "Activation" => self.activation(layer, layer.text("activation").unwrap_or("linear")),
            "ReLU" => {
                let zero = |key: &str| {
                    matches!(layer.config.get(key), None | Some(Value::Null))
                        || layer.config.get(key).and_then(Value::as_f64) == Some(0.0)
                };
                let bounded = layer
                    .config
                    .get("max_value")
                    .is_some_and(|value| !value.is_null());
                if bounded || !zero("threshold") || !zero("negative_slope") {
                    return Err(layer.error("a bounded or leaky ReLU"));
                }
                self.activation(layer, "relu")
            }
            "ELU" => match layer.config.get("alpha").and_then(Value::as_f64) {
                None | Some(1.0) => self.activation(layer, "elu"),
                Some(alpha) => Err(layer.error(format!("alpha {alpha} where 1 is meant"))),
            },
            "LeakyReLU" => {
                let slope = ["alpha", "negative_slope"]
                    .iter()
                    .find_map(|key| layer.config.get(key).and_then(Value::as_f64))
                    .unwrap_or(0.3);
                self.activate(
                    layer,
                    Activation::LeakyRelu {
                        slope: slope as f32,
                    },
                )
            }
            "Softmax" => self.activation(layer, "softmax"),
            "BatchNormalization" => self.batch_norm(layer),
            "InstanceNormalization" | "GroupNormalization" => self.instance_norm(layer),
            // Nothing happens in these at inference.
            "Dropout" | "SpatialDropout3D" | "GaussianNoise" | "GaussianDropout" => Ok(()),
            other => Err(layer.error(format!("a layer of class `{other}`"))),
        }
    }

    fn input(&mut self, layer: &Layer) -> Result<(), WeightsError> {
        let shape = ["batch_input_shape", "batch_shape"]
            .iter()
            .find_map(|key| layer.config.get(key).and_then(Value::as_array));
        let Some([_batch, depth, height, width, channels]) = shape.map(Vec::as_slice) else {
            return Err(layer.error("an input that is not [batch, d, h, w, channels]"));
        };
        self.in_channels = channels
            .as_u64()
            .and_then(|c| usize::try_from(c).ok())
            .unwrap_or(0);
        let edge = |edge: &Value| edge.as_u64().and_then(|edge| usize::try_from(edge).ok());
        self.input = edge(depth)
            .zip(edge(height))
            .zip(edge(width))
            .map(|((d, h), w)| [d, h, w]);
        Ok(())
    }

    fn conv(&mut self, layer: &Layer) -> Result<(), WeightsError> {
        if self.convs.is_empty() && self.in_channels == 0 {
            // A Sequential model may give the input's shape with its first layer.
            if layer.config.get("batch_input_shape").is_some() {
                self.input(layer)?;
            }
        }
        let kernel = layer.cube("kernel_size", 0)?;
        let filters = layer.cube("filters", 0)?;
        let dilation = layer.cube("dilation_rate", 1)?;
        let strides = layer.cube("strides", 1)?;
        let groups = layer.cube("groups", 1)?;
        let padding = layer.text("padding").unwrap_or("valid");
        let format = layer.text("data_format").unwrap_or("channels_last");
        if !matches!(kernel, 1 | 3) {
            return Err(layer.error(format!("`kernel_size` is {kernel}; a MeshNet has 3 and 1")));
        }
        if strides != 1 || groups != 1 || format != "channels_last" {
            return Err(layer.error(format!(
                "`strides` {strides}, `groups` {groups}, `data_format` {format}; a MeshNet has \
                 1, 1 and channels_last"
            )));
        }
        if padding != "same" && kernel != 1 {
            return Err(layer.error(format!("`padding` is {padding}; a MeshNet has same")));
        }
        if filters == 0 || dilation == 0 {
            return Err(layer.error(format!("`filters` {filters}, `dilation_rate` {dilation}")));
        }
        if let Some(last) = self.convs.last()
            && last.activation.is_none()
        {
            return Err(layer.error("no activation between it and the convolution before"));
        }
        self.convs.push(Conv {
            name: layer.name().to_owned(),
            filters,
            kernel,
            dilation,
            use_bias: layer
                .config
                .get("use_bias")
                .and_then(Value::as_bool)
                .unwrap_or(true),
            // brainchop normalises each channel behind layers that are named so.
            norm: layer.name().ends_with("_gn"),
            batch_norm: None,
            activation: None,
        });
        self.activation(layer, layer.text("activation").unwrap_or("linear"))
    }

    /// The last convolution, if neither norm nor activation stands behind it yet.
    fn open(&mut self, layer: &Layer) -> Result<&mut Conv, WeightsError> {
        match self.convs.last_mut() {
            Some(conv) if conv.activation.is_none() && conv.batch_norm.is_none() => Ok(conv),
            _ => Err(layer.error("it does not stand behind a convolution")),
        }
    }

    fn activation(&mut self, layer: &Layer, name: &str) -> Result<(), WeightsError> {
        let activation = match name {
            // Softmax does not change which class is largest.
            "linear" | "softmax" => return Ok(()),
            "relu" => Activation::Relu,
            "elu" => Activation::Elu,
            "gelu" => Activation::Gelu,
            "gelu_new" => Activation::GeluTanh,
            "silu" | "swish" => Activation::Silu,
            other => return Err(layer.error(format!("activation `{other}`"))),
        };
        self.activate(layer, activation)
    }

    fn activate(&mut self, layer: &Layer, activation: Activation) -> Result<(), WeightsError> {
        match self.convs.last_mut() {
            Some(conv) if conv.activation.is_none() => {
                conv.activation = Some(activation);
                Ok(())
            }
            _ => Err(layer.error("an activation that does not stand behind a convolution")),
        }
    }

    fn batch_norm(&mut self, layer: &Layer) -> Result<(), WeightsError> {
        let epsilon = layer
            .config
            .get("epsilon")
            .and_then(Value::as_f64)
            .unwrap_or(1e-3);
        let name = layer.name().to_owned();
        let conv = self.open(layer)?;
        if conv.norm {
            return Err(layer.error("a second normalisation"));
        }
        conv.batch_norm = Some(BatchNorm { name, epsilon });
        Ok(())
    }

    fn instance_norm(&mut self, layer: &Layer) -> Result<(), WeightsError> {
        let flag = |key: &str| {
            layer
                .config
                .get(key)
                .and_then(Value::as_bool)
                .unwrap_or(true)
        };
        let epsilon = layer
            .config
            .get("epsilon")
            .and_then(Value::as_f64)
            .unwrap_or(1e-3);
        let groups = layer.config.get("groups").and_then(Value::as_i64);
        if flag("scale") || flag("center") {
            return Err(layer.error("a norm with scale or offset; a MeshNet's has neither"));
        }
        if (epsilon - 1e-5).abs() > 1e-9 {
            return Err(layer.error(format!("`epsilon` is {epsilon}; a MeshNet's norm has 1e-5")));
        }
        let conv = self.open(layer)?;
        let per_channel = layer.class_name == "InstanceNormalization"
            || groups
                .is_some_and(|groups| groups == -1 || usize::try_from(groups) == Ok(conv.filters));
        if !per_channel || conv.norm {
            return Err(layer.error("a norm over groups of channels, or a second one"));
        }
        conv.norm = true;
        Ok(())
    }
}
