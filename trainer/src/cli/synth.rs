//! `amaes synth`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use amaes::synth::{Progress, SynthConfig, generate, preview};
use anyhow::{Context, Result, bail};
use clap::Args;

use super::corpus::Show;
use super::{Outcome, print, print_json};

/// Set by the first signal.
static STOP: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Args)]
pub(super) struct Synth {
    /// The BIDS tree to write; one that is there is completed
    #[arg(short, long, value_name = "TREE")]
    out: Option<PathBuf>,
    /// TOML file with the settings
    #[arg(short, long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// Change a field of the configuration, such as `lesions.none=0.2`
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Number of subjects: `count`
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Kinds of lesions (tumour, stroke, wmh), or `none`: `lesions.kinds`
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    lesion: Vec<String>,
    /// Contrasts (T1w, T1ce, T2w, FLAIR, PDw, dwi, random): `images.contrasts`
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    contrasts: Vec<String>,
    /// Sites, presets a to f or one's own, taken in turn: `sites`
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    site: Vec<String>,
    /// Starts everything that is drawn at random: `seed`
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Edge of a voxel in mm, or three of them: `images.spacing`
    #[arg(long, value_name = "MM", value_delimiter = ',')]
    spacing: Vec<f64>,
    /// Voxels along x, y and z: `images.shape`
    #[arg(long, value_name = "X,Y,Z", value_delimiter = ',')]
    shape: Vec<usize>,
    /// Make images of label maps, a file or a folder, in place of phantoms: `labels.path`
    #[arg(long, value_name = "PATH")]
    labels: Option<PathBuf>,
    /// Subjects that are made at once; each takes about 150 MB at 1 mm [default: processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Draw the first six subjects into a PNG file and write no tree
    #[arg(long, value_name = "PNG", conflicts_with = "out")]
    preview: Option<PathBuf>,
    /// Print the configuration, whole, and do nothing
    #[arg(long)]
    print_config: bool,
    /// Print how many subjects were made as JSON
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

impl Synth {
    pub(super) fn run(self) -> Result<Outcome> {
        let config = SynthConfig::read(self.config.as_deref(), &self.overrides()?)?;
        if self.print_config {
            print(&config.to_toml()?)?;
            return Ok(Outcome::Done);
        }
        if let Some(path) = &self.preview {
            preview(&config, 6, path)?;
            return Ok(Outcome::Done);
        }
        let Some(out) = &self.out else {
            bail!("say where the tree goes: --out TREE");
        };
        ctrlc::set_handler(|| {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("stopping after the subjects under work; once more to stop at once");
        })
        .context("cannot listen to signals")?;
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or_else(processors);
        let show = Show::new(Some(config.count), self.quiet);
        let done = generate(&config, out, threads, &STOP, &|p: Progress| {
            show.at(p.made + p.present, "subjects".into());
        });
        show.end();
        let done = done?;
        if self.json {
            print_json(&done)?;
        } else if !self.quiet {
            print(&format!(
                "{}: {} subjects made, {} there already, of {}\n",
                out.display(),
                done.made,
                done.present,
                done.total
            ))?;
        }
        Ok(match done.is_complete() {
            true => Outcome::Done,
            false => Outcome::SomeFailed,
        })
    }

    /// The flags as fields of the configuration.
    fn overrides(&self) -> Result<Vec<String>> {
        let mut set = Vec::new();
        let list = |values: &[String]| format!("{values:?}");
        if let Some(count) = self.count {
            set.push(format!("count={count}"));
        }
        if let Some(seed) = self.seed {
            set.push(format!("seed={seed}"));
        }
        match self.lesion.as_slice() {
            [] => {}
            [none] if none == "none" => set.push("lesions.kinds=[]".into()),
            kinds => set.push(format!("lesions.kinds={}", list(kinds))),
        }
        if !self.contrasts.is_empty() {
            set.push(format!("images.contrasts={}", list(&self.contrasts)));
        }
        if !self.site.is_empty() {
            set.push(format!("sites={}", list(&self.site)));
        }
        match *self.spacing {
            [] => {}
            [s] => set.push(format!("images.spacing=[{s:?},{s:?},{s:?}]")),
            [x, y, z] => set.push(format!("images.spacing=[{x:?},{y:?},{z:?}]")),
            _ => bail!("--spacing: one number or three"),
        }
        match *self.shape {
            [] => {}
            [n] => set.push(format!("images.shape=[{n},{n},{n}]")),
            [x, y, z] => set.push(format!("images.shape=[{x},{y},{z}]")),
            _ => bail!("--shape: one number or three"),
        }
        if let Some(path) = &self.labels {
            set.push(format!("labels.path={:?}", path.display().to_string()));
        }
        set.extend(self.set.iter().cloned());
        Ok(set)
    }
}
