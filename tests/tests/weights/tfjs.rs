//! TensorFlow.js layers models made by hand: quantisation, shards, and layers that do not fit.

use std::collections::HashMap;
use std::io;

use amaes_core::model::MeshNetConfig;
use amaes_core::nn::Activation;
use amaes_core::weights::WeightsError;
use amaes_core::weights::tfjs::{TfjsModel, read};
use serde_json::{Value, json};

use super::{floats, small_meshnet};

/// `[kd, kh, kw, in, out]` of the three convolutions.
const KERNELS: [[usize; 5]; 3] = [[3, 3, 3, 1, 2], [3, 3, 3, 2, 2], [1, 1, 1, 2, 3]];

/// A model whose files are in memory.
#[derive(Clone)]
struct Files {
    model: Value,
    shards: HashMap<String, Vec<u8>>,
}

impl Files {
    fn read(&self) -> Result<TfjsModel, WeightsError> {
        read(self.model.to_string().as_bytes(), |path| {
            self.shards
                .get(path)
                .cloned()
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        })
    }

    fn error(&self) -> String {
        self.read().expect_err("does not fit").to_string()
    }

    fn layers(&mut self) -> &mut Vec<Value> {
        self.model["modelTopology"]["model_config"]["config"]["layers"]
            .as_array_mut()
            .expect("layers")
    }

    /// The configuration of layer `index`: input, then convolution and activation by turns.
    fn config(&mut self, index: usize) -> &mut Value {
        &mut self.layers()[index]["config"]
    }
}

fn layer(class: &str, name: &str, config: &Value, input: Option<&str>) -> Value {
    let mut config = config.clone();
    config["name"] = json!(name);
    let inbound = input.map_or(json!([]), |input| json!([[[input, 0, 0, {}]]]));
    json!({"class_name": class, "name": name, "config": config, "inbound_nodes": inbound})
}

/// The network of [`small_meshnet`], its weights numbered from 0.
fn files() -> Files {
    let conv = |kernel: usize, filters: usize, dilation: usize| {
        json!({"filters": filters, "kernel_size": [kernel, kernel, kernel], "strides": [1, 1, 1],
               "dilation_rate": [dilation, dilation, dilation], "padding": "same",
               "data_format": "channels_last", "activation": "linear", "use_bias": true})
    };
    let relu = json!({"activation": "relu"});
    let input = json!({"batch_input_shape": [null, 8, 9, 10, 1]});
    let layers = [
        layer("InputLayer", "input", &input, None),
        layer("Conv3D", "a", &conv(3, 2, 1), Some("input")),
        layer("Activation", "ra", &relu, Some("a")),
        layer("Conv3D", "b", &conv(3, 2, 2), Some("ra")),
        layer("Activation", "rb", &relu, Some("b")),
        layer("Conv3D", "c", &conv(1, 3, 1), Some("rb")),
    ];
    let mut weights = Vec::new();
    let mut bytes = Vec::new();
    let mut next = 0;
    for (name, shape) in ["a", "b", "c"].into_iter().zip(KERNELS) {
        for (kind, shape) in [("kernel", &shape[..]), ("bias", &shape[4..])] {
            weights.push(json!({"name": format!("{name}/{kind}"), "shape": shape,
                                "dtype": "float32"}));
            for _ in 0..shape.iter().product::<usize>() {
                bytes.extend((next as f32).to_le_bytes());
                next += 1;
            }
        }
    }
    let model = json!({
        "format": "layers-model",
        "modelTopology": {"keras_version": "2.7.0", "model_config":
            {"class_name": "Functional", "config": {"name": "net", "layers": layers}}},
        "weightsManifest": [{"paths": ["model.bin"], "weights": weights}],
    });
    Files {
        model,
        shards: HashMap::from([("model.bin".to_owned(), bytes)]),
    }
}

#[test]
fn kernels_are_transposed_to_pytorch() {
    let model = files().read().expect("a MeshNet");
    assert_eq!(model.config, small_meshnet());
    assert_eq!(model.input, Some([8, 9, 10]));
    assert_eq!(
        model.state.shape("convs.1.weight"),
        Some(&[2, 2, 3, 3, 3][..])
    );
    let weight = floats(&model.state, "convs.1.weight");
    // The second kernel begins behind 54 weights and 2 biases.
    for out in 0..2 {
        for channel in 0..2 {
            for tap in 0..27 {
                let stored = 56 + (tap * 2 + channel) * 2 + out;
                assert_eq!(weight[(out * 2 + channel) * 27 + tap], stored as f32);
            }
        }
    }
    assert_eq!(floats(&model.state, "convs.1.bias"), [164.0, 165.0]);
}

