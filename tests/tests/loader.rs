//! The loader: order, resuming, ranks, bias, faults and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use amaes::loader::{
    Batch, Damage, Loader, LoaderConfig, LoaderError, Position, RawPatch, Sample, SampleSeed,
    Transform,
};
use amaes::store::{Access, OpenOptions, Store, StoreOptions, VolumeMeta, Writer};
use amaes_core::volume::{Affine, Grid, Volume};
use tempfile::TempDir;

/// Volumes of sources `a` (five) and `b` (three). Voxel (x, y, z) of volume `i` is
/// `i + 1 + (x + 100 y + 10000 z) / 2^20`, the outside 0.
fn store() -> (TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = StoreOptions {
        chunk: 16,
        ..StoreOptions::default()
    };
    let writer = Writer::create(folder.path(), options, Access::Alone).expect("begun");
    for i in 0..8usize {
        let shape = [30 + i, 26, 12 + 2 * i];
        let mut data = Vec::new();
        for z in 0..shape[2] {
            for y in 0..shape[1] {
                for x in 0..shape[0] {
                    data.push(
                        (i + 1) as f32 + (x + 100 * y + 10_000 * z) as f32 / (1 << 20) as f32,
                    );
                }
            }
        }
        data[0] = 0.0;
        let grid = Grid {
            shape,
            affine: Affine::IDENTITY,
        };
        let meta = VolumeMeta {
            source: if i < 5 { "a" } else { "b" }.into(),
            ..VolumeMeta::default()
        };
        let volume = Volume::new(grid, data).expect("values");
        writer
            .write(&format!("v{i}"), &volume, &meta)
            .expect("written");
    }
    writer.seal().expect("sealed");
    let store = Store::open(folder.path().to_str().expect("text")).expect("opened");
    (folder, Arc::new(store))
}

fn config() -> LoaderConfig {
    LoaderConfig {
        patch: [20, 20, 16],
        batch: 2,
        seed: 5,
        threads: 2,
        ..LoaderConfig::default()
    }
}

/// Keeps the patch, and says which it was: volume, start and seed.
fn keep() -> Transform {
    Arc::new(|raw: RawPatch, seed: SampleSeed| {
        let mut target = vec![raw.entry as f32];
        target.extend(raw.start.map(|s| s as f32));
        target.push((seed.0 >> 40) as f32);
        let shape = raw.shape;
        Sample {
            input: raw.into_data(),
            target,
            shape,
        }
    })
}

fn batches(store: &Arc<Store>, config: &LoaderConfig, n: usize) -> Vec<Batch> {
    Loader::new(store.clone(), config, keep())
        .expect("started")
        .take(n)
        .collect::<Result<_, _>>()
        .expect("loaded")
}

fn samples(batches: &[Batch]) -> Vec<&Sample> {
    batches.iter().flat_map(|b| &b.samples).collect()
}

#[test]
fn patches_are_what_the_store_has_there() {
    let (_folder, store) = store();
    let batches = batches(&store, &config(), 12);
    for sample in samples(&batches) {
        assert_eq!(sample.shape, [20, 20, 16]);
        let [entry, x, y, z] = [0, 1, 2, 3].map(|i| sample.target[i]);
        let shape = store.entries()[entry as usize].shape;
        let start = [x, y, z].map(|v| v as i64);
        for a in 0..3 {
            let spare = shape[a] as i64 - sample.shape[a] as i64;
            // Within the volume, or half of what lacks before it.
            let allowed = if spare >= 0 {
                0..=spare
            } else {
                -(-spare / 2)..=-(-spare / 2)
            };
            assert!(allowed.contains(&start[a]), "{start:?} in {shape:?}");
        }
        let mut expected = vec![0.0; sample.input.len()];
        store
            .read(entry as usize, start, sample.shape, &mut expected)
            .expect("read");
        assert_eq!(sample.input, expected);
        // And by the formula, within a step of the stored type, at a voxel inside the volume.
        let p = [4, 5, 7];
        let at = p[0] + 20 * (p[1] + 20 * p[2]);
        let [i, j, k] = [0, 1, 2].map(|a| (start[a] + p[a] as i64) as f32);
        let value = entry + 1.0 + (i + 100.0 * j + 10_000.0 * k) / (1 << 20) as f32;
        assert!(
            (sample.input[at] - value).abs() < 2e-4,
            "{} {value}",
            sample.input[at]
        );
    }
}

