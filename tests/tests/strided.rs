//! The published strided encoder-decoder against PyTorch: output, loss, every gradient, and the
//! classes of a real image.
//!
//! `tests/reference/strided.py` wrote `tests/data/strided.json`.

use std::ops::ControlFlow;
use std::path::Path;

use amaes::model::{Beside, open};
use amaes::segment::{SegmentOptions, Segmenter};
use amaes_core::model::{Spec, StridedConfig};
use amaes_core::weights::{StateDict, WeightsError, identify, parameters};
use amaes_tests::check_recorded;
use burn::tensor::{Device, TensorData};
use serde_json::Value;

/// Voxels of those recorded that may differ: ties within rounding.
const MOST: usize = 3;

fn reference() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/strided.json");
    let text = std::fs::read_to_string(path).expect("the recorded reference");
    serde_json::from_str(&text).expect("JSON")
}

fn check(device: &Device) {
    let spec = Spec::Strided(StridedConfig::of(3, 1, 1));
    let device = device.clone().autodiff();
    check_recorded("drawn", &spec, [36, 30, 32], &reference()["drawn"], &device);
}

#[test]
fn the_network_equals_pytorch_on_flex() {
    check(&Device::flex());
}

#[test]
fn the_network_equals_pytorch_on_wgpu() {
    match amaes::device::DeviceKind::Wgpu.open() {
        Ok(device) => check(&device),
        Err(error) => println!("skipped: {error}"),
    }
}

#[test]
fn published_weights_give_the_classes_of_pytorch() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let path = shared.join("weights/niivue-tinygrad/net_robust_tissue.safetensors");
    if !path.is_file() {
        println!("skipped: no {}", path.display());
        return;
    }
    let opened = open(&path, &Beside::default()).expect("a model");
    let names: Vec<&str> = opened
        .file
        .labels
        .0
        .iter()
        .map(|l| l.name.as_str())
        .collect();
    assert_eq!(names, ["background", "Grey Matter", "White Matter"]);
    assert!(opened.notes.is_empty(), "{:?}", opened.notes);
    let (device, image) = (Device::flex(), shared.join("mri/t1_crop.nii.gz"));
    let options = SegmentOptions::default();
    let segmenter = Segmenter::new(&opened.file, &path, &device, options).expect("a network");
    let mut go_on = |_| ControlFlow::Continue(());
    let found = segmenter
        .segment(std::slice::from_ref(&image), &mut go_on)
        .expect("a segmentation");
    let labels = found.labels.to_c_order();
    let mut counts = [0_u64; 3];
    for &label in &labels {
        counts[usize::from(label)] += 1;
    }
    // Grey matter is darker than white matter in a T1 image: the names are not swapped.
    let rows = &found.report.labels;
    assert!(rows[0].mean < rows[1].mean, "{rows:?}");
    let published = &reference()["published"];
    for (count, expected) in counts
        .iter()
        .zip(published["counts"].as_array().expect("a list"))
    {
        let expected = expected.as_u64().expect("a count");
        assert!(count.abs_diff(expected) <= 20, "{counts:?}");
    }
    let every_eighth = published["every_eighth"].as_str().expect("digits");
    let at = |i: usize| 8 * ((i / 1024 * 256 + i / 32 % 32) * 256 + i % 32);
    let differ = every_eighth
        .bytes()
        .enumerate()
        .filter(|(i, digit)| labels[at(*i)] != u16::from(digit - b'0'));
    assert!(differ.count() <= MOST);
}

#[test]
fn other_names_and_shapes_are_told_apart() {
    let spec = Spec::Strided(StridedConfig::of(4, 2, 5));
    let published = |change: &dyn Fn(&str, Vec<usize>) -> Vec<usize>| {
        let mut state = StateDict::new();
        for (name, shape) in parameters(&spec).expect("valid") {
            let shape = change(&name, shape);
            let count = shape.iter().product();
            let name = name.replace(".weight", ".2").replace(".bias", ".3");
            let data = TensorData::new(vec![0.5_f32; count], shape);
            state.insert(name, data).expect("a new name");
        }
        let found = identify(&mut state, None)?;
        assert!(state.shape("layers.5.weight").is_some());
        Ok::<_, WeightsError>(found)
    };
    let found = published(&|_, shape| shape).expect("a network");
    assert_eq!(found.spec, spec);
    // Not one of those whose classes are known.
    assert!(found.name.is_none() && found.plan.is_none());
    let narrow = |name: &str, shape: Vec<usize>| match name {
        "layers.7.bias" => vec![7],
        _ => shape,
    };
    let error = published(&narrow).expect_err("not so wide").to_string();
    assert!(error.contains("layers.7.bias"), "{error}");
}
