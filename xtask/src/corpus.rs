//! `cargo xtask bench corpus`: memory and time of scanning and preparing by the number of volumes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, root, run, target_dir};

/// Volumes of the synthetic corpora, and of how many ranks one prepares its share.
const SIZES: [usize; 3] = [5_000, 15_000, 45_000];
const WORLD: usize = 10;
/// Edge of a synthetic volume.
const EDGE: usize = 16;

/// One run of the command.
struct Measured {
    what: String,
    volumes: usize,
    seconds: f64,
    /// Peak resident memory in MiB.
    peak: f64,
}

/// Measures; `full` prepares all volumes in place of one rank's.
pub(crate) fn bench(json: Option<&Path>, full: bool) -> Result<()> {
    let build = [
        "build",
        "--release",
        "--locked",
        "--workspace",
        "--bin",
        "amaes",
    ];
    run(&mut cargo(&build))?;
    let folder = target_dir().join("bench-corpus");
    let _ = fs::remove_dir_all(&folder);
    let mut rows = Vec::new();
    let mut made = 0;
    for size in SIZES {
        for i in made..size {
            write_volume(&folder.join("corpus"), i)?;
        }
        made = size;
        let catalogue = folder.join(format!("{size}.sqlite"));
        let corpus = folder.join("corpus");
        let scan = ["corpus", "scan", "-q", "--catalogue"].map(PathBuf::from);
        rows.push(measure(
            "scan",
            size,
            scan.into_iter().chain([catalogue.clone(), corpus.clone()]),
        )?);
        let again = ["corpus", "scan", "-q", "--catalogue"].map(PathBuf::from);
        rows.push(measure(
            "scan again",
            size,
            again.into_iter().chain([catalogue.clone(), corpus]),
        )?);
        let store = folder.join(format!("{size}.store"));
        let world = if full { 1 } else { WORLD };
        let ranks = world.to_string();
        let prepare = [
            "corpus",
            "prepare",
            "-q",
            "--rank",
            "0",
            "--world",
            ranks.as_str(),
            "--out",
        ];
        let prepare = prepare
            .map(PathBuf::from)
            .into_iter()
            .chain([store, catalogue]);
        rows.push(measure(
            &format!("prepare, rank 0 of {world}"),
            size,
            prepare,
        )?);
    }
    let real = root().join("../shared/mri");
    let mut bytes = 0;
    if real.is_dir() {
        for item in fs::read_dir(&real)? {
            bytes += item?.metadata()?.len();
        }
        let catalogue = folder.join("real.sqlite");
        let scan = ["corpus", "scan", "-q", "--catalogue"].map(PathBuf::from);
        rows.push(measure(
            "scan, real",
            15,
            scan.into_iter().chain([catalogue.clone(), real]),
        )?);
        let prepare = ["corpus", "prepare", "-q", "--out"].map(PathBuf::from);
        let store = folder.join("real.store");
        rows.push(measure(
            "prepare, real",
            12,
            prepare.into_iter().chain([store, catalogue]),
        )?);
    }
    println!(
        "| run | volumes in the catalogue | s | ms a volume | peak MiB |\n|---|---|---|---|---|"
    );
    for r in &rows {
        println!(
            "| {} | {} | {:.1} | {:.2} | {:.0} |",
            r.what,
            r.volumes,
            r.seconds,
            1e3 * r.seconds / r.volumes as f64,
            r.peak
        );
    }
    println!("The real files have {:.1} MB.", bytes as f64 / 1e6);
    if let Some(path) = json {
        let line = |r: &Measured| {
            format!(
                "{{\"what\": \"{}\", \"volumes\": {}, \"seconds\": {:.3}, \"peak_mib\": {:.1}}}",
                r.what, r.volumes, r.seconds, r.peak
            )
        };
        let lines: Vec<String> = rows.iter().map(line).collect();
        fs::write(path, format!("[\n{}\n]\n", lines.join(",\n")))?;
    }
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
}

/// Runs the command and watches its memory.
fn measure(what: &str, volumes: usize, args: impl Iterator<Item = PathBuf>) -> Result<Measured> {
    let started = Instant::now();
    let mut child = Command::new(target_dir().join("release/amaes"))
        .args(args)
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start amaes")?;
    let mut peak = 0.0f64;
    let status = loop {
        peak = peak.max(peak_of(child.id()).unwrap_or(0.0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(10));
    };
    if !status.success() {
        bail!("`{what}` of {volumes} volumes failed ({status})");
    }
    Ok(Measured {
        what: what.to_owned(),
        volumes,
        seconds: started.elapsed().as_secs_f64(),
        peak,
    })
}

/// Peak resident memory of a process in MiB, where the system tells.
fn peak_of(process: u32) -> Option<f64> {
    let file = File::open(format!("/proc/{process}/status")).ok()?;
    let mut lines = BufReader::new(file).lines().map_while(Result::ok);
    let line = lines.find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// A volume of its own: NIfTI-1, unsigned bytes, 1 mm, in a folder of a subject.
fn write_volume(folder: &Path, index: usize) -> Result<()> {
    let mut bytes = vec![0u8; 352];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &348i32.to_le_bytes());
    for (i, n) in [3, EDGE as i16, EDGE as i16, EDGE as i16, 1, 1, 1, 1]
        .into_iter()
        .enumerate()
    {
        put(40 + 2 * i, &n.to_le_bytes());
    }
    put(70, &2i16.to_le_bytes());
    put(72, &8i16.to_le_bytes());
    for i in 0..4 {
        put(76 + 4 * i, &1f32.to_le_bytes());
    }
    put(108, &352f32.to_le_bytes());
    put(112, &1f32.to_le_bytes());
    put(254, &1i16.to_le_bytes());
    for row in 0..3 {
        put(280 + 16 * row + 4 * row, &1f32.to_le_bytes());
    }
    put(344, b"n+1\0");
    let mut state = index as u64 + 1;
    for i in 0..EDGE * EDGE * EDGE {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let border = [i % EDGE, i / EDGE % EDGE, i / EDGE / EDGE].contains(&0);
        bytes.push(if border { 0 } else { (state >> 56) as u8 });
    }
    let subject = format!("sub-{:05}", index / 4);
    let at = folder.join(&subject).join("anat");
    fs::create_dir_all(&at)?;
    fs::write(
        at.join(format!("{subject}_run-{}_T1w.nii", index % 4)),
        bytes,
    )?;
    Ok(())
}