#[test]
fn the_order_does_not_depend_on_threads_or_queue() {
    let (_folder, store) = store();
    let first = batches(&store, &config(), 10);
    for (threads, queue) in [(1, 0), (5, 1), (3, 7)] {
        let other = LoaderConfig {
            threads,
            queue,
            ..config()
        };
        let other = batches(&store, &other, 10);
        assert_eq!(samples(&first), samples(&other));
    }
    let other = LoaderConfig {
        seed: 6,
        ..config()
    };
    assert_ne!(samples(&first), samples(&batches(&store, &other, 10)));
}

#[test]
fn recycled_memory_and_kept_chunks_change_nothing() {
    let (folder, store) = store();
    let expected = batches(&store, &config(), 12);
    // Room for some of the chunks, for all, and for none.
    for memory in [100_000, 64 << 20, 100] {
        let options = OpenOptions {
            memory,
            ..OpenOptions::default()
        };
        let path = folder.path().to_str().expect("text");
        let kept = Arc::new(Store::open_with(path, &options).expect("opened"));
        for _ in 0..2 {
            let mut loader = Loader::new(kept.clone(), &config(), keep()).expect("started");
            for expected in &expected {
                let batch = loader.next().expect("no end").expect("loaded");
                assert_eq!(batch.samples, expected.samples);
                for sample in batch.samples {
                    loader.recycle(sample.input);
                }
            }
        }
        if memory == 64 << 20 {
            // What is kept needs no files.
            let file = folder.path().join("volumes/v0/0/c/0/0/0");
            let bytes = std::fs::read(&file).expect("a shard");
            std::fs::remove_file(&file).expect("removed");
            let mut out = vec![0.0; 30 * 26 * 12];
            kept.read(0, [0; 3], [30, 26, 12], &mut out).expect("kept");
            assert!(store.read(0, [0; 3], [30, 26, 12], &mut out).is_err());
            std::fs::write(&file, bytes).expect("written");
        }
    }
}

#[test]
fn an_epoch_has_each_volume_once_in_an_order_of_its_own() {
    let (_folder, store) = store();
    let batches = batches(&store, &config(), 12);
    let mut orders = BTreeSet::new();
    let mut places = BTreeSet::new();
    for (e, epoch) in batches.chunks(4).enumerate() {
        let ids: Vec<_> = samples(epoch)
            .iter()
            .map(|s| s.target[0] as usize)
            .collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4, 5, 6, 7]);
        orders.insert(ids);
        for s in samples(epoch) {
            places.insert(s.target.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
        }
        for (i, batch) in epoch.iter().enumerate() {
            let next = (e * 4 + i + 1) as u64;
            assert_eq!(
                (batch.position.epoch, batch.position.step),
                (next / 4, next % 4)
            );
        }
    }
    assert_eq!(orders.len(), 3);
    assert_eq!(places.len(), 24);
}

#[test]
fn it_goes_on_exactly_from_any_batch() {
    let (_folder, store) = store();
    let whole = batches(&store, &config(), 9);
    for done in [1, 3, 4, 7] {
        // As a checkpoint keeps it.
        let text = serde_json::to_string(&whole[done - 1].position).expect("JSON");
        let start: Position = serde_json::from_str(&text).expect("JSON");
        let resumed = batches(&store, &LoaderConfig { start, ..config() }, 9 - done);
        assert_eq!(samples(&resumed), samples(&whole[done..]));
        assert_eq!(resumed.last().expect("one").position, whole[8].position);
    }
    let start = whole[0].position;
    let other = LoaderConfig {
        seed: 6,
        start,
        ..config()
    };
    let error = Loader::new(store, &other, keep()).expect_err("refused");
    assert!(matches!(error, LoaderError::Position { .. }), "{error}");
}

