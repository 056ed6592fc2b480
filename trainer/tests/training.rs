//! A pretraining run that stops and goes on.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amaes::device::DeviceKind;
use amaes::train::TrainError;
use amaes::train::checkpoint::{self, Checkpoint};
use amaes::train::config::PretrainConfig;
use amaes::train::exchange::Alone;
use amaes::train::log::{self, EndReason, Record};
use amaes::train::pretrain::{self, Pretraining};
use amaes::train::run::{Drawn, Ended, Run, Setting, Source, Start};
use amaes::train::sample::Sample;
use amaes_core::nn::Precision;
use amaes_core::preprocess::Plan;
use amaes_core::pretext::BlockMask;
use burn::tensor::Device;

const SIZE: usize = 16;

/// Waves whose direction depends on the number of the sample.
fn sample(n: u64) -> Sample {
    let mask = BlockMask::new([SIZE; 3], 4, 0.6).expect("fits");
    let wave = |v: usize| {
        let [x, y, z] = [v / SIZE / SIZE, v / SIZE % SIZE, v % SIZE];
        let phase = (x as u64 * (n % 3) + y as u64 * (n % 5) + z as u64 * (n % 7)) as f32;
        0.5 + 0.4 * (phase / 5.0).sin()
    };
    let target: Vec<f32> = (0..SIZE.pow(3)).map(wave).collect();
    Sample::new(target.clone(), target, mask.draw(n))
}

struct Waves {
    next: u64,
    batch: usize,
    /// Told to stop when this sample is reached.
    stop_at: Option<(u64, &'static AtomicBool)>,
}

impl Source<Sample> for Waves {
    fn next(&mut self) -> Result<Drawn<Sample>, TrainError> {
        let first = self.next;
        self.next += self.batch as u64;
        if let Some((at, stop)) = self.stop_at
            && self.next >= at
        {
            stop.store(true, Ordering::Relaxed);
        }
        Ok(Drawn {
            samples: (first..self.next).map(sample).collect(),
            epoch: 0,
            position: self.next.into(),
            wait: Duration::ZERO,
            skipped: Vec::new(),
        })
    }
}

fn config(folder: &Path, name: &str) -> PretrainConfig {
    let settings = [
        format!("run.folder={}", folder.display()),
        format!("run.name={name}"),
        "data.store=none".into(),
        "model.filters=2".into(),
        "patch.size=[16,16,16]".into(),
        "patch.batch=4".into(),
        "training.steps=6".into(),
        "training.lr=0.01".into(),
        "training.accumulate=2".into(),
        "training.ema=0.9".into(),
        "training.clip=1.0".into(),
        "output.checkpoint_every=2".into(),
        "output.keep=2".into(),
        "output.validate_every=3".into(),
        "output.picture_every=6".into(),
    ];
    PretrainConfig::read(None, &settings).expect("a configuration")
}

fn run(config: PretrainConfig, resume: bool, stop_at: Option<u64>) -> Result<Ended, TrainError> {
    run_on(Device::flex(), config, resume, stop_at)
}

fn run_on(
    device: Device,
    config: PretrainConfig,
    resume: bool,
    stop_at: Option<u64>,
) -> Result<Ended, TrainError> {
    let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let setting = Setting {
        device,
        exchange: &Alone,
        stop,
        watch: &mut |_| {},
    };
    let (batch, folder) = (config.patch.batch, config.folder());
    let validation = vec![sample(1001), sample(1002)];
    let task = Pretraining::new(config, Plan::reference(), 8, validation);
    let (mut run, next) = match resume {
        true => {
            let (from, broken) = checkpoint::latest(&folder)?;
            assert!(broken.is_empty(), "{broken:?}");
            let next = from.state.position.as_u64().unwrap_or(0);
            (Run::resume(task, setting, &from)?, next)
        }
        false => {
            let weights = task.first_weights()?;
            (Run::begin(task, weights, setting)?, 0)
        }
    };
    let mut source = Waves {
        next,
        batch,
        stop_at: stop_at.map(|at| (at, stop)),
    };
    run.go(&mut source)
}

fn losses(folder: &Path) -> Vec<(u64, f64)> {
    let records = log::read(folder).expect("a log");
    let steps = records.iter().filter_map(|r| match r {
        Record::Step(s) => Some((s.step, s.loss)),
        _ => None,
    });
    steps.collect()
}

#[test]
fn a_run_that_stopped_goes_on_to_the_same_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, parts) = (
        config(folder.path(), "whole"),
        config(folder.path(), "parts"),
    );
    let (a, b) = (whole.folder(), parts.folder());
    let ended = run(whole, false, None).expect("a run");
    assert_eq!((ended.step, ended.reason), (6, EndReason::Finished));

    let ended = run(parts.clone(), false, Some(12)).expect("a run");
    assert_eq!((ended.step, ended.reason), (3, EndReason::Interrupted));
    assert!(!b.join("model.amaes").exists());
    let ended = run(parts, true, None).expect("resumed");
    assert_eq!((ended.step, ended.reason), (6, EndReason::Finished));

    assert_eq!(losses(&a), losses(&b));
    assert_eq!(losses(&a).len(), 6);
    for file in [
        "model.amaes",
        "model.safetensors",
        "pictures/step-00000006.png",
    ] {
        let read = |run: &Path| fs::read(run.join(file)).expect("a result");
        assert!(read(&a) == read(&b), "{file} differs");
    }
    let read = |run: &Path| Checkpoint::read(&run.join(checkpoint::file(6))).expect("a checkpoint");
    let (a, b) = (read(&a), read(&b));
    assert_eq!(
        a.model.iter().collect::<Vec<_>>(),
        b.model.iter().collect::<Vec<_>>()
    );
    assert_eq!(a.moments, b.moments);
    assert!(a.average.is_some());
}

