//! `amaes evaluate`.

mod scores;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use amaes::device::DeviceKind;
use amaes::evaluate::{
    CaseFiles, Comparison, Evaluation, Overlay, PairOptions, REPORT_FILE, Settings, Targets,
    evaluate, find_pairs, overlays, predict, read_prediction, write,
};
use amaes::labelled::{Dataset, DatasetConfig, LabelledCase, LabelledError, Split, UNLABELLED};
use amaes::model::open;
use amaes::segment::{SegmentOptions, Segmenter};
use amaes::volumes::read_label_map;
use amaes_core::infer::InferOptions;
use amaes_core::infer::sliding_window::SlidingWindow;
use amaes_core::label::Label;
use amaes_core::volume::{ReadOptions, Volume};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use self::scores::ScoreArgs;
use self::tables::tables;
use super::{BesideArgs, Outcome, parse_bytes, print, print_json};

#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// Label maps to judge: a folder, or one file
    #[arg(
        short,
        long,
        requires = "reference",
        required_unless_present = "model",
        conflicts_with = "model"
    )]
    prediction: Option<PathBuf>,
    /// What they should be: a folder, or one file
    #[arg(short, long, requires = "prediction")]
    reference: Option<PathBuf>,
    /// A model that makes the predictions, of the cases of `--data`
    #[arg(short, long, requires = "data")]
    model: Option<PathBuf>,
    /// TOML that describes a labelled dataset: its fields, or a file with a section `data`
    #[arg(short, long, value_name = "TOML", requires = "model")]
    data: Option<PathBuf>,
    /// Folder for evaluation.json, scores.csv, summary.csv and report.html
    #[arg(short, long)]
    output: PathBuf,
    /// What made the predictions, for the report; the name of the model or folder by default
    #[arg(long)]
    name: Option<String>,
    /// Another evaluation of the same cases to test against
    #[arg(long, value_name = "JSON")]
    against: Option<PathBuf>,
    #[command(flatten)]
    score: ScoreArgs,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    beside: BesideArgs,
    /// Print the evaluation as JSON in place of a table
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
struct FileArgs {
    /// Only predictions with this text in their path
    #[arg(long, value_name = "TEXT")]
    prediction_contains: Option<String>,
    /// Only references with this text in their path, such as `desc-lesion`
    #[arg(long, value_name = "TEXT")]
    reference_contains: Option<String>,
    /// Images to draw outlines on: a folder, or one file
    #[arg(long, value_name = "PATH", conflicts_with = "model")]
    images: Option<PathBuf>,
    /// Only images with this text in their path, such as `FLAIR`
    #[arg(long, value_name = "TEXT", requires = "images")]
    image_contains: Option<String>,
    /// Leave out what has no counterpart
    #[arg(long)]
    common: bool,
    /// Bring predictions on another grid to the reference's, by the nearest voxel
    #[arg(long)]
    resample: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
struct RunArgs {
    /// What a finetuning run wrote about its cases: only those of `--part`
    #[arg(long, value_name = "JSON", requires = "data")]
    split: Option<PathBuf>,
    /// Which part of the split
    #[arg(long, value_enum, default_value_t, requires = "split")]
    part: Part,
    /// What computes
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
    /// Threads of the processor; all by default
    #[arg(long)]
    threads: Option<usize>,
    /// Memory that the process may take while the network runs, such as 2GiB
    #[arg(long, value_parser = parse_bytes, value_name = "SIZE")]
    memory_limit: Option<u64>,
    /// Average over the eight mirror images of each window
    #[arg(long)]
    mirror: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Part {
    Train,
    Validation,
    #[default]
    Test,
}

/// What a file or folder is called: of a name that says nothing, the folder that it is in.
fn name_of(path: &Path) -> String {
    let name = |p: &Path| p.file_stem().map(|n| n.to_string_lossy().into_owned());
    let own = name(path).unwrap_or_default();
    match ["model", "best", "predictions"].contains(&own.as_str()) {
        true => path.parent().and_then(name).unwrap_or(own),
        false => own,
    }
}

/// A dataset's description: the fields alone, or in a section `data`.
fn dataset_config(path: &Path) -> Result<DatasetConfig> {
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(shown)?;
    let table: toml::Table = toml::from_str(&text).with_context(shown)?;
    let section = table.get("data").and_then(toml::Value::as_table).cloned();
    section.unwrap_or(table).try_into().with_context(shown)
}

impl Evaluate {
    pub(super) fn run(&self) -> Result<Outcome> {
        let made_by = self.model.as_ref().or(self.prediction.as_ref());
        let name = self.name.clone();
        let name = name.or(made_by.map(|p| name_of(p))).unwrap_or_default();
        let settings = self.score.settings(name)?;
        if let Some(threads) = self.run.threads {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build_global()
                .context("cannot start the threads")?;
        }
        // What cannot be read is known before hours of work.
        let against = match &self.against {
            Some(path) => Some((path, Evaluation::read(path)?)),
            None => None,
        };
        let (found, pictures) = match (&self.prediction, &self.reference, &self.model, &self.data) {
            (Some(prediction), Some(reference), ..) => {
                self.of_files(prediction, reference, settings)?
            }
            (_, _, Some(model), Some(data)) => self.of_model(model, data, settings)?,
            _ => bail!("give --prediction and --reference, or --model and --data"),
        };
        let comparison = match &against {
            Some((path, other)) => Some(Comparison::new(&found, other, path)?),
            None => None,
        };
        write(&self.output, &found, comparison.as_ref(), &pictures)?;
        if self.json {
            print_json(&found)?;
        } else if !self.quiet {
            let report = self.output.join(REPORT_FILE);
            let tables = tables(&found, comparison.as_ref());
            print(&format!("{tables}{}\n", report.display()))?;
        }
        Ok(Outcome::Done)
    }

