//! Times the reading of volumes against nibabel, run about.
//!
//! `cargo bench --workspace --bench volumes -- [--json FILE] [--rounds N] FILE...`. nibabel runs in
//! the Python that `AMAES_PYTHON` names (`python3` otherwise). Each time is the median of N runs
//! (10) in milliseconds, decoding to float32 included.

use std::path::PathBuf;
use std::time::Instant;

use amaes::volumes;
use amaes_core::volume::ReadOptions;
use amaes_tests::{Python, median};

fn main() {
    let (mut files, mut json, mut rounds) = (Vec::<PathBuf>::new(), None, 10);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = args.next(),
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).unwrap_or(rounds),
            "--bench" => {}
            _ => files.push(arg.into()),
        }
    }
    let mut python = Python::start("bench_nibabel.py");

    println!("| volume | ours, ms | nibabel, ms | ratio |\n|---|---|---|---|");
    let mut rows = Vec::new();
    for file in &files {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let start = Instant::now();
            let read = volumes::read(file, &ReadOptions::default()).expect("a volume");
            ours.push(start.elapsed().as_secs_f64() * 1e3);
            drop(read);
            let answer = python.ask(&file.display().to_string());
            theirs.push(answer.parse().expect("milliseconds"));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let name = volumes::stem(file);
        println!(
            "| {name} | {ours:.1} | {theirs:.1} | {:.2} |",
            theirs / ours
        );
        rows.push(serde_json::json!({
            "name": name, "ours_ms": ours, "nibabel_ms": theirs, "ratio": theirs / ours,
        }));
    }
    drop(python);
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_vec_pretty(&rows).expect("JSON")).expect("written");
    }
}
