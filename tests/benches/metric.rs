//! Times surface Dice and HD95 of all labels of a map against MONAI, in turn.
//!
//! `cargo bench --workspace --bench metric -- LABELS [--json FILE] [--rounds N]`. MONAI runs in the
//! Python that `AMAES_PYTHON` names (`python3` otherwise), with its own threads. Each time is the
//! median of N runs (3). The prediction is the map moved by one voxel along each axis; the numbers
//! of both must agree.

use std::fs::File;
use std::io::BufReader;
use std::time::Instant;

use amaes::evaluate::{ScoreConfig, Targets, score};
use amaes_core::label::Label;
use amaes_core::metric::Pair;
use amaes_core::volume::{ReadOptions, Volume, read_labels};
use amaes_tests::{Python, median};

/// The map with every voxel one further along each axis, those at the end at the beginning.
fn moved(labels: &Volume<Label>) -> Volume<Label> {
    let [nx, ny, nz] = labels.grid().shape;
    let mut data = vec![0; labels.data().len()];
    for (i, &label) in labels.data().iter().enumerate() {
        let [x, y, z] = [i % nx, i / nx % ny, i / (nx * ny)];
        data[(x + 1) % nx + nx * ((y + 1) % ny + ny * ((z + 1) % nz))] = label;
    }
    Volume::new(labels.grid().clone(), data).expect("as many values")
}

/// Surface Dice at 1 mm and HD95 of every label, on one thread.
fn surfaces(reference: &Volume<Label>, prediction: &Volume<Label>) -> Vec<[f64; 3]> {
    let pair = Pair::new(reference, prediction).expect("one shape");
    let labels: Vec<Label> = pair.labels().collect();
    let of = |label: Label| {
        let masks = pair.masks(&[label]).expect("memory");
        let found = masks.surface_distances().expect("memory").expect("in both");
        [
            f64::from(label),
            found.surface_dice(1.0),
            found.percentile(95.0),
        ]
    };
    labels.into_iter().map(of).collect()
}

fn main() {
    let (mut path, mut json, mut rounds) = (None, None, 3);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = args.next(),
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).unwrap_or(rounds),
            "--bench" => {}
            _ => path = Some(arg),
        }
    }
    let path = path.expect("a label map");
    let file = BufReader::new(File::open(&path).expect("readable"));
    let (reference, _) = read_labels(file, &ReadOptions::default()).expect("a label map");
    let prediction = moved(&reference);
    let mut python = Python::start("bench_metric.py");
    let (mut one, mut all, mut monai) = (Vec::new(), Vec::new(), Vec::new());
    let mut labels = 0;
    for _ in 0..rounds {
        let start = Instant::now();
        let found = surfaces(&reference, &prediction);
        one.push(start.elapsed().as_secs_f64());

        let start = Instant::now();
        let scores = score(
            &prediction,
            &reference,
            &Targets::default(),
            &ScoreConfig::default(),
        );
        std::hint::black_box(scores.expect("one shape"));
        all.push(start.elapsed().as_secs_f64());

        let answer = python.ask(&path);
        let numbers = answer.split(' ').map(|n| n.parse().expect("a number"));
        let numbers: Vec<f64> = numbers.collect();
        monai.push(numbers[0]);
        labels = found.len();
        assert_eq!(numbers.len(), 1 + 3 * labels);
        for (ours, theirs) in found.as_flattened().iter().zip(&numbers[1..]) {
            assert!((ours - theirs).abs() <= 1e-4 * theirs, "{ours} {theirs}");
        }
    }
    let [one, all, monai] = [one, all, monai].map(median);
    println!("{labels} labels of {:?} voxels", reference.grid().shape);
    println!("| | s |\n|---|---|");
    println!("| surface Dice and HD95, one thread | {one:.2} |");
    println!("| all metrics, all threads | {all:.2} |");
    println!("| MONAI, surface Dice and HD95 | {monai:.2} |");
    if let Some(json) = json {
        let report = serde_json::json!({
            "labels": labels, "one_thread_s": one, "all_metrics_s": all, "monai_s": monai,
        });
        std::fs::write(json, serde_json::to_vec_pretty(&report).expect("JSON")).expect("written");
    }
}