    /// Files against files.
    fn of_files(&self, prediction: &Path, reference: &Path, settings: Settings) -> Result<Found> {
        let files = &self.files;
        let options = PairOptions {
            prediction_contains: files.prediction_contains.clone(),
            reference_contains: files.reference_contains.clone(),
            images: files.images.clone(),
            image_contains: files.image_contains.clone(),
            common: files.common,
        };
        let cases = find_pairs(prediction, reference, &options)?;
        let targets = self.score.targets(&settings);
        self.judge(&cases, &targets, settings, |case: &CaseFiles| {
            let (wanted, _) = read_label_map(&case.reference, &ReadOptions::default())?;
            let path = &case.reference;
            let found = read_prediction(&case.prediction, &wanted, path, files.resample)?;
            Ok::<_, amaes::Error>([found, wanted])
        })
    }

    /// A model's predictions against a dataset.
    fn of_model(&self, model: &Path, data: &Path, mut settings: Settings) -> Result<Found> {
        let dataset =
            Dataset::open(&dataset_config(data)?).with_context(|| data.display().to_string())?;
        let cases = self.part(&dataset)?;
        let opened = open(model, &self.beside.beside())?;
        for note in opened.notes.iter().filter(|_| !self.quiet) {
            eprintln!("note: {note}");
        }
        let channels = opened.file.spec.in_channels();
        if channels != dataset.channels.len() {
            bail!(
                "{}: the network reads {channels} channel(s), the dataset {} has {} ({})",
                model.display(),
                data.display(),
                dataset.channels.len(),
                dataset.channels.join(", ")
            );
        }
        let classes = dataset.classes.len();
        let mut table = opened.file.labels.0.iter();
        if let Some(entry) = table.find(|e| usize::from(e.value) >= classes) {
            bail!(
                "{}: its label {} ({}) is none of the dataset's classes ({})",
                model.display(),
                entry.value,
                entry.name,
                dataset.classes.join(", ")
            );
        }
        let mut targets = self.score.targets(&settings);
        if targets.labels.is_empty() {
            targets.labels = (1..classes)
                .filter_map(|l| Label::try_from(l).ok())
                .collect();
        }
        for &label in &targets.labels {
            if let Some(name) = dataset.classes.get(usize::from(label)) {
                settings.labels.entry(label).or_insert_with(|| name.clone());
            }
        }
        let window = SlidingWindow {
            mirror: self.run.mirror,
            ..Segmenter::window(&opened.file)
        };
        let how = format!("{window:?}");
        let options = SegmentOptions {
            infer: InferOptions {
                window,
                memory_limit: self.run.memory_limit,
                ..InferOptions::default()
            },
            ..SegmentOptions::default()
        };
        let device = self.run.device.open()?;
        let segmenter = Segmenter::new(&opened.file, model, &device, options)?;
        let bar = self.bar("segmenting", 1);
        let files = predict(
            &segmenter,
            model,
            &how,
            &cases,
            &self.output,
            &mut |i, p| {
                bar.set_message(format!("[{}/{}] {}", i + 1, cases.len(), cases[i].id));
                bar.set_length(p.total);
                bar.set_position(p.done);
                ControlFlow::Continue(())
            },
        )?;
        bar.finish_and_clear();
        drop(segmenter);
        let by_id: BTreeMap<&str, &LabelledCase> =
            cases.iter().map(|c| (c.id.as_str(), *c)).collect();
        self.judge(&files, &targets, settings, |case: &CaseFiles| {
            let (mut wanted, _) = dataset.read_labels(by_id[case.id.as_str()])?;
            let path = &case.reference;
            let mut found = read_prediction(&case.prediction, &wanted, path, self.files.resample)?;
            for (w, f) in wanted.data_mut().iter_mut().zip(found.data_mut()) {
                if *w == UNLABELLED {
                    (*w, *f) = (0, 0);
                }
            }
            Ok::<_, LabelledError>([found, wanted])
        })
    }

