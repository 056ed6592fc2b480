//! The list of volumes that could not be prepared.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic::write_atomic;
use crate::error::{Result, WithPath};

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Line {
    id: String,
    path: String,
    reason: String,
}

/// The list as it is written, a line at a time.
#[derive(Debug)]
pub(super) struct Quarantine {
    path: PathBuf,
    file: File,
}

fn path_of(store: &Path, rank: u32, world: u32) -> PathBuf {
    match world {
        0 | 1 => store.join("quarantine.jsonl"),
        _ => store.join(format!("quarantine.{rank}.jsonl")),
    }
}

impl Quarantine {
    /// An empty list in a store.
    pub(super) fn create(store: &Path, rank: u32, world: u32) -> Result<Self> {
        let path = path_of(store, rank, world);
        let file = File::create(&path).with_path(&path)?;
        Ok(Self { path, file })
    }

    pub(super) fn add(&mut self, id: &str, path: &str, reason: &str) -> Result<()> {
        let line = serde_json::json!({"id": id, "path": path, "reason": reason});
        writeln!(self.file, "{line}").with_path(&self.path)
    }

    /// Sorts the list; without lines there is none.
    pub(super) fn finish(self) -> Result<()> {
        let lines = read(&self.path)?;
        write(&self.path, lines).map(drop)
    }
}

/// Joins the lists of all ranks that are there; returns name and reason of each volume.
pub(super) fn merge(store: &Path, world: u32) -> Result<Vec<(String, String)>> {
    let mut lines = Vec::new();
    for rank in 0..world.max(1) {
        lines.extend(read(&path_of(store, rank, world))?);
    }
    let lines = write(&path_of(store, 0, 1), lines)?;
    Ok(lines.into_iter().map(|l| (l.id, l.reason)).collect())
}

fn read(path: &Path) -> Result<Vec<Line>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for line in BufReader::new(File::open(path).with_path(path)?).lines() {
        out.push(serde_json::from_str(&line.with_path(path)?).with_path(path)?);
    }
    Ok(out)
}

fn write(path: &Path, mut lines: Vec<Line>) -> Result<Vec<Line>> {
    lines.sort();
    lines.dedup();
    if lines.is_empty() {
        if path.exists() {
            std::fs::remove_file(path).with_path(path)?;
        }
        return Ok(lines);
    }
    write_atomic(path, |w| {
        for line in &lines {
            serde_json::to_writer(&mut *w, line).with_path(path)?;
            w.write_all(b"\n").with_path(path)?;
        }
        Ok(())
    })?;
    Ok(lines)
}
