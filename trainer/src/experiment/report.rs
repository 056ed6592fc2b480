//! What an experiment found so far: the paper's tables, with what is missing shown as missing.

mod ablation;
mod compare;
mod comparison;

mod page;
mod plot;
mod scores;
mod svg;
mod text;

use std::path::{Path, PathBuf};

use serde::Serialize;

use self::scores::Results;
use super::error::Result;
use super::plan::Plan;
use super::state::{Spent, State, Unit, done};
use crate::atomic::write_bytes;

pub(super) use self::scores::mean;

pub use self::ablation::{Ablation, AblationRow, Cost};
pub use self::compare::{Difference, Entry};
pub use self::comparison::{Column, Comparison, ComparisonRow};
pub use self::plot::{Plot, Series};

/// What an experiment found so far.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its title.
    pub title: String,
    /// What the matrix says about it.
    pub description: String,
    /// How far it is.
    pub progress: Progress,
    /// Tasks by backbones and pretraining: the paper's Table 1.
    pub comparison: Option<Comparison>,
    /// Variants of pretraining: the paper's Table 2.
    pub ablation: Option<Ablation>,
    /// Dice against the number of labelled cases, and against the size of the corpus.
    pub plots: Vec<Plot>,
    /// Every cell.
    pub cells: Vec<CellRow>,
    /// What was spent.
    pub compute: Compute,
}

/// How far an experiment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Cells.
    pub cells: usize,
    /// Cells that are done.
    pub done: usize,
    /// Cells that failed.
    pub failed: usize,
}

/// A cell and its scores.
#[derive(Clone, Debug, Serialize)]
pub struct CellRow {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: String,
    /// Each test set with its mean Dice, where it is done.
    pub scores: Vec<(String, Option<f64>)>,
    /// What finetuning took.
    pub spent: Option<Spent>,
}

/// What was spent, in hours of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Compute {
    /// Pretrainings that are done.
    pub pretrainings: usize,
    /// Their hours.
    pub pretraining_h: f64,
    /// Finetunings that are done.
    pub finetunings: usize,
    /// Their hours.
    pub finetuning_h: f64,
    /// Test sets that are done.
    pub tests: usize,
    /// Hours of segmenting and scoring.
    pub testing_h: f64,
}

/// What a test set took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, serde::Deserialize)]
pub struct TestSpent {
    /// Cases.
    pub cases: usize,
    /// Seconds of segmenting and scoring.
    pub seconds: f64,
}

impl Report {
    /// What is there of a plan.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::File`](super::ExperimentError::File) when a result cannot be read.
    pub fn of(plan: &Plan) -> Result<Self> {
        let results = Results::read(plan)?;
        let mut progress = Progress::default();
        let mut compute = Compute::default();
        let mut cells = Vec::new();
        for (n, cell) in plan.cells.iter().enumerate() {
            let state = plan.state(Unit::Cell(n));
            progress.cells += 1;
            progress.done += usize::from(state == State::Done);
            progress.failed += usize::from(matches!(state, State::Failed(_)));
            let spent: Option<Spent> = done(&plan.finetuning_folder(n))?;
            if let Some(spent) = &spent {
                compute.finetunings += 1;
                compute.finetuning_h += spent.seconds / 3600.0;
            }
            let mut scores = Vec::new();
            for (t, test) in cell.tests.iter().enumerate() {
                if let Some(spent) = done::<TestSpent>(&plan.test_folder(n, t))? {
                    compute.tests += 1;
                    compute.testing_h += spent.seconds / 3600.0;
                }
                scores.push((test.name.clone(), results.mean(n, t)));
            }
            cells.push(CellRow {
                name: cell.name.clone(),
                state: state.to_string(),
                scores,
                spent,
            });
        }
        for n in 0..plan.pretrainings.len() {
            if let Some(spent) = pretraining_spent(plan, n)? {
                compute.pretrainings += 1;
                compute.pretraining_h += spent.seconds / 3600.0;
            }
        }
        Ok(Self {
            title: plan.matrix.title.clone(),
            description: plan.matrix.description.clone(),
            progress,
            comparison: Comparison::of(&results),
            ablation: Ablation::of(&results)?,
            plots: plot::all(&results),
            cells,
            compute,
        })
    }

    /// Writes `report.md`, `report.html`, `report.json` and tables as CSV into a folder, and
    /// returns the paths.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::File`](super::ExperimentError::File).
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        let mut files = vec![
            ("report.md", self.markdown()),
            ("report.html", self.html()),
            ("report.json", json),
            ("cells.csv", text::cells_csv(&self.cells)),
        ];
        if let Some(table) = &self.comparison {
            files.push(("comparison.csv", table.csv()));
        }
        if let Some(table) = &self.ablation {
            files.push(("ablation.csv", table.csv()));
        }
        let mut paths = Vec::new();
        for (name, text) in files {
            let path = folder.join(name);
            write_bytes(&path, text.as_bytes())?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        text::markdown(self)
    }

    /// The report as a page that needs nothing else.
    pub fn html(&self) -> String {
        page::html(self)
    }
}

/// What a pretraining took, where it is done.
fn pretraining_spent(plan: &Plan, index: usize) -> Result<Option<Spent>> {
    done(&plan.pretraining_folder(index))
}
