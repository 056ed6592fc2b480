//! Random patches a second: our loader, zarr-python on the same store, memory-mapped .npy.
//!
//! `cargo bench --workspace --bench loader -- --data FOLDER [--json FILE] [--rounds N]
//! [--prepare] VOLUME...`. The volumes are prepared as for pretraining, copied until the set is
//! larger than any cache of the processor, and kept in FOLDER. zarr-python runs in the Python that
//! `AMAES_PYTHON` names (`python3` otherwise). The same patches are read by all, in turn; each
//! number is the median of N rounds (5). "Cold" numbers are taken after the files were dropped from
//! the page cache.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use amaes::loader::{Loader, LoaderConfig, RawPatch, Sample, SampleSeed, Transform};
use amaes::store::{Access, OpenOptions, Store, StoreOptions, VolumeMeta, Writer};
use amaes::volumes;
use amaes_core::preprocess::Plan;
use amaes_core::volume::{ReadOptions, Volume};
use amaes_tests::{Python, median};

/// Copies of each volume.
const COPIES: usize = 6;
const PATCH: [usize; 3] = [128; 3];
const BATCH: usize = 4;

fn main() {
    let (mut files, mut json, mut data, mut prepare) = (Vec::<PathBuf>::new(), None, None, false);
    let mut rounds = 5;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = args.next(),
            "--data" => data = args.next().map(PathBuf::from),
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).unwrap_or(rounds),
            "--prepare" => prepare = true,
            "--bench" => {}
            _ => files.push(arg.into()),
        }
    }
    let Some(data) = data else {
        println!("no --data FOLDER: nothing to do");
        return;
    };
    let (store, npy) = (data.join("store"), data.join("npy"));
    if !store.join("index.jsonl").exists() {
        write_data(&store, &npy, &files);
    }
    if prepare {
        return;
    }
    let store_bytes = bytes(&store);
    let npy_bytes = bytes(&npy);
    let opened = Arc::new(Store::open(store.to_str().expect("text")).expect("a store"));
    let patches = patches(&opened, 96);
    let mut python = peer(&opened, &store, &npy, &patches);
    check(&opened, &mut python, &patches);

    // Decoded chunks in memory: half of what the .npy files take in the page cache.
    let options = OpenOptions {
        memory: 1 << 30,
        ..OpenOptions::default()
    };
    let kept = Store::open_with(store.to_str().expect("text"), &options).expect("a store");
    let kept = Arc::new(kept);
    measure(&kept, 2, 96, false);

    let mut table = Vec::new();
    for (cold, rounds, ours, theirs) in [(false, rounds, 96, 24), (true, rounds.min(3), 48, 24)] {
        // Reader, threads or processes, patches.
        let cases = [
            ("amaes", 2, ours),
            ("kept", 2, ours),
            ("npy", 2, ours),
            ("zarr", 2, theirs),
            ("amaes", 1, ours),
            ("kept", 1, ours),
            ("npy", 1, ours),
            ("zarr", 1, theirs),
        ];
        let mut rates = vec![Vec::new(); cases.len()];
        for _ in 0..rounds {
            for (rates, (reader, threads, count)) in rates.iter_mut().zip(cases) {
                if cold {
                    ask(&mut python, "cold");
                }
                rates.push(match reader {
                    "amaes" => measure(&opened, threads, count, cold),
                    "kept" if cold => f64::NAN,
                    "kept" => measure(&kept, threads, count, cold),
                    _ => {
                        count as f64
                            / ask(&mut python, &format!("{reader} {threads} {count} time")).0
                    }
                });
            }
        }
        for ((reader, threads, _), rates) in cases.into_iter().zip(rates) {
            table.push((cold, reader, threads, median(rates)));
        }
    }
    let rate = |cold, reader, threads| {
        let row = table
            .iter()
            .find(|r| (r.0, r.1, r.2) == (cold, reader, threads));
        row.map_or(f64::NAN, |r| r.3)
    };
    println!(
        "| page cache | threads or processes | amaes, patches/s | zarr-python | memory-mapped .npy | amaes / zarr-python | amaes / .npy |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for cold in [false, true] {
        for threads in [1, 2] {
            let [ours, kept, zarr, npy] =
                ["amaes", "kept", "zarr", "npy"].map(|r| rate(cold, r, threads));
            let name = if cold { "cold" } else { "warm" };
            println!(
                "| {name} | {threads} | {ours:.0} | {zarr:.1} | {npy:.0} | {:.1} | {:.2} |",
                ours / zarr,
                ours / npy
            );
            if !cold {
                println!(
                    "| {name}, chunks kept | {threads} | {kept:.0} | {zarr:.1} | {npy:.0} | {:.1} | {:.2} |",
                    kept / zarr,
                    kept / npy
                );
            }
            rows.push(serde_json::json!({
                "cache": name, "threads": threads, "amaes": ours, "amaes_kept": kept,
                "zarr_python": zarr, "npy": npy,
            }));
        }
    }
    let share = store_bytes as f64 / npy_bytes as f64;
    println!(
        "\n{} volumes; store {:.0} MB, .npy {:.0} MB: {:.1} %",
        opened.entries().len(),
        store_bytes as f64 / 1e6,
        npy_bytes as f64 / 1e6,
        share * 100.0
    );
    if let Some(path) = json {
        let all = serde_json::json!({
            "rates": rows, "store_bytes": store_bytes, "npy_bytes": npy_bytes,
        });
        std::fs::write(path, serde_json::to_vec_pretty(&all).expect("JSON")).expect("written");
    }
}

