//! Any text as `model.json`, and what follows its first zero byte as every shard.
#![no_main]

mod weights;

use amaes_core::weights::{parameters, tfjs};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    let (json, shard) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    if let Ok(model) = tfjs::read(json, |_| Ok(shard.to_vec())) {
        let spec = amaes_core::model::Spec::MeshNet(model.config);
        if let Ok(expected) = parameters(&spec) {
            assert_eq!(expected.len(), model.state.len());
        }
        weights::check(model.state);
    }
});
