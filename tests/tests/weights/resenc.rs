//! Checkpoints of residual encoders, as each publisher names their parameters.
//!
//! `tests/reference/resenc.py` wrote them: all with the same weights.

use amaes_core::model::{ResEncUNetConfig, Spec};
use amaes_core::preprocess::{Normalization, Plan, Step};
use amaes_core::weights::{
    LoadOptions, Partial, ReadOptions, StateDict, initial, open, parameters, transfer,
};

use super::{data, floats, read_plain};

fn config() -> ResEncUNetConfig {
    ResEncUNetConfig {
        features: vec![2, 3, 3, 4, 4, 4],
        blocks: vec![1, 2, 1, 1, 1, 1],
        ..ResEncUNetConfig::b(1, 2)
    }
}

fn opened(file: &str) -> (Spec, Plan, StateDict) {
    let opened = open(data(file), file, None, &ReadOptions::default()).expect(file);
    assert!(opened.notes.is_empty(), "{file}: {:?}", opened.notes);
    let assumed = opened.assumed_plan.expect("it says none");
    assert!(assumed.contains("standard deviation 1"), "{assumed}");
    assert_eq!(opened.file.hints.patch, Some([160; 3]));
    (opened.file.spec, opened.file.plan, opened.file.state)
}

#[test]
fn publishers_name_one_network_differently() {
    let spec = Spec::ResEncUNet(config());
    let (found, plan, nnssl) = opened("resenc_nnssl.pth");
    assert_eq!(found, spec);
    assert!(
        plan.steps
            .contains(&Step::Normalize(Normalization::Standardize))
    );
    assert_eq!(nnssl.len(), parameters(&spec).expect("valid").len());
    for file in ["resenc_asparagus.ckpt", "resenc_asparagus_older.ckpt"] {
        let (found, _, state) = opened(file);
        assert_eq!(found, spec, "{file}");
        assert_eq!(state.len(), nnssl.len());
        for name in state.names() {
            // Their file has one output only.
            let other = (0..4).any(|i| name.starts_with(&format!("decoder.seg_layers.{i}.")));
            match other {
                true => assert!(floats(&state, name).iter().all(|&v| v == 0.0), "{name}"),
                false => assert_eq!(floats(&state, name), floats(&nnssl, name), "{name}"),
            }
        }
    }
}

#[test]
fn an_encoder_comes_from_a_network_without_skips() {
    let light = ResEncUNetConfig {
        out_channels: 1,
        ..config()
    };
    let (found, _, pretrained) = opened("resenc_noskip.pth");
    assert_eq!(found, Spec::ResEncUNet(light.light()));
    let spec = Spec::ResEncUNet(ResEncUNetConfig {
        in_channels: 2,
        ..config()
    });
    let mut state = initial(&spec, 1).expect("valid");
    let options = LoadOptions {
        partial: Partial::EncoderOnly(&spec),
        repeat_stem: true,
    };
    let report = transfer(&mut state, &pretrained, &options).expect("fits");
    let encoder = parameters(&spec).expect("valid");
    let encoder = encoder.iter().filter(|(n, _)| n.starts_with("encoder."));
    assert_eq!(report.matched.len(), encoder.count());
    assert!(report.missing.iter().all(|n| n.starts_with("decoder.")));
    let stem = "encoder.stem.convs.0.conv.weight";
    let (one, two) = (floats(&pretrained, stem), floats(&state, stem));
    assert_eq!(
        two[..27],
        one[..27].iter().map(|v| v / 2.0).collect::<Vec<_>>()
    );
}

#[test]
fn other_strides_and_heads_are_refused() {
    let refused = |change: &dyn Fn(&str) -> Option<String>| {
        let mut state = StateDict::new();
        for (name, tensor) in read_plain(data("resenc_nnssl.pth")).expect("a state dict") {
            if let Some(name) = change(&name) {
                state.insert(name, tensor).expect("a new name");
            }
        }
        let error = amaes_core::weights::identify(&mut state, None).expect_err("refused");
        error.to_string()
    };
    let headless = refused(&|name| (!name.starts_with("decoder.")).then(|| name.to_owned()));
    assert!(headless.contains("without a decoder"), "{headless}");
    let short = refused(&|name| (!name.contains("conv2.norm.bias")).then(|| name.to_owned()));
    assert!(
        short.contains("encoder.stages.0.blocks.0.conv2.norm.bias"),
        "{short}"
    );
}
