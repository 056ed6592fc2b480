//! All cases of an evaluation, and what they say together: `evaluation.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use amaes_core::label::Label;
use rayon::prelude::*;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::statistics::{BootstrapConfig, Description, bootstrap_interval};
use super::{Metric, Region, ScoreConfig, Scores};
use crate::error::{Error, WithPath};

/// The file's name.
pub const FILE: &str = "evaluation.json";
/// What stands for the mean of a case's labels, where there are several.
pub const MEAN: &str = "mean";
/// The version of the file that is written and read.
const VERSION: u32 = 1;
/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// What was evaluated, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What made the predictions, for people.
    pub name: String,
    /// How scores are computed.
    #[serde(flatten)]
    pub score: ScoreConfig,
    /// How intervals are made.
    pub bootstrap: BootstrapConfig,
    /// Names of labels by number; those that are not here and are found get their number.
    #[serde(deserialize_with = "numbered")]
    pub labels: BTreeMap<Label, String>,
    /// Unions of labels.
    #[serde(default)]
    pub regions: Vec<Region>,
}

/// Names by number. JSON has numbers as texts, which serde undoes by itself only in structures that
/// are not flattened.
fn numbered<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Label, String>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(from)?;
    let entries = texts.into_iter().map(|(number, name)| {
        let label = number.parse();
        label
            .map(|l| (l, name))
            .map_err(|_| D::Error::custom(format!("`{number}` is no label")))
    });
    entries.collect()
}

/// Scores of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseScores {
    /// Its name.
    pub id: String,
    /// Whom it shows.
    pub subject: String,
    /// Where it was taken, where that is known.
    pub site: Option<String>,
    /// Scores by label (its number) or region (its name).
    pub labels: BTreeMap<String, Scores>,
}

impl CaseScores {
    /// A metric of a label or region, or the mean over the labels that have it for [`MEAN`].
    pub fn get(&self, key: &str, metric: Metric) -> Option<f64> {
        if key != MEAN {
            return self.labels.get(key)?.get(metric);
        }
        let labels = self.labels.iter().filter(|(k, _)| is_label(k));
        let values: Vec<f64> = labels.filter_map(|(_, s)| s.get(metric)).collect();
        Description::of(&values).map(|d| d.mean)
    }
}

/// Keys of labels are numbers, those of regions are not.
pub(super) fn is_label(key: &str) -> bool {
    key.parse::<Label>().is_ok()
}

/// One metric of one label or region over the cases of a site, or over all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of a label, name of a region, or [`MEAN`].
    pub label: String,
    /// The site; `None` for all.
    pub site: Option<String>,
    /// The metric.
    pub metric: Metric,
    /// The cases that have a value; `None` where there are none.
    pub values: Option<Description>,
    /// The mean's confidence interval; `None` for fewer than two subjects.
    pub interval: Option<[f64; 2]>,
    /// Cases without a value because neither reference nor prediction has the structure.
    pub absent: usize,
    /// Cases without a value because only one of the two has it.
    pub one_sided: usize,
}

/// All cases of an evaluation and their summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    version: u32,
    /// What was evaluated, and how.
    #[serde(flatten)]
    pub settings: Settings,
    /// The cases, by name.
    pub cases: Vec<CaseScores>,
    /// What they say together.
    pub summary: Vec<Summary>,
}

impl Evaluation {
    /// Gathers cases. Every case gets all labels that any has: a label that it lacks is in neither
    /// its reference nor its prediction.
    pub fn new(mut settings: Settings, mut cases: Vec<CaseScores>) -> Self {
        cases.sort_by(|a, b| a.id.cmp(&b.id));
        let keys = cases.iter().flat_map(|c| c.labels.keys());
        for label in keys.filter_map(|k| k.parse::<Label>().ok()) {
            (settings.labels)
                .entry(label)
                .or_insert_with(|| label.to_string());
        }
        for case in &mut cases {
            let labels = settings.labels.keys().map(Label::to_string);
            let regions = settings.regions.iter().map(|r| r.name.clone());
            for key in labels.chain(regions) {
                case.labels.entry(key).or_default();
            }
        }
        let mut out = Self {
            version: VERSION,
            settings,
            cases,
            summary: Vec::new(),
        };
        out.summary = out.summarise();
        out
    }

