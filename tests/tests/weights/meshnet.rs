//! Published MeshNets in two formats, and what is known of them.

use amaes_core::label::LabelTable;
use amaes_core::model::{MeshNetConfig, Spec};
use amaes_core::nn::Activation;
use amaes_core::preprocess::{Normalization, Step};
use amaes_core::weights::{WeightsError, identify};

use super::{assert_same, filled, import, import_tfjs, shared, small_meshnet};

const FAN: [usize; 9] = [1, 2, 4, 8, 16, 8, 4, 2, 1];

fn dilations(config: &MeshNetConfig) -> Vec<usize> {
    config.layers.iter().map(|layer| layer.dilation).collect()
}

fn meshnet(spec: &Spec) -> &MeshNetConfig {
    match spec {
        Spec::MeshNet(config) => config,
        other => panic!("a MeshNet was taken for {other:?}"),
    }
}

/// The same network as TensorFlow.js and as safetensors, to the bit.
#[test]
fn both_formats_give_the_same_weights() {
    for (tfjs, safetensors) in [
        ("model5_gw_ae", "net_tissue_fast"),
        ("model30chan18cls", "net_subcortical"),
    ] {
        let Some(folder) = shared("weights", tfjs) else {
            return;
        };
        let model = import_tfjs(&folder.join("brainchop").join(tfjs)).expect(tfjs);
        let file = folder.join(format!("niivue-tinygrad/{safetensors}.safetensors"));
        let (state, found) = import(&file, None).expect(safetensors);
        assert_eq!(found.spec, Spec::MeshNet(model.config.clone()), "{tfjs}");
        assert_eq!(found.name, Some(tfjs));
        assert_eq!(model.input, Some([256; 3]));
        assert_same(&model.state, &state);
    }
}

#[test]
fn tensorflow_topologies_are_read() {
    for (name, width, classes, activation) in [
        ("model5_gw_ae", 5, 3, Activation::Relu),
        ("model18cls", 21, 18, Activation::Elu),
        ("model30chan18cls", 30, 18, Activation::Elu),
    ] {
        let Some(folder) = shared(&format!("weights/brainchop/{name}"), name) else {
            return;
        };
        let mut model = import_tfjs(&folder).expect(name);
        let config = &model.config;
        assert_eq!((config.in_channels, config.out_channels), (1, classes));
        assert!(config.layers.iter().all(|layer| layer.channels == width));
        assert_eq!(dilations(config), FAN);
        assert_eq!(config.activation, activation);
        assert!(config.bias && !config.norm);

        // The published colour map is the table's.
        let found = identify(&mut model.state, None).expect(name);
        assert_eq!(found.name, Some(name));
        let map = if name == "model5_gw_ae" {
            "colormap3.json"
        } else {
            "colormap.json"
        };
        let map = std::fs::read(folder.join(map)).expect("a colour map");
        let map = LabelTable::from_colormap(&map).expect("a colour map");
        let labels = found.labels.expect("labels");
        let names = |t: &LabelTable| t.0.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&labels), names(&map));
        assert_eq!(labels.0.last(), map.0.last());
    }
}

#[test]
fn published_safetensors_are_known() {
    for (file, name, width, classes, norm, bias, normalization) in [
        (
            "net_t2",
            "net_t2",
            11,
            2,
            false,
            true,
            Normalization::MinMax,
        ),
        (
            "net_mindgrab",
            "mindgrab",
            15,
            2,
            true,
            false,
            Normalization::Quantile {
                low: 0.02,
                high: 0.98,
                clip: true,
                epsilon: 1e-3,
            },
        ),
    ] {
        let Some(path) = shared(&format!("weights/niivue-tinygrad/{file}.safetensors"), file)
        else {
            return;
        };
        let (_, found) = import(&path, None).expect(file);
        let config = meshnet(&found.spec);
        assert_eq!(found.name, Some(name));
        assert!(config.layers.iter().all(|layer| layer.channels == width));
        assert_eq!(config.out_channels, classes);
        assert_eq!((config.norm, config.bias), (norm, bias));
        let plan = found.plan.expect("a plan");
        assert_eq!(plan.steps.last(), Some(&Step::Normalize(normalization)));
        assert_eq!(found.labels.map(|labels| labels.0.len()), Some(classes));
    }
}

