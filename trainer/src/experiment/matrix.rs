//! The matrix file: what is compared, and how each part of it is trained and tested.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amaes_core::label::Label;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::error::{ExperimentError, Result};
use super::variant::{LeaveOut, Variant};
use crate::device::DeviceKind;
use crate::error::WithPath;
use crate::evaluate::ScoreConfig;
use crate::train::backbone::Backbone;
use crate::train::config::CorpusSize;

/// What `amaes experiment` reads: a TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matrix {
    /// What the report is called.
    pub title: String,
    /// What stands above the report's tables.
    pub description: String,
    /// Where everything is kept that the experiment makes.
    pub folder: PathBuf,
    /// What computes.
    pub device: DeviceKind,
    /// Seeds of finetuning, for grids that have none of their own.
    pub seeds: Vec<u64>,
    /// Pretrain once for every seed of finetuning, in place of once for all of them.
    pub pretrain_each_seed: bool,
    /// Draw the labelled cases to train on once for every seed, in place of once for all of them.
    pub draw_each_seed: bool,
    /// Labelled trees to make with `amaes synth`, by name; `@NAME` stands for the path of one. What
    /// one leaves out is as in the tree that its field `base` names, which may have a base too.
    pub synth: BTreeMap<String, Table>,
    /// Stores to prepare, by name; `@NAME` stands for the path of one.
    pub corpus: BTreeMap<String, CorpusConfig>,
    /// The configuration of pretraining, as `amaes pretrain` reads it.
    pub pretrain: Table,
    /// The configuration of finetuning, as `amaes finetune` reads it.
    pub finetune: Table,
    /// How test images are segmented.
    pub segment: SegmentConfig,
    /// How segmentations are scored.
    pub evaluate: ScoreConfig,
    /// Ways to pretrain, beside those that every matrix has.
    pub variants: BTreeMap<String, Variant>,
    /// What is finetuned and tested.
    pub tasks: BTreeMap<String, TaskConfig>,
    /// What is combined with what.
    pub grid: Vec<Grid>,
}

/// A store of pretraining volumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusConfig {
    /// The images: a folder, an archive, or `@NAME` of a tree that the matrix makes.
    pub input: PathBuf,
    /// Edges of a voxel in mm; 1 without.
    pub spacing: Option<f64>,
}

/// How test images are segmented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentConfig {
    /// Edges of the windows in voxels; those of the patches without.
    pub patch: Option<[usize; 3]>,
    /// Share of a window that the next one covers again.
    pub overlap: Option<f64>,
    /// Average over the eight mirror images of each window.
    pub mirror: bool,
}

/// What is finetuned and tested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskConfig {
    /// What tables call it; its name without.
    pub title: Option<String>,
    /// A file that `amaes finetune` reads, beside the matrix; it goes before `[finetune]`.
    pub config: Option<PathBuf>,
    /// Fields of the finetuning configuration: the data, how they are divided.
    pub finetune: Table,
    /// Labels that are scored; all without.
    pub labels: Vec<Label>,
    /// Whether the test cases of its own division are scored.
    pub in_domain: bool,
    /// Other test sets.
    pub tests: Vec<TestConfig>,
}

/// Labelled cases to test on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestConfig {
    /// Its name.
    pub name: String,
    /// What tables call it; its name without.
    pub title: Option<String>,
    /// Fields in which its data differ from the task's.
    #[serde(default)]
    pub data: Table,
    /// Only cases of these sites: in place of the task's.
    #[serde(default)]
    pub sites: Vec<String>,
    /// Whether it is from where the task's cases are from.
    #[serde(default)]
    pub in_domain: bool,
}

