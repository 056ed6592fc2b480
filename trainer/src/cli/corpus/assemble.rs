//! `amaes corpus assemble`.

use std::path::PathBuf;

use amaes::corpus::Catalogue;
use amaes::corpus::assemble::{AssembleOptions, SourceReport, assemble, check};
use amaes::corpus::manifest::Manifest;
use amaes::corpus::scan::{Event, ScanOptions};
use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use super::show::Show;
use crate::cli::{Outcome, print, print_json, text};

/// Exit code 3 says that sources are missing or incomplete.
#[derive(Debug, Args)]
pub(in crate::cli) struct Assemble {
    /// A corpus description (TOML), or the name of one that comes with amaes: brains45k, fomo60k,
    /// openmind
    #[arg(value_name = "CORPUS")]
    manifest: PathBuf,
    /// Where a source is: a folder or an archive; several of one source are joined
    #[arg(long, value_name = "NAME=DIR", value_parser = parse_root, num_args = 1..)]
    root: Vec<(String, PathBuf)>,
    /// The catalogue to make or bring up to date; without it files are counted and not read
    #[arg(short, long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// Threads; all of the processor's by default
    #[arg(long)]
    threads: Option<usize>,
    /// Read files again that have not changed
    #[arg(long)]
    again: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

fn parse_root(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), path.into()))
        }
        _ => Err(format!("`{text}` is not NAME=DIR")),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    corpus: &'a str,
    volumes: Option<u64>,
    used: u64,
    sources: &'a [SourceReport],
}

impl Assemble {
    pub(super) fn run(&self) -> Result<Outcome> {
        let manifest = Manifest::read(&self.manifest)?;
        if self.catalogue.is_some() && self.root.is_empty() {
            bail!("no source is given: say where they are with --root NAME=DIR");
        }
        let defaults = ScanOptions::default();
        let options = AssembleOptions {
            roots: self.root.clone(),
            scan: ScanOptions {
                source: None,
                threads: self.threads.unwrap_or(defaults.threads),
                again: self.again,
                ..defaults
            },
        };
        let found = match &self.catalogue {
            None => check(&manifest, &options)?,
            Some(path) => {
                let mut catalogue = Catalogue::create(path)?;
                let show = Show::new(None, self.quiet);
                let done = assemble(&manifest, &mut catalogue, &options, &|event| match event {
                    Event::Trouble { path, message } => show.line(&format!("{path}: {message}")),
                    Event::Progress(so_far) => {
                        let rate = so_far.bytes as f64 / 1e6 / so_far.seconds.max(1e-3);
                        let message = format!("{} volumes read, {rate:.0} MB/s", so_far.volumes);
                        show.at(so_far.volumes, message);
                    }
                    _ => {}
                });
                show.end();
                done?
            }
        };
        let used = found.iter().map(|s| s.used).sum();
        if self.json {
            print_json(&Report {
                corpus: &manifest.name,
                volumes: manifest.volumes,
                used,
                sources: &found,
            })?;
        } else if !self.quiet {
            print(&report(&manifest, &found, used, self.catalogue.is_some()))?;
        }
        Ok(match found.iter().all(SourceReport::is_whole) {
            true => Outcome::Done,
            false => Outcome::SomeFailed,
        })
    }
}

fn report(manifest: &Manifest, found: &[SourceReport], used: u64, scanned: bool) -> String {
    let mut out = format!("{}\n\n", manifest.title);
    let head = [
        "source",
        "files",
        "held out",
        "dropped",
        "outside",
        "used",
        "whole copy",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for s in found {
        let expected = s
            .expect
            .volumes
            .map_or("not known".to_owned(), |n| n.to_string());
        let numbers = match s.roots.is_empty() {
            true => ["", "", "", "", "missing"].map(str::to_owned),
            false => [
                s.files,
                s.held_out,
                s.dropped.values().sum(),
                s.outside,
                s.used,
            ]
            .map(|n| n.to_string()),
        };
        rows.push([vec![s.name.clone()], numbers.to_vec(), vec![expected]].concat());
    }
    out.push_str(&text::table(&rows));
    let word = if scanned { "used" } else { "to be read" };
    out.push_str(&format!("\n{used} volumes {word}"));
    if let Some(all) = manifest.volumes {
        out.push_str(&format!("; the whole corpus has {all}"));
    }
    out.push('\n');
    for s in found.iter().filter(|s| !s.roots.is_empty()) {
        let dropped: Vec<_> = s
            .dropped
            .iter()
            .map(|(word, n)| format!("{n} by `{word}`"))
            .collect();
        if !dropped.is_empty() {
            out.push_str(&format!("{}: dropped {}\n", s.name, dropped.join(", ")));
        }
        for problem in &s.problems {
            out.push_str(&format!("{}: {problem}\n", s.name));
        }
    }
    for s in found.iter().filter(|s| !s.is_whole()) {
        out.push_str(&format!("\nHow to get {} ({})\n", s.name, s.title));
        out.push_str(&format!("  {}\n  {}\n", s.access, s.licence));
        for line in s.how.lines().chain(s.note.lines()) {
            out.push_str(&format!("  {line}\n"));
        }
        if s.roots.is_empty() {
            out.push_str(&format!("  Then: --root {}=DIR\n", s.name));
        }
    }
    out
}
