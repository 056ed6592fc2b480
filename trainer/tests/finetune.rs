//! `amaes finetune` on images that the test makes: learning, stopping, being killed, going on, and
//! what `amaes segment` makes of the result.

mod mpi;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use amaes::device::DeviceKind;
use amaes::train::log::{self, EndReason, Record, Validation};
use amaes::volumes::{self, Voxels};
use amaes_core::label::Label;
use amaes_core::metric::dice;
use amaes_core::nn::Precision;
use amaes_core::volume::{Affine, Grid, Header, ReadOptions, Volume};
use serde_json::Value;
use tempfile::TempDir;

/// A head with a bright ball in it, and where the ball is.
fn case(n: usize) -> (Volume<f32>, Volume<Label>) {
    let shape = [40 + n % 3, 36, 33 + n % 5];
    let grid = Grid {
        shape,
        affine: Affine::IDENTITY,
    };
    let centre = [
        14.0 + (n * 5 % 11) as f32,
        13.0 + (n * 7 % 9) as f32,
        12.0 + (n % 8) as f32,
    ];
    let (mut image, mut labels) = (Vec::new(), Vec::new());
    for z in 0..shape[2] {
        for y in 0..shape[1] {
            for x in 0..shape[0] {
                let at = [x as f32, y as f32, z as f32];
                let square = |c: [f32; 3]| (0..3).map(|a| (at[a] - c[a]).powi(2)).sum::<f32>();
                let head = square([20.0, 18.0, 16.0]) < 16.0 * 16.0;
                let ball = head && square(centre) < 5.5 * 5.5;
                let ripple = 0.05 * ((x * 7 + y * 13 + z * 5) % 11) as f32 / 11.0;
                image.push(match (head, ball) {
                    (false, _) => 0.0,
                    (true, false) => 0.45 + ripple,
                    (true, true) => 0.85 + ripple,
                });
                labels.push(Label::from(ball));
            }
        }
    }
    let volume = |data| Volume::new(grid.clone(), data).expect("as many values as voxels");
    (
        volume(image),
        Volume::new(grid.clone(), labels).expect("as many values as voxels"),
    )
}

struct Bench {
    folder: TempDir,
}

impl Bench {
    /// A raw folder of nnU-Net with `count` cases.
    fn new(count: usize) -> Self {
        Self::of_channels(count, 1)
    }

    /// The same with a second channel that shows the ball alone, or without.
    fn of_channels(count: usize, channels: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for n in 0..count {
            let (image, labels) = case(n);
            let header = Header::new(image.grid());
            let write = |path: String, voxels| {
                volumes::write(&folder.path().join(path), &header, voxels).expect("written");
            };
            let ball = labels.map(|&label| f32::from(label));
            for (channel, image) in [&image, &ball].into_iter().take(channels).enumerate() {
                let path = format!("data/imagesTr/c{n:02}_{channel:04}.nii.gz");
                write(path, Voxels::Real(image));
            }
            write(
                format!("data/labelsTr/c{n:02}.nii.gz"),
                Voxels::Labels(&labels),
            );
        }
        let names = ["{\"0\": \"T1w\"}", "{\"0\": \"T1w\", \"1\": \"FLAIR\"}"][channels - 1];
        let json = format!(
            r#"{{"channel_names": {names}, "labels": {{"background": 0, "ball": 1}},
                "file_ending": ".nii.gz"}}"#
        );
        fs::write(folder.path().join("data/dataset.json"), json).expect("written");
        Self { folder }
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join("runs").join(name)
    }

    fn command(&self, name: &str, set: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
        command
            .arg("finetune")
            .arg("--data")
            .arg(self.folder.path().join("data"));
        command.args(["--name", name, "--set"]);
        command.arg(format!("run.folder={}", self.run("").display()));
        for set in [
            "data.layout=nnunet",
            "split.validation=0.34",
            "model.filters=2",
            "patch.size=[32,32,32]",
            "patch.batch=2",
            "training.lr=0.01",
            "training.steps=8",
            "output.checkpoint_every=2",
            "output.validate_every=4",
            "output.picture_every=8",
        ]
        .iter()
        .chain(set)
        {
            command.args(["--set", set]);
        }
        command.stdin(Stdio::null());
        command
    }
}

fn resume(run: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
    command
        .arg("finetune")
        .arg("--resume")
        .arg(run)
        .stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("amaes starts")
}