/// Shards may cut a weight anywhere, and weights may be in several groups.
#[test]
fn shards_and_groups_are_joined() {
    let expected = files().read().expect("a MeshNet").state;
    let mut files = files();
    let bytes = files.shards.remove("model.bin").expect("the shard");
    let weights = files.model["weightsManifest"][0]["weights"]
        .as_array()
        .expect("weights")
        .clone();
    // The first group: the first two weights, 56 values.
    for (name, range) in [
        ("g1-1", 0..3),
        ("g1-2", 3..150),
        ("d/g1-3", 150..224),
        ("g2", 224..bytes.len()),
    ] {
        files.shards.insert(name.to_owned(), bytes[range].to_vec());
    }
    files.model["weightsManifest"] = json!([
        {"paths": ["g1-1", "g1-2", "d/g1-3"], "weights": weights[..2]},
        {"paths": ["g2"], "weights": weights[2..]},
    ]);
    super::assert_same(&expected, &files.read().expect("a MeshNet").state);
}

/// Puts the first kernel into `bytes` with a quantisation.
fn quantised(quantization: &Value, bytes: &[u8]) -> Files {
    let mut files = files();
    let shard = files.shards.get_mut("model.bin").expect("the shard");
    shard.splice(..54 * 4, bytes.iter().copied());
    files.model["weightsManifest"][0]["weights"][0]["quantization"] = quantization.clone();
    files
}

#[test]
fn quantised_weights_are_restored() {
    let first = |files: Files| floats(&files.read().expect("a MeshNet").state, "convs.0.weight");
    // Weights [out, tap] of stored [tap, out].
    let order: Vec<usize> = (0..2)
        .flat_map(|out| (0..27).map(move |tap| tap * 2 + out))
        .collect();

    let bytes: Vec<u8> = (0..54).map(|i| i * 4).collect();
    let affine =
        json!({"dtype": "uint8", "min": -1.5, "scale": 0.0123, "original_dtype": "float32"});
    let expected: Vec<f32> = order
        .iter()
        .map(|i| ((i * 4) as f64 * 0.0123 - 1.5) as f32)
        .collect();
    assert_eq!(first(quantised(&affine, &bytes)), expected);

    let bytes: Vec<u8> = (0..54u16).flat_map(|i| (i * 1000).to_le_bytes()).collect();
    let affine = json!({"dtype": "uint16", "min": 0.25, "scale": 1e-4});
    let expected: Vec<f32> = order
        .iter()
        .map(|i| ((i * 1000) as f64 * 1e-4 + 0.25) as f32)
        .collect();
    assert_eq!(first(quantised(&affine, &bytes)), expected);

    // 0x3c00 is 1, 0x0001 the smallest float16, 0xc000 is -2.
    let bytes: Vec<u8> = [0x3c00u16, 0x0001, 0xc000]
        .repeat(18)
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let half = json!({"dtype": "float16", "original_dtype": "float32"});
    let values = [1.0, 5.960_464_5e-8, -2.0];
    let expected: Vec<f32> = order.iter().map(|i| values[i % 3]).collect();
    assert_eq!(first(quantised(&half, &bytes)), expected);

    let error = quantised(&json!({"dtype": "int4"}), &bytes).error();
    assert!(
        error.contains("`a/kernel` has element type int4"),
        "{error}"
    );
}

