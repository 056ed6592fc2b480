//! ResEnc U-Nets against dynamic-network-architectures: output, loss, every gradient, sizes.
//!
//! `tests/reference/resenc.py` wrote `tests/data/resenc.json`.

use std::path::Path;

use amaes_core::model::{ResEncUNetConfig, Spec};
use amaes_core::weights::parameters;
use amaes_tests::check_recorded;
use burn::tensor::Device;
use serde_json::Value;

fn reference() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/resenc.json");
    let text = std::fs::read_to_string(path).expect("the recorded reference");
    serde_json::from_str(&text).expect("JSON")
}

/// The networks of `resenc.py`.
fn networks() -> [(&'static str, ResEncUNetConfig, [usize; 3]); 4] {
    let six = ResEncUNetConfig {
        features: vec![4, 6, 6, 8, 10, 10],
        blocks: vec![1, 2, 1, 1, 2, 1],
        ..ResEncUNetConfig::b(1, 1)
    };
    let four = ResEncUNetConfig {
        features: six.features[..4].to_vec(),
        blocks: six.blocks[..4].to_vec(),
        ..six.clone()
    };
    let double = ResEncUNetConfig {
        features: vec![3, 5, 5],
        blocks: vec![2, 1, 2],
        decoder_convs: 2,
        ..ResEncUNetConfig::b(1, 1)
    };
    [
        ("cube", six.clone(), [64; 3]),
        ("slab", six.clone(), [64, 96, 32]),
        ("double", double, [24, 16, 20]),
        ("light", four.light(), [64; 3]),
    ]
}

fn check_all(device: &Device) {
    let (device, reference) = (device.clone().autodiff(), reference());
    for (name, config, size) in networks() {
        let spec = Spec::ResEncUNet(config);
        check_recorded(name, &spec, size, &reference[name], &device);
    }
}

#[test]
fn networks_equal_the_package_on_flex() {
    check_all(&Device::flex());
}

#[test]
fn networks_equal_the_package_on_wgpu() {
    match amaes::device::DeviceKind::Wgpu.open() {
        Ok(device) => check_all(&device),
        Err(error) => println!("skipped: {error}"),
    }
}

#[test]
fn sizes_are_those_published() {
    let published = &reference()["published"];
    let all = parameters(&Spec::ResEncUNet(ResEncUNetConfig::b(1, 1))).expect("valid");
    let count = |prefix: &str| {
        let of = all.iter().filter(|(name, _)| name.starts_with(prefix));
        of.map(|(_, shape)| shape.iter().product::<usize>())
            .sum::<usize>()
    };
    assert_eq!(published["all"], count(""));
    assert_eq!(published["encoder"], count("encoder."));
}
