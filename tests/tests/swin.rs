//! SwinUNETR against MONAI: outputs, loss, every gradient; numbers of parameters.
//!
//! `tests/reference/swin.py` wrote `tests/data/swin.json`; weights and images are drawn here as
//! there.

use std::collections::BTreeMap;
use std::path::Path;

use amaes_core::model::{Model, Spec, SwinTransformer, SwinTransformerConfig, SwinUNETRConfig};
use amaes_core::weights::{
    LoadOptions, StateDict, WeightsError, collect, identify, load_into, parameters, parameters_of,
};
use amaes_tests::{draw, gradients_of};
use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-4;
/// Of gradients, where MONAI's own in float32 are as close to those in float64.
const GRADIENT: f64 = 1e-3;
/// A gradient with less than this share of the largest norm is zero but for rounding.
const ZERO: f64 = 1e-6;
/// Float32 decides by rounding which slope a voxel has that is near a kink of LeakyReLU: the input
/// may be nudged by as much as it is rounded, so many times, and each gradient must agree once.
const ROUNDING: f64 = 1e-6;
const NUDGES: u64 = 16;
const ENCODER: &str = "swinViT.";
/// Voxels of the largest case on a graphics card, which software may be; all cases run with
/// `AMAES_LONG`.
const SOFTWARE_VOXELS: usize = 1 << 16;

#[derive(Deserialize)]
struct Reference {
    counts: Vec<Count>,
    cases: Vec<Case>,
}

/// Numbers of parameters with one image channel and two classes.
#[derive(Deserialize)]
struct Count {
    features: usize,
    v2: bool,
    all: usize,
    encoder: usize,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    part: String,
    features: usize,
    in_channels: usize,
    out_channels: usize,
    v2: bool,
    merging: amaes_core::nn::Merging,
    #[serde(default)]
    normalize: bool,
    size: [usize; 3],
    outputs: Vec<Output>,
    loss: f64,
    /// How far MONAI's gradients in float32 are from these, at the farthest.
    #[serde(default)]
    float32: f64,
    gradients: BTreeMap<String, Found>,
}

#[derive(Deserialize)]
struct Output {
    shape: Vec<usize>,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Found {
    norm: f64,
    values: Vec<f64>,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/swin.json");
    let text = std::fs::read_to_string(path).expect("the recorded reference");
    serde_json::from_str(&text).expect("JSON")
}

impl Case {
    fn encoder(&self) -> SwinTransformerConfig {
        SwinTransformerConfig {
            v2: self.v2,
            merging: self.merging,
            ..SwinTransformerConfig::new(self.features, self.in_channels)
        }
    }

    fn whole(&self) -> SwinUNETRConfig {
        SwinUNETRConfig {
            encoder: self.encoder(),
            ..SwinUNETRConfig::new(self.features, self.in_channels, self.out_channels)
        }
    }
}

fn weight(name: &str, shape: &[usize]) -> TensorData {
    let count: usize = shape.iter().product();
    let (scale, offset) = match (name.contains(".norm"), name.ends_with("weight")) {
        (true, true) => (0.1, 1.0),
        (false, true) => ((shape[0] as f64 / count as f64).sqrt(), 0.0),
        (_, false) => (0.1, 0.0),
    };
    let values = draw(name.bytes().map(u32::from).sum(), count);
    let values: Vec<f32> = values.map(|v| (v * scale + offset) as f32).collect();
    TensorData::new(values, shape.to_vec())
}

/// The parameters of a module, drawn; their names get `prefix` for that.
fn drawn<M: Module>(module: M, prefix: &str) -> M {
    let mut state = StateDict::new();
    for (name, shape) in parameters_of(&module) {
        let values = weight(&format!("{prefix}{name}"), &shape);
        state.insert(name, values).expect("a new name");
    }
    let (module, report) = load_into(module, &state, &LoadOptions::default()).expect("fits");
    assert!(report.missing.is_empty(), "{report}");
    module
}

fn image(tensor: u32, shape: &[usize], device: &Device) -> Tensor<5> {
    let values: Vec<f32> = draw(tensor, shape.iter().product())
        .map(|v| (0.5 * v + 0.5) as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, shape.to_vec()), device)
}

