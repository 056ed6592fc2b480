//! Finetuning against PyTorch and MONAI: which weights are taken, learning rates, windows.
//!
//! `reference/finetune.py` wrote `data/finetune.json` and `data/weights/unet_light.*`. Golden
//! networks are read from `AMAES_GOLDEN` (`../shared/golden` otherwise) and skipped by name where
//! absent.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use amaes::train::adamw::{AdamW, AdamWConfig};
use amaes::train::checkpoint::{self, Checkpoint};
use amaes::train::config::PretrainConfig;
use amaes::train::finetune::{self, FinetuneConfig};
use amaes::train::gradients::FlatGradients;
use amaes::train::log::EndReason;
use amaes::train::run::Start;
use amaes::volumes::{self, Voxels};
use amaes_core::infer::sliding_window::{SlidingWindow, Weighting};
use amaes_core::infer::{InferOptions, Input, score_map};
use amaes_core::label::Label;
use amaes_core::volume::{Affine, Grid, Header, Volume};
use amaes_core::weights::{self, LoadOptions, ReadOptions, StateDict, identify, load_into};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data")
        .join(name)
}

fn golden(name: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let folder = std::env::var_os("AMAES_GOLDEN").map_or(default, PathBuf::from);
    let path = folder.join(name);
    if !path.is_file() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn reference() -> Value {
    let bytes = fs::read(data("finetune.json")).expect("the reference");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn read(path: &Path) -> StateDict {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    weights::read(bytes, &ReadOptions::default()).expect("weights")
}

#[test]
fn learning_rates_are_those_of_the_reference() {
    let config = FinetuneConfig::read(None, &["data.path=none".into()]).expect("defaults");
    assert_eq!(config.steps(), 50_000);
    let rates = config.rates();
    for (n, expected) in numbers(&reference()["rates"]).into_iter().enumerate() {
        let epoch = 49 * n as u64;
        for step in [100 * epoch, 100 * epoch + 99] {
            let found = rates.at(step);
            let error = (found - expected).abs() / expected;
            assert!(error < 1e-6, "step {step}: {found}, not {expected}");
        }
    }
}

#[derive(Module, Debug)]
struct Weight {
    weight: Param<Tensor<2>>,
}

#[test]
fn a_parameter_that_joins_late_is_corrected_for_its_own_steps() {
    let device = Device::flex().autodiff();
    let first: Vec<f32> = (0..6).map(|n| (n as f32 - 2.5) / 3.0).collect();
    let first = TensorData::new(first, [2, 3]);
    let mut module = Weight {
        weight: Param::from_tensor(Tensor::from_data(first, &device)).set_require_grad(false),
    };
    let config = AdamWConfig {
        weight_decay: 0.1,
        ..AdamWConfig::default()
    };
    let mut optimizer = AdamW::new(config).delayed(vec![3]);
    for step in 0..8 {
        if step == 3 {
            module.weight = module.weight.set_require_grad(true);
        }
        let gradient: Vec<f32> = (0..6)
            .map(|n| match step < 3 {
                true => 0.0,
                false => ((step * 6 + n) as f32 * 0.7).sin(),
            })
            .collect();
        let gradient = TensorData::new(gradient, [6]);
        let gradient = Tensor::<1>::from_data(gradient, &device.clone().inner());
        module = optimizer.step(module, FlatGradients(vec![gradient]), 0.01);
    }
    let found: Vec<f64> = module.weight.val().into_data().iter::<f64>().collect();
    for (found, expected) in found.iter().zip(numbers(&reference()["frozen"])) {
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
    }
}

#[test]
fn windows_are_averaged_as_monai_does() {
    let Some(path) = golden("unet_seg_4_1_3_32.pth") else {
        return;
    };
    let reference = reference();
    let mut state = read(&path);
    let spec = identify(&mut state, None).expect("a U-Net").spec;
    let device = Device::flex();
    let model = spec.init(&device).expect("a network");
    let (model, _) = load_into(model, &state, &LoadOptions::default()).expect("its weights");
    let shape = [48, 40, 56];
    let value = |n: usize| {
        let [x, y, z] = [n / 40 / 56, n / 56 % 40, n % 56].map(|v| v as f64);
        ((0.37 * x + 0.2 * y).sin() * (0.29 * z).cos() + 0.01 * x) as f32
    };
    let image: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    let input = Input {
        data: &image,
        channels: 1,
        shape,
    };
    for (name, weighting) in [
        ("uniform", Weighting::Uniform),
        ("gaussian", Weighting::Gaussian),
    ] {
        let options = InferOptions {
            window: SlidingWindow {
                patch: [32; 3],
                overlap: 0.5,
                weighting,
                mirror: false,
            },
            ..InferOptions::default()
        };
        let mut on = |_| ControlFlow::Continue(());
        let found = score_map(&model, &spec, input, &options, &device, &mut on).expect("logits");
        let expected = &reference[name];
        let every = reference["every"].as_u64().expect("a number") as usize;
        let values = numbers(&expected["values"]);
        assert_eq!(values.len(), found.len().div_ceil(every));
        for (n, value) in values.into_iter().enumerate() {
            let found = f64::from(found[n * every]);
            let bound = 1e-4 * value.abs().max(0.1);
            assert!(
                (found - value).abs() < bound,
                "{name}: {found}, not {value}"
            );
        }
        let means = numbers(&expected["mean"]);
        let deviations = numbers(&expected["deviation"]);
        for (class, scores) in found.chunks_exact(image.len()).enumerate() {
            let count = scores.len() as f64;
            let mean = scores.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
            let squares = scores.iter().map(|&v| (f64::from(v) - mean).powi(2));
            let deviation = (squares.sum::<f64>() / count).sqrt();
            assert!(
                (mean / means[class] - 1.0).abs() < 1e-4,
                "{name}: mean {mean}"
            );
            let error = deviation / deviations[class] - 1.0;
            assert!(error.abs() < 1e-4, "{name}: deviation {deviation}");
        }
    }
}

/// Two labelled images of one or two channels, in an nnU-Net folder.
fn dataset(folder: &Path, channels: usize) {
    let grid = Grid {
        shape: [18, 17, 16],
        affine: Affine::IDENTITY,
    };
    let header = Header::new(&grid);
    for case in 0..2 {
        for channel in 0..channels {
            let value = |n: usize| ((n * (7 + case + channel)) % 101) as f32;
            let data = (0..grid.voxels()).map(value).collect();
            let volume = Volume::new(grid.clone(), data).expect("voxels");
            let path = folder.join(format!("imagesTr/case{case}_{channel:04}.nii"));
            volumes::write(&path, &header, Voxels::Real(&volume)).expect("written");
        }
        let data = (0..grid.voxels()).map(|n| Label::from(n % 5 == 0));
        let volume = Volume::new(grid.clone(), data.collect()).expect("voxels");
        let path = folder.join(format!("labelsTr/case{case}.nii"));
        volumes::write(&path, &header, Voxels::Labels(&volume)).expect("written");
    }
    let names: serde_json::Map<String, Value> = (0..channels)
        .map(|n| (n.to_string(), format!("c{n}").into()))
        .collect();
    let json = serde_json::json!({
        "channel_names": names, "labels": {"background": 0, "lesion": 1}, "file_ending": ".nii"
    });
    fs::write(folder.join("dataset.json"), json.to_string()).expect("written");
}

/// The weights that a run begins with, and what its folder says about them.
fn begun(weights: &Path, channels: usize, set: &[&str]) -> (StateDict, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    dataset(folder.path(), channels);
    let mut settings = vec![
        format!("run.folder={}", folder.path().display()),
        "run.name=run".into(),
        "data.layout=nnunet".into(),
        format!("data.path={}", folder.path().display()),
        "split.validation=0".into(),
        format!("model.weights={}", weights.display()),
        "patch.size=[16,16,16]".into(),
        "patch.batch=2".into(),
        "training.steps=1".into(),
    ];
    settings.extend(set.iter().map(|&s| s.to_owned()));
    let config = FinetuneConfig::read(None, &settings).expect("a configuration");
    let stop = AtomicBool::new(false);
    let ended = finetune::run(&config, Start::Begin, Device::flex(), &stop, &mut |_| {});
    assert_eq!(ended.expect("a run").reason, EndReason::Finished);
    let run = config.folder();
    let first = Checkpoint::read(&run.join(checkpoint::file(0))).expect("a checkpoint");
    let report = fs::read(run.join(finetune::WEIGHTS)).expect("a report");
    (first.model, serde_json::from_slice(&report).expect("JSON"))
}

fn values(state: &StateDict, name: &str) -> Vec<f32> {
    let data = state.f32(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    data.iter::<f32>().collect()
}

fn listed(report: &Value, what: &str) -> Vec<String> {
    let names = report[what].as_array().expect("a list");
    let names = names.iter().map(|n| n.as_str().expect("a name").to_owned());
    names.collect()
}

#[test]
fn the_encoder_of_files_that_pytorch_wrote_is_taken_exactly() {
    let reference = reference();
    let tensors = reference["weights"].as_object().expect("names");
    let encoder = tensors.keys().filter(|n| n.starts_with("encoder."));
    let encoder: Vec<&String> = encoder.collect();
    assert_eq!((tensors.len(), encoder.len()), (66, 40));
    for (file, head) in [
        ("unet_light.pth", "light"),
        ("unet_light.ckpt", "light"),
        ("unet_encoder.pth", "segmentation"),
    ] {
        let path = data("weights").join(file);
        let (state, report) = begun(&path, 1, &[]);
        for (n, (name, shape)) in tensors.iter().enumerate() {
            if !name.starts_with("encoder.") {
                assert!(
                    state.get(name).is_none(),
                    "{file}: {name} is the old head's"
                );
                continue;
            }
            let shape: Vec<usize> = numbers(shape).into_iter().map(|v| v as usize).collect();
            assert_eq!(state.shape(name), Some(shape.as_slice()), "{file}: {name}");
            let found = values(&state, name);
            let count = found.len() as f64;
            let expected = (0..found.len()).map(|i| (n as f64 + i as f64 / count) as f32);
            assert!(expected.eq(found), "{file}: {name}");
        }
        let matched = listed(&report, "matched");
        assert!(
            matched.iter().eq(encoder.iter().copied()),
            "{file}: {matched:?}"
        );
        let missing = listed(&report, "missing");
        assert_eq!(missing.len(), 42, "{file}");
        assert!(
            missing.iter().all(|n| n.starts_with("pred_head.")),
            "{missing:?}"
        );
        let unexpected = listed(&report, "unexpected");
        assert!(
            unexpected.iter().all(|n| n.starts_with("rec_head.")),
            "{unexpected:?}"
        );
        let others = if head == "light" { 26 } else { 0 };
        assert_eq!(unexpected.len(), others, "{file}");
        assert!(listed(&report, "mismatched").is_empty());
        assert_eq!(report["network"]["head"], head);
    }
}

/// A residual encoder pretrained without skips gets a decoder with skips.
#[test]
fn a_residual_encoder_is_taken_under_names_of_its_publisher() {
    let path = data("weights").join("resenc_noskip.pth");
    let (state, report) = begun(&path, 1, &["patch.size=[32,32,32]"]);
    let encoder = state.names().filter(|n| n.starts_with("encoder."));
    let mut encoder: Vec<&str> = encoder.collect();
    let mut matched = listed(&report, "matched");
    encoder.sort_unstable();
    matched.sort_unstable();
    assert_eq!(matched, encoder);
    assert_eq!(report["network"]["network"], "resencunet");
    assert_eq!(report["network"]["skips"], false);
    let joined = "decoder.stages.0.convs.0.conv.weight";
    assert_eq!(state.shape(joined), Some(&[4, 8, 3, 3, 3][..]));
}

/// A chain of layers gives all but the one that names the classes.
#[test]
fn a_chain_is_taken_but_for_its_head() {
    for (backbone, network, layers) in [("meshnet", "meshnet", 9), ("strided", "strided", 17)] {
        let folder = tempfile::tempdir().expect("a folder");
        dataset(folder.path(), 1);
        let settings = [
            format!("run.folder={}", folder.path().display()),
            "run.name=first".into(),
            "data.layout=nnunet".into(),
            format!("data.path={}", folder.path().display()),
            "split.validation=0".into(),
            format!("model.backbone={backbone}"),
            "model.filters=2".into(),
            "patch.size=[16,18,20]".into(),
            "patch.batch=2".into(),
            "training.steps=2".into(),
        ];
        let config = FinetuneConfig::read(None, &settings).expect("a configuration");
        let stop = AtomicBool::new(false);
        finetune::run(&config, Start::Begin, Device::flex(), &stop, &mut |_| {}).expect("a run");
        let at = |step| {
            let path = config.folder().join(checkpoint::file(step));
            Checkpoint::read(&path).expect("a checkpoint").model
        };
        let (before, after) = (at(0), at(2));
        let (state, report) = begun(&config.folder(), 2, &[]);
        assert_eq!(report["network"]["network"], network);
        let head = format!(".{layers}.");
        assert!(listed(&report, "missing").iter().all(|n| n.contains(&head)));
        assert_eq!(listed(&report, "matched").len(), 2 * layers);
        for name in after.names() {
            let (found, source) = (values(&state, name), values(&after, name));
            if name.contains(&head) {
                assert_ne!(values(&before, name), source, "{name} learns");
                assert_ne!(found, source, "{name} is drawn anew");
            } else if name.ends_with(".0.weight") {
                // It reads two channels now.
                let half: Vec<f32> = source[..27].iter().map(|v| v / 2.0).collect();
                assert_eq!(found[..27], half, "{name}");
            } else {
                assert_eq!(found, source, "{name}");
            }
        }
    }
}

#[test]
fn networks_that_do_not_suit_are_named() {
    for (settings, expected) in [
        (
            ["model.backbone=resenc-b", "patch.size=[64,80,64]"],
            "multiples of 32",
        ),
        (
            ["model.backbone=strided", "patch.size=[15,16,16]"],
            "multiples of 2",
        ),
        (["model.backbone=resenc-b", "model.filters=0"], "features"),
    ] {
        let mut all = vec!["data.path=x".to_owned()];
        all.extend(settings.map(str::to_owned));
        let error = FinetuneConfig::read(None, &all)
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    for backbone in ["meshnet", "strided"] {
        let settings = [
            "data.store=x".to_owned(),
            format!("model.backbone={backbone}"),
        ];
        let error = PretrainConfig::read(None, &settings).expect_err("not pretrained");
        assert!(error.to_string().contains("finetuned only"), "{error}");
    }
}

#[test]
fn several_channels_repeat_the_first_convolution() {
    let path = data("weights").join("unet_light.pth");
    let name = "encoder.in_conv.conv1.conv.weight";
    let one = values(&begun(&path, 1, &[]).0, name);
    let two = values(&begun(&path, 2, &[]).0, name);
    let expected: Vec<f32> = [&one, &one]
        .into_iter()
        .flatten()
        .map(|v| v / 2.0)
        .collect();
    assert_eq!(two, expected);
}

#[test]
fn a_decoder_gives_what_fits() {
    let path = data("weights").join("unet_light.pth");
    let (state, report) = begun(&path, 1, &["model.transfer=all"]);
    let matched = listed(&report, "matched");
    // The transposed convolutions have one shape in both decoders.
    let taken = matched.iter().filter(|n| n.starts_with("pred_head."));
    assert!(
        taken
            .clone()
            .any(|n| n.as_str() == "pred_head.upsample1.weight")
    );
    assert!(matched.len() > 40 && taken.count() < 42);
    let tensors = reference()["weights"].as_object().expect("names").clone();
    let place = tensors
        .keys()
        .position(|n| n == "rec_head.upsample1.weight");
    let first = values(&state, "pred_head.upsample1.weight")[0];
    assert_eq!(Some(first as usize), place);
}

#[test]
fn the_golden_encoder_is_taken_exactly() {
    let Some(path) = golden("unet_pre_4_32.pth") else {
        return;
    };
    let mut source = read(&path);
    identify(&mut source, None).expect("a U-Net");
    let (state, report) = begun(&path, 1, &[]);
    let names: Vec<&str> = source
        .names()
        .filter(|n| n.starts_with("encoder."))
        .collect();
    assert_eq!(names.len(), 40);
    for name in &names {
        assert_eq!(values(&state, name), values(&source, name), "{name}");
    }
    assert_eq!(listed(&report, "matched").len(), 40);
}
