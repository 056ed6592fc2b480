//! The decoders of the paper's ablation against PyTorch: output, loss, every gradient.
//!
//! `tests/reference/decoders.py` wrote `tests/data/decoders.json`.

use std::path::Path;

use amaes_core::model::{MedNeXtConfig, Spec, UNetConfig, UNetHead};
use amaes_tests::check_recorded;
use burn::tensor::Device;
use serde_json::Value;

const SIZE: usize = 32;

/// The networks of `decoders.py`.
fn networks() -> Vec<(String, Spec)> {
    let mut list = Vec::new();
    for (name, head) in [
        ("standard", UNetHead::Standard),
        ("light_skips", UNetHead::LightSkips),
        ("standard_skips", UNetHead::StandardSkips),
    ] {
        let unet = UNetConfig {
            filters: 2,
            head,
            ..UNetConfig::b(1, 1)
        };
        let mednext = MedNeXtConfig {
            filters: 3,
            blocks: [1, 1, 2, 1, 1],
            decoder: head.into(),
            ..MedNeXtConfig::m(1, 1)
        };
        list.push((format!("unet_{name}"), Spec::UNet(unet)));
        list.push((format!("mednext_{name}"), Spec::MedNeXt(mednext)));
    }
    list
}

#[test]
fn decoders_equal_pytorch() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/decoders.json");
    let text = std::fs::read_to_string(path).expect("the recorded reference");
    let reference: Value = serde_json::from_str(&text).expect("JSON");
    let device = Device::flex().autodiff();
    for (name, spec) in networks() {
        check_recorded(&name, &spec, [SIZE; 3], &reference[&name], &device);
    }
}

/// Descriptions in older files are read, and each is written in its own way.
#[test]
fn heads_keep_their_names() {
    let config = |head: &str| {
        serde_json::json!({
            "network": "unet", "filters": 4, "in_channels": 1, "out_channels": 1, "head": head
        })
    };
    for (name, head) in [
        ("segmentation", UNetHead::Segmentation),
        ("light", UNetHead::Light),
        ("standard", UNetHead::Standard),
        ("light_skips", UNetHead::LightSkips),
        ("standard_skips", UNetHead::StandardSkips),
    ] {
        let spec: Spec = serde_json::from_value(config(name)).expect("a description");
        let Spec::UNet(unet) = &spec else {
            panic!("{spec:?}");
        };
        assert_eq!(unet.head, head);
        assert_eq!(serde_json::to_value(&spec).expect("JSON"), config(name));
    }
}
