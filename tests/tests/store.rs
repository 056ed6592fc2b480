//! Stores: written and read back, beside zarr-python, damaged, interrupted and over a network.
//!
//! `reference/store.py` made the arrays in `data/store`. Where `AMAES_PYTHON` (`python3` otherwise)
//! has zarr 3, it reads our stores too; otherwise that test is skipped by name.

#[path = "store/damage.rs"]
mod damage;
#[path = "store/interrupt.rs"]
mod interrupt;
#[path = "store/network.rs"]
mod network;
#[path = "store/python.rs"]
mod python;
#[path = "store/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use amaes::store::{Access, Codec, Dtype, Store, StoreError, StoreOptions, VolumeMeta, Writer};
use amaes_core::volume::{Affine, Grid, Volume};

/// Numbers that are the same everywhere, 0 to 1.
pub(crate) fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// A head of sorts: noise within an ellipsoid, 0 outside.
pub(crate) fn volume(shape: [usize; 3], seed: u64) -> Volume<f32> {
    let mut random = noise(seed);
    let mut data = Vec::new();
    for z in 0..shape[2] {
        for y in 0..shape[1] {
            for x in 0..shape[0] {
                let r: f32 = [x, y, z]
                    .iter()
                    .zip(shape)
                    .map(|(&p, n)| (2.0 * (p as f32 + 0.5) / n as f32 - 1.0).powi(2))
                    .sum();
                let v = random();
                data.push(if r < 1.0 { 0.05 + 0.95 * v } else { 0.0 });
            }
        }
    }
    let mut affine = Affine::IDENTITY;
    affine.0[1][1] = 1.5;
    affine.0[2][2] = -2.0;
    Volume::new(Grid { shape, affine }, data).expect("one value a voxel")
}

pub(crate) fn meta(source: &str) -> VolumeMeta {
    VolumeMeta {
        source: source.into(),
        sequence: Some("T1w".into()),
        ..VolumeMeta::default()
    }
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        chunk: 16,
        ..StoreOptions::default()
    }
}

/// A sealed store of these volumes.
pub(crate) fn store(
    folder: &Path,
    options: StoreOptions,
    volumes: &[(&str, Volume<f32>)],
) -> Store {
    let writer = Writer::create(folder, options, Access::Alone).expect("begun");
    for (id, volume) in volumes {
        writer.write(id, volume, &meta("a")).expect("written");
    }
    assert_eq!(writer.seal().expect("sealed"), volumes.len());
    Store::open(folder.to_str().expect("text")).expect("opened")
}

/// Every file under a folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for item in std::fs::read_dir(&next).expect("a folder") {
            let path = item.expect("listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("within").to_str();
                let bytes = std::fs::read(&path).expect("read");
                found.insert(name.expect("text").to_owned(), bytes);
            }
        }
    }
    found
}

/// The box of a volume, its minimum outside.
fn cut(volume: &Volume<f32>, start: [i64; 3], size: [usize; 3], outside: f32) -> Vec<f32> {
    let shape = volume.grid().shape;
    let mut out = Vec::new();
    for z in 0..size[2] {
        for y in 0..size[1] {
            for x in 0..size[0] {
                let p = [x, y, z].map(|v| v as i64);
                let p = [0, 1, 2].map(|a| start[a] + p[a]);
                let inside = (0..3).all(|a| (0..shape[a] as i64).contains(&p[a]));
                let [i, j, k] = p.map(|v| v as usize);
                out.push(if inside {
                    volume.data()[i + shape[0] * (j + shape[1] * k)]
                } else {
                    outside
                });
            }
        }
    }
    out
}

