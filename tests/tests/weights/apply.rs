//! Loading into modules and collecting from them.

use amaes_core::model::{
    MedNeXtConfig, MeshNetConfig, ResEncUNetConfig, Spec, StridedConfig, UNetConfig,
};
use amaes_core::nn::Activation;
use amaes_core::weights::{
    LoadOptions, LoadReport, Partial, StateDict, WeightsError, collect, load_into, parameters,
    parameters_of,
};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::{assert_same, filled, floats, import, shared, small_meshnet};

#[derive(Module, Debug)]
struct Leaf {
    weight: Param<Tensor<2>>,
    bias: Option<Param<Tensor<1>>>,
}

#[derive(Module, Debug)]
enum Either {
    Left(Leaf),
    Right(Vec<Leaf>),
}

#[derive(Module, Debug)]
struct Tree {
    stem: Leaf,
    branches: Vec<Leaf>,
    choice: Either,
    none: Option<Leaf>,
}

fn leaf(device: &Device, bias: bool) -> Leaf {
    Leaf {
        weight: Param::from_tensor(Tensor::zeros([2, 3], device)),
        bias: bias.then(|| Param::from_tensor(Tensor::zeros([2], device))),
    }
}

fn tree(device: &Device, right: bool) -> Tree {
    let choice = if right {
        Either::Right(vec![leaf(device, false)])
    } else {
        Either::Left(leaf(device, false))
    };
    Tree {
        stem: leaf(device, true),
        branches: vec![leaf(device, false), leaf(device, true)],
        choice,
        none: None,
    }
}

fn state(names: &[(&str, &[usize])]) -> StateDict {
    let mut state = StateDict::new();
    for (seed, (name, shape)) in names.iter().enumerate() {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| (seed * 100 + i) as f32).collect();
        state
            .insert(*name, TensorData::new(values, shape.to_vec()))
            .expect("distinct");
    }
    state
}

