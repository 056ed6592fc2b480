//! The scores of the cells of a plan.

use std::collections::BTreeMap;
use std::path::Path;

use super::compare::{Row, Selection};
use crate::evaluate::{Evaluation, MEAN, Metric};
use crate::experiment::error::Result;
use crate::experiment::matrix::GridKind;
use crate::experiment::plan::{Axes, Plan};

/// Dice of the cases of a test set, by subject and name: each the mean over the labels for which
/// it is defined. A case without any is left out.
pub(super) type Scores = BTreeMap<(String, String), f64>;

/// The scores of every cell and test set that are there.
pub(super) struct Results<'a> {
    pub(super) plan: &'a Plan,
    scores: Vec<Vec<Option<Scores>>>,
}

impl<'a> Results<'a> {
    pub(super) fn read(plan: &'a Plan) -> Result<Self> {
        let mut scores = Vec::new();
        for (n, cell) in plan.cells.iter().enumerate() {
            let mut tests = Vec::new();
            for t in 0..cell.tests.len() {
                tests.push(match plan.is_tested(n, t) {
                    true => Some(read(&plan.test_folder(n, t))?),
                    false => None,
                });
            }
            scores.push(tests);
        }
        Ok(Self { plan, scores })
    }

    /// The mean over the cases of a test set.
    pub(super) fn mean(&self, cell: usize, test: usize) -> Option<f64> {
        mean(self.scores[cell][test].as_ref()?.values().copied())
    }

    /// The cells of a row: one a seed, of each task of the selection.
    pub(super) fn cells(&self, row: &Row, selection: &Selection) -> Vec<usize> {
        let fits = |axes: &Axes| {
            axes.backbone == row.backbone
                && axes.pretraining == row.pretraining
                && axes.corpus == row.corpus
                && axes.labelled == row.labelled
                && selection.columns.iter().any(|(task, _)| *task == axes.task)
        };
        let cells = self.plan.cells.iter().enumerate();
        let cells = cells.filter(|(_, c)| c.kinds.contains(&selection.kind) && fits(&c.axes));
        cells.map(|(n, _)| n).collect()
    }

    /// The scores of a cell's test set of that name.
    pub(super) fn of(&self, cell: usize, test: &str) -> Option<&Scores> {
        let tests = &self.plan.cells[cell].tests;
        let index = tests.iter().position(|t| t.name == test)?;
        self.scores[cell][index].as_ref()
    }

    /// Test sets that the cells of a kind have: tasks and names, in the order of the matrix.
    pub(super) fn columns(&self, kind: GridKind) -> Vec<(String, String)> {
        let mut columns = Vec::new();
        let mut cells: Vec<_> = self.plan.cells.iter().collect();
        cells.retain(|c| c.kinds.contains(&kind));
        cells.sort_by(|a, b| a.axes.task.cmp(&b.axes.task));
        for cell in cells {
            for test in &cell.tests {
                let column = (cell.axes.task.clone(), test.name.clone());
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        columns
    }
}

fn read(folder: &Path) -> Result<Scores> {
    let found = Evaluation::read(folder)?;
    let cases = found.cases.into_iter().filter_map(|case| {
        let dice = case.get(MEAN, Metric::Dice)?;
        Some(((case.subject, case.id), dice))
    });
    Ok(cases.collect())
}

/// The mean of some values; nothing without any.
pub(in crate::experiment) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0usize);
    for value in values {
        sum += value;
        n += 1;
    }
    (n > 0).then(|| sum / n as f64)
}