#[test]
fn boxes_come_back_in_every_type_and_codec() {
    let cases = [
        (Dtype::Uint16, 16, Codec::Zstd { level: -1 }, 512),
        (Dtype::Uint16, 12, Codec::Gzip { level: 4 }, 512),
        (Dtype::Float16, 16, Codec::Zstd { level: 3 }, 512),
        // Several shards a volume.
        (Dtype::Uint16, 16, Codec::Zstd { level: 1 }, 32),
    ];
    let shapes = [[37, 50, 41], [1, 70, 9], [300, 17, 20]];
    for (dtype, bits, codec, shard) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let volumes: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .zip(shapes)
            .map(|(id, shape)| (id, volume(shape, 7)))
            .collect();
        let options = StoreOptions {
            dtype,
            bits,
            codec,
            shard,
            ..options()
        };
        let store = store(folder.path(), options, &volumes);
        let mut random = noise(3);
        for (i, (_, volume)) in volumes.iter().enumerate() {
            let step = store.entries()[i].quantisation.map_or(0.0, |q| q.scale);
            assert!(step < 1.01 / ((1 << bits) - 1) as f32);
            for _ in 0..6 {
                let shape = volume.grid().shape;
                let size = shape.map(|n| 1 + (random() * (n as f32 + 9.0)) as usize);
                let start = shape.map(|n| (random() * (n as f32 + 12.0)) as i64 - 6);
                let mut found = vec![f32::NAN; size.iter().product()];
                store.read(i, start, size, &mut found).expect("read");
                let expected = cut(volume, start, size, store.outside(i));
                for (f, e) in found.iter().zip(expected) {
                    // Half a step and float32's rounding, or half of float16's last place.
                    let allowed = (step * 0.5 + f32::EPSILON).max(if dtype == Dtype::Float16 {
                        e.abs() / 2048.0
                    } else {
                        0.0
                    });
                    assert!((f - e).abs() <= allowed, "{f} for {e}, {dtype} {codec}");
                }
            }
        }
    }
}

#[test]
fn only_touched_chunks_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path(), options(), &[("a", volume([64; 3], 1))]);
    let entry = &store.entries()[0];
    assert_eq!((entry.chunk, entry.shard), ([16; 3], [64; 3]));
    // Every byte but the first chunk's and the index's is gone.
    let path = folder.path().join("volumes/a/0/c/0/0/0");
    let mut bytes = std::fs::read(&path).expect("a shard");
    let index = bytes.len() - (64 * 16 + 4);
    let offset = |i: usize| {
        let at = index + 16 * i;
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight")) as usize
    };
    let (first, second) = (offset(21), offset(22));
    bytes[..first].fill(0);
    bytes[second..index].fill(0);
    std::fs::write(&path, bytes).expect("written");
    // Chunk 21 is the one at (1, 1, 1).
    let mut out = vec![0.0; 16 * 16 * 16];
    store
        .read(0, [16; 3], [16; 3], &mut out)
        .expect("untouched");
    let beyond = store.read(0, [17, 16, 16], [16; 3], &mut out);
    assert!(beyond.is_err());
}

#[test]
fn constant_and_empty_parts_take_no_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let grid = Grid {
        shape: [40, 40, 40],
        affine: Affine::IDENTITY,
    };
    let constant = Volume::new(grid.clone(), vec![2.5; 64_000]).expect("values");
    let mut data = vec![-1.0; 64_000];
    data[0] = 3.0;
    let speck = Volume::new(grid, data).expect("values");
    let volumes = [("constant", constant), ("speck", speck)];
    for dtype in [Dtype::Uint16, Dtype::Float16] {
        let folder = folder.path().join(dtype.to_string());
        let store = store(&folder, StoreOptions { dtype, ..options() }, &volumes);
        assert_eq!(store.entries()[0].shard_bytes, [0]);
        assert!(!folder.join("volumes/constant/0/c").exists());
        assert!(store.entries()[1].shard_bytes[0] < 1000);
        let mut out = vec![0.0; 42 * 42 * 42];
        store.read(0, [-1; 3], [42; 3], &mut out).expect("read");
        assert!(out.iter().all(|&v| v == 2.5));
        store.read(1, [-1; 3], [42; 3], &mut out).expect("read");
        let corner = 1 + 42 * (1 + 42);
        assert!(
            out.iter()
                .enumerate()
                .all(|(i, &v)| v == if i == corner { 3.0 } else { -1.0 })
        );
    }
}

