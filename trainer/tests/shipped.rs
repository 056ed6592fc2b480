//! The models that come with the program, by name: what they find in a head that they never saw.

use std::path::Path;
use std::process::{Command, Stdio};

use amaes::volumes::read_label_map;
use amaes_core::label::Label;
use amaes_core::metric::dice_per_label;
use amaes_core::volume::{ReadOptions, Volume};

fn labels(path: &Path) -> Volume<Label> {
    let read = read_label_map(path, &ReadOptions::default());
    read.expect("labels").0
}

#[test]
fn brain_tissue_finds_the_parts_of_its_sample() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/brain-tissue");
    let out = tempfile::tempdir().expect("a folder");
    let found = out.path().join("found.nii.gz");
    let status = Command::new(env!("CARGO_BIN_EXE_amaes"))
        .args([
            "segment",
            "--quiet",
            "--keep",
            "largest",
            "--model",
            "brain-tissue",
            "--input",
        ])
        .arg(folder.join("sample.nii.gz"))
        .arg("--output")
        .arg(&found)
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("amaes starts").success());
    let (found, wanted) = (labels(&found), labels(&folder.join("sample_labels.nii.gz")));
    let dice = dice_per_label(&found, &wanted).expect("one grid");
    // Grey, white, fluid, deep grey, cerebellum, brainstem.
    for (label, least) in (1..=6).zip([0.87, 0.86, 0.77, 0.86, 0.95, 0.89]) {
        assert!(dice[&label] >= least, "label {label}: {}", dice[&label]);
    }
}