#[test]
fn a_killed_run_goes_on_from_its_last_whole_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(folder.path(), "killed");
    let path = config.folder();
    run(config.clone(), false, None).expect("a run");
    let expected = fs::read(path.join("model.amaes")).expect("a model");
    assert_eq!(
        checkpoint::list(&path).expect("checkpoints"),
        [4, 6],
        "two are kept"
    );

    // As if it had been killed within step 6, half a line logged.
    fs::remove_file(path.join(checkpoint::file(6))).expect("removed");
    fs::remove_file(path.join("model.amaes")).expect("removed");
    let mut log = fs::read(path.join(log::FILE)).expect("a log");
    log.truncate(log.len() - 20);
    fs::write(path.join(log::FILE), log).expect("written");
    run(config.clone(), true, None).expect("resumed");
    assert_eq!(
        fs::read(path.join("model.amaes")).expect("a model"),
        expected
    );
    assert_eq!(losses(&path).len(), 6);

    // A checkpoint that was cut off is passed over.
    let last = path.join(checkpoint::file(6));
    let bytes = fs::read(&last).expect("a checkpoint");
    fs::write(&last, &bytes[..bytes.len() - 1]).expect("cut");
    let (found, broken) = checkpoint::latest(&path).expect("the one before");
    assert_eq!((found.state.step, broken.len()), (4, 1));
    assert!(broken[0].contains("step-00000006"), "{broken:?}");
    // And one that was changed.
    let mut changed = bytes;
    let end = changed.len() - 5;
    changed[end] ^= 1;
    fs::write(&last, &changed).expect("changed");
    let error = Checkpoint::read(&last).expect_err("changed").to_string();
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn nothing_is_overwritten_or_mixed_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = config(folder.path(), "first");
    run(first.clone(), false, None).expect("a run");
    let error = run(first.clone(), false, None)
        .expect_err("it is there")
        .to_string();
    assert!(
        error.contains("run.name") && error.contains("resume"),
        "{error}"
    );

    let mut other = first;
    other.model.filters = Some(3);
    let error = run(other, true, None)
        .expect_err("another network")
        .to_string();
    assert!(
        error.contains("step-00000006") && error.contains("model"),
        "{error}"
    );
}

#[test]
fn wrong_configurations_name_the_field() {
    for (setting, expected) in [
        ("patch.size=[16,16,20]", "patch.size"),
        ("patch.ratio=1.5", "mask.ratio"),
        ("training.warmup=2", "training.warmup"),
        ("training.accumulate=3", "training.accumulate"),
        ("training.lr=-1", "training.lr"),
        ("optimizer.betas=[0.9, 1.0]", "optimizer.betas"),
        ("run.name=../x", "run.name"),
        ("model.backbone=unet-q", "unet-q"),
        ("training.stepz=4", "stepz"),
        ("model.filters=100000", "filters"),
        ("training", "`training`"),
    ] {
        let settings = ["data.store=none".to_owned(), setting.to_owned()];
        let error = PretrainConfig::read(None, &settings)
            .expect_err(setting)
            .to_string();
        assert!(error.contains(expected), "{setting}: {error}");
    }
}

#[test]
fn a_configuration_survives_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(folder.path(), "kept");
    let path = folder.path().join("config.toml");
    fs::write(&path, config.to_toml().expect("TOML")).expect("written");
    assert_eq!(
        PretrainConfig::read(Some(&path), &[]).expect("read"),
        config
    );
}

