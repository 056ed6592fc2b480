//! The ready configurations in `tasks/`, on folders laid out as the downloads are: the commands of
//! `docs/tasks.md` list them, and the splits are the published ones.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use amaes::labelled::{Dataset, Split, split};
use amaes::train::finetune::FinetuneConfig;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn config(task: &str) -> FinetuneConfig {
    let path = root().join(format!("tasks/{task}.toml"));
    FinetuneConfig::read(Some(&path), &[]).expect("a configuration")
}

/// The command of the documentation that lists a task's cases.
fn command(task: &str) -> String {
    let text = fs::read_to_string(root().join("docs/tasks.md")).expect("the page");
    let (_, after) = text
        .split("<!-- run: ")
        .filter_map(|part| part.split_once(" -->"))
        .find(|(tasks, _)| tasks.split(' ').any(|t| t == task))
        .expect("a command");
    let (_, block) = after.split_once("```sh\n").expect("a block");
    block.split_once("```").expect("its end").0.to_owned()
}

fn touch(folder: &Path, file: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, b"").expect("written");
}

/// Lists the cases of a folder by the documentation's command, and divides them.
fn divided(task: &str, folder: &TempDir) -> (Dataset, Split) {
    let mut bash = Command::new("bash");
    let done = bash
        .args(["-euc", &command(task)])
        .current_dir(folder.path());
    assert!(done.status().expect("bash").success());
    let mut config = config(task);
    assert_eq!(config.run.name, task);
    config.data.path = folder.path().join("cases.csv");
    let dataset = Dataset::open(&config.data).expect("a dataset");
    let split = split(&dataset, &config.split).expect("divided");
    (dataset, split)
}

/// SHA-256 of sorted names, joined by line ends.
fn digest(names: &[String]) -> String {
    let mut names = names.to_vec();
    names.sort_unstable();
    let hash = Sha256::digest(names.join("\n"));
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

fn sizes(split: &Split) -> [usize; 3] {
    [&split.train, &split.validation, &split.test].map(Vec::len)
}

#[test]
fn brats21_is_divided_as_the_reference_does() {
    let folder = tempfile::tempdir().expect("a folder");
    for i in 0..1251 {
        for file in ["t1", "t1ce", "t2", "flair", "seg"] {
            let name = format!("BraTS2021_{i:05}");
            touch(folder.path(), &format!("{name}/{name}_{file}.nii.gz"));
        }
    }
    let (dataset, all) = divided("brats21", &folder);
    assert_eq!(dataset.channels.len(), 4);
    assert_eq!(sizes(&all), [20, 188, 313]);
    // As scikit-learn's train_test_split draws it.
    let expected = "36da4269ebf27ec9db8af25d4dc10339f0b822f2e02f7030a5ac9f7bab354d37";
    assert_eq!(digest(&all.test), expected);
    let (dataset, one) = divided("brats21-flair", &folder);
    assert_eq!((dataset.channels.len(), dataset.classes.len()), (1, 4));
    assert_eq!(one, all);
}

#[test]
fn isles22_is_divided_as_the_reference_does() {
    let folder = tempfile::tempdir().expect("a folder");
    for i in 1..=250 {
        let (subject, session) = (format!("sub-strokecase{i:04}"), "ses-0001");
        let name = format!("{subject}_{session}");
        for file in [
            format!("{subject}/{session}/dwi/{name}_dwi.nii.gz"),
            format!("{subject}/{session}/dwi/{name}_adc.nii.gz"),
            format!("{subject}/{session}/anat/{name}_FLAIR_on_dwi.nii.gz"),
            format!("derivatives/{subject}/{session}/{name}_msk.nii.gz"),
        ] {
            touch(folder.path(), &file);
        }
    }
    let (dataset, all) = divided("isles22", &folder);
    assert_eq!(dataset.cases[0].id, "sub-strokecase0001");
    assert_eq!(sizes(&all), [20, 37, 63]);
    let expected = "b567c8cd6aea0e98a0775bc46dc19ee3d764a58df1fc89de065af91f6681b676";
    assert_eq!(digest(&all.test), expected);
}

#[test]
fn wmh_is_divided_as_the_challenge_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let scanners = [
        ("Utrecht", 20, 30),
        ("Singapore", 20, 30),
        ("Amsterdam/GE3T", 20, 30),
        ("Amsterdam/GE1T5", 0, 10),
        ("Amsterdam/Philips_VU .PETMR_01.", 0, 10),
    ];
    for (scanner, training, test) in scanners {
        for (part, count) in [("training", training), ("test", test)] {
            for i in 0..count {
                for file in ["pre/FLAIR.nii.gz", "pre/T1.nii.gz", "wmh.nii.gz"] {
                    touch(folder.path(), &format!("{part}/{scanner}/{i}/{file}"));
                }
            }
        }
    }
    let (known, all) = divided("wmh", &folder);
    assert_eq!(known.cases.len(), 150);
    assert_eq!(sizes(&all), [20, 12, 90]);
    let (_, new) = divided("wmh-ood", &folder);
    assert_eq!(sizes(&new), [20, 12, 20]);
    assert_eq!((&new.train, &new.validation), (&all.train, &all.validation));
    assert!(new.test.iter().all(|id| id.starts_with("test_Amsterdam_")));
}

#[test]
fn msseg_is_divided_as_the_challenge_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let centres = [("01", 5, 10), ("03", 0, 8), ("07", 5, 10), ("08", 5, 10)];
    for (centre, training, testing) in centres {
        for (part, count) in [("Training", training), ("Testing", testing)] {
            for i in 1..=count {
                let case = format!("{part}/Center_{centre}/Patient_{i:02}");
                touch(
                    folder.path(),
                    &format!("{case}/Preprocessed_Data/FLAIR_preprocessed.nii.gz"),
                );
                touch(folder.path(), &format!("{case}/Masks/Consensus.nii.gz"));
            }
        }
    }
    let (dataset, all) = divided("msseg", &folder);
    assert_eq!(dataset.cases.len(), 53);
    assert_eq!(sizes(&all), [12, 3, 38]);
}
