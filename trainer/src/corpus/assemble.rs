//! Checking local copies of a corpus' sources against its description, and making the catalogue of
//! what is used.

mod inventory;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;
use sha2::{Digest, Sha256};

use self::inventory::Inventory;
use super::catalogue::Catalogue;
use super::manifest::{Chosen, Expect, Manifest, Source, Split};
use super::scan::{Event, ScanOptions, ScanSummary, scan};
use super::split::test_part;
use crate::digits::hex;
use crate::error::{Error, Result};

/// The note of a catalogue that names its corpus.
pub(super) const CORPUS_NOTE: &str = "corpus";

/// What was found of a source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// One line about it.
    pub title: String,
    /// Where the copy is; empty where none was given.
    pub roots: Vec<PathBuf>,
    /// What a whole copy gives, where that is known.
    pub expect: Expect,
    /// Files that are read.
    pub files: u64,
    /// Files that are left for testing.
    pub held_out: u64,
    /// Files that the description does not want, by the word that decided.
    pub dropped: BTreeMap<String, u64>,
    /// Volumes in the folder that are of no layout.
    pub outside: u64,
    /// Subjects whose files are read.
    pub subjects: u64,
    /// What the scan did; `None` where files were only counted.
    pub scanned: Option<ScanSummary>,
    /// Volumes that are used; those that would be read where files were only counted.
    pub used: u64,
    /// What is wrong with the copy; empty where all is well.
    pub problems: Vec<String>,
    /// Terms of use.
    pub licence: String,
    /// Where it is to be had.
    pub access: String,
    /// What to do there.
    pub how: String,
    /// What else is good to know.
    pub note: String,
}

impl SourceReport {
    /// Whether the copy is there and nothing is wrong with it.
    pub fn is_whole(&self) -> bool {
        !self.roots.is_empty() && self.problems.is_empty()
    }
}

/// How a corpus is assembled.
#[derive(Clone, Debug, Default)]
pub struct AssembleOptions {
    /// Folders and archives of each source, by its name.
    pub roots: Vec<(String, PathBuf)>,
    /// How they are scanned. The names of sources are the description's.
    pub scan: ScanOptions,
}

/// Counts the files of each source without reading them.
///
/// # Errors
///
/// [`Error::Unsuitable`] for a root of no source of the description or that is not there.
pub fn check(manifest: &Manifest, options: &AssembleOptions) -> Result<Vec<SourceReport>> {
    check_names(manifest, options)?;
    let mut out = Vec::new();
    for source in &manifest.sources {
        let (mut report, _) = inspect(source, options)?;
        report.used = report.files * source.channels.len().max(1) as u64;
        judge(&mut report);
        out.push(report);
    }
    Ok(out)
}