fn ok(command: &mut Command) -> String {
    let output = output(command);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fails(command: &mut Command, names: &[&str]) {
    let output = output(command);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    for name in names {
        assert!(error.contains(name), "`{error}` does not say `{name}`");
    }
}

fn model(run: &Path) -> Vec<u8> {
    fs::read(run.join("model.amaes")).expect("a model")
}

fn steps(run: &Path) -> Vec<(u64, f64)> {
    let records = log::read(run).expect("a log");
    let steps = records.iter().filter_map(|r| match r {
        Record::Step(s) => Some((s.step, s.loss)),
        _ => None,
    });
    steps.collect()
}

fn validations(run: &Path) -> Vec<Validation> {
    let records = log::read(run).expect("a log").into_iter();
    let found = records.filter_map(|r| match r {
        Record::Validation(v) => Some(v),
        _ => None,
    });
    found.collect()
}

fn wait_for(run: &Path, step: u64) {
    let begin = Instant::now();
    while log::read(run).map_or(true, |r| r.iter().all(|r| r.step() < step)) {
        assert!(begin.elapsed() < Duration::from_secs(60), "no step {step}");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn threads_memory_and_kills_change_nothing() {
    let bench = Bench::new(3);
    let set = [
        "training.ema=0.9",
        "training.frozen=3",
        "training.select=best",
    ];
    let with = |more: &[&'static str]| [&set[..], more].concat();
    ok(&mut bench.command("one", &with(&["loader.threads=1"])));
    // Room for one case of three: most are prepared again and again.
    let little = with(&[
        "loader.threads=4",
        "loader.queue=1",
        "loader.memory_mib=0.2",
    ]);
    ok(&mut bench.command("four", &little));
    let expected = model(&bench.run("one"));
    assert!(
        expected == model(&bench.run("four")),
        "threads or memory change the weights"
    );
    assert_eq!(steps(&bench.run("one")), steps(&bench.run("four")));
    assert_eq!(
        validations(&bench.run("one")),
        validations(&bench.run("four"))
    );

    // Killed at several moments, wherever in a step or a checkpoint they fall.
    let run = bench.run("killed");
    let mut child = bench
        .command("killed", &set)
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    for step in [1, 3, 6] {
        wait_for(&run, step);
        child.kill().expect("killed");
        child.wait().expect("ended");
        child = resume(&run).stderr(Stdio::null()).spawn().expect("starts");
    }
    assert!(child.wait().expect("ended").success());
    assert!(expected == model(&run), "being killed changes the weights");
    assert_eq!(steps(&run), steps(&bench.run("one")));
    assert_eq!(validations(&run), validations(&bench.run("one")));
    let best = |run: &Path| fs::read(run.join("best.amaes")).expect("the best");
    assert!(
        best(&run) == best(&bench.run("one")),
        "another one is the best"
    );
    assert!(best(&run) == expected, "it is not what the run is for");
}

#[test]
fn the_network_learns_and_segments() {
    let bench = Bench::new(9);
    let set = [
        "split.test=0.2",
        "training.steps=90",
        "output.validate_every=90",
        "output.picture_every=90",
        "model.filters=4",
    ];
    ok(&mut bench.command("learns", &set));
    let run = bench.run("learns");
    let found = validations(&run);
    let last = found.last().expect("a validation");
    assert!(last.dice.expect("a coefficient") > 0.8, "{last:?}");
    assert_eq!(last.classes.keys().collect::<Vec<_>>(), ["ball"]);
    let parts = last.dice_loss.zip(last.cross_entropy).expect("both parts");
    assert!((last.loss - parts.0 - parts.1).abs() < 1e-5, "{last:?}");
    let picture = fs::read(run.join("pictures/step-00000090.png")).expect("a picture");
    assert!(picture.starts_with(b"\x89PNG"));

    let split: Value =
        serde_json::from_slice(&fs::read(run.join("split.json")).expect("a split")).expect("JSON");
    let test = split["test"].as_array().expect("a list");
    let id = test[0].as_str().expect("a name");
    let out = bench.folder.path().join("out.nii.gz");
    let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
    let image = format!("data/imagesTr/{id}_0000.nii.gz");
    command
        .arg("segment")
        .arg("--input")
        .arg(bench.folder.path().join(image));
    command.arg("--model").arg(run.join("model.amaes"));
    let shown = ok(command.arg("--output").arg(&out));
    assert!(shown.contains("ball"), "{shown}");
    let (found, _) = volumes::read_label_map(&out, &ReadOptions::default()).expect("labels");
    let n: usize = id[1..].parse().expect("a number");
    let score = dice(&found, &case(n).1, 1)
        .expect("one shape")
        .expect("a ball");
    assert!(score > 0.75, "{score}");
}

/// The second channel's own foreground is the ball alone; both are cropped as the first.
#[test]
fn channels_lie_on_one_grid() {
    let bench = Bench::of_channels(3, 2);
    let set = [
        "training.steps=50",
        "patch.foreground=1",
        "split.validation=0",
        "model.filters=4",
    ];
    ok(&mut bench.command("two", &set));
    let out = bench.folder.path().join("out.nii.gz");
    let image = |channel| {
        bench
            .folder
            .path()
            .join(format!("data/imagesTr/c01_000{channel}.nii.gz"))
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
    command.arg("segment").arg("--input");
    command.arg(format!("{},{}", image(0).display(), image(1).display()));
    command
        .arg("--model")
        .arg(bench.run("two").join("model.amaes"));
    ok(command.arg("--output").arg(&out));
    let (found, _) = volumes::read_label_map(&out, &ReadOptions::default()).expect("labels");
    let score = dice(&found, &case(1).1, 1)
        .expect("one shape")
        .expect("a ball");
    assert!(score > 0.8, "{score}");
}

#[test]
fn half_precision_learns_the_same() {
    let device = DeviceKind::Wgpu.open().ok();
    if !device.is_some_and(|device| Precision::Float16.is_on(&device)) {
        eprintln!("skipped: no graphics adapter with half precision");
        return;
    }
    let bench = Bench::new(3);
    let set = [
        "run.device=wgpu",
        "training.steps=4",
        "training.frozen=2",
        "augment.preset=none",
    ];
    ok(&mut bench.command("single", &set));
    let half = [&set[..], &["training.precision=float16"]].concat();
    ok(&mut bench.command("half", &half));
    let (single, half) = (steps(&bench.run("single")), steps(&bench.run("half")));
    assert_eq!(half.len(), 4);
    for ((step, single), (_, half)) in single.iter().zip(&half) {
        assert!((half / single - 1.0).abs() < 0.01, "step {step}: {half}");
    }
}

#[test]
fn other_datasets_have_their_share() {
    let bench = Bench::new(3);
    let table = bench.folder.path().join("data/others.csv");
    let row = |n| format!("o{n},imagesTr/c0{n}_0000.nii.gz,labelsTr/c0{n}.nii.gz\n");
    let write = |rows: &[usize]| {
        let rows: String = rows.iter().copied().map(row).collect();
        fs::write(&table, format!("id,T1w,label\n{rows}")).expect("written");
    };
    write(&[0, 2]);
    let data = format!("also.other.data.path={}", table.display());
    let also = [
        "also.other.share=0.5",
        "also.other.data.layout=csv",
        &data,
        "augment.preset=none",
    ];
    let with = |more: &[&'static str]| [&also[..], more].concat();
    let shown = ok(bench.command("one", &with(&[])).arg("--plain"));
    assert!(shown.contains("2 cases of `other`"), "{shown}");
    let little = with(&["loader.threads=4", "loader.memory_mib=0.6"]);
    ok(&mut bench.command("little", &little));
    assert!(
        model(&bench.run("one")) == model(&bench.run("little")),
        "threads or memory change the weights"
    );
    ok(&mut bench.command("alone", &["augment.preset=none"]));
    assert_ne!(steps(&bench.run("one")), steps(&bench.run("alone")));
    let split = fs::read(bench.run("one").join("split.json")).expect("a split");
    let split: Value = serde_json::from_slice(&split).expect("JSON");
    assert_eq!(split["also"]["other"], serde_json::json!(["o0", "o2"]));

    // A run goes on with the cases that it began with, or not at all.
    write(&[0, 1]);
    fails(
        &mut resume(&bench.run("one")),
        &["split.json", "other cases"],
    );
    write(&[]);
    fails(
        &mut bench.command("x", &also),
        &["others.csv", "no labelled case"],
    );
    write(&[0]);
    for (set, names) in [
        ("also.other.share=0", ["also", "`other`"]),
        ("also.other.share=1", ["also", "`data`"]),
        (
            "also.other.data.classes=[\"none\", \"cake\"]",
            ["`other`", "cake"],
        ),
        (
            "also.other.data.sites=[\"here\"]",
            ["`other`", "data.sites"],
        ),
    ] {
        fails(&mut bench.command("x", &with(&[set])), &names);
    }
}

#[test]
fn a_run_ends_when_it_gets_no_better() {
    let bench = Bench::new(3);
    let set = [
        "training.select=best",
        "training.patience=2",
        "training.lr=1e-9",
        "training.lr_floor=0",
        "training.steps=100",
        "output.validate_every=2",
        "output.picture_every=0",
    ];
    ok(&mut bench.command("patient", &set));
    let run = bench.run("patient");
    assert_eq!(
        steps(&run).len(),
        6,
        "one validation, and two that are no better"
    );
    let records = log::read(&run).expect("a log");
    let end = records.last().expect("a line");
    assert!(
        matches!(
            end,
            Record::End {
                step: 6,
                reason: EndReason::Finished,
                ..
            }
        ),
        "{end:?}"
    );
    ok(&mut resume(&run));
    assert_eq!(steps(&run).len(), 6, "it has ended");
}

#[test]
fn pretrained_weights_and_mistakes_are_named() {
    let bench = Bench::new(3);
    let few = ["training.steps=2", "split.validation=0"];
    ok(&mut bench.command("first", &few));
    // A run, its model and one of its checkpoints hold the same weights.
    let run = bench.run("first");
    let from = [
        run.clone(),
        run.join("model.amaes"),
        run.join("checkpoints/step-00000002.safetensors"),
    ];
    let mut models = Vec::new();
    for (n, weights) in from.iter().enumerate() {
        let name = format!("second{n}");
        let mut command = bench.command(&name, &few);
        command.args(["--set", "model.transfer=all", "--plain", "--weights"]);
        let shown = ok(command.arg(weights));
        assert!(shown.contains("82 parameters loaded"), "{shown}");
        assert!(shown.contains("3 cases to train on"), "{shown}");
        models.push(model(&bench.run(&name)));
    }
    assert!(models[0] == models[1] && models[1] == models[2]);

    fails(
        &mut bench.command("x", &["patch.size=[30,32,32]"]),
        &["patch.size", "16"],
    );
    fails(
        &mut bench.command("x", &["model.backbone=resenc-b", "patch.size=[32,32,48]"]),
        &["patch.size", "multiples of 32"],
    );
    fails(
        &mut bench.command("x", &["split.train=9"]),
        &["split.train"],
    );
    fails(&mut bench.command("x", &["augment.blurr={}"]), &["blurr"]);
    fails(
        &mut bench.command("x", &["training.precision=float16"]),
        &["training.precision", "`flex`"],
    );
    fails(&mut bench.command("x", &["loss.dice=-1"]), &["loss"]);
    fails(
        &mut bench.command("x", &["training.patience=3"]),
        &["training.patience", "best"],
    );
    fails(
        &mut bench.command("x", &["training.select=best", "split.validation=0"]),
        &["training.select", "validation"],
    );
    let mut other = bench.command("x", &["model.filters=3"]);
    fails(
        other.arg("--weights").arg(&run),
        &["model.filters", "model.backbone"],
    );
    assert!(
        !bench.run("x").join("log.jsonl").exists(),
        "nothing is begun"
    );

    // Another split than the run began with, and a run of the other kind.
    let mut command = resume(&run);
    fails(
        command.args(["--set", "split.train=1"]),
        &["split.json", "split"],
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
    fails(
        command.arg("pretrain").arg("--resume").arg(&run),
        &["config.toml"],
    );

    let labels = bench.folder.path().join("data/labelsTr/c01.nii.gz");
    let grid = Grid {
        shape: [3, 3, 3],
        affine: Affine::IDENTITY,
    };
    let volume = Volume::new(grid.clone(), vec![0; 27]).expect("voxels");
    volumes::write(&labels, &Header::new(&grid), Voxels::Labels(&volume)).expect("written");
    fails(
        &mut bench.command("grid", &few),
        &["c01.nii.gz", "c01_0000.nii.gz", "grid"],
    );
}

#[test]
fn two_processes_with_half_the_batch_equal_one() {
    if let Some(missing) = mpi::missing() {
        println!("skipped: {missing}");
        return;
    }
    let bench = Bench::new(4);
    // Gradients that are zero but for rounding, of biases before a norm, must not become steps.
    let set = [
        "patch.batch=4",
        "training.steps=4",
        "optimizer.epsilon=1e-4",
        "output.checkpoint_every=4",
    ];
    ok(&mut bench.command("one", &set));
    ok(&mut mpi::two(&bench.command("two", &set)));
    let [one, two] = ["one", "two"].map(|name| bench.run(name));
    mpi::assert_equal_runs(&one, &two);
    for ((step, a), (_, b)) in steps(&one).into_iter().zip(steps(&two)) {
        assert!((a - b).abs() <= 1e-5 * a.abs(), "step {step}: {a}, {b}");
    }
}
