//! PyTorch checkpoints; `tests/reference/weights.py` wrote the files.

use std::fs;

use amaes_core::model::{MedNeXtDecoder, Spec, UNetHead};
use amaes_core::weights::{
    Format, ReadOptions, StateDict, WeightsError, detect, identify, parameters, read,
};
use burn::tensor::{DType, TensorData};

use super::{data, floats, import, read_plain, shared, small_meshnet};

fn range(from: usize, to: usize, step: usize) -> Vec<f32> {
    (from..to).step_by(step).map(|v| v as f32).collect()
}

#[test]
fn views_and_types_are_read_from_every_container() {
    for (file, format) in [
        ("views.pth", Format::PytorchZip),
        ("views_protocol5.pth", Format::PytorchZip),
        ("legacy.pth", Format::PytorchLegacy),
    ] {
        let bytes = data(file);
        assert_eq!(detect(&bytes).expect(file), format);
        let state = read_plain(bytes).expect(file);
        let names: Vec<_> = state.names().collect();
        assert_eq!(
            names,
            [
                "plain",
                "transposed",
                "tail",
                "every_third",
                "half",
                "brain",
                "double",
                "count",
                "scalar",
                "empty"
            ],
            "{file}"
        );
        assert_eq!(state.shape("plain"), Some(&[3, 4, 5][..]));
        assert_eq!(floats(&state, "plain"), range(0, 60, 1));
        assert_eq!(state.shape("transposed"), Some(&[5, 3, 4][..]));
        // Element [k, i, j] of the transposed tensor is [i, j, k] of the range.
        let transposed: Vec<f32> = (0..5)
            .flat_map(|k| (0..12).map(move |ij| (ij * 5 + k) as f32))
            .collect();
        assert_eq!(floats(&state, "transposed"), transposed, "{file}");
        assert_eq!(floats(&state, "tail"), range(40, 60, 1));
        assert_eq!(floats(&state, "every_third"), range(1, 60, 3));
        for (name, dtype) in [
            ("half", DType::F16),
            ("brain", DType::BF16),
            ("double", DType::F64),
        ] {
            assert_eq!(
                state.get(name).map(TensorData::dtype),
                Some(dtype),
                "{file}"
            );
            assert_eq!(floats(&state, name), range(0, 6, 1));
        }
        assert_eq!(floats(&state, "scalar"), [2.5]);
        assert_eq!(state.shape("scalar"), Some(&[][..]));
        assert_eq!(state.shape("empty"), Some(&[0, 3][..]));
        assert!(matches!(
            state.f32("count"),
            Err(WeightsError::UnsupportedType { name, dtype }) if name == "count" && dtype == "i64"
        ));
    }
}

/// The state dict alone, under a key, of parameters, and in a Lightning checkpoint with settings,
/// counters and an optimiser beside it.
#[test]
fn state_dicts_are_found_wherever_they_are() {
    let config = serde_json::to_vec(&small_meshnet()).expect("serialisable");
    let mut first: Option<StateDict> = None;
    for file in [
        "state_dict.pth",
        "name_of_21_characters.pth",
        "no_checksums.pth",
        "deflated.pth",
        "network_weights.pth",
        "parameters.pth",
        "lightning.ckpt",
    ] {
        let mut state = read_plain(data(file)).expect(file);
        assert_eq!(state.len(), 6, "{file}");
        let found = identify(&mut state, Some(&config)).expect(file);
        assert_eq!(found.spec, Spec::MeshNet(small_meshnet()));
        assert_eq!(found.name, None);
        assert_eq!(found.ignored, Vec::<String>::new());
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
        assert_eq!(floats(&state, "convs.1.weight"), range(0, 108, 1));
        if let Some(first) = &first {
            super::assert_same(first, &state);
        } else {
            first = Some(state);
        }
    }
}

fn refused(file: &str) -> String {
    read_plain(data(file)).expect_err(file).to_string()
}