/// What is combined with what. What is left out has one value: that of the base configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grid {
    /// Which table shows it.
    pub kind: GridKind,
    /// Names of tasks; all without.
    pub tasks: Vec<String>,
    /// Encoders; that of `[pretrain]` without.
    pub backbones: Vec<BackboneConfig>,
    /// Names of variants of pretraining.
    pub pretraining: Vec<String>,
    /// Also variants that leave out one transform each: `"all"`, or a list of them.
    pub leave_out: Option<LeaveOut>,
    /// Sizes of the corpus: volumes (`1000`) or shares (`0.1`).
    pub corpus: Vec<CorpusSize>,
    /// Numbers of labelled cases.
    pub labelled: Vec<usize>,
    /// Seeds of finetuning; those of the matrix without.
    pub seeds: Vec<u64>,
}

/// Which table shows a grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GridKind {
    /// Tasks by backbones and pretraining: the paper's Table 1.
    #[default]
    Comparison,
    /// Variants of pretraining, with time and memory: the paper's Table 2.
    Ablation,
}

/// An encoder: its name alone, or with a number of filters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BackboneConfig {
    /// As the network is published.
    Published(Backbone),
    /// With another number of filters.
    Sized(SizedBackbone),
}

/// An encoder with another number of filters than the published one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizedBackbone {
    /// The encoder.
    pub backbone: Backbone,
    /// Channels of the first level.
    pub filters: usize,
}

impl Default for Matrix {
    fn default() -> Self {
        Self {
            title: "Experiment".into(),
            description: String::new(),
            folder: "experiment".into(),
            device: DeviceKind::default(),
            seeds: vec![1, 2, 3],
            pretrain_each_seed: false,
            draw_each_seed: true,
            synth: BTreeMap::new(),
            corpus: BTreeMap::new(),
            pretrain: Table::new(),
            finetune: Table::new(),
            segment: SegmentConfig::default(),
            evaluate: ScoreConfig::default(),
            variants: BTreeMap::new(),
            tasks: BTreeMap::new(),
            grid: Vec::new(),
        }
    }
}

impl Default for TaskConfig {
    fn default() -> Self {
        Self {
            title: None,
            config: None,
            finetune: Table::new(),
            labels: Vec::new(),
            in_domain: true,
            tests: Vec::new(),
        }
    }
}

impl BackboneConfig {
    /// The encoder and its filters, where they are not its own.
    pub fn parts(&self) -> (Backbone, Option<usize>) {
        match self {
            Self::Published(backbone) => (*backbone, None),
            Self::Sized(sized) => (sized.backbone, Some(sized.filters)),
        }
    }
}

impl Matrix {
    /// Reads a matrix and checks the names in it.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] with the file, and the field or the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_path(path)?;
        let matrix: Self = toml::from_str(&text).with_path(path)?;
        matrix.check(path)?;
        Ok(matrix)
    }

    /// The path that a field means: that of made data for `@NAME`.
    pub(super) fn made(path: &Path) -> Option<&str> {
        path.to_str()?.strip_prefix('@')
    }

    fn check(&self, path: &Path) -> Result<()> {
        let bad = |field: &str, message: String| {
            Err(ExperimentError::Matrix {
                path: path.to_owned(),
                field: field.to_owned(),
                message,
            })
        };
        if self.grid.is_empty() {
            return bad("grid", "nothing is combined: there is no [[grid]]".into());
        }
        if self.tasks.is_empty() {
            return bad("tasks", "there is no task".into());
        }
        if let Some(name) = self.corpus.keys().find(|n| self.synth.contains_key(*n)) {
            return bad("corpus", format!("`{name}` is also the name of a tree"));
        }
        for (kind, names) in [
            ("synth", self.synth.keys().collect::<Vec<_>>()),
            ("corpus", self.corpus.keys().collect()),
            ("variants", self.variants.keys().collect()),
            ("tasks", self.tasks.keys().collect()),
        ] {
            if let Some(name) = names.into_iter().find(|n| !is_name(n)) {
                return bad(kind, no_name(name));
            }
        }
        for (name, corpus) in &self.corpus {
            if let Some(made) = Self::made(&corpus.input)
                && !self.synth.contains_key(made)
            {
                return bad("corpus", format!("{name}: there is no [synth.{made}]"));
            }
            if corpus.spacing.is_some_and(|s| !(0.1..=100.0).contains(&s)) {
                return bad("corpus", format!("{name}: no such spacing"));
            }
        }
        for (name, task) in &self.tasks {
            let mut names: Vec<&str> = task.tests.iter().map(|t| t.name.as_str()).collect();
            if let Some(bad_name) = names.iter().find(|n| !is_name(n) || **n == IN_DOMAIN) {
                return bad("tests", format!("{name}: {}", no_name(bad_name)));
            }
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return bad("tests", format!("{name}: two are called `{}`", twice[0]));
            }
            if names.is_empty() && !task.in_domain {
                return bad("tasks", format!("{name}: it has no test set"));
            }
        }
        for grid in &self.grid {
            if let Some(task) = grid.tasks.iter().find(|t| !self.tasks.contains_key(*t)) {
                return bad("grid.tasks", format!("there is no [tasks.{task}]"));
            }
            if grid.seeds.is_empty() && self.seeds.is_empty() {
                return bad("seeds", "there is none".into());
            }
            if grid.pretraining.is_empty() && grid.leave_out.is_none() {
                return bad("grid.pretraining", "there is none".into());
            }
            if grid.labelled.contains(&0) {
                return bad("grid.labelled", "0 cases are too few".into());
            }
        }
        Ok(())
    }
}