/// Scans the files of each source into the catalogue and marks the volumes that the description
/// keeps. Whatever else is in the catalogue is not kept.
///
/// # Errors
///
/// As [`check`] and [`scan`].
pub fn assemble(
    manifest: &Manifest,
    catalogue: &mut Catalogue,
    options: &AssembleOptions,
    show: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Vec<SourceReport>> {
    check_names(manifest, options)?;
    let mut out = Vec::new();
    for source in &manifest.sources {
        let (mut report, held_out) = inspect(source, options)?;
        // What was read by other rules is read again.
        let key = format!("rules of {}", source.name);
        let rules = hex(&Sha256::digest(source.rules(&held_out)));
        let known = catalogue.note(&key)?;
        let scan_options = ScanOptions {
            source: Some(source.name.clone()),
            again: options.scan.again || known.is_some_and(|k| k != rules),
            ..options.scan.clone()
        };
        let choose = Chosen {
            source,
            held_out: &held_out,
        };
        let mut sum = ScanSummary::default();
        for root in &report.roots {
            sum.add(&scan(catalogue, root, &scan_options, &choose, show)?);
        }
        if !report.roots.is_empty() {
            catalogue.set_note(&key, &rules)?;
            report.scanned = Some(sum);
        }
        out.push(report);
    }
    catalogue.set_note(CORPUS_NOTE, &manifest.name)?;
    catalogue.keep_none(&format!("not of {}", manifest.name))?;
    for (source, report) in manifest.sources.iter().zip(&mut out) {
        report.used = catalogue.keep(&source.name, &source.allow, source.weight)?;
        judge(report);
    }
    Ok(out)
}

fn check_names(manifest: &Manifest, options: &AssembleOptions) -> Result<()> {
    for (name, path) in &options.roots {
        if !manifest.sources.iter().any(|s| s.name == *name) {
            let names: Vec<&str> = manifest.sources.iter().map(|s| s.name.as_str()).collect();
            let message = format!(
                "`{name}` is no source of {}: {}",
                manifest.name,
                names.join(", ")
            );
            return Err(Error::unsuitable(path, message));
        }
        if !path.exists() {
            return Err(Error::unsuitable(path, "no such file or folder"));
        }
    }
    Ok(())
}

/// Counts the files of a source; also returns the subjects that are held out by chance.
fn inspect(source: &Source, options: &AssembleOptions) -> Result<(SourceReport, BTreeSet<String>)> {
    let given = options
        .roots
        .iter()
        .filter(|(name, _)| *name == source.name);
    let roots: Vec<PathBuf> = given.map(|(_, path)| path.clone()).collect();
    let mut report = SourceReport {
        name: source.name.clone(),
        title: source.title.clone(),
        roots,
        expect: source.expect,
        files: 0,
        held_out: 0,
        dropped: BTreeMap::new(),
        outside: 0,
        subjects: 0,
        scanned: None,
        used: 0,
        problems: Vec::new(),
        licence: source.licence.clone(),
        access: source.access.clone(),
        how: source.how.trim().to_owned(),
        note: source.note.trim().to_owned(),
    };
    let mut held_out = BTreeSet::new();
    if let Some(split) = source.split {
        let subjects = Inventory::of(source, &held_out, &report.roots)?.all_subjects;
        held_out = drawn(&subjects, split);
        if !report.roots.is_empty() && subjects.len() as u64 != u64::from(split.subjects) {
            report.problems.push(format!(
                "{} subjects in place of {}: the part that is held out is not the published one",
                subjects.len(),
                split.subjects
            ));
        }
    }
    let found = Inventory::of(source, &held_out, &report.roots)?;
    report.files = found.read;
    report.held_out = found.held_out;
    report.dropped = found.dropped;
    report.outside = found.outside;
    report.subjects = found.subjects.len() as u64;
    report.problems.extend(found.troubles);
    Ok((report, held_out))
}

/// The subjects of the test part.
fn drawn(subjects: &BTreeSet<String>, split: Split) -> BTreeSet<String> {
    let n = u32::try_from(subjects.len()).unwrap_or(u32::MAX);
    let part: BTreeSet<u32> = test_part(split.seed, n, split.test).into_iter().collect();
    let of_part = |(i, _): &(u32, &String)| part.contains(i);
    (0..)
        .zip(subjects)
        .filter(of_part)
        .map(|(_, s)| s.clone())
        .collect()
}

/// Compares what was found with what a whole copy gives.
fn judge(report: &mut SourceReport) {
    if report.roots.is_empty() {
        return;
    }
    if report.files == 0 {
        report
            .problems
            .push("no file is where the description says".to_owned());
    }
    for (what, found, expected) in [
        ("volumes", report.used, report.expect.volumes),
        ("subjects", report.subjects, report.expect.subjects),
    ] {
        if let Some(expected) = expected
            && found != expected
        {
            let than = if found < expected { "fewer" } else { "more" };
            report.problems.push(format!(
                "{found} {what}, {than} than the {expected} of a whole copy"
            ));
        }
    }
    if let Some(done) = &report.scanned
        && done.broken > 0
    {
        report
            .problems
            .push(format!("{} files cannot be read", done.broken));
    }
}