#[test]
fn ranks_share_each_batch_of_one() {
    let (_folder, store) = store();
    let one = batches(
        &store,
        &LoaderConfig {
            batch: 4,
            ..config()
        },
        6,
    );
    let ranks = [0, 1].map(|rank| {
        let config = LoaderConfig {
            rank,
            world: 2,
            ..config()
        };
        batches(&store, &config, 6)
    });
    for (i, batch) in one.iter().enumerate() {
        let together: Vec<_> = ranks.iter().flat_map(|r| &r[i].samples).cloned().collect();
        assert_eq!(batch.samples, together);
        // A checkpoint of one is a checkpoint of two.
        assert_eq!(batch.position, ranks[0][i].position);
    }
}

#[test]
fn weights_decide_how_often_a_source_comes() {
    let (_folder, store) = store();
    let count = |weights: &[(&str, f64)]| {
        let weights: BTreeMap<_, _> = weights.iter().map(|(s, w)| ((*s).to_owned(), *w)).collect();
        let config = LoaderConfig {
            weights,
            epoch: Some(80),
            ..config()
        };
        let mut counts = [0; 8];
        for s in samples(&batches(&store, &config, 40)) {
            counts[s.target[0] as usize] += 1;
        }
        counts
    };
    assert_eq!(count(&[]), [10; 8]);
    assert_eq!(count(&[("b", 0.0)]), [16, 16, 16, 16, 16, 0, 0, 0]);
    // Five volumes of weight 1 and three of 5: 20 and 60 places.
    assert_eq!(count(&[("b", 5.0)]), [4, 4, 4, 4, 4, 20, 20, 20]);
    let refuse = |name: &str, w| {
        let config = LoaderConfig {
            weights: [(name.to_owned(), w)].into(),
            ..config()
        };
        Loader::new(store.clone(), &config, keep())
            .expect_err("refused")
            .to_string()
    };
    assert!(refuse("a", -1.0).contains("`a`"));
    assert!(refuse("nobody", 1.0).contains("`nobody`"));
}

#[test]
fn patches_can_be_drawn_to_the_foreground() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = StoreOptions {
        chunk: 16,
        ..StoreOptions::default()
    };
    let writer = Writer::create(folder.path(), options, Access::Alone).expect("begun");
    let n = 128;
    let mut data = vec![0.0; n * n * n];
    // One block at (96, 32, 64).
    for z in 64..96 {
        for y in 32..64 {
            data[n * (y + n * z) + 96..][..32].fill(1.0);
        }
    }
    let grid = Grid {
        shape: [n; 3],
        affine: Affine::IDENTITY,
    };
    let volume = Volume::new(grid, data).expect("values");
    let meta = VolumeMeta::default();
    writer.write("x", &volume, &meta).expect("written");
    writer.seal().expect("sealed");
    let store = Store::open(folder.path().to_str().expect("text")).expect("opened");
    let store = Arc::new(store);
    let hits = |foreground| {
        let config = LoaderConfig {
            patch: [8; 3],
            foreground,
            epoch: Some(200),
            ..config()
        };
        let batches = batches(&store, &config, 100);
        let inside = |s: &&&Sample| s.input.iter().any(|&v| v > 0.0);
        samples(&batches).iter().filter(inside).count()
    };
    // By chance, 40^3 of 121^3 places touch the block, or 3.6 %: at most 20 of 200.
    assert!(hits(0.0) <= 20);
    assert_eq!(hits(1.0), 200);
    let half = hits(0.5);
    assert!((75..=135).contains(&half), "{half}");
}

