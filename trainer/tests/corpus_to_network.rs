//! From real files to a pretrained network, by the command: scan, prepare, pretrain, export.
//!
//! `AMAES_DATA` names a folder with `mri/` (`../shared` otherwise); skipped where absent.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use amaes::store::Store;
use amaes::train::log::{self, Record};
use amaes_core::preprocess::{Interpolation, Plan, Step};
use amaes_core::weights::{ModelFile, ReadOptions, read};

fn mri() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("AMAES_DATA").map_or(default, PathBuf::from);
    let mri = folder.join("mri");
    if !mri.is_dir() {
        println!("skipped: no real volumes in {}", mri.display());
        return None;
    }
    Some(mri)
}

fn amaes(args: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_amaes"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("amaes starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{args:?}: {error}"
    );
}

#[test]
fn real_volumes_become_a_network() {
    let Some(mri) = mri() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (catalogue, store) = (path("catalogue.sqlite"), path("store"));
    let mri = mri.display().to_string();
    amaes(&["corpus", "scan", &mri, "--catalogue", &catalogue]);
    // At 6 mm, so that a small patch holds a head and the test is quick.
    let plan = path("plan.json");
    let mut coarse = Plan::reference();
    coarse.steps.pop();
    coarse.steps.push(Step::Resample {
        spacing: [6.0; 3],
        interpolation: Interpolation::Trilinear,
    });
    let json = serde_json::to_vec(&coarse).expect("JSON");
    std::fs::write(&plan, json).expect("written");
    amaes(&[
        "corpus", "prepare", &catalogue, "--out", &store, "--plan", &plan,
    ]);

    let prepared = Store::open(&store).expect("a store");
    let ids: Vec<&str> = prepared.entries().iter().map(|e| e.id.as_str()).collect();
    assert!(ids.len() >= 8, "{ids:?}");
    for excluded in ["fmri", "dwi", "CT_AVM"] {
        assert!(
            !ids.iter().any(|id| id.contains(excluded)),
            "{excluded} in {ids:?}"
        );
    }

    let runs = path("runs");
    let set = |text: String| ["--set".to_owned(), text];
    let mut args: Vec<String> = ["pretrain", "--store", &store, "--name", "real"]
        .map(str::to_owned)
        .to_vec();
    for text in [
        format!("run.folder={runs}"),
        "data.validation=0.2".into(),
        "model.filters=4".into(),
        "patch.size=[32,32,32]".into(),
        "patch.batch=4".into(),
        "training.steps=200".into(),
        "training.lr=0.02".into(),
        "training.warmup=0.1".into(),
        "output.validate_every=100".into(),
    ] {
        args.extend(set(text));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    amaes(&args);

    let run = Path::new(&runs).join("real");
    let records = log::read(&run).expect("a log");
    let first = records.iter().find_map(|r| match r {
        Record::Step(s) => Some(s.loss),
        _ => None,
    });
    let last = records.iter().rev().find_map(|r| match r {
        Record::Validation(v) => Some((v.loss, v.mean_loss.expect("the mean's"))),
        _ => None,
    });
    let ((loss, mean), untrained) = (last.expect("validated"), first.expect("a step"));
    println!(
        "{} volumes: loss {loss}, of the mean {mean}, untrained {untrained}",
        ids.len()
    );
    assert!(loss < mean && loss < untrained);

    // The model file is whole, and PyTorch's keys are the reference's.
    let bytes = std::fs::read(run.join("model.amaes")).expect("a model");
    let file = ModelFile::read(bytes).expect("a model file");
    assert_eq!(file.plan, coarse);
    let bytes = std::fs::read(run.join("model.safetensors")).expect("weights");
    let weights = read(bytes, &ReadOptions::default()).expect("safetensors");
    for key in [
        "model.encoder.in_conv.conv1.conv.weight",
        "model.encoder.encoder_conv4.conv2.norm.bias",
        "model.rec_head.upsample1.weight",
        "model.rec_head.decoder_conv4.conv1.conv.bias",
        "model.rec_head.out_conv.bias",
    ] {
        assert!(weights.get(key).is_some(), "{key} in {}", weights.preview());
    }
}