    /// The dataset's cases that are asked for.
    fn part<'a>(&self, dataset: &'a Dataset) -> Result<Vec<&'a LabelledCase>> {
        let Some(path) = &self.run.split else {
            return Ok(dataset.cases.iter().collect());
        };
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(shown)?;
        let split: Split = serde_json::from_str(&text).with_context(shown)?;
        let (part, name) = match self.run.part {
            Part::Train => (split.train, "train"),
            Part::Validation => (split.validation, "validation"),
            Part::Test => (split.test, "test"),
        };
        if part.is_empty() {
            bail!("{}: its part `{name}` has no case", path.display());
        }
        let case = |id: &String| {
            dataset
                .case(id)
                .with_context(|| format!("{}: case `{id}` is not in the dataset", path.display()))
        };
        let unique: BTreeSet<&String> = part.iter().collect();
        unique.into_iter().map(case).collect()
    }

    /// Scores cases and draws some.
    fn judge<E>(
        &self,
        cases: &[CaseFiles],
        targets: &Targets,
        settings: Settings,
        read: impl Fn(&CaseFiles) -> Result<[Volume<Label>; 2], E>,
    ) -> Result<Found>
    where
        E: From<amaes::Error> + std::error::Error + Send + Sync + 'static,
    {
        let bar = self.bar("scoring", cases.len() as u64);
        let found = evaluate(cases, targets, settings, &read, &mut |i, case| {
            bar.set_position(i as u64);
            bar.set_message(case.id.clone());
        })?;
        bar.finish_and_clear();
        let pictures = overlays(&found, cases, targets, &read)?;
        Ok((found, pictures))
    }

    /// Shown on a terminal only.
    fn bar(&self, message: &'static str, length: u64) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3}%, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(length)
            .with_style(style)
            .with_message(message)
    }
}

type Found = (Evaluation, Vec<Overlay>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_nothing_are_those_of_their_folders() {
        let names = [
            "runs/n20/model.amaes",
            "a/predictions",
            "b/net.pth",
            "model.amaes",
        ];
        let names = names.map(|p| name_of(Path::new(p)));
        assert_eq!(names, ["n20", "a", "net", "model"]);
    }
}
