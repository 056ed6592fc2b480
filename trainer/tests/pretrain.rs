//! `amaes pretrain` on a store that the test makes: learning, stopping, being killed, going on.

mod mpi;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use amaes::store::{Access, Store, StoreOptions, VolumeMeta, Writer};
use amaes::train::config::PretrainConfig;
use amaes::train::corpus::Corpus;
use amaes::train::log::{self, Record};
use amaes_core::volume::{Affine, Grid, Volume};
use tempfile::TempDir;

/// A store of `count` ellipsoids with ripples, none like another, values in 0..1.
fn store(folder: &Path, count: usize) -> PathBuf {
    let path = folder.join("store");
    let writer = Writer::create(&path, StoreOptions::default(), Access::Alone).expect("a store");
    for n in 0..count {
        let shape = [40 + n % 3, 36, 33 + n % 5];
        let grid = Grid {
            shape,
            affine: Affine::IDENTITY,
        };
        let mut data = Vec::with_capacity(shape.iter().product());
        for z in 0..shape[2] {
            for y in 0..shape[1] {
                for x in 0..shape[0] {
                    let at = [x, y, z].map(|v| v as f32 / 18.0 - 1.0);
                    let radius = at.iter().map(|v| v * v).sum::<f32>();
                    let ripple = (at[n % 3] * (6.0 + n as f32)).sin();
                    let value = if radius < 0.9 {
                        0.55 + 0.25 * ripple
                    } else {
                        0.0
                    };
                    data.push(value);
                }
            }
        }
        let meta = VolumeMeta {
            source: ["a", "b"][n % 2].into(),
            ..VolumeMeta::default()
        };
        let volume = Volume::new(grid, data).expect("as many values as voxels");
        writer
            .write(&format!("v{n:03}"), &volume, &meta)
            .expect("written");
    }
    writer.seal().expect("sealed");
    path
}

