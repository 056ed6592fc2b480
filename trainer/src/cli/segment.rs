//! `amaes segment`.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use amaes::atomic::{write_atomic, write_bytes};
use amaes::device::DeviceKind;
use amaes::inputs::{Case, find, is_bids};
use amaes::model::open;
use amaes::segment::{SegmentOptions, Segmentation, Segmenter, Timings};
use amaes::volumes::{STANDARD, extension};
use amaes_core::infer::sliding_window::{SlidingWindow, Weighting};
use amaes_core::infer::{InferOptions, LabelReport, Progress};
use amaes_core::nn::Precision;
use amaes_core::segment::{Cleaning, Keep, Space};
use amaes_core::weights::ModelFile;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{BesideArgs, Outcome, ReadArgs, parse_bytes, print_json, text};

#[derive(Debug, Args)]
pub(super) struct Segment {
    /// brain-tissue, which comes with amaes; or .amaes, PyTorch, safetensors or burnpack, or a
    /// TensorFlow.js folder
    #[arg(short, long)]
    model: PathBuf,
    /// Images, folders or BIDS trees. Files joined by commas are the channels of one image; `-` is
    /// standard input
    #[arg(short, long, required = true, num_args = 1..)]
    input: Vec<String>,
    /// For one image a .nii or .nii.gz file, or `-` for standard output; otherwise a folder
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    clean: CleanArgs,
    #[command(flatten)]
    beside: BesideArgs,
    #[command(flatten)]
    read: ReadArgs,
    /// Also write a table of the labels beside each result
    #[arg(long, value_enum, value_name = "FORMAT")]
    statistics: Vec<StatisticsFormat>,
    /// Leave images alone whose result is there already
    #[arg(long)]
    skip_existing: bool,
    /// Print one JSON report in place of tables
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
struct RunArgs {
    /// What computes
    #[arg(long, value_enum, default_value_t = default_device())]
    device: DeviceKind,
    /// What activations are stored as: float16 on graphics cards that have it
    #[arg(long, value_enum, default_value_t)]
    precision: PrecisionArg,
    /// Threads of the processor; all by default
    #[arg(long)]
    threads: Option<usize>,
    /// Memory that the process may take, such as 512MiB or 2GiB
    #[arg(long, value_parser = parse_bytes, value_name = "SIZE")]
    memory_limit: Option<u64>,
    /// Edges of the sliding window in voxels; the model's own by default
    #[arg(long, num_args = 3, value_names = ["X", "Y", "Z"])]
    patch: Option<Vec<usize>>,
    /// Share of a window that the next one covers again, 0 to 1; the model's own by default
    #[arg(long)]
    overlap: Option<f64>,
    /// Count all voxels of a window the same, in place of a Gaussian
    #[arg(long)]
    uniform: bool,
    /// Average over the eight mirror images of each window
    #[arg(long)]
    mirror: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Labels")]
struct CleanArgs {
    /// Which connected components to keep
    #[arg(long, value_enum, default_value_t)]
    keep: KeepArg,
    /// Remove components of a label smaller than this
    #[arg(long, value_name = "MM3")]
    min_size: Option<f64>,
    /// Fill the holes of each label
    #[arg(long)]
    fill_holes: bool,
    /// The grid of the result
    #[arg(long, value_enum, default_value_t)]
    space: SpaceArg,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PrecisionArg {
    /// Single precision
    #[default]
    Float32,
    /// Half precision; sums stay in single
    Float16,
}

impl From<PrecisionArg> for Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::Float32 => Self::Float32,
            PrecisionArg::Float16 => Self::Float16,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum KeepArg {
    /// All
    #[default]
    All,
    /// The largest of the foreground
    Largest,
    /// The largest of each label
    LargestPerLabel,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum SpaceArg {
    /// The input's own grid
    #[default]
    Native,
    /// The grid that the network saw
    Prepared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StatisticsFormat {
    Csv,
    Json,
}

/// The first device of the build.
fn default_device() -> DeviceKind {
    DeviceKind::value_variants()[0]
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    model: PathBuf,
    network: &'static str,
    device: DeviceKind,
    cases: Vec<CaseReport>,
}

#[derive(Serialize)]
struct CaseReport {
    input: Vec<PathBuf>,
    output: PathBuf,
    #[serde(flatten)]
    result: CaseResult,
}

#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum CaseResult {
    Done {
        seconds: Timings,
        labels: LabelReport,
    },
    Skipped,
    Failed {
        error: String,
    },
}

impl Segment {
    pub(super) fn run(&self) -> Result<Outcome> {
        let cases = find(&self.input)?;
        let outputs = self.outputs(&cases)?;
        if let Some(threads) = self.run.threads {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build_global()
                .context("cannot start the threads")?;
        }
        let opened = open(&self.model, &self.beside.beside())?;
        for note in opened.notes.iter().filter(|_| !self.quiet) {
            eprintln!("note: {note}");
        }
        let channels = opened.file.spec.in_channels();
        if let Some(case) = cases.iter().find(|c| c.channels.len() != channels) {
            bail!(
                "{}: the network reads {channels} channel(s), {} given (join files by commas)",
                case.channels[0].display(),
                case.channels.len()
            );
        }
        let device = self.run.device.open()?;
        let precision = Precision::from(self.run.precision);
        if !precision.is_on(&device) {
            let why = self.run.device.lacks(precision);
            bail!("--precision {}: {why}", precision.name());
        }
        let segmenter = Segmenter::new(
            &opened.file,
            &self.model,
            &device,
            self.options(&opened.file),
        )?;
        self.write_bids_tables(&cases, &opened.file)?;

        let mut reports = Vec::new();
        for (i, (case, output)) in cases.iter().zip(&outputs).enumerate() {
            let title = match cases.len() {
                1 => String::new(),
                n => format!("[{}/{n}] ", i + 1),
            };
            let result = self.run_case(&segmenter, case, output, &title);
            let result = match result {
                Ok(result) => result,
                // One image alone is the whole run.
                Err(error) if cases.len() == 1 => return Err(error),
                Err(error) => {
                    eprintln!("error: {error:#}");
                    CaseResult::Failed {
                        error: format!("{error:#}"),
                    }
                }
            };
            reports.push(CaseReport {
                input: case.channels.clone(),
                output: output.clone(),
                result,
            });
        }
        let failed = reports
            .iter()
            .filter(|r| matches!(r.result, CaseResult::Failed { .. }))
            .count();
        if self.json {
            let (model, network) = (self.model.clone(), opened.file.spec.name());
            print_json(&Report {
                model,
                network,
                device: self.run.device,
                cases: reports,
            })?;
        }
        if failed > 0 && !self.quiet {
            eprintln!("{failed} of {} images failed", cases.len());
        }
        Ok(if failed > 0 {
            Outcome::SomeFailed
        } else {
            Outcome::Done
        })
    }

    fn options(&self, file: &ModelFile) -> SegmentOptions {
        let hinted = Segmenter::window(file);
        let window = SlidingWindow {
            patch: match self.run.patch.as_deref() {
                Some([x, y, z]) => [*x, *y, *z],
                _ => hinted.patch,
            },
            overlap: self.run.overlap.unwrap_or(hinted.overlap),
            weighting: if self.run.uniform {
                Weighting::Uniform
            } else {
                Weighting::Gaussian
            },
            mirror: self.run.mirror,
        };
        SegmentOptions {
            infer: InferOptions {
                window,
                memory_limit: self.run.memory_limit,
                precision: self.run.precision.into(),
                ..InferOptions::default()
            },
            cleaning: Cleaning {
                keep: match self.clean.keep {
                    KeepArg::All => Keep::All,
                    KeepArg::Largest => Keep::Largest,
                    KeepArg::LargestPerLabel => Keep::LargestPerLabel,
                },
                minimum_mm3: self.clean.min_size,
                fill_holes: self.clean.fill_holes,
            },
            space: match self.clean.space {
                SpaceArg::Native => Space::Native,
                SpaceArg::Prepared => Space::Prepared,
            },
            read: self.read.options(),
        }
    }

    /// A file for each case.
    fn outputs(&self, cases: &[Case]) -> Result<Vec<PathBuf>> {
        let is_file = extension(&self.output).is_some() || self.output == Path::new(STANDARD);
        if !is_file {
            let file = |c: &Case| self.output.join(format!("{}.nii.gz", c.name.display()));
            return Ok(cases.iter().map(file).collect());
        }
        if cases.len() != 1 {
            bail!(
                "{}: {} images need a folder as output",
                self.output.display(),
                cases.len()
            );
        }
        if !matches!(extension(&self.output), None | Some(".nii" | ".nii.gz")) {
            bail!("{}: results are .nii or .nii.gz", self.output.display());
        }
        if cases[0].channels.contains(&self.output) && self.output != Path::new(STANDARD) {
            bail!("{}: the input is also the output", self.output.display());
        }
        Ok(vec![self.output.clone()])
    }

    fn run_case(
        &self,
        segmenter: &Segmenter,
        case: &Case,
        output: &Path,
        title: &str,
    ) -> Result<CaseResult> {
        if self.skip_existing && output.is_file() {
            return Ok(CaseResult::Skipped);
        }
        let bar = self.progress_bar(&format!("{title}{}", case.channels[0].display()));
        let mut step = |p: Progress| {
            bar.set_length(p.total);
            bar.set_position(p.done);
            ControlFlow::Continue(())
        };
        let done = segmenter.segment(&case.channels, &mut step);
        bar.finish_and_clear();
        let done = done?;
        done.save(output)?;
        let Segmentation {
            report, timings, ..
        } = &done;
        self.write_statistics(report, output)?;
        if !self.quiet && !self.json {
            self.print_table(report, timings, case, output, title)?;
        }
        Ok(CaseResult::Done {
            seconds: *timings,
            labels: report.clone(),
        })
    }

    /// Shown on a terminal only.
    fn progress_bar(&self, message: &str) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let template = "{msg} {wide_bar} {percent:>3}% {per_sec:.0}, {eta} left";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(1)
            .with_style(style)
            .with_message(message.to_owned())
    }

    fn write_statistics(&self, report: &LabelReport, output: &Path) -> Result<()> {
        if output == Path::new(STANDARD) {
            return Ok(());
        }
        let base = output.display().to_string();
        let base = &base[..base.len() - extension(output).map_or(0, str::len)];
        for format in &self.statistics {
            match format {
                StatisticsFormat::Json => {
                    let path = PathBuf::from(format!("{base}.json"));
                    write_bytes(&path, &serde_json::to_vec_pretty(report)?)?;
                }
                StatisticsFormat::Csv => {
                    let path = PathBuf::from(format!("{base}.csv"));
                    write_atomic(&path, |w| {
                        report.write_csv(w).map_err(|source| amaes::Error::Io {
                            path: path.clone(),
                            source,
                        })
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Labels that are there, on standard output unless the volume itself goes there.
    fn print_table(
        &self,
        report: &LabelReport,
        timings: &Timings,
        case: &Case,
        output: &Path,
        title: &str,
    ) -> Result<()> {
        let head = ["label", "voxels", "mL", "mean", "centroid (mm)"]
            .map(str::to_owned)
            .to_vec();
        let mut rows = vec![head];
        for label in report.labels.iter().filter(|l| l.voxels > 0) {
            let centroid = label
                .centroid_mm
                .map(|c| c.map(|v| format!("{v:.1}")).join(" "));
            rows.push(vec![
                format!("{:<4} {}", label.value, label.name),
                label.voxels.to_string(),
                format!("{:.2}", label.volume_ml),
                label.mean.map_or(String::new(), |m| format!("{m:.1}")),
                centroid.unwrap_or_default(),
            ]);
        }
        let total = timings.read + timings.prepare + timings.network + timings.finish;
        let text = format!(
            "{title}{} -> {} ({total:.1} s, network {:.1} s)\n{}",
            case.channels[0].display(),
            output.display(),
            timings.network,
            text::table(&rows),
        );
        if output == Path::new(STANDARD) {
            io::stderr().write_all(text.as_bytes())?;
            return Ok(());
        }
        super::print(&text)
    }

    /// What makes an output folder a BIDS derivative, where an input is a BIDS tree.
    fn write_bids_tables(&self, cases: &[Case], file: &ModelFile) -> Result<()> {
        let bids = self.input.iter().any(|i| is_bids(Path::new(i)));
        if !bids || cases.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&self.output).with_context(|| self.output.display().to_string())?;
        let description = serde_json::json!({
            "Name": "amaes segmentations",
            "BIDSVersion": "1.9.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{
                "Name": "amaes",
                "Version": env!("CARGO_PKG_VERSION"),
                "Description": file.provenance.source,
            }],
        });
        let path = self.output.join("dataset_description.json");
        write_bytes(&path, &serde_json::to_vec_pretty(&description)?)?;
        let mut table = String::from("index\tname\tcolor\n");
        for e in &file.labels.0 {
            let [r, g, b] = e.color;
            table.push_str(&format!(
                "{}\t{}\t#{r:02x}{g:02x}{b:02x}\n",
                e.value, e.name
            ));
        }
        write_bytes(&self.output.join("desc-amaes_dseg.tsv"), table.as_bytes())?;
        Ok(())
    }
}
