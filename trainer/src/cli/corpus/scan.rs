//! `amaes corpus scan`.

use std::path::PathBuf;

use amaes::corpus::scan::{Choose, Event, Everything, ScanOptions, ScanSummary, scan};
use amaes::corpus::stats::Composition;
use amaes::corpus::{Catalogue, Layout};
use anyhow::{Result, bail};
use clap::Args;

use super::remote::{RemoteArgs, may_exist};
use super::show::Show;
use crate::cli::{Outcome, print, print_json, text};

/// Exit code 3 says that some files could not be read.
#[derive(Debug, Args)]
pub(in crate::cli) struct Scan {
    /// Folders (BIDS or not), .tar, .tar.gz and .zip archives, or volumes; paths or addresses
    #[arg(required = true, value_name = "DIR")]
    inputs: Vec<PathBuf>,
    /// The catalogue: made where there is none, else brought up to date
    #[arg(short, long, value_name = "FILE")]
    catalogue: PathBuf,
    /// Name of the data set; that of the folder by default
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Read only files whose relative path is of this form, such as
    /// `**/{subject}/{sequence}/{session}/*.nii`
    #[arg(long, value_name = "PATTERN")]
    layout: Option<String>,
    /// Threads; all of the processor's by default
    #[arg(long)]
    threads: Option<usize>,
    /// Read files again that have not changed: after sidecars or tables were edited
    #[arg(long)]
    again: bool,
    /// Relative paths of the files under an address whose server lists no folders, one a line
    #[arg(long, value_name = "FILE")]
    files: Option<PathBuf>,
    #[command(flatten)]
    remote: RemoteArgs,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

impl Scan {
    pub(super) fn run(&self) -> Result<Outcome> {
        let defaults = ScanOptions::default();
        let options = ScanOptions {
            source: self.source.clone(),
            threads: self.threads.unwrap_or(defaults.threads),
            again: self.again,
            names: self.files.clone(),
            remote: self.remote.options(),
        };
        let layout = self.layout.as_deref().map(Layout::parse).transpose()?;
        let choose: &dyn Choose = match &layout {
            Some(layout) => layout,
            None => &Everything,
        };
        for input in &self.inputs {
            if !may_exist(input) {
                bail!("{}: no such file or folder", input.display());
            }
        }
        let mut catalogue = Catalogue::create(&self.catalogue)?;
        let mut total = ScanSummary::default();
        for input in &self.inputs {
            let found = scan_shown(&mut catalogue, input, &options, choose, self.quiet)?;
            total.add(&found);
        }
        if self.json {
            print_json(&total)?;
        } else if !self.quiet {
            print(&summary(&total, &Composition::of(&catalogue)?))?;
        }
        Ok(match total.broken {
            0 => Outcome::Done,
            _ => Outcome::SomeFailed,
        })
    }
}

/// Scans with a bar on the terminal and a line for each broken file.
pub(super) fn scan_shown(
    catalogue: &mut Catalogue,
    input: &std::path::Path,
    options: &ScanOptions,
    choose: &dyn Choose,
    quiet: bool,
) -> Result<ScanSummary> {
    let show = Show::new(None, quiet);
    let done = scan(catalogue, input, options, choose, &|event| match event {
        Event::Trouble { path, message } => {
            show.line(&format!("{}: {path}: {message}", input.display()));
        }
        Event::Progress(so_far) => {
            let rate = so_far.bytes as f64 / 1e6 / so_far.seconds.max(1e-3);
            let message = format!(
                "{}: {} volumes read, {} files unchanged, {rate:.0} MB/s",
                input.display(),
                so_far.volumes,
                so_far.unchanged
            );
            show.at(so_far.volumes, message);
        }
        _ => {}
    });
    show.end();
    Ok(done?)
}

fn summary(done: &ScanSummary, found: &Composition) -> String {
    let mut out = format!(
        "{} volumes read ({:.2} GB in {:.1} s, {:.0} MB/s), {} files unchanged, {} gone\n\
         {} volumes in the catalogue, {} of them used\n",
        done.volumes,
        done.bytes as f64 / 1e9,
        done.seconds,
        done.bytes as f64 / 1e6 / done.seconds.max(1e-3),
        done.unchanged,
        done.gone,
        found.total.volumes,
        found.total.used,
    );
    if !found.reasons.is_empty() {
        let row = |r: &amaes::corpus::stats::ReasonCount| {
            vec![
                format!("  {} ({})", r.reason, r.reason.code()),
                r.volumes.to_string(),
            ]
        };
        let rows: Vec<_> = found.reasons.iter().map(row).collect();
        out.push_str("not used (a volume may have several reasons):\n");
        out.push_str(&text::table(&rows));
    }
    out
}
