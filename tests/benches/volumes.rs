//! Times the reading of volumes against nibabel, run about.
//!
//! `cargo bench --workspace --bench volumes -- [--json FILE] [--rounds N] FILE...`. nibabel runs in
//! the Python that `AMAES_PYTHON` names (`python3` otherwise). Each time is the median of N runs
//! (10) in milliseconds, decoding to float32 included.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use amaes::volumes;
use amaes_core::volume::ReadOptions;

/// As in the `amaes` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/bench_nibabel.py");
    let python = std::env::var_os("AMAES_PYTHON").unwrap_or_else(|| "python3".into());
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut ask = child.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();

    println!("| volume | ours, ms | nibabel, ms | ratio |\n|---|---|---|---|");
    let mut rows = Vec::new();
    for file in &files {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let start = Instant::now();
            let read = volumes::read(file, &ReadOptions::default()).expect("a volume");
            ours.push(start.elapsed().as_secs_f64() * 1e3);
            drop(read);
            writeln!(ask, "{}", file.display()).expect("Python listens");
            let answer = answers.next().expect("an answer").expect("text");
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
    drop(ask);
    child.wait().expect("Python ends");
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_vec_pretty(&rows).expect("JSON")).expect("written");
    }
}
