//! `amaes evaluate`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use amaes::device::DeviceKind;
use amaes::evaluate::statistics::BootstrapConfig;
use amaes::evaluate::{
    CaseFiles, Comparison, Evaluation, Metric, PairOptions, Region, ScoreConfig, Settings, Targets,
    evaluate, find_pairs, overlays, predict, read_prediction, write,
};
use amaes::labelled::{Dataset, DatasetConfig, LabelledCase, LabelledError, Split, UNLABELLED};
use amaes::model::open;
use amaes::segment::{SegmentOptions, Segmenter};
use amaes::volumes::read_label_map;
use amaes_core::infer::InferOptions;
use amaes_core::infer::sliding_window::SlidingWindow;
use amaes_core::label::Label;
use amaes_core::metric::LesionConfig;
use amaes_core::volume::{ReadOptions, Volume};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{BesideArgs, Outcome, parse_bytes, print, print_json, text};

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
#[command(next_help_heading = "Scores")]
struct ScoreArgs {
    /// Distance in mm up to which surfaces agree
    #[arg(long, default_value_t = 1.0, value_name = "MM")]
    tolerance: f64,
    /// Labels to score, with names if you like: `1=core 2=oedema`; all that are found by default
    #[arg(long, num_args = 1.., value_name = "LABEL[=NAME]", value_parser = parse_label)]
    labels: Vec<(Label, Option<String>)>,
    /// Unions of labels to score: `whole=1,2,3 core=1,3`; `brats` stands for whole tumour, core and
    /// enhancing tumour of labels 1 to 3
    #[arg(long, num_args = 1.., value_name = "NAME=LABELS")]
    regions: Vec<String>,
    /// Lesions smaller than this are not counted
    #[arg(long, default_value_t = 0.0, value_name = "MM3")]
    min_lesion: f64,
    /// Share of a lesion that must be covered to be found, 0 to 1; one voxel whatever it is
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    lesion_overlap: f64,
    /// Resamples of the confidence intervals
    #[arg(long, default_value_t = 10_000)]
    resamples: usize,
    /// Probability that an interval is to cover
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    /// Seed of intervals and tests
    #[arg(long, default_value_t = 1)]
    seed: u64,
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

fn parse_label(text: &str) -> Result<(Label, Option<String>), String> {
    let (number, name) = match text.split_once('=') {
        Some((number, name)) => (number, Some(name.to_owned())),
        None => (text, None),
    };
    match number.trim().parse() {
        Ok(label) if label > 0 => Ok((label, name)),
        _ => Err(format!("`{number}` is no label: a number from 1")),
    }
}

/// Regions from `name=1,2,3` or a name that stands for several.
fn regions(texts: &[String]) -> Result<Vec<Region>> {
    let mut out: Vec<Region> = Vec::new();
    for text in texts {
        if text == "brats" {
            let known: [(&str, &[Label]); 3] = [
                ("whole tumour", &[1, 2, 3]),
                ("tumour core", &[1, 3]),
                ("enhancing tumour", &[3]),
            ];
            out.extend(known.map(|(name, labels)| Region {
                name: name.to_owned(),
                labels: labels.to_vec(),
            }));
            continue;
        }
        let Some((name, labels)) = text.split_once('=') else {
            bail!("--regions: `{text}` is no `NAME=LABELS`");
        };
        let name = name.trim();
        if name.is_empty() || name.parse::<f64>().is_ok() || name == amaes::evaluate::MEAN {
            bail!("--regions: `{name}` is no name for a region");
        }
        let labels = labels.split(',').map(|l| parse_label(l).map(|(l, _)| l));
        let labels: Result<Vec<Label>, String> = labels.collect();
        match labels {
            Ok(labels) => out.push(Region {
                name: name.to_owned(),
                labels,
            }),
            Err(error) => bail!("--regions: `{text}`: {error}"),
        }
    }
    for (i, region) in out.iter().enumerate() {
        if out[..i].iter().any(|r| r.name == region.name) {
            bail!("--regions: two are called `{}`", region.name);
        }
    }
    Ok(out)
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
        let settings = self.settings()?;
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
            print(&self.tables(&found, comparison.as_ref()))?;
        }
        Ok(Outcome::Done)
    }

    fn settings(&self) -> Result<Settings> {
        let s = &self.score;
        if !(s.tolerance >= 0.0 && s.tolerance.is_finite()) {
            bail!("--tolerance: {} mm is no distance", s.tolerance);
        }
        if !(s.min_lesion >= 0.0 && s.min_lesion.is_finite()) {
            bail!("--min-lesion: {} mm^3 is no volume", s.min_lesion);
        }
        if !(0.0..=1.0).contains(&s.lesion_overlap) {
            bail!("--lesion-overlap: {} is no share", s.lesion_overlap);
        }
        if !(s.confidence > 0.0 && s.confidence < 1.0) {
            bail!("--confidence: {} is not between 0 and 1", s.confidence);
        }
        if !(1..=10_000_000).contains(&s.resamples) {
            bail!(
                "--resamples: {} is not between 1 and 10,000,000",
                s.resamples
            );
        }
        let made_by = self.model.as_ref().or(self.prediction.as_ref());
        let name = made_by.map(|p| name_of(p)).unwrap_or_default();
        let named = s.labels.iter();
        let named = named.filter_map(|(label, name)| Some((*label, name.clone()?)));
        Ok(Settings {
            name: self.name.clone().unwrap_or(name),
            score: ScoreConfig {
                tolerance_mm: s.tolerance,
                lesions: LesionConfig {
                    min_mm3: s.min_lesion,
                    min_overlap: s.lesion_overlap,
                    ..LesionConfig::default()
                },
            },
            bootstrap: BootstrapConfig {
                resamples: s.resamples,
                confidence: s.confidence,
                seed: s.seed,
            },
            labels: named.collect(),
            regions: regions(&s.regions)?,
        })
    }

    fn targets(&self, settings: &Settings) -> Targets {
        Targets {
            labels: self.score.labels.iter().map(|(label, _)| *label).collect(),
            regions: settings.regions.clone(),
        }
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
        let targets = self.targets(&settings);
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
        let mut targets = self.targets(&settings);
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

    /// What is printed.
    fn tables(&self, found: &Evaluation, comparison: Option<&Comparison>) -> String {
        const SHOWN: [Metric; 5] = [
            Metric::Dice,
            Metric::Nsd,
            Metric::Hd95Mm,
            Metric::Sensitivity,
            Metric::LesionF1,
        ];
        let head = ["label", "cases"]
            .into_iter()
            .chain(SHOWN.map(Metric::title));
        let mut rows = vec![head.map(str::to_owned).collect::<Vec<_>>()];
        for key in found.keys() {
            let summary = SHOWN.map(|m| found.overall(&key, m).and_then(|s| s.values));
            let n = summary[0].map_or(0, |v| v.n);
            let cells = summary.map(|values| match values {
                Some(v) => match v.sd {
                    Some(sd) => format!("{:.3} \u{b1} {sd:.3}", v.mean),
                    None => format!("{:.3}", v.mean),
                },
                None => "-".to_owned(),
            });
            rows.push(
                [found.title(&key), n.to_string()]
                    .into_iter()
                    .chain(cells)
                    .collect(),
            );
        }
        let mut out = text::table(&rows);
        if let Some(comparison) = comparison {
            out.push_str(&against(found, comparison));
        }
        let report = self.output.join(amaes::evaluate::REPORT_FILE);
        out.push_str(&format!("{}\n", report.display()));
        out
    }
}

