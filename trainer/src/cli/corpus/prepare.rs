//! `amaes corpus prepare`.

use std::path::{Path, PathBuf};

use amaes::corpus::Catalogue;
use amaes::corpus::prepare::{Event, PrepareOptions, PrepareSummary, prepare};
use amaes::corpus::scan::{Everything, ScanOptions};
use amaes::store::{Codec, Dtype, StoreOptions};
use amaes_core::preprocess::Plan;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::remote::{RemoteArgs, may_exist};
use super::scan::scan_shown;
use super::show::Show;
use crate::cli::{Outcome, parse_bytes, print, print_json};

/// Exit code 3 says that some volumes were quarantined.
#[derive(Debug, Args)]
pub(in crate::cli) struct Prepare {
    /// A catalogue; or a folder, archive or address, which is scanned first
    #[arg(value_name = "CATALOGUE|DIR")]
    input: PathBuf,
    /// The store, a folder
    #[arg(short, long, value_name = "STORE")]
    out: PathBuf,
    /// JSON with the preprocessing; by default that of the reference: RAS, cropped to the
    /// foreground, clipped at the 0.99 quantile and brought to 0..1, 1 mm
    #[arg(long, value_name = "JSON")]
    plan: Option<PathBuf>,
    /// Volumes that are worked on at once; as many as the processor has threads by default
    #[arg(long)]
    threads: Option<usize>,
    /// Memory that these may take together; 512MiB a thread by default, at least 2GiB
    #[arg(long, value_parser = parse_bytes, value_name = "SIZE")]
    memory: Option<u64>,
    /// Number of this process, from 0, where several share the work
    #[arg(long, default_value_t = 0, requires = "world")]
    rank: u32,
    /// Processes that share the work
    #[arg(long, default_value_t = 1)]
    world: u32,
    /// Go on with a store that is there
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
struct StoreArgs {
    /// Stored type
    #[arg(long, value_enum)]
    dtype: Option<DtypeArg>,
    /// Bits of uint16 that are used, 8 to 16
    #[arg(long)]
    bits: Option<u32>,
    /// Compression, with its level: `zstd:-1`, `gzip:5`
    #[arg(long, value_parser = parse_codec, value_name = "NAME[:LEVEL]")]
    codec: Option<Codec>,
    /// Edge of a chunk in voxels
    #[arg(long)]
    chunk: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DtypeArg {
    Float16,
    Uint16,
}

fn parse_codec(text: &str) -> Result<Codec, String> {
    let (name, level) = match text.split_once(':') {
        Some((name, level)) => (name, Some(level)),
        None => (text, None),
    };
    let bad = |level: &str| format!("`{level}` is no level");
    match name {
        "zstd" => {
            let level = level.map_or(Ok(-1), |l| l.parse().map_err(|_| bad(l)))?;
            Ok(Codec::Zstd { level })
        }
        "gzip" => {
            let level = level.map_or(Ok(5), |l| l.parse().map_err(|_| bad(l)))?;
            Ok(Codec::Gzip { level })
        }
        _ => Err(format!("`{name}` is neither zstd nor gzip")),
    }
}

impl Prepare {
    pub(super) fn run(&self) -> Result<Outcome> {
        if self.world == 0 || self.rank >= self.world {
            bail!("--rank {} is not below --world {}", self.rank, self.world);
        }
        let options = self.options()?;
        let catalogue = self.catalogue(&options)?;
        let show = Show::new(None, self.quiet);
        let done = prepare(&catalogue, &self.out, &options, &|event| match event {
            Event::Quarantined { path, reason, .. } => show.line(&format!("{path}: {reason}")),
            Event::Note(text) if !self.quiet => show.line(&format!("note: {text}")),
            Event::Progress(so_far) => {
                let mine = so_far.total / u64::from(options.world);
                let done = so_far.written + so_far.quarantined;
                let left = mine.saturating_sub(done) as f64 * so_far.seconds / done.max(1) as f64;
                let message = format!(
                    "{done} of about {mine} volumes, {:.0} MB/s, {} quarantined, {:.0} min left",
                    so_far.bytes as f64 / 1e6 / so_far.seconds.max(1e-3),
                    so_far.quarantined,
                    left / 60.0,
                );
                show.at(done, message);
            }
            _ => {}
        });
        show.end();
        let done = done.map_err(|error| self.with_hint(error))?;
        if self.json {
            print_json(&done)?;
        } else if !self.quiet {
            print(&self.summary(&done))?;
        }
        Ok(match done.quarantined {
            0 => Outcome::Done,
            _ => Outcome::SomeFailed,
        })
    }