/// Indices are in the names, options and enum variants are not.
#[test]
fn names_are_paths_without_variants() {
    let device = Device::flex();
    let names = |right| {
        let parameters = parameters_of(&tree(&device, right));
        parameters
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    let before = [
        "stem.weight",
        "stem.bias",
        "branches.0.weight",
        "branches.1.weight",
        "branches.1.bias",
    ];
    assert_eq!(names(false), [&before[..], &["choice.weight"]].concat());
    assert_eq!(names(true), [&before[..], &["choice.0.weight"]].concat());
}

#[test]
fn values_arrive_and_come_back() {
    let device = Device::flex();
    let state = state(&[
        ("stem.weight", &[2, 3]),
        ("stem.bias", &[2]),
        ("branches.0.weight", &[2, 3]),
        ("branches.1.weight", &[2, 3]),
        ("branches.1.bias", &[2]),
        ("choice.0.weight", &[2, 3]),
        ("beyond", &[1]),
    ]);
    let trained = tree(&device.clone().autodiff(), true);
    for module in [tree(&device, true), trained] {
        let (module, report) =
            load_into(module, &state, &LoadOptions::default()).expect("complete");
        assert_eq!(report.matched.len(), 6);
        assert_eq!(report.unexpected, ["beyond"]);
        assert_eq!(
            report.to_string(),
            "6 parameters loaded; 1 not used: beyond"
        );
        let mut back = collect(&module).expect("float parameters");
        back.insert("beyond", state.get("beyond").expect("there").clone())
            .expect("new");
        assert_same(&state, &back);
    }
    // Training still follows the parameters.
    let module = tree(&device.autodiff(), true);
    let (module, _) = load_into(module, &state, &LoadOptions::default()).expect("complete");
    assert!(module.stem.weight.val().is_require_grad());
}

#[test]
fn what_does_not_fit_is_reported() {
    let device = Device::flex();
    let state = state(&[
        ("stem.weight", &[2, 3]),
        ("stem.bias", &[5]),
        ("branches.0.weight", &[2, 3]),
        ("branches.1.weight", &[3, 2]),
        ("choice.weight", &[2, 3]),
    ]);
    let error =
        load_into(tree(&device, false), &state, &LoadOptions::default()).expect_err("does not fit");
    assert_eq!(
        error.to_string(),
        "the weights do not fit the network: 3 parameters loaded; 1 missing: branches.1.bias; 2 of \
         another shape: stem.bias is [5], not [2] branches.1.weight is [3, 2], not [2, 3]"
    );
    let WeightsError::Mismatch(report) = error else {
        panic!("another error")
    };
    assert_eq!(report.missing, ["branches.1.bias"]);
    let json = serde_json::to_string(&report).expect("serialisable");
    assert_eq!(
        serde_json::from_str::<LoadReport>(&json).expect("valid"),
        *report
    );
}

fn small_unet(in_channels: usize, classes: usize) -> UNetConfig {
    UNetConfig {
        filters: 2,
        ..UNetConfig::b(in_channels, classes)
    }
}

/// A pretrained encoder under a new head, with more image channels.
#[test]
fn an_encoder_is_loaded_under_another_head() {
    let device = Device::flex();
    let pretrained = filled(&Spec::UNet(UNetConfig {
        filters: 2,
        ..UNetConfig::b_light(1)
    }));
    let spec = Spec::UNet(small_unet(4, 3));
    let model = || spec.init(&device).expect("valid");
    let mut options = LoadOptions {
        partial: Partial::EncoderOnly(&spec),
        repeat_stem: false,
    };
    let error = load_into(model(), &pretrained, &options)
        .expect_err("another stem")
        .to_string();
    assert!(
        error.contains("encoder.in_conv.conv1.conv.weight is [2, 1, 3, 3, 3], not [2, 4, 3, 3, 3]"),
        "{error}"
    );

    options.repeat_stem = true;
    let (model, report) = load_into(model(), &pretrained, &options).expect("fits");
    assert_eq!(report.matched.len(), 40);
    assert!(
        report
            .matched
            .iter()
            .all(|name| name.starts_with("encoder."))
    );
    assert!(
        report
            .missing
            .iter()
            .all(|name| name.starts_with("pred_head."))
    );
    assert!(
        report
            .unexpected
            .iter()
            .all(|name| name.starts_with("rec_head."))
    );
    let loaded = collect(&model).expect("float parameters");
    let stem = floats(&loaded, "encoder.in_conv.conv1.conv.weight");
    let source = floats(&pretrained, "encoder.in_conv.conv1.conv.weight");
    for (filter, values) in stem.chunks(4 * 27).enumerate() {
        for channel in values.chunks(27) {
            let quarter: Vec<f32> = source[filter * 27..(filter + 1) * 27]
                .iter()
                .map(|v| v / 4.0)
                .collect();
            assert_eq!(channel, quarter);
        }
    }
    let bottom = "encoder.encoder_conv4.conv2.norm.bias";
    assert_eq!(floats(&loaded, bottom), floats(&pretrained, bottom));
}

/// Loading the encoder of a segmentation network leaves the head as it was, also where the heads
/// have the same names.
#[test]
fn a_head_of_the_same_names_is_not_loaded() {
    let device = Device::flex();
    let source = filled(&Spec::UNet(small_unet(1, 3)));
    let spec = Spec::UNet(small_unet(1, 5));
    let model = spec.init(&device).expect("valid");
    let before = collect(&model).expect("float parameters");
    let options = LoadOptions {
        partial: Partial::EncoderOnly(&spec),
        repeat_stem: false,
    };
    let (model, report) = load_into(model, &source, &options).expect("fits");
    assert_eq!(report.matched.len(), 40);
    assert!(report.mismatched.is_empty());
    let after = collect(&model).expect("float parameters");
    let head = "pred_head.upsample1.weight";
    assert_eq!(floats(&after, head), floats(&before, head));
    assert_ne!(floats(&after, head), floats(&source, head));
}

/// What a chain of layers learned is in all of them but the last, which names the classes.
#[test]
fn the_last_layer_of_a_chain_is_its_head() {
    let device = Device::flex();
    let source = filled(&Spec::MeshNet(small_meshnet()));
    let spec = Spec::MeshNet(MeshNetConfig {
        in_channels: 3,
        out_channels: small_meshnet().out_channels + 1,
        ..small_meshnet()
    });
    let head = format!("convs.{}.", small_meshnet().layers.len());
    let model = spec.init(&device).expect("valid");
    let options = LoadOptions {
        partial: Partial::EncoderOnly(&spec),
        repeat_stem: true,
    };
    let (model, report) = load_into(model, &source, &options).expect("fits");
    assert_eq!(report.matched.len(), source.len() - 2);
    assert!(report.missing.iter().all(|name| name.starts_with(&head)));
    assert_eq!(report.missing.len(), 2);
    let loaded = collect(&model).expect("float parameters");
    let last = format!("convs.{}.weight", small_meshnet().layers.len() - 1);
    assert_eq!(floats(&loaded, &last), floats(&source, &last));
}

/// The list of parameters is that of the modules.
#[test]
fn listed_parameters_are_those_of_the_modules() {
    let device = Device::flex();
    let mut mednext = MedNeXtConfig::m(2, 3);
    mednext.filters = 2;
    mednext.blocks = [1, 2, 1, 3, 1];
    for spec in [
        Spec::UNet(small_unet(2, 3)),
        Spec::UNet(UNetConfig {
            filters: 2,
            ..UNetConfig::b_light(1)
        }),
        Spec::MedNeXt(mednext.clone()),
        Spec::MedNeXt(mednext.clone().with_kernel(5)),
        Spec::MedNeXt(mednext.clone().light()),
        Spec::MedNeXt(mednext.native()),
        Spec::MeshNet(small_meshnet()),
        Spec::MeshNet(MeshNetConfig {
            activation: Activation::Gelu,
            norm: true,
            bias: false,
            ..small_meshnet()
        }),
        Spec::ResEncUNet(ResEncUNetConfig::of(2, 2, 3)),
        Spec::ResEncUNet(ResEncUNetConfig::of(2, 1, 1).light()),
        Spec::Strided(StridedConfig::of(2, 2, 3)),
    ] {
        let model = spec.init(&device).expect("valid");
        assert_eq!(
            parameters_of(&model),
            parameters(&spec).expect("valid"),
            "{spec:?}"
        );
    }
}

#[test]
fn golden_weights_arrive_in_their_networks() {
    let test = "golden_weights_arrive_in_their_networks";
    let Some(folder) = shared("golden", test) else {
        return;
    };
    for name in [
        "unet_seg_4_2_4_48",
        "unet_pre_4_32",
        "mednext_std_4_3_32",
        "mednext_native_4_3_32",
    ] {
        let (state, found) = import(&folder.join(format!("{name}.pth")), None).expect(name);
        let model = found.spec.init(&Device::flex()).expect("valid");
        let (model, report) = load_into(model, &state, &LoadOptions::default()).expect(name);
        assert!(report.is_exact());
        assert_same(&state, &collect(&model).expect("float parameters"));
    }
}