    /// Labels by number, then regions, then [`MEAN`] where there are several labels: all that a
    /// summary is about.
    pub fn keys(&self) -> Vec<String> {
        let labels = self.settings.labels.keys().map(Label::to_string);
        let regions = self.settings.regions.iter().map(|r| r.name.clone());
        let mean = (self.settings.labels.len() > 1).then(|| MEAN.to_owned());
        labels.chain(regions).chain(mean).collect()
    }

    /// The name of a label, region or [`MEAN`] for people.
    pub fn title(&self, key: &str) -> String {
        match key.parse::<Label>() {
            Ok(label) => match self.settings.labels.get(&label) {
                Some(name) if name != key => format!("{name} ({key})"),
                _ => format!("label {key}"),
            },
            Err(_) if key == MEAN => "mean of labels".to_owned(),
            Err(_) => key.to_owned(),
        }
    }

    /// The sites of the cases.
    pub fn sites(&self) -> BTreeSet<&str> {
        self.cases
            .iter()
            .filter_map(|c| c.site.as_deref())
            .collect()
    }

    fn summarise(&self) -> Vec<Summary> {
        let sites = self.sites();
        // One site alone is all cases, unless some have none.
        let apart = sites.len() > 1 || self.cases.iter().any(|c| c.site.is_none());
        let sites = sites.into_iter().filter(|_| apart).map(Some);
        let keys = self.keys();
        let mut wanted = Vec::new();
        for site in std::iter::once(None).chain(sites) {
            for key in &keys {
                wanted.extend(Metric::ALL.map(|metric| (key, site, metric)));
            }
        }
        let rows = wanted.into_par_iter();
        rows.map(|(key, site, metric)| self.summary_of(key, site, metric))
            .collect()
    }

    fn summary_of(&self, key: &str, site: Option<&str>, metric: Metric) -> Summary {
        let cases = self.cases.iter();
        let cases = cases.filter(|c| site.is_none() || c.site.as_deref() == site);
        let (mut values, mut absent, mut one_sided) = (Vec::new(), 0, 0);
        for case in cases {
            match case.get(key, metric) {
                Some(value) => values.push((case.subject.as_str(), value)),
                None if case.labels.get(key).is_none_or(Scores::is_absent) => absent += 1,
                None => one_sided += 1,
            }
        }
        let plain: Vec<f64> = values.iter().map(|(_, v)| *v).collect();
        Summary {
            label: key.to_owned(),
            site: site.map(str::to_owned),
            metric,
            values: Description::of(&plain),
            interval: bootstrap_interval(values, &self.settings.bootstrap),
            absent,
            one_sided,
        }
    }

    /// The summary of a metric over all cases.
    pub fn overall(&self, key: &str, metric: Metric) -> Option<&Summary> {
        let mut all = self.summary.iter();
        all.find(|s| s.site.is_none() && s.label == key && s.metric == metric)
    }

    /// Reads an evaluation: the file, or the folder that it is in.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Json`] and, for a file of another version, [`Error::Unsuitable`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let path = match path.is_dir() {
            true => path.join(FILE),
            false => path.to_owned(),
        };
        let bytes = std::fs::metadata(&path).with_path(&path)?.len();
        if bytes > MAX_BYTES {
            let message = format!("{bytes} bytes; an evaluation may have {MAX_BYTES}");
            return Err(Error::unsuitable(&path, message));
        }
        let bytes = std::fs::read(&path).with_path(&path)?;
        let out: Self = serde_json::from_slice(&bytes).with_path(&path)?;
        match out.version {
            VERSION => Ok(out),
            version => {
                let message = format!("version {version} of the format is not known");
                Err(Error::unsuitable(&path, message))
            }
        }
    }
}
