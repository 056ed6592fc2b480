//! Published networks on a real image, against label maps that PyTorch computed.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use amaes::model::{Beside, Opened, build, open};
use amaes::volumes;
use amaes_core::infer::{InferOptions, Input, Method, class_map};
use amaes_core::label::Label;
use amaes_core::volume::{ReadOptions, Volume};
use burn::tensor::Device;

/// Voxels of 16.7 million that may differ: ties within rounding.
const MOST: usize = 20;

/// The folder of images, weights and labels, or `None` where it is not there.
fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    if !folder.join("labels").is_dir() {
        println!("skipped: no images and labels in {}", folder.display());
        return None;
    }
    Some(folder)
}

fn differing(a: &[Label], b: &[Label]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

/// Labels of an image by a network in the way that `options` say, in file order.
fn segment(opened: &Opened, path: &Path, image: &Path, options: &InferOptions) -> Vec<Label> {
    let device = Device::flex();
    let file = &opened.file;
    let model = build(&file.spec, &file.state, path, &device).expect("a network");
    let (volume, _) = volumes::read(image, &ReadOptions::default()).expect("an image");
    let prepared = file.plan.apply(volume).expect("prepared");
    let data = prepared.volume.to_c_order();
    let input = Input {
        data: &data,
        channels: 1,
        shape: prepared.volume.grid().shape,
    };
    let mut go_on = |_| ControlFlow::Continue(());
    let map = class_map(&model, &file.spec, input, options, &device, &mut go_on).expect("run");
    let labels =
        Volume::from_c_order(prepared.volume.grid().clone(), &map.classes).expect("labels");
    prepared
        .trace
        .restore_labels(&labels)
        .expect("restored")
        .into_parts()
        .1
}

fn check(name: &str, weights: &[&str]) {
    let Some(shared) = shared() else { return };
    let image = shared.join("mri/t1_crop.nii.gz");
    let expected = shared.join(format!("labels/t1_crop.{name}.nii.gz"));
    let (expected, _) =
        volumes::read_label_map(&expected, &ReadOptions::default()).expect("a label map");
    let path = shared.join("weights/brainchop").join(name);
    let opened = open(&path, &Beside::default()).expect("a model");
    let tiles = InferOptions {
        memory_limit: Some(320 << 20),
        ..InferOptions::default()
    };
    let whole = InferOptions {
        method: Method::Whole,
        ..InferOptions::default()
    };
    for (how, options) in [("tiles", &tiles), ("whole", &whole)] {
        let found = segment(&opened, &path, &image, options);
        let n = differing(&found, expected.data());
        println!("{name}, {how}: {n} voxels differ");
        assert!(n <= MOST, "{name}, {how}: {n} voxels differ");
    }
    for other in weights {
        let path = shared.join("weights/niivue-tinygrad").join(other);
        let opened = open(&path, &Beside::default()).expect("a model");
        let n = differing(&segment(&opened, &path, &image, &tiles), expected.data());
        println!("{name}, {other}: {n} voxels differ");
        assert!(n <= MOST, "{name}, {other}: {n} voxels differ");
    }
}

#[test]
fn model5_gw_ae_gives_the_labels_of_pytorch() {
    check("model5_gw_ae", &["net_tissue_fast.safetensors"]);
}

#[test]
fn model18cls_gives_the_labels_of_pytorch() {
    check("model18cls", &[]);
}
