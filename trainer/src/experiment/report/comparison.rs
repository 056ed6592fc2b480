//! Tasks by backbones and pretraining: the paper's Table 1.

use serde::Serialize;

use super::compare::{Entry, Row, Selection, correct, entry, mark_best};
use super::scores::Results;
use crate::experiment::matrix::GridKind;
use crate::experiment::plan::Plan;
use crate::experiment::variant::NONE;

/// A table of Dice, a column a test set.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows; those that are compared with each other follow each other.
    pub rows: Vec<ComparisonRow>,
}

/// A test set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// What the task is called.
    pub task: String,
    /// What the test set is called.
    pub test: String,
    /// Whether it is from where the task's cases are from.
    pub in_domain: bool,
}

/// A row of a [`Comparison`].
#[derive(Clone, Debug, Serialize)]
pub struct ComparisonRow {
    /// Where it is in the matrix.
    #[serde(flatten)]
    pub row: Row,
    /// What the variant of pretraining is called.
    pub title: String,
    /// A number a column; nothing where the matrix has no such cell.
    pub entries: Vec<Option<Entry>>,
}

impl Comparison {
    pub(super) fn of(results: &Results<'_>) -> Option<Self> {
        let kind = GridKind::Comparison;
        let columns = results.columns(kind);
        let rows = rows(results.plan, kind);
        if rows.is_empty() {
            return None;
        }
        let mut table = Self {
            columns: columns.iter().map(|c| column(results.plan, c)).collect(),
            rows: rows.iter().map(|row| titled(results.plan, row)).collect(),
        };
        for (task, test) in &columns {
            let selection = Selection {
                kind,
                columns: vec![(task.clone(), test.clone())],
            };
            for (row, shown) in rows.iter().zip(&mut table.rows) {
                let found = entry(results, row, baseline(&rows, row), &selection);
                shown.entries.push((found.wanted > 0).then_some(found));
            }
        }
        let all = table.rows.iter_mut().flat_map(|r| &mut r.entries);
        correct(&mut all.flatten().collect::<Vec<_>>());
        for column in 0..columns.len() {
            for block in table.rows.chunk_by_mut(|a, b| same_block(&a.row, &b.row)) {
                let entries = block.iter_mut().filter_map(|r| r.entries[column].as_mut());
                mark_best(&mut entries.collect::<Vec<_>>());
            }
        }
        Some(table)
    }
}

/// The rows of the cells of a kind: by backbone and number of labelled cases, and in the order of
/// the matrix within.
pub(super) fn rows(plan: &Plan, kind: GridKind) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for cell in plan.cells.iter().filter(|c| c.kinds.contains(&kind)) {
        let axes = &cell.axes;
        let row = Row {
            backbone: axes.backbone.clone(),
            pretraining: axes.pretraining.clone(),
            corpus: axes.corpus,
            labelled: axes.labelled,
        };
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let mut backbones: Vec<String> = Vec::new();
    for row in &rows {
        if !backbones.contains(&row.backbone) {
            backbones.push(row.backbone.clone());
        }
    }
    let place = |row: &Row| backbones.iter().position(|b| *b == row.backbone);
    rows.sort_by_key(|row| (place(row), row.labelled, row.pretraining != NONE));
    rows
}

/// Whether two rows differ in how they were pretrained at most.
pub(super) fn same_block(a: &Row, b: &Row) -> bool {
    a.backbone == b.backbone && a.labelled == b.labelled
}

/// The row without pretraining that a row is compared with.
fn baseline<'a>(rows: &'a [Row], row: &Row) -> Option<&'a Row> {
    let is = |r: &&Row| r.pretraining == NONE && same_block(r, row);
    rows.iter().find(is).filter(|r| *r != row)
}

fn titled(plan: &Plan, row: &Row) -> ComparisonRow {
    ComparisonRow {
        row: row.clone(),
        title: plan.variant_title(&row.pretraining),
        entries: Vec::new(),
    }
}

pub(super) fn column(plan: &Plan, (task, name): &(String, String)) -> Column {
    let mut cells = plan.cells.iter().filter(|c| c.axes.task == *task);
    let test = cells.find_map(|c| c.tests.iter().find(|t| t.name == *name));
    Column {
        task: plan.task_title(task),
        test: test.map_or_else(|| name.clone(), |t| t.title.clone()),
        in_domain: test.is_some_and(|t| t.in_domain),
    }
}
