//! Augmentation, runs and their comparison on the command line.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use amaes::train::log::{EndReason, Logger, Record, Run, Step};
use amaes_core::volume::{Affine, Grid, Header, Volume, WriteOptions, write_volume};
use serde_json::{Value, json};

fn amaes(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
    let command = command.args(args).stdin(Stdio::null());
    command.output().expect("amaes starts")
}

fn output(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn image(path: &Path) {
    let shape = [30, 26, 22];
    let value = |i: usize| ((i % 30) * (i / 30 % 26) + i / 780) as f32;
    let grid = Grid {
        shape,
        affine: Affine::IDENTITY,
    };
    let data = (0..30 * 26 * 22).map(value).collect();
    let volume = Volume::new(grid, data).expect("a volume");
    let mut bytes = Vec::new();
    let header = Header::new(volume.grid());
    write_volume(&mut bytes, &header, &volume, &WriteOptions::PLAIN).expect("a NIfTI file");
    fs::write(path, bytes).expect("written");
}

#[test]
fn augmentation_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    image(Path::new(&path("t1.nii")));
    let preview = |out: &str, more: &[&str]| {
        let (image, out) = (path("t1.nii"), path(out));
        let args = ["augment", "preview", &image, "--out", &out];
        amaes(&[&args[..], &["--patch", "16", "--count", "2"], more].concat())
    };
    output(&preview("a.png", &[]));
    output(&preview("b.png", &[]));
    let picture = fs::read(path("a.png")).expect("a picture");
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(picture, fs::read(path("b.png")).expect("the same"));
    output(&preview("c.png", &["--seed", "9"]));
    assert_ne!(picture, fs::read(path("c.png")).expect("another"));

    let config = path("augment.toml");
    fs::write(&config, "preset = \"none\"\n[gamma]\np = 1.0\n").expect("written");
    output(&preview("d.png", &["--config", &config]));
    fs::write(&config, "[gamma]\np = 2.0\n").expect("written");
    let said = error(&preview("e.png", &["--config", &config]));
    assert!(said.contains("gamma.p is 2"), "{said}");
    fs::write(&config, "[gama]\np = 1.0\n").expect("written");
    let said = error(&preview("e.png", &["--config", &config]));
    assert!(
        said.contains("augment.toml") && said.contains("gama"),
        "{said}"
    );
    assert!(!Path::new(&path("e.png")).exists());
}

/// A finished run of three steps.
fn run(folder: &Path, lr: f64) {
    fs::create_dir_all(folder).expect("a folder");
    let mut log = Logger::create(folder).expect("a log");
    let name = folder.file_name().expect("a name").to_string_lossy();
    let run = Run {
        name: name.into_owned(),
        task: "pretrain".into(),
        started: 1000.0,
        model: "unet_b".into(),
        parameters: 1000,
        device: "cpu".into(),
        world: 1,
        volumes: 4,
        steps: 3,
        batch: 2,
        config: json!({"optimiser": {"lr": lr}, "seed": 1}),
    };
    log.write(&Record::Run(run)).expect("written");
    for i in 1..=3 {
        let step = Step {
            step: i,
            epoch: 0,
            samples: 2 * i,
            loss: lr * 1000.0,
            lr,
            grad_norm: 1.0,
            step_s: 0.5,
            wait_s: 0.125,
            samples_per_s: 4.0,
            memory_mib: Some(64.0),
            time: 1000.0 + i as f64,
            ..Step::default()
        };
        log.write(&Record::Step(step)).expect("written");
    }
    let end = Record::End {
        step: 3,
        reason: EndReason::Finished,
        time: 1004.0,
    };
    log.write(&end).expect("written");
}

#[test]
fn runs_are_compared_and_watched() {
    let folder = tempfile::tempdir().expect("a folder");
    run(&folder.path().join("slow"), 1e-4);
    run(&folder.path().join("more/fast"), 5e-4);
    let path = folder.path().display().to_string();

    let table = output(&amaes(&["runs", &path]));
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0].last(), Some(&"optimiser.lr"), "{table}");
    assert_eq!(rows[1][..5], ["fast", "finished", "3", "3", "0.50000"]);
    assert_eq!(rows[2][..5], ["slow", "finished", "3", "3", "0.10000"]);
    let csv = output(&amaes(&["runs", &path, "--csv"]));
    assert!(
        csv.lines().nth(2).is_some_and(|l| l.ends_with(",0.0001")),
        "{csv}"
    );
    let json: Value =
        serde_json::from_str(&output(&amaes(&["runs", &path, "--json"]))).expect("JSON");
    assert_eq!(json["runs"][0]["settings"]["optimiser.lr"], 5e-4);
    assert_eq!(json["runs"][0]["samples_per_s"], 4.0);
    assert_eq!(json["runs"][0]["waiting"], 0.25);

    let slow = folder.path().join("slow").display().to_string();
    let watched = output(&amaes(&["dashboard", &slow, "--terminal"]));
    assert!(watched.starts_with("step 3/3, loss 0.10000"), "{watched}");
    let said = error(&amaes(&["dashboard", &path, "--terminal"]));
    assert!(said.contains("2 runs"), "{said}");
    let empty = tempfile::tempdir().expect("a folder");
    let said = error(&amaes(&["runs", &empty.path().display().to_string()]));
    assert!(said.contains("log.jsonl"), "{said}");
}