#[test]
fn a_panic_in_the_transform_is_an_error_that_names_the_volume() {
    let (_folder, store) = store();
    let transform: Transform = Arc::new(|raw: RawPatch, _| {
        assert!(raw.entry != 3, "no threes");
        Sample::default()
    });
    let mut loader = Loader::new(store, &config(), transform).expect("started");
    let error = loader
        .find_map(Result::err)
        .expect("volume 3 comes in the first epoch");
    let text = error.to_string();
    assert!(matches!(error, LoaderError::Panic { .. }), "{text}");
    assert!(
        text.contains("`v3`") && text.contains("no threes"),
        "{text}"
    );
    assert!(loader.next().is_none());
}

#[test]
fn damage_stops_or_is_skipped() {
    let (folder, store) = store();
    let path = folder.path().join("volumes/v3/0/c/0/0/0");
    let mut bytes = std::fs::read(&path).expect("a shard");
    bytes[..2000].fill(9);
    std::fs::write(&path, bytes).expect("written");
    let mut loader = Loader::new(store.clone(), &config(), keep()).expect("started");
    let error = loader
        .find_map(Result::err)
        .expect("volume 3 comes in the first epoch");
    let text = error.to_string();
    assert!(
        text.contains("volumes/v3/0/c/0/0/0") && text.contains("chunk"),
        "{text}"
    );

    let skip = LoaderConfig {
        damage: Damage::Skip,
        ..config()
    };
    let first = batches(&store, &skip, 4);
    let skipped: Vec<_> = first.iter().flat_map(|b| &b.skipped).collect();
    assert!(
        !skipped.is_empty() && skipped.iter().all(|s| s.contains("`v3`")),
        "{skipped:?}"
    );
    assert_eq!(samples(&first).len(), 8);
    assert!(samples(&first).iter().all(|s| s.target[0] != 3.0));
    let other = LoaderConfig { threads: 4, ..skip };
    assert_eq!(samples(&first), samples(&batches(&store, &other, 4)));

    // Nothing but damage is an error, not an endless search.
    for i in 0..8 {
        std::fs::write(folder.path().join(format!("volumes/v{i}/0/c/0/0/0")), "").expect("written");
    }
    let mut loader = Loader::new(store, &other, keep()).expect("started");
    let error = loader.find_map(Result::err).expect("all are damaged");
    assert!(
        matches!(error, LoaderError::TooMuchDamage { .. }),
        "{error}"
    );
}

#[test]
fn no_more_is_made_than_the_queue_holds_and_dropping_ends_the_threads() {
    let (_folder, store) = store();
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let transform: Transform = Arc::new(move |_: RawPatch, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        Sample::default()
    });
    let config = LoaderConfig {
        queue: 2,
        threads: 4,
        ..config()
    };
    let began = Instant::now();
    let mut loader = Loader::new(store, &config, transform.clone()).expect("started");
    let settled = |n| {
        while made.load(Ordering::SeqCst) < n {
            assert!(began.elapsed() < Duration::from_secs(20), "nothing is made");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(60));
        made.load(Ordering::SeqCst)
    };
    assert_eq!(settled(6), 6);
    loader.next().expect("one").expect("loaded");
    assert_eq!(settled(8), 8);
    drop(loader);
    // The threads held the transform.
    assert_eq!(Arc::strong_count(&transform), 1);
}

#[test]
fn impossible_configurations_are_refused_by_field() {
    let (_folder, store) = store();
    let refuse = |field: &str, change: fn(&mut LoaderConfig)| {
        let mut config = config();
        change(&mut config);
        let error = Loader::new(store.clone(), &config, keep()).expect_err(field);
        assert!(
            error.to_string().contains(&format!("field {field}")),
            "{error}"
        );
    };
    refuse("patch", |c| c.patch = [0, 1, 1]);
    refuse("patch", |c| c.patch = [1 << 40, 1, 1]);
    refuse("batch", |c| c.batch = 0);
    refuse("world", |c| c.world = 0);
    refuse("rank", |c| c.rank = 1);
    refuse("foreground", |c| c.foreground = f64::NAN);
    refuse("epoch", |c| c.batch = 9);
    refuse("epoch", |c| c.epoch = Some(1));
    refuse("start", |c| c.start.step = 4);
}