/// The test set of a task's own division.
pub(super) const IN_DOMAIN: &str = "test";

/// Whether something can be a part of the name of a folder.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    (1..=40).contains(&name.len()) && name.bytes().all(fits)
}

fn no_name(name: &str) -> String {
    format!("`{name}`: names have small letters, digits, `-` and `_`, and `{IN_DOMAIN}` is taken")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[tasks.a]\n[[grid]]\npretraining = [\"none\"]\n";

    fn read(text: &str) -> Result<Matrix> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("matrix.toml");
        std::fs::write(&path, text).expect("written");
        Matrix::read(&path)
    }

    #[test]
    fn a_grid_is_read() {
        let matrix = read(
            "seeds = [1, 2]\n[tasks.a]\n[[grid]]\nkind = \"ablation\"\n\
             backbones = [\"unet-b\", { backbone = \"mednext-m\", filters = 8 }]\n\
             pretraining = [\"none\"]\nleave_out = \"all\"\ncorpus = [100, 0.5]\n",
        )
        .expect("a matrix");
        let grid = &matrix.grid[0];
        assert_eq!(grid.kind, GridKind::Ablation);
        assert_eq!(grid.backbones[1].parts(), (Backbone::MednextM, Some(8)));
        assert_eq!(
            grid.corpus,
            [CorpusSize::Volumes(100), CorpusSize::Share(0.5)]
        );
        assert!(matches!(grid.leave_out, Some(LeaveOut::All(_))));
        assert!(matrix.tasks["a"].in_domain);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("", "no [[grid]]".to_owned()),
            ("[[grid]]\npretraining = [\"none\"]", "no task".into()),
            (&format!("cake = 1\n{LEAST}"), "cake".into()),
            (&format!("{LEAST}tasks = [\"b\"]\n"), "[tasks.b]".to_owned()),
            (&format!("{LEAST}[tasks.\"A b\"]\n"), "small letters".into()),
            (
                &format!("{LEAST}[corpus.c]\ninput = \"@d\"\n"),
                "[synth.d]".into(),
            ),
            (
                &format!("{LEAST}[tasks.b]\nin_domain = false\n"),
                "no test set".into(),
            ),
            (
                &format!("{LEAST}[[tasks.a.tests]]\nname = \"test\"\n"),
                "is taken".into(),
            ),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(
                error.contains(&expected) && error.contains("matrix.toml"),
                "{text}: {error}"
            );
        }
        read(LEAST).expect("a matrix");
    }
}