    fn options(&self) -> Result<PrepareOptions> {
        let defaults = PrepareOptions::default();
        let threads = self.threads.unwrap_or(defaults.threads);
        let mut store = StoreOptions::default();
        if let Some(path) = &self.plan {
            let text = std::fs::read(path).with_context(|| path.display().to_string())?;
            let plan: Plan =
                serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
            store.plan = plan;
        }
        if let Some(dtype) = self.store.dtype {
            store.dtype = match dtype {
                DtypeArg::Float16 => Dtype::Float16,
                DtypeArg::Uint16 => Dtype::Uint16,
            };
        }
        store.bits = self.store.bits.unwrap_or(store.bits);
        store.codec = self.store.codec.unwrap_or(store.codec);
        store.chunk = self.store.chunk.unwrap_or(store.chunk);
        Ok(PrepareOptions {
            store,
            threads,
            memory: self.memory.unwrap_or((512 << 20) * threads.max(4) as u64),
            rank: self.rank,
            world: self.world,
            resume: self.resume,
            remote: self.remote.options(),
        })
    }

    /// The catalogue, made first where a folder is given.
    fn catalogue(&self, options: &PrepareOptions) -> Result<PathBuf> {
        if !may_exist(&self.input) {
            bail!("{}: no such file or folder", self.input.display());
        }
        if !self.input.is_dir() && Catalogue::open(&self.input).is_ok() {
            return Ok(self.input.clone());
        }
        let is_volume = amaes::volumes::extension(&self.input).is_some();
        let is_archive = [".tar", ".tar.gz", ".tgz", ".zip"].iter().any(|e| {
            self.input
                .to_string_lossy()
                .to_ascii_lowercase()
                .ends_with(e)
        });
        if self.input.is_file() && !is_archive && !is_volume {
            Catalogue::open(&self.input)?;
        }
        if options.world > 1 {
            bail!(
                "{}: several ranks need a catalogue: run `amaes corpus scan` first",
                self.input.display()
            );
        }
        let path = beside(&self.out);
        let mut catalogue = Catalogue::create(&path)?;
        let scan = ScanOptions {
            threads: options.threads,
            remote: options.remote.clone(),
            ..ScanOptions::default()
        };
        scan_shown(&mut catalogue, &self.input, &scan, &Everything, self.quiet)?;
        Ok(path)
    }

    fn with_hint(&self, error: amaes::Error) -> anyhow::Error {
        let exists = matches!(
            error,
            amaes::Error::Store(amaes::store::StoreError::Exists {
                what: "a store",
                ..
            })
        );
        let error = anyhow::Error::from(error);
        match exists {
            true => error.context(format!(
                "{}: use --resume to go on with it",
                self.out.display()
            )),
            false => error,
        }
    }

    fn summary(&self, done: &PrepareSummary) -> String {
        let seconds = done.seconds.max(1e-3);
        let mut out = format!(
            "{} volumes written ({:.2} GB read in {:.1} s: {:.0} MB/s, {:.1} million voxels/s), \
             {} there already, {} quarantined\n",
            done.written,
            done.bytes as f64 / 1e9,
            done.seconds,
            done.bytes as f64 / 1e6 / seconds,
            done.voxels as f64 / 1e6 / seconds,
            done.present,
            done.quarantined,
        );
        if done.quarantined > 0 {
            out.push_str(&format!(
                "why: {}\n",
                self.out.join("quarantine.jsonl").display()
            ));
        }
        if let Some(n) = done.sealed {
            out.push_str(&format!("{}: {n} volumes\n", self.out.display()));
        }
        out
    }
}

/// Where the catalogue of a folder goes that was not scanned before.
fn beside(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".catalogue.sqlite");
    store.with_file_name(name)
}