#[test]
fn bytes_do_not_depend_on_order_or_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let ids = ["a", "b", "c", "d"];
    let volumes: Vec<_> = (0..4).map(|i| volume([30, 31, 32 + i], i as u64)).collect();
    let one = folder.path().join("one");
    let volumes_in_order: Vec<_> = ids.into_iter().zip(volumes.iter().cloned()).collect();
    store(&one, options(), &volumes_in_order);
    let two = folder.path().join("two");
    let writer = Arc::new(Writer::create(&two, options(), Access::Alone).expect("begun"));
    std::thread::scope(|scope| {
        for (id, volume) in ids.iter().zip(&volumes).rev() {
            let writer = writer.clone();
            scope.spawn(move || writer.write(id, volume, &meta("a")).expect("written"));
        }
    });
    Arc::into_inner(writer)
        .expect("alone")
        .seal()
        .expect("sealed");
    assert!(files(&one) == files(&two));
}

#[test]
fn a_second_writer_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let first = Writer::create(path, options(), Access::Alone).expect("begun");
    for access in [Access::Alone, Access::Rank(1)] {
        let second = Writer::open_for_resume(path, options(), access);
        assert!(matches!(second, Err(StoreError::Locked { .. })));
    }
    drop(first);
    // Ranks write together; the same rank twice does not, and the index waits for all.
    let zero = Writer::open_for_resume(path, options(), Access::Rank(0)).expect("joined");
    let one = Writer::create(path, options(), Access::Rank(1)).expect("joined");
    let again = Writer::open_for_resume(path, options(), Access::Rank(1));
    assert!(matches!(again, Err(StoreError::Locked { .. })));
    zero.write("a", &volume([20; 3], 1), &meta("a"))
        .expect("written");
    one.write("b", &volume([20; 3], 2), &meta("a"))
        .expect("written");
    assert!(matches!(zero.seal(), Err(StoreError::Locked { .. })));
    assert_eq!(one.seal().expect("alone by now"), 2);
}

#[test]
fn what_cannot_be_stored_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let writer = Writer::create(folder.path(), options(), Access::Alone).expect("begun");
    let message = |id: &str, values: Vec<f32>, shape: [usize; 3]| {
        let grid = Grid {
            shape,
            affine: Affine::IDENTITY,
        };
        let volume = Volume::new(grid, values).expect("values");
        let refused = writer.write(id, &volume, &meta("a")).expect_err("refused");
        assert!(!writer.contains(id));
        refused.to_string()
    };
    let nan = message("x", vec![0.0, f32::NAN], [1, 2, 1]);
    assert!(nan.contains("`x`") && nan.contains("[0, 1, 0]"), "{nan}");
    assert!(message("../x", vec![0.0], [1; 3]).contains("`../x`"));
    assert!(message("x", vec![], [0, 3, 3]).contains("[0, 3, 3]"));
    assert!(message("x", vec![-3e38, 3e38], [2, 1, 1]).contains("too far apart"));
    writer
        .write("x", &volume([9; 3], 1), &meta("a"))
        .expect("written");
    let again = writer.write("x", &volume([9; 3], 1), &meta("a"));
    assert!(matches!(again, Err(StoreError::Exists { .. })));
    drop(writer);

    let bits = StoreOptions {
        bits: 12,
        ..options()
    };
    let other = Writer::open_for_resume(folder.path(), bits, Access::Alone).expect_err("refused");
    assert!(
        other.to_string().contains("bits 16, now asked for 12"),
        "{other}"
    );
    let create = Writer::create(folder.path(), options(), Access::Alone);
    assert!(matches!(create, Err(StoreError::Exists { .. })));
    let strangers = tempfile::tempdir().expect("a folder");
    std::fs::write(strangers.path().join("thesis.tex"), "").expect("written");
    let begun = Writer::open_for_resume(strangers.path(), options(), Access::Alone);
    assert!(matches!(begun, Err(StoreError::Exists { .. })));
    assert_eq!(files(strangers.path()).len(), 1);
}