#[test]
fn unknown_widths_need_a_configuration() {
    let spec = Spec::MeshNet(small_meshnet());
    let error = identify(&mut filled(&spec), None).expect_err("not published");
    assert!(matches!(
        &error,
        WeightsError::NeedsConfig { widths, classes: 3 } if widths == &[2, 2]
    ));
    assert!(error.to_string().contains("give the config file"));
}

/// The configuration files beside brainchop's models, whose channels are a template.
#[test]
fn published_configurations_are_read() {
    let config = |activation: &str, dilation: usize, more: &str| {
        format!(
            r#"{{"header": "h", "bnorm": false, {activation} "dropout_p": 0, "bias": true, {more}
            "layers": [
              {{"in_channels": -1, "out_channels": 5, "kernel_size": 3, "padding": 1, "stride": 1, "dilation": 1}},
              {{"in_channels": 5, "out_channels": 5, "kernel_size": 3, "padding": {dilation}, "stride": 1, "dilation": {dilation}}},
              {{"in_channels": 5, "out_channels": -1, "kernel_size": 1, "padding": 0, "stride": 1, "dilation": 1}}
            ]}}"#
        )
    };
    let spec = Spec::MeshNet(small_meshnet());
    let identify = |json: String| identify(&mut filled(&spec), Some(json.as_bytes()));

    let found = identify(config("", 2, "")).expect("valid");
    assert_eq!(found.spec, spec);
    let found = identify(config(r#""elu": true,"#, 4, "")).expect("valid");
    let found = meshnet(&found.spec).clone();
    assert_eq!(
        (found.activation, dilations(&found)),
        (Activation::Elu, vec![1, 4])
    );
    let found = identify(config(r#""gelu": true,"#, 4, "")).expect("valid");
    assert_eq!(meshnet(&found.spec).activation, Activation::Gelu);

    // Our own, and the whole description of a network.
    let ours = serde_json::to_string(&small_meshnet()).expect("serialisable");
    assert_eq!(identify(ours).expect("valid").spec, spec);
    let whole = serde_json::to_string(&spec).expect("serialisable");
    assert_eq!(identify(whole).expect("valid").spec, spec);

    let error = |json: String| identify(json).expect_err("invalid").to_string();
    let affine =
        config("", 2, r#""affine": true,"#).replace(r#""bnorm": false"#, r#""bnorm": true"#);
    assert!(error(affine).contains("`affine`"));
    let padding = config("", 2, "").replace(r#""padding": 2"#, r#""padding": 1"#);
    assert!(error(padding).contains("layer 1 has kernel_size 3, stride 1, padding 1, dilation 2"));
    assert!(
        error(config(r#""elu": true, "gelu": true,"#, 2, "")).contains("both `elu` and `gelu`")
    );
    assert!(error("[]".to_owned()).contains("network configuration"));
    let three = serde_json::to_string(&MeshNetConfig {
        layers: vec![small_meshnet().layers[0]; 3],
        ..small_meshnet()
    })
    .expect("serialisable");
    assert!(error(three).contains("3 dilated layers, but the weights have 2"));
    let unet = serde_json::to_string(&Spec::UNet(amaes_core::model::UNetConfig::b(1, 2)))
        .expect("serialisable");
    assert!(error(unet).contains("it describes a U-Net"));
}

/// A classifier with a bias behind layers without: the layers get biases of zeros.
#[test]
fn biases_of_some_layers_are_completed() {
    let spec = Spec::MeshNet(MeshNetConfig {
        bias: false,
        ..small_meshnet()
    });
    let mut state = filled(&spec);
    state
        .insert("convs.2.bias", super::floats_data(&[3]))
        .expect("new");
    // Numbers count activations too, and some projects wrap each layer.
    state
        .rename(|name| match name.strip_prefix("convs.").expect("a layer") {
            "0.weight" => "model.0.0.weight".to_owned(),
            "1.weight" => "model.10.0.weight".to_owned(),
            rest => format!("model.{}", rest.replace("2.", "25.")),
        })
        .expect("distinct");
    let config = serde_json::to_vec(&small_meshnet()).expect("serialisable");
    let found = identify(&mut state, Some(&config)).expect("a MeshNet");
    assert_eq!(found.spec, Spec::MeshNet(small_meshnet()));
    assert_eq!(
        state.names().collect::<Vec<_>>(),
        [
            "convs.0.weight",
            "convs.0.bias",
            "convs.1.weight",
            "convs.1.bias",
            "convs.2.weight",
            "convs.2.bias"
        ]
    );
    assert_eq!(super::floats(&state, "convs.1.bias"), [0.0, 0.0]);
}
