//! safetensors, and what network its tensors are.

use amaes_core::weights::{Format, WeightsError, detect, identify};
use burn::tensor::DType;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

use super::{floats, read_plain};

/// A file of tensors of one type, each filled with `fill`.
fn file(dtype: Dtype, fill: &[u8], tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape)| fill.repeat(shape.iter().product()))
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape), bytes)| {
        (
            *name,
            TensorView::new(dtype, shape.to_vec(), bytes).expect("fits"),
        )
    });
    serialize(views, None).expect("serialisable")
}

#[test]
fn every_float_type_is_read() {
    for (dtype, fill, stored) in [
        (Dtype::F64, 1.5f64.to_le_bytes().to_vec(), DType::F64),
        (Dtype::F32, 1.5f32.to_le_bytes().to_vec(), DType::F32),
        (Dtype::F16, 0x3e00u16.to_le_bytes().to_vec(), DType::F16),
        (Dtype::BF16, 0x3fc0u16.to_le_bytes().to_vec(), DType::BF16),
    ] {
        let bytes = file(dtype, &fill, &[("a", &[2, 3])]);
        assert_eq!(detect(&bytes).expect("known"), Format::Safetensors);
        let state = read_plain(bytes).expect("valid");
        assert_eq!(state.get("a").map(|data| data.dtype()), Some(stored));
        assert_eq!(floats(&state, "a"), [1.5; 6]);
    }
}

#[test]
fn eight_bit_floats_are_refused() {
    let bytes = file(Dtype::F8_E4M3, &[0x3c], &[("a", &[4])]);
    let error = read_plain(bytes).expect_err("not read").to_string();
    assert!(
        error.contains("tensor `a` has element type F8_E4M3"),
        "{error}"
    );
}

#[test]
fn headers_that_lie_are_refused() {
    let good = file(Dtype::F32, &[0; 4], &[("a", &[4])]);
    // The header claims more than the file has.
    let mut long = good.clone();
    long[..8].copy_from_slice(&1_000_000u64.to_le_bytes());
    // More values than bytes.
    let text = String::from_utf8_lossy(&good[8..]).into_owned();
    let many = text.replace("[4]", "[9]").into_bytes();
    let many = [&good[..8], &many].concat();
    // Offsets beyond the data.
    let far = text.replace("[0,16]", "[0,96]").into_bytes();
    let far = [&good[..8], &far].concat();
    for (what, bytes) in [
        ("long", long),
        ("many", many),
        ("far", far),
        ("cut", good[..good.len() - 1].to_vec()),
    ] {
        let error = read_plain(bytes).expect_err(what);
        assert!(
            matches!(
                error,
                WeightsError::Malformed {
                    format: Format::Safetensors,
                    ..
                }
            ),
            "{what}: {error}"
        );
    }
}

#[test]
fn weights_of_other_networks_are_refused_with_their_names() {
    let reasons = |tensors: &[(&str, &[usize])]| {
        let mut state = read_plain(file(Dtype::F32, &[0; 4], tensors)).expect("valid");
        identify(&mut state, None)
            .expect_err("another network")
            .to_string()
    };
    let error = reasons(&[
        ("layer1.0.conv1.weight", &[64, 64, 3, 3]),
        ("layer1.0.bn1.weight", &[64]),
        ("fc.weight", &[10, 64]),
        ("fc.bias", &[10]),
        ("more", &[1]),
    ]);
    assert!(error.contains("no network that is known here"), "{error}");
    assert!(error.contains("and 1 more"), "{error}");
    // Convolutions in a chain, but two-dimensional ones.
    let error = reasons(&[("0.weight", &[4, 1, 3, 3]), ("2.weight", &[2, 4, 1, 1])]);
    assert!(
        error.contains("layer 0 of 2 has weights [4, 1, 3, 3]"),
        "{error}"
    );
    // An encoder without a head.
    let error = reasons(&[("model.encoder.in_conv.conv1.conv.weight", &[4, 1, 3, 3, 3])]);
    assert!(
        error.contains("without `pred_head` or `rec_head`"),
        "{error}"
    );
    // A U-Net of which most is missing.
    let error = reasons(&[
        ("encoder.in_conv.conv1.conv.weight", &[4, 1, 3, 3, 3]),
        ("pred_head.out_conv.weight", &[3, 4, 1, 1, 1]),
    ]);
    assert!(
        error.contains("80 missing: encoder.in_conv.conv1.conv.bias"),
        "{error}"
    );
    // Sizes that no network has.
    let error = reasons(&[
        ("encoder.in_conv.conv1.conv.weight", &[0, 1, 3, 3, 3]),
        ("pred_head.out_conv.weight", &[3, 4, 1, 1, 1]),
    ]);
    assert!(error.contains("`filters` is 0"), "{error}");
}

#[test]
fn tensors_of_other_things_are_listed_and_dropped() {
    let spec = amaes_core::model::Spec::UNet(amaes_core::model::UNetConfig {
        filters: 1,
        ..amaes_core::model::UNetConfig::b(1, 2)
    });
    let mut state = super::filled(&spec);
    state
        .insert(
            "pred_head.ds_out_conv0.weight",
            super::floats_data(&[2, 16]),
        )
        .expect("new");
    state
        .insert("loss.weight", super::floats_data(&[2]))
        .expect("new");
    let found = identify(&mut state, None).expect("a U-Net");
    assert_eq!(found.spec, spec);
    assert_eq!(
        found.ignored,
        ["pred_head.ds_out_conv0.weight", "loss.weight"]
    );
    assert!(state.get("loss.weight").is_none());
}