fn values(data: &TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

fn sample(values: &[f64], count: usize) -> Vec<f64> {
    (0..count)
        .map(|n| values[n * 7919 % values.len()])
        .collect()
}

/// Compares outputs, loss and gradients of a module.
fn check<M: Module>(case: &Case, module: &M, run: impl Fn(&M, Tensor<5>) -> Vec<Tensor<5>>) {
    let name = &case.name;
    let device = module.devices()[0].clone();
    let [d, h, w] = case.size;
    let input = image(1, &[1, case.in_channels, d, h, w], &device);
    let outputs = run(module, input.clone());
    assert_eq!(outputs.len(), case.outputs.len(), "{name}");
    for (index, (y, expected)) in outputs.iter().zip(&case.outputs).enumerate() {
        assert_eq!(
            y.dims().as_slice(),
            expected.shape,
            "{name}: output {index}"
        );
        let found = values(&y.to_data());
        let pairs = sample(&found, expected.values.len());
        for (f, e) in pairs.iter().zip(&expected.values) {
            let bound = TOLERANCE * e.abs() + 0.1 * TOLERANCE;
            assert!(
                (f - e).abs() <= bound,
                "{name}: output {index} is {f}, not {e}"
            );
        }
    }
    let found = values(&loss(outputs).into_data())[0];
    assert!(
        (found - case.loss).abs() <= TOLERANCE * case.loss,
        "{name}: loss {found}, not {}",
        case.loss
    );
    let mut differing = gradients_differing(case, module, &run, input.clone());
    for seed in 1..=NUDGES {
        if differing.is_empty() {
            break;
        }
        device.seed(seed);
        let noise = Distribution::Uniform(1.0 - ROUNDING, 1.0 + ROUNDING);
        let nudged = input.clone() * Tensor::random(input.dims(), noise, &device);
        let again = gradients_differing(case, module, &run, nudged);
        differing.retain(|key, _| again.contains_key(key));
    }
    assert!(differing.is_empty(), "{name}: {differing:#?}");
}

/// The gradients of which the norm or one of some values differs, and how.
fn gradients_differing<M: Module>(
    case: &Case,
    module: &M,
    run: impl Fn(&M, Tensor<5>) -> Vec<Tensor<5>>,
    input: Tensor<5>,
) -> BTreeMap<String, String> {
    let input = input.detach().require_grad();
    let gradients = loss(run(module, input.clone())).backward();
    let mut found = gradients_of(module, &gradients);
    let of_input = input.grad(&gradients).expect("a gradient");
    found.insert("input".into(), values(&of_input.into_data()));
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        case.gradients.keys().collect::<Vec<_>>(),
        "{}",
        case.name
    );
    let largest = case.gradients.values().map(|g| g.norm).fold(0.0, f64::max);
    let tolerance = GRADIENT.max(case.float32);
    let difference = |key: &String, expected: &Found| {
        let gradient = &found[key];
        let norm = gradient.iter().map(|v| v * v).sum::<f64>().sqrt();
        if key != "input" && expected.norm < ZERO * largest {
            return (norm >= 10.0 * ZERO * largest).then(|| format!("is not zero: {norm}"));
        }
        if (norm - expected.norm).abs() > tolerance * expected.norm {
            return Some(format!("has the norm {norm}, not {}", expected.norm));
        }
        let mean = norm / (gradient.len() as f64).sqrt();
        let pairs = sample(gradient, expected.values.len()).into_iter();
        pairs.zip(&expected.values).find_map(|(f, e)| {
            let differs = (f - e).abs() > tolerance * (e.abs() + mean);
            differs.then(|| format!("has {f}, not {e}"))
        })
    };
    let differing = case.gradients.iter().filter_map(|(key, expected)| {
        difference(key, expected).map(|difference| (key.clone(), difference))
    });
    differing.collect()
}

/// The sum of the outputs' mean squared differences from images of their own.
fn loss(outputs: Vec<Tensor<5>>) -> Tensor<1> {
    let terms = outputs.into_iter().zip(2..).map(|(y, tensor)| {
        let target = image(tensor, &y.dims(), &y.device());
        (y - target).square().mean()
    });
    terms.reduce(|a, b| a + b).expect("outputs")
}

/// The cases of a part of the network, but for those that take too long here.
fn cases(part: &str, software: bool) -> Vec<Case> {
    let all = !software || std::env::var_os("AMAES_LONG").is_some();
    let mut cases = reference().cases;
    cases.retain(|case| {
        let small = case.size.iter().product::<usize>() <= SOFTWARE_VOXELS;
        case.part == part && (all || small)
    });
    assert!(!cases.is_empty());
    cases
}