#[test]
fn shards_that_do_not_fit_are_refused() {
    let mut short = files();
    short.shards.get_mut("model.bin").expect("the shard").pop();
    assert!(
        short
            .error()
            .contains("`c/bias` of shape [3] needs more than the 11 bytes left")
    );
    let mut long = files();
    long.shards.get_mut("model.bin").expect("the shard").push(0);
    assert!(long.error().contains("1 bytes too many in `model.bin`"));
    let mut none = files();
    none.shards.clear();
    assert!(none.error().contains("weight shard `model.bin`"));
    for path in [
        "../model.bin",
        "/etc/passwd",
        "a/../../b",
        "C:\\x",
        "https://host/x",
        "",
        "a//b",
    ] {
        let mut outside = files();
        outside.model["weightsManifest"][0]["paths"] = json!([path]);
        assert!(
            outside.error().contains("is not a file beside it"),
            "{path}"
        );
    }
    let mut huge = files();
    huge.model["weightsManifest"][0]["weights"][0]["shape"] = json!([1u64 << 62, 16]);
    assert!(huge.error().contains("`a/kernel` of shape"));
    let mut integer = files();
    integer.model["weightsManifest"][0]["weights"][0]["dtype"] = json!("int32");
    assert!(integer.error().contains("element type int32"));
    let mut twice = files();
    twice.model["weightsManifest"][0]["weights"][1]["name"] = json!("a/kernel");
    assert!(twice.error().contains("two tensors are named `a/kernel`"));
    let mut other = files();
    other.model["weightsManifest"][0]["weights"][1]["name"] = json!("z/bias");
    assert!(other.error().contains("there is no tensor `a/bias`"));
}

#[test]
fn layers_without_counterpart_are_refused() {
    let change = |index: usize, key: &str, value: Value| {
        let mut files = files();
        files.config(index)[key] = value;
        files.error()
    };
    assert!(change(3, "strides", json!([2, 2, 2])).contains("layer `b`: `strides` 2"));
    assert!(change(3, "padding", json!("valid")).contains("`padding` is valid"));
    assert!(change(3, "groups", json!(2)).contains("`groups` 2"));
    assert!(change(3, "data_format", json!("channels_first")).contains("channels_first"));
    assert!(change(3, "kernel_size", json!([5, 5, 5])).contains("`kernel_size` is 5"));
    assert!(change(3, "dilation_rate", json!([1, 2, 1])).contains("`dilation_rate` is [1,2,1]"));
    assert!(change(3, "filters", json!(0)).contains("`filters` 0"));
    assert!(change(3, "filters", json!(9)).contains("its kernel has shape [3, 3, 3, 2, 2]"));
    assert!(change(4, "activation", json!("elu")).contains("another activation"));
    assert!(change(4, "activation", json!("tanh")).contains("activation `tanh`"));
    assert!(change(5, "activation", json!("relu")).contains("the last convolution"));
    let input = change(0, "batch_input_shape", json!([null, 8, 8, 1]));
    assert!(input.contains("not [batch, d, h, w, channels]"));

    let class = |class: &str| {
        let mut files = files();
        files.layers()[4]["class_name"] = json!(class);
        files.error()
    };
    assert!(class("MaxPooling3D").contains("layer `rb`: a layer of class `MaxPooling3D`"));
    assert!(class("Add").contains("class `Add`"));

    let mut skip = files();
    skip.layers()[5]["inbound_nodes"] = json!([[["ra", 0, 0, {}]]]);
    assert!(
        skip.error()
            .contains("its input is [\"ra\"] where a chain has `rb`")
    );
    let mut two = files();
    two.layers()[5]["inbound_nodes"] = json!([[["rb", 0, 0, {}], ["ra", 0, 0, {}]]]);
    assert!(two.error().contains("where a chain has `rb`"));
    let mut graph = files();
    graph.model["modelTopology"] = json!({"node": []});
    assert!(graph.error().contains("not a Keras layers model"));
    let mut bare = files();
    bare.model = json!({"format": "graph-model"});
    assert!(bare.error().contains("no `modelTopology`"));
}

/// Layers that do nothing at inference, activations as layers or within convolutions, softmax.
#[test]
fn spellings_of_the_same_network_are_read() {
    let mut files = files();
    let config = json!({});
    files.layers()[2] = layer("ReLU", "ra", &config, Some("a"));
    files.layers()[5]["inbound_nodes"] = json!([[["d", 0, 0, {}]]]);
    files.config(5)["activation"] = json!("softmax");
    files.layers().insert(
        5,
        layer("SpatialDropout3D", "d", &json!({"rate": 0.1}), Some("rb")),
    );
    assert_eq!(files.read().expect("a MeshNet").config, small_meshnet());

    let elu = json!({"alpha": 1.0});
    files.layers()[2] = layer("ELU", "ra", &elu, Some("a"));
    files.layers()[4]["config"]["activation"] = json!("elu");
    let config = files.read().expect("a MeshNet").config;
    assert_eq!(
        config,
        MeshNetConfig {
            activation: Activation::Elu,
            ..small_meshnet()
        }
    );
}