/// The volumes as a store and as .npy files.
fn write_data(store: &Path, npy: &Path, files: &[PathBuf]) {
    assert!(!files.is_empty(), "volumes are needed");
    std::fs::create_dir_all(npy).expect("a folder");
    let options = StoreOptions::default();
    let writer = Writer::open_for_resume(store, options, Access::Alone).expect("a writer");
    let meta = VolumeMeta::default();
    for file in files {
        let (volume, _) = volumes::read(file, &ReadOptions::default()).expect("a volume");
        let volume = Plan::reference().apply(volume).expect("prepared").volume;
        for copy in 0..COPIES {
            let id = format!("{}-{copy}", volumes::stem(file).replace(' ', "_"));
            if !writer.contains(&id) {
                writer.write(&id, &volume, &meta).expect("written");
            }
            write_npy(&npy.join(format!("{id}.npy")), &volume);
        }
    }
    writer.seal().expect("sealed");
}

/// NumPy's format, version 1: shape (z, y, x) in C order.
fn write_npy(path: &Path, volume: &Volume<f32>) {
    let [x, y, z] = volume.grid().shape;
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({z}, {y}, {x}), }}");
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header += &" ".repeat(length - 1 - header.len());
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    for v in volume.data() {
        bytes.extend(v.to_le_bytes());
    }
    std::fs::write(path, bytes).expect("written");
}

/// Bytes of all files under a folder.
fn bytes(folder: &Path) -> u64 {
    let items = std::fs::read_dir(folder).expect("a folder").flatten();
    items
        .map(|item| match item.file_type() {
            Ok(kind) if kind.is_dir() => bytes(&item.path()),
            _ => item.metadata().map_or(0, |m| m.len()),
        })
        .sum()
}

fn config(threads: usize) -> LoaderConfig {
    LoaderConfig {
        patch: PATCH,
        batch: BATCH,
        seed: 1,
        threads,
        epoch: Some(1 << 20),
        ..LoaderConfig::default()
    }
}

/// The loader's first patches, so that others read the same.
fn patches(store: &Arc<Store>, count: usize) -> Vec<(usize, [i64; 3])> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let transform: Transform = Arc::new(move |raw: RawPatch, _: SampleSeed| {
        noted.lock().expect("no panic").push((raw.entry, raw.start));
        Sample::default()
    });
    let loader = Loader::new(store.clone(), &config(1), transform).expect("a loader");
    for batch in loader.take(count / BATCH) {
        batch.expect("a batch");
    }
    let seen = seen.lock().expect("no panic");
    seen[..count].to_vec()
}

/// Our patches a second, as a training loop gets them.
fn measure(store: &Arc<Store>, threads: usize, count: usize, cold: bool) -> f64 {
    let transform: Transform = Arc::new(|raw: RawPatch, _: SampleSeed| Sample {
        shape: raw.shape,
        input: raw.into_data(),
        target: Vec::new(),
    });
    let mut began = Instant::now();
    let mut loader = Loader::new(store.clone(), &config(threads), transform).expect("a loader");
    // With files in memory, what the threads made ahead at the beginning counts for nothing: they
    // are as far ahead at the end.
    let ahead = if cold { 0 } else { 3 };
    for i in 0..ahead + count / BATCH {
        let batch = loader.next().expect("no end").expect("a batch");
        assert_eq!(batch.samples.len(), BATCH);
        for sample in batch.samples {
            loader.recycle(sample.input);
        }
        if i + 1 == ahead {
            began = Instant::now();
        }
    }
    count as f64 / began.elapsed().as_secs_f64()
}

/// All read the same values.
fn check(store: &Store, python: &mut Python, patches: &[(usize, [i64; 3])]) {
    let count = 6;
    let mut sum = 0.0;
    let mut patch = vec![0.0f32; PATCH.iter().product()];
    for &(entry, start) in &patches[..count] {
        store.read(entry, start, PATCH, &mut patch).expect("read");
        sum += patch.iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    for reader in ["zarr", "npy"] {
        let (_, theirs) = ask(python, &format!("{reader} 1 {count} sum"));
        assert!(
            (sum - theirs).abs() < 1e-5 * sum,
            "{reader}: {theirs}, ours {sum}"
        );
    }
}

/// zarr-python and NumPy, told what to read.
fn peer(store: &Store, folder: &Path, npy: &Path, patches: &[(usize, [i64; 3])]) -> Python {
    let mut python = Python::start("bench_loader.py");
    let ids: Vec<_> = store.entries().iter().map(|e| &e.id).collect();
    let rows: Vec<_> = patches
        .iter()
        .map(|(entry, [x, y, z])| serde_json::json!([entry, x, y, z]))
        .collect();
    let job = serde_json::json!({
        "store": folder, "npy": npy, "ids": ids, "patch": PATCH, "patches": rows,
    });
    python.tell(&job.to_string());
    python
}

/// Seconds and sum of a run, or zeros for what has neither.
fn ask(python: &mut Python, question: &str) -> (f64, f64) {
    let answer = python.ask(question);
    let mut numbers = answer.split(' ').map(|n| n.parse().unwrap_or(0.0));
    (numbers.next().unwrap_or(0.0), numbers.next().unwrap_or(0.0))
}