#[test]
fn pickles_that_run_code_are_refused_by_name() {
    for file in ["attack.pth", "attack_legacy.pth", "attack.pkl"] {
        let error = read_plain(data(file)).expect_err(file);
        assert!(
            matches!(&error, WeightsError::ForbiddenGlobal { global } if global == "posix.system"),
            "{file}: {error}"
        );
        assert!(error.to_string().contains("`posix.system`"));
    }
    // The weights are sound, but something else in the file is not.
    assert!(refused("attack_beside.ckpt").contains("`__builtin__.eval`"));
    let protocol_0 = b"cos\nsystem\n(S'echo attacked'\ntR.".to_vec();
    let error = read_plain(protocol_0).expect_err("an attack").to_string();
    assert!(error.contains("`os.system`"), "{error}");
}

#[test]
fn foreign_classes_need_to_be_allowed() {
    let error = refused("foreign_class.ckpt");
    assert!(error.contains("`trainer_settings.Settings`"), "{error}");
    let allowed = ReadOptions {
        allow_globals: vec!["trainer_settings.Settings".to_owned()],
    };
    let state = read(data("foreign_class.ckpt"), &allowed).expect("allowed");
    assert_eq!(state.len(), 6);
}

#[test]
fn tensors_that_cannot_be_weights_are_refused() {
    let error = refused("expanded.pth");
    assert!(
        error.contains("1099511627776 values from 1 stored"),
        "{error}"
    );
    let error = refused("complex.pth");
    assert!(
        error.contains("`complex`: its storage type is not read"),
        "{error}"
    );
    assert!(refused("sparse.pth").contains("`torch._utils._rebuild_sparse_tensor`"));
}

#[test]
fn pickles_without_tensors_are_told_apart() {
    let error = read_plain(b"\x80\x02}q\x00.".to_vec()).expect_err("no tensors");
    assert!(matches!(
        error,
        WeightsError::Empty {
            format: Format::Pickle
        }
    ));
    let error = read_plain(b"\x80\x07N.".to_vec()).expect_err("no pickle");
    assert!(
        matches!(error, WeightsError::UnknownFormat { .. }),
        "{error}"
    );
}

/// What a golden file's name says of its network.
fn check_golden(name: &str, spec: &Spec) {
    let numbers: Vec<usize> = name
        .split('_')
        .filter_map(|part| part.parse().ok())
        .collect();
    match (name, spec) {
        (n, Spec::UNet(c)) if n.starts_with("unet_seg") => {
            assert_eq!(c.head, UNetHead::Segmentation);
            assert_eq!([c.filters, c.in_channels, c.out_channels], numbers[..3]);
        }
        (n, Spec::UNet(c)) if n.starts_with("unet_pre") => {
            assert_eq!(c.head, UNetHead::Light);
            assert_eq!(
                [c.filters, c.in_channels, c.out_channels],
                [numbers[0], 1, 1]
            );
        }
        (n, Spec::MedNeXt(c)) if n.starts_with("mednext") => {
            assert_eq!([c.filters, c.out_channels], numbers[..2]);
            assert_eq!((c.in_channels, c.kernel), (1, 3));
            assert_eq!(c.expansion, [2, 3, 4, 4, 4]);
            assert_eq!(c.blocks, [1, 2, 1, 1, 1]);
            let decoder = match name.split('_').nth(1) {
                Some("std") => MedNeXtDecoder::Plain,
                Some("light") => MedNeXtDecoder::Light,
                _ => MedNeXtDecoder::Native {
                    expansion: [4, 4, 3, 2],
                    blocks: [1; 4],
                },
            };
            assert_eq!(c.decoder, decoder);
        }
        _ => panic!("{name} was taken for {spec:?}"),
    }
}

#[test]
fn golden_networks_are_identified() {
    let Some(folder) = shared("golden", "golden_networks_are_identified") else {
        return;
    };
    let mut found = 0;
    for file in fs::read_dir(folder).expect("a folder") {
        let path = file.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "pth") {
            continue;
        }
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name")
            .to_owned();
        let (state, identified) = import(&path, None).expect(&name);
        check_golden(&name, &identified.spec);
        assert!(identified.ignored.is_empty());
        let expected = parameters(&identified.spec).expect("valid");
        let names: Vec<_> = expected.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(state.names().collect::<Vec<_>>(), names, "order of {name}");
        found += 1;
    }
    assert!(found >= 6, "{found} networks");
}