/// brainchop normalises behind layers of a certain name; those have no bias.
#[test]
fn named_norms_are_found_and_biases_completed() {
    let mut files = files();
    for (index, name) in [(1, "a"), (3, "b")] {
        let norm = format!("{name}_gn");
        files.config(index)["name"] = json!(norm);
        files.config(index)["use_bias"] = json!(false);
        files.layers()[index + 1]["inbound_nodes"] = json!([[[norm, 0, 0, {}]]]);
    }
    let weights = files.model["weightsManifest"][0]["weights"]
        .as_array_mut()
        .expect("weights");
    weights.remove(3);
    weights.remove(1);
    weights[0]["name"] = json!("a_gn/kernel");
    weights[1]["name"] = json!("b_gn/kernel");
    let shard = files.shards.get_mut("model.bin").expect("the shard");
    shard.truncate(shard.len() - 16);
    let model = files.read().expect("a MeshNet");
    assert_eq!(
        model.config,
        MeshNetConfig {
            norm: true,
            ..small_meshnet()
        }
    );
    assert_eq!(floats(&model.state, "convs.0.bias"), [0.0, 0.0]);
    assert_eq!(model.state.len(), 6);
}

#[test]
fn norm_layers_without_affine_are_norms() {
    let norm = |scale: bool, epsilon: f64| {
        let mut files = files();
        for (at, name, input) in [(4, "nb", "b"), (2, "na", "a")] {
            let config = json!({"groups": -1, "scale": scale, "center": false, "epsilon": epsilon});
            files
                .layers()
                .insert(at, layer("GroupNormalization", name, &config, Some(input)));
            files.layers()[at + 1]["inbound_nodes"] = json!([[[name, 0, 0, {}]]]);
        }
        files
    };
    assert!(norm(false, 1e-5).read().expect("a MeshNet").config.norm);
    assert!(
        norm(true, 1e-5)
            .error()
            .contains("layer `na`: a norm with scale or offset")
    );
    assert!(norm(false, 1e-3).error().contains("`epsilon` is 0.001"));
}

#[test]
fn batch_norms_are_folded_into_the_weights() {
    let plain = files().read().expect("a MeshNet").state;
    let mut files = files();
    let config = json!({"epsilon": 0.75, "scale": true, "center": true});
    files
        .layers()
        .insert(4, layer("BatchNormalization", "bn", &config, Some("b")));
    files.layers()[5]["inbound_nodes"] = json!([[["bn", 0, 0, {}]]]);
    // A variance of 0.25 with this epsilon divides by 1.
    let (gamma, beta, mean, variance) =
        ([2.0f32, -1.0], [0.5f32, 3.0], [10.0f32, 20.0], [0.25f32; 2]);
    for (kind, values) in [
        ("gamma", gamma),
        ("beta", beta),
        ("moving_mean", mean),
        ("moving_variance", variance),
    ] {
        let entry = json!({"name": format!("bn/{kind}"), "shape": [2], "dtype": "float32"});
        let weights = files.model["weightsManifest"][0]["weights"].as_array_mut();
        weights.expect("weights").push(entry);
        let shard = files.shards.get_mut("model.bin").expect("the shard");
        shard.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }
    let folded = files.read().expect("a MeshNet").state;
    let before = floats(&plain, "convs.1.weight");
    for (i, value) in floats(&folded, "convs.1.weight").into_iter().enumerate() {
        assert_eq!(value, before[i] * gamma[i / 54]);
    }
    // (164 - 10) * 2 + 0.5 and (165 - 20) * -1 + 3.
    assert_eq!(floats(&folded, "convs.1.bias"), [308.5, -142.0]);
    assert_eq!(
        floats(&folded, "convs.0.weight"),
        floats(&plain, "convs.0.weight")
    );

    let mut behind = files.clone();
    let layers = behind.layers();
    layers.swap(4, 5);
    layers[4]["inbound_nodes"] = json!([[["b", 0, 0, {}]]]);
    layers[5]["inbound_nodes"] = json!([[["rb", 0, 0, {}]]]);
    layers[6]["inbound_nodes"] = json!([[["bn", 0, 0, {}]]]);
    assert!(
        behind
            .error()
            .contains("layer `bn`: it does not stand behind a convolution")
    );
}
