//! A pretraining run that stops and goes on.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amaes::train::TrainError;
use amaes::train::checkpoint::{self, Checkpoint};
use amaes::train::config::PretrainConfig;
use amaes::train::exchange::Alone;
use amaes::train::log::{self, EndReason, Record};
use amaes::train::pretrain::Pretraining;
use amaes::train::run::{Drawn, Ended, Run, Setting, Source};
use amaes::train::sample::Sample;
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
    let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let setting = Setting {
        device: Device::flex(),
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