/// The graphics card, if it has half precision.
fn card() -> Option<Device> {
    let device = DeviceKind::Wgpu.open().ok();
    let device = device.filter(|device| Precision::Float16.is_on(device));
    if device.is_none() {
        eprintln!("skipped: no graphics adapter with half precision");
    }
    device
}

fn half(folder: &Path, name: &str) -> PretrainConfig {
    let mut config = config(folder, name);
    config.run.device = DeviceKind::Wgpu;
    config.training.precision = Precision::Float16;
    config
}

#[test]
fn half_precision_is_refused_where_there_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = half(folder.path(), "half");
    config.run.device = DeviceKind::Flex;
    let (stop, device) = (AtomicBool::new(false), Device::flex());
    let error = pretrain::run(&config, Start::Begin, device, &stop, &mut |_| {})
        .expect_err("a processor")
        .to_string();
    for part in ["training.precision", "float16", "`flex`"] {
        assert!(error.contains(part), "{error}");
    }
    let settings = [
        "data.store=none",
        "pretext.kind=swinunetr",
        "training.precision=float16",
    ];
    let error = PretrainConfig::read(None, &settings.map(str::to_owned))
        .expect_err("views")
        .to_string();
    assert!(error.contains("training.precision"), "{error}");
}

#[test]
fn a_run_in_half_precision_learns_the_same_and_goes_on() {
    let Some(device) = card() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut single = half(folder.path(), "single");
    single.training.precision = Precision::Float32;
    let (whole, parts) = (half(folder.path(), "whole"), half(folder.path(), "parts"));
    let folders = [&single, &whole, &parts].map(|config| config.folder());
    let run = |config, resume, stop_at| run_on(device.clone(), config, resume, stop_at);
    run(single, false, None).expect("a run");
    run(whole, false, None).expect("a run");
    let ended = run(parts.clone(), false, Some(12)).expect("a run");
    assert_eq!((ended.step, ended.reason), (3, EndReason::Interrupted));
    run(parts, true, None).expect("resumed");

    let [single, whole, parts] = folders;
    // How a loss is summed is chosen by timing; what is learnt does not depend on it.
    assert_eq!(losses(&whole).len(), losses(&parts).len());
    for ((_, whole), (step, parts)) in losses(&whole).iter().zip(losses(&parts)) {
        assert!((whole / parts - 1.0).abs() < 1e-6, "step {step}: {whole}");
    }
    for ((_, half), (step, single)) in losses(&whole).iter().zip(losses(&single)) {
        assert!((half / single - 1.0).abs() < 0.01, "step {step}: {half}");
    }
    let read = |run: &Path| Checkpoint::read(&run.join(checkpoint::file(6))).expect("a checkpoint");
    let (whole, parts) = (read(&whole), read(&parts));
    assert!(whole.model.iter().eq(parts.model.iter()));
    assert_eq!(whole.moments, parts.moments);
    assert_eq!(whole.state.loss_scale, parts.state.loss_scale);
    assert_eq!(
        (whole.state.loss_scale.factor, whole.state.loss_scale.steps),
        (65_536.0, 6)
    );
    assert!(read(&single).state.loss_scale.is_new());
}

#[test]
fn steps_beyond_half_precision_are_skipped() {
    let Some(device) = card() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let config = half(folder.path(), "skipped");
    let path = config.folder();
    let run = |resume, stop_at| run_on(device.clone(), config.clone(), resume, stop_at);
    run(false, Some(8)).expect("a run");
    let (mut before, _) = checkpoint::latest(&path).expect("a checkpoint");
    assert_eq!(before.state.step, 2);
    // No gradient is a number with it, nor with its 16th.
    before.state.loss_scale.factor = 2.0_f64.powi(100);
    let file = path.join(checkpoint::file(2));
    before.write(&file).expect("written");
    let ended = run(true, None).expect("a run");
    assert_eq!((ended.step, ended.reason), (6, EndReason::Finished));

    let after = Checkpoint::read(&path.join(checkpoint::file(6))).expect("a checkpoint");
    let scale = after.state.loss_scale;
    assert_eq!((scale.factor, scale.skipped), (2.0_f64.powi(96), 4));
    assert!(before.model.iter().eq(after.model.iter()));
    assert_eq!(before.moments, after.moments);
    let records = log::read(&path).expect("a log");
    let skipped = records.iter().filter(|record| match record {
        Record::Step(step) => step.step > 2 && step.grad_norm == 0.0,
        Record::Note { message, .. } => message.contains("skipped"),
        _ => false,
    });
    assert_eq!(skipped.count(), 8);
}