type Found = (Evaluation, Vec<amaes::evaluate::Overlay>);

/// Dice of two models.
fn against(found: &Evaluation, comparison: &Comparison) -> String {
    let names = [comparison.first.as_str(), comparison.second.as_str()];
    let head = [
        "Dice",
        names[0],
        names[1],
        "difference",
        "n",
        "Wilcoxon p (Holm)",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for key in found.keys() {
        if let Some(row) = comparison.row(&key, Metric::Dice) {
            rows.push(vec![
                found.title(&key),
                format!("{:.3}", row.first),
                format!("{:.3}", row.second),
                format!("{:+.3}", row.test.mean_difference),
                row.test.n.to_string(),
                format!("{:.4}", row.wilcoxon_holm),
            ]);
        }
    }
    format!("\n{}", text::table(&rows))
}

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

    #[test]
    fn labels_and_regions_are_read() {
        assert_eq!(parse_label("2=oedema"), Ok((2, Some("oedema".into()))));
        assert_eq!(parse_label("3"), Ok((3, None)));
        assert!(parse_label("0").is_err() && parse_label("x=1").is_err());
        let found = regions(&["brats".into(), "most=1,2".into()]).expect("regions");
        assert_eq!(found.len(), 4);
        assert_eq!(
            (found[1].name.as_str(), &found[1].labels[..]),
            ("tumour core", &[1, 3][..])
        );
        assert_eq!(found[3].labels, [1, 2]);
        for bad in ["1=2", "mean=1,2", "x", "a=1,y"] {
            assert!(regions(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(regions(&["a=1".into(), "a=2".into()]).is_err());
    }
}