struct Bench {
    folder: TempDir,
    store: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path(), 9);
        Self { folder, store }
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join("runs").join(name)
    }

    fn command(&self, name: &str, set: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
        command.arg("pretrain").arg("--store").arg(&self.store);
        command.args(["--name", name, "--set"]);
        command.arg(format!("run.folder={}", self.run("").display()));
        for set in [
            "data.validation=0.2",
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
        .arg("pretrain")
        .arg("--resume")
        .arg(run)
        .stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("amaes starts")
}

fn ok(command: &mut Command) {
    let output = output(command);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
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

/// Waits until the log tells of a step.
fn wait_for(run: &Path, step: u64) {
    let begin = Instant::now();
    while log::read(run).map_or(true, |r| r.iter().all(|r| r.step() < step)) {
        assert!(begin.elapsed() < Duration::from_secs(60), "no step {step}");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn threads_and_kills_change_nothing() {
    let bench = Bench::new();
    ok(&mut bench.command("one", &["data.threads=1"]));
    ok(&mut bench.command("four", &["data.threads=4", "data.queue=1"]));
    let expected = model(&bench.run("one"));
    assert!(
        expected == model(&bench.run("four")),
        "threads change the weights"
    );
    assert_eq!(steps(&bench.run("one")), steps(&bench.run("four")));

    // Killed at several moments, wherever in a step or a checkpoint they fall.
    let run = bench.run("killed");
    let mut child = bench
        .command("killed", &[])
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
}

/// SwinUNETR's pretext: its samples come from the same streams, its heads are in the checkpoints.
#[test]
fn views_are_the_same_for_any_threads_and_after_a_kill() {
    let bench = Bench::new();
    let set = [
        "pretext.kind=swinunetr",
        "model.backbone=swinunetr",
        "model.filters=3",
        "patch.size=[64,32,32]",
        "training.steps=3",
        "output.checkpoint_every=1",
    ];
    let command = |name: &str, more: &[&str]| bench.command(name, &[&set, more].concat());
    ok(&mut command(
        "one",
        &["data.threads=1", "output.picture_every=3"],
    ));
    let run = bench.run("killed");
    let mut child = command("killed", &["data.threads=3", "data.queue=1"])
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    wait_for(&run, 2);
    child.kill().expect("killed");
    child.wait().expect("ended");
    ok(&mut resume(&run));
    let one = bench.run("one");
    assert!(model(&one) == model(&run), "the weights differ");
    assert_eq!(steps(&one), steps(&run));

    let records = log::read(&one).expect("a log");
    let mut told = 0;
    for record in &records {
        let (loss, parts) = match record {
            Record::Step(s) => (
                s.loss,
                [s.rotation_loss, s.contrastive_loss, s.inpainting_loss],
            ),
            Record::Validation(v) => (
                v.loss,
                [v.rotation_loss, v.contrastive_loss, v.inpainting_loss],
            ),
            _ => continue,
        };
        let parts = parts.map(|part| part.expect("each is logged"));
        assert!(parts.iter().all(|p| p.is_finite() && *p > 0.0), "{parts:?}");
        assert!((loss - parts.iter().sum::<f64>()).abs() < 1e-5 * loss);
        told += 1;
    }
    assert_eq!(told, 4, "three steps and a validation");
    assert!(one.join("pictures/step-00000003.png").is_file());

    let config = |set: &[&str]| {
        let mut all = vec![
            "data.store=none".to_owned(),
            "pretext.kind=swinunetr".to_owned(),
        ];
        all.extend(set.iter().map(|s| (*s).to_owned()));
        PretrainConfig::read(None, &all)
    };
    // What is left out is as published.
    let published = config(&[]).expect("a configuration");
    assert_eq!(
        (published.patch.size, published.training.lr),
        ([96; 3], 4e-4)
    );
    for (set, names) in [
        ("model.backbone=unet-b", "pretext.kind"),
        ("patch.size=[32,32,32]", "patch.size"),
        ("patch.size=[32,64,32]", "from y to z"),
        ("patch.batch=1", "pretext.loss.contrastive"),
        ("training.accumulate=4", "pretext.loss.contrastive"),
        ("pretext.loss.temperature=0", "pretext.loss.temperature"),
        ("pretext.loss.rotation=-1", "pretext.loss"),
        ("pretext.cutout.share=1.0", "pretext.cutout.share"),
        ("pretext.cutout.edge=[0.3,0.2]", "pretext.cutout.edge"),
        ("pretext.cake=1", "cake"),
        ("pretext.kind=cake", "cake"),
    ] {
        let error = config(&[set]).expect_err(set).to_string();
        assert!(error.contains(names), "{set}: {error}");
    }
}

#[test]
fn the_network_learns_more_than_the_mean() {
    let bench = Bench::new();
    let set = [
        "training.steps=150",
        "output.validate_every=150",
        "training.lr=0.03",
        "model.filters=4",
    ];
    ok(&mut bench.command("learns", &set));
    let records = log::read(&bench.run("learns")).expect("a log");
    let Some(Record::Validation(last)) = records
        .iter()
        .rev()
        .find(|r| matches!(r, Record::Validation(_)))
    else {
        panic!("no validation in {records:?}");
    };
    let mean = last.mean_loss.expect("the mean's loss");
    assert!(last.loss < 0.5 * mean, "{last:?}");
    let all = steps(&bench.run("learns"));
    assert!(
        last.loss < 0.2 * all[0].1,
        "untrained {}, now {}",
        all[0].1,
        last.loss
    );
    let picture = bench.run("learns").join("pictures/step-00000150.png");
    let bytes = fs::read(picture).expect("a picture");
    assert!(bytes.starts_with(b"\x89PNG"));
}

#[cfg(unix)]
#[test]
fn a_signal_stops_after_the_step() {
    let bench = Bench::new();
    let run = bench.run("stopped");
    let mut child = bench
        .command(
            "stopped",
            &["training.steps=100000", "output.checkpoint_every=0"],
        )
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    wait_for(&run, 2);
    let kill = Command::new("kill")
        .arg("-TERM")
        .arg(child.id().to_string())
        .status();
    assert!(kill.expect("kill starts").success());
    let output = child.wait_with_output().expect("ended");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("--resume"), "{text}");
    assert_eq!(output.status.code(), Some(3), "{text}");
    let last = steps(&run).last().expect("steps").0;
    assert!(
        run.join(format!("checkpoints/step-{last:08}.safetensors"))
            .exists()
    );
    child = resume(&run)
        .args(["--set", &format!("training.steps={}", last + 2)])
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    assert!(child.wait().expect("ended").success());
    assert_eq!(steps(&run).last().expect("steps").0, last + 2);
}

#[test]
fn damage_and_mistakes_are_named() {
    let bench = Bench::new();
    fails(
        &mut bench.command("x", &["patch.size=[30,32,32]"]),
        &["patch.size", "16"],
    );
    fails(
        &mut bench.command("x", &["data.sources={c=2}"]),
        &["weights", "`c`"],
    );
    fails(&mut bench.command("x", &["augment.blurr={}"]), &["blurr"]);
    fails(&mut resume(&bench.run("nothing")), &["nothing"]);
    assert!(
        !bench.run("x").join("log.jsonl").exists(),
        "nothing is begun"
    );

    ok(&mut bench.command("whole", &["training.steps=2"]));
    fails(&mut bench.command("whole", &[]), &["run.name", "resume"]);
    // Another corpus than the one that the run began with.
    let other = tempfile::tempdir().expect("a folder");
    let other = store(other.path(), 7);
    let mut command = resume(&bench.run("whole"));
    command
        .arg("--set")
        .arg(format!("data.store={}", other.display()));
    fails(command.args(["--set", "training.steps=4"]), &["position"]);

    // One byte of one volume's voxels.
    let mut files = Vec::new();
    find(&bench.store.join("volumes/v004"), &mut files);
    let largest = files
        .iter()
        .max_by_key(|f| fs::metadata(f).expect("a file").len());
    let largest = largest.expect("voxels");
    let mut bytes = fs::read(largest).expect("voxels");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(largest, bytes).expect("written");
    let more = "training.steps=12";
    fails(&mut bench.command("stops", &[more]), &["v004"]);
    ok(&mut bench.command("skips", &[more, "data.damage=skip"]));
    let records = log::read(&bench.run("skips")).expect("a log");
    let told =
        |r: &Record| matches!(r, Record::Damaged { message, .. } if message.contains("v004"));
    assert!(records.iter().any(told), "{records:?}");
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => find(&path, files),
            false => files.push(path),
        }
    }
}

/// A smaller corpus is part of a larger one, and both are validated on the same volumes.
#[test]
fn a_part_of_the_corpus_is_trained_on() {
    let bench = Bench::new();
    let config = |set: &[&str]| {
        let mut all = vec![format!("data.store={}", bench.store.display())];
        all.extend(["data.validation=0.2", "patch.size=[32,32,32]"].map(str::to_owned));
        all.extend(set.iter().map(|s| (*s).to_owned()));
        PretrainConfig::read(None, &all)
    };
    let corpus = |set: &[&str]| {
        let config = config(set).expect("a configuration");
        Corpus::new(Store::open(&config.data.store).expect("a store"), &config)
    };
    let whole = corpus(&[]).expect("a corpus");
    let mask = config(&[]).and_then(|c| c.mask()).expect("masks");
    let validation = whole.validation(&mask).expect("samples");
    assert_eq!((whole.volumes(), validation.len()), (7, 2));
    for (size, volumes) in [("3", 3), ("7", 7), ("0.5", 4), ("1.0", 7), ("0.01", 1)] {
        let part = corpus(&[&format!("data.size={size}")]).expect("a corpus");
        assert_eq!(part.volumes(), volumes, "{size}");
        let same = part.validation(&mask).expect("samples");
        assert!(
            same.iter()
                .zip(&validation)
                .all(|(a, b)| a.target == b.target)
        );
    }
    // Sources that are never drawn are no part of it: five of the nine are of `a`.
    let one = corpus(&["data.sources.b=0.0", "data.validation=0.0"]).expect("a corpus");
    assert_eq!(one.volumes(), 5);
    let error = corpus(&["data.size=8"])
        .expect_err("7 are there")
        .to_string();
    assert!(
        error.contains("data.size") && error.contains("8 volumes of 7"),
        "{error}"
    );
    for bad in ["0", "0.0", "1.5", "-2"] {
        assert!(config(&[&format!("data.size={bad}")]).is_err(), "{bad}");
    }
    for bad in ["data.memory_mib=2000000", "data.cache_mib=3"] {
        let error = config(&[bad]).expect_err("out of bounds").to_string();
        let (field, value) = bad.split_once('=').expect("a value");
        assert!(error.contains(field) && error.contains(value), "{error}");
    }
}

/// Gradients that are zero but for rounding, of biases before a norm, must not become steps.
const STEADY: [&str; 4] = [
    "patch.batch=4",
    "training.steps=4",
    "optimizer.epsilon=1e-4",
    "output.checkpoint_every=1",
];

#[test]
fn two_processes_with_half_the_batch_equal_one() {
    if let Some(missing) = mpi::missing() {
        println!("skipped: {missing}");
        return;
    }
    let bench = Bench::new();
    ok(&mut bench.command("one", &STEADY));
    ok(&mut mpi::two(&bench.command("two", &STEADY)));
    let [one, two] = ["one", "two"].map(|name| bench.run(name));
    mpi::assert_equal_runs(&one, &two);
    let losses = steps(&one).into_iter().zip(steps(&two));
    for ((step, a), (_, b)) in losses {
        assert!((a - b).abs() <= 1e-5 * a, "step {step}: {a}, {b}");
    }
    // The first alone writes, and the log says how many there were.
    let records = log::read(&two).expect("a log");
    assert!(
        matches!(&records[0], Record::Run(run) if run.world == 2),
        "{records:?}"
    );

    let odd = &mut mpi::two(&bench.command("odd", &["patch.batch=3"]));
    let output = output(odd);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("patch.batch"),
        "{error}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_lost_process_ends_the_run_and_leaves_a_checkpoint() {
    if let Some(missing) = mpi::missing() {
        println!("skipped: {missing}");
        return;
    }
    let bench = Bench::new();
    let run = bench.run("lost");
    // The rates of a longer run than it will be.
    let more = [&STEADY[..], &["training.steps=1000"]].concat();
    let child = mpi::two(&bench.command("lost", &more))
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    wait_for(&run, 2);
    let id = child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.expect("its processes");
    let last = children.split_whitespace().last().expect("a process");
    let kill = Command::new("kill").args(["-KILL", last]).status();
    assert!(kill.expect("kill starts").success());
    let output = child.wait_with_output().expect("ended");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    assert!(error.contains("rank 1"), "{error}");

    let (last, _) = amaes::train::checkpoint::latest(&run).expect("a checkpoint");
    assert!(last.state.step >= 1);
    // Told to stop at once, both stop after a step.
    let mut going_on = mpi::two(&resume(&run));
    let child = going_on.stderr(Stdio::piped()).spawn().expect("starts");
    wait_for(&run, last.state.step + 2);
    let kill = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(kill.expect("kill starts").success());
    child.wait_with_output().expect("ended");
    let (after, _) = amaes::train::checkpoint::latest(&run).expect("a checkpoint");
    assert!(after.state.step >= last.state.step + 2);
}