fn encoders_equal(device: &Device, software: bool) {
    for case in &cases("encoder", software) {
        let encoder = drawn(case.encoder().init(&device.clone().autodiff()), ENCODER);
        check(case, &encoder, |encoder: &SwinTransformer, x| {
            encoder.forward(x, case.normalize).into()
        });
    }
}

#[test]
fn encoders_equal_monai_on_flex() {
    encoders_equal(&Device::flex(), false);
}

#[test]
fn encoders_equal_monai_on_wgpu() {
    match amaes::device::DeviceKind::Wgpu.open() {
        Ok(device) => encoders_equal(&device, true),
        Err(error) => println!("skipped: {error}"),
    }
}

fn networks_equal(device: &Device, software: bool) {
    for case in &cases("whole", software) {
        let spec = Spec::SwinUNETR(case.whole());
        let model = spec.init(&device.clone().autodiff()).expect("valid");
        let model = drawn(model, "");
        check(case, &model, |model: &Model, x| vec![model.forward(x)]);
    }
}

#[test]
fn networks_equal_monai_on_flex() {
    networks_equal(&Device::flex(), false);
}

#[test]
fn networks_equal_monai_on_wgpu() {
    match amaes::device::DeviceKind::Wgpu.open() {
        Ok(device) => networks_equal(&device, true),
        Err(error) => println!("skipped: {error}"),
    }
}

#[test]
fn parameter_counts_are_those_of_monai() {
    let counts = reference().counts;
    assert_eq!(counts.len(), 8);
    for expected in counts {
        let mut config = SwinUNETRConfig::new(expected.features, 1, 2);
        config.encoder.v2 = expected.v2;
        let all = parameters(&Spec::SwinUNETR(config)).expect("valid");
        let count = |prefix: &str| -> usize {
            let of_prefix = all.iter().filter(|(name, _)| name.starts_with(prefix));
            of_prefix.map(|(_, s)| s.iter().product::<usize>()).sum()
        };
        assert_eq!(count(""), expected.all, "{} features", expected.features);
        assert_eq!(count(ENCODER), expected.encoder);
    }
}

/// Sizes are read off the weights; how patches are merged is not in them.
#[test]
fn networks_are_identified() {
    let mut small = SwinUNETRConfig::new(12, 3, 5);
    small.encoder.heads = [2, 3, 4, 6];
    small.encoder.depths = [1, 2, 3, 1];
    small.encoder.window = 4;
    for config in [small.clone(), small.clone().v2(), small.clone().light()] {
        let spec = Spec::SwinUNETR(config.clone());
        let model = spec.init(&Device::flex()).expect("valid");
        let mut state = collect(&model).expect("float parameters");
        let index = TensorData::new(vec![0i64; 4], [2, 2]);
        let buffer = "swinViT.layers1.0.blocks.0.attn.relative_position_index";
        state.insert(buffer, index).expect("a new name");
        state
            .rename(|name| format!("module.{name}"))
            .expect("distinct");
        let found = identify(&mut state.clone(), None).expect("known");
        assert_eq!(found.spec, spec);
        assert!(found.ignored.is_empty(), "{:?}", found.ignored);

        let mut repeated = config;
        repeated.encoder.merging = amaes_core::nn::Merging::Repeated;
        let repeated = Spec::SwinUNETR(repeated);
        let json = serde_json::to_vec(&repeated).expect("JSON");
        let found = identify(&mut state.clone(), Some(&json)).expect("known");
        assert_eq!(found.spec, repeated);
        let other = br#"{"network": "unet", "filters": 4, "in_channels": 1, "out_channels": 1,
            "head": "light"}"#;
        let error = identify(&mut state, Some(other)).expect_err("another network's");
        assert!(matches!(error, WeightsError::Config(_)), "{error}");
    }
}

#[test]
fn heads_that_do_not_divide_the_channels_are_refused() {
    let mut config = SwinUNETRConfig::new(12, 1, 2);
    config.encoder.heads[1] = 5;
    let error = Spec::SwinUNETR(config).validate().expect_err("24 / 5");
    assert_eq!(
        error.to_string(),
        "`heads` is 5, which does not divide 24 channels"
    );
}
