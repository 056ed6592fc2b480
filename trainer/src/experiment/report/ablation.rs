//! Variants of pretraining with what they cost: the paper's Table 2.

use serde::Serialize;

use super::compare::{Entry, Row, Selection, correct, entry, mark_best};
use super::comparison::{column, rows, same_block};
use super::pretraining_spent;
use super::scores::{Results, mean};
use crate::experiment::error::Result;
use crate::experiment::matrix::GridKind;
use crate::experiment::state::{Spent, done};
use crate::experiment::variant::AMAES;

/// A table of variants of pretraining.
#[derive(Clone, Debug, Serialize)]
pub struct Ablation {
    /// Tasks and test sets that the numbers in domain are means of.
    pub in_domain: Vec<String>,
    /// Those that the numbers out of domain are means of.
    pub out_of_domain: Vec<String>,
    /// Its rows.
    pub rows: Vec<AblationRow>,
}

/// A row of an [`Ablation`].
#[derive(Clone, Debug, Serialize)]
pub struct AblationRow {
    /// Where it is in the matrix.
    #[serde(flatten)]
    pub row: Row,
    /// What the variant of pretraining is called.
    pub title: String,
    /// Dice in domain, compared with AMAES.
    pub in_domain: Option<Entry>,
    /// Dice out of domain, compared with AMAES.
    pub out_of_domain: Option<Entry>,
    /// What pretraining cost; nothing where there was none.
    pub cost: Option<Cost>,
    /// What finetuning cost.
    pub finetuning: Cost,
}

/// What training cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Seconds of a step: the middle one of each run, their mean.
    pub step_s: Option<f64>,
    /// Hours of a run, their mean.
    pub hours: Option<f64>,
    /// Largest resident memory in MiB.
    pub memory_mib: Option<f64>,
    /// Parameters of the network.
    pub parameters: Option<u64>,
}

impl Cost {
    fn of(spent: &[Spent]) -> Self {
        Self {
            step_s: mean(spent.iter().map(|s| s.median_s)),
            hours: mean(spent.iter().map(|s| s.seconds / 3600.0)),
            memory_mib: spent.iter().filter_map(|s| s.memory_mib).reduce(f64::max),
            parameters: spent.iter().map(|s| s.parameters).max(),
        }
    }
}

impl Ablation {
    pub(super) fn of(results: &Results<'_>) -> Result<Option<Self>> {
        let plan = results.plan;
        let kind = GridKind::Ablation;
        let rows = rows(plan, kind);
        if rows.is_empty() {
            return Ok(None);
        }
        let all = results.columns(kind);
        let is_in = |c: &&(String, String)| column(plan, c).in_domain;
        let columns = |wanted: bool| Selection {
            kind,
            columns: all.iter().filter(|c| is_in(c) == wanted).cloned().collect(),
        };
        let (inside, outside) = (columns(true), columns(false));
        let names = |selection: &Selection| {
            let name = |c| {
                let column = column(plan, c);
                format!("{}, {}", column.task, column.test)
            };
            selection.columns.iter().map(name).collect()
        };
        let mut table = Self {
            in_domain: names(&inside),
            out_of_domain: names(&outside),
            rows: Vec::new(),
        };
        for row in &rows {
            let is = |r: &&Row| r.pretraining == AMAES && r.corpus == row.corpus;
            let mut with = rows.iter().filter(|r| same_block(r, row) && *r != row);
            let with = match row.corpus {
                // Nothing was pretrained on a corpus of any size.
                None => with.find(|r| r.pretraining == AMAES),
                Some(_) => with.find(is),
            };
            let number = |selection: &Selection| {
                let some = !selection.columns.is_empty();
                some.then(|| entry(results, row, with, selection))
            };
            table.rows.push(AblationRow {
                row: row.clone(),
                title: plan.variant_title(&row.pretraining),
                in_domain: number(&inside),
                out_of_domain: number(&outside),
                cost: pretraining_cost(results, row)?,
                finetuning: finetuning_cost(results, row)?,
            });
        }
        let entries = table.rows.iter_mut();
        let entries = entries.flat_map(|r| [&mut r.in_domain, &mut r.out_of_domain]);
        correct(&mut entries.flatten().collect::<Vec<_>>());
        for block in table.rows.chunk_by_mut(|a, b| same_block(&a.row, &b.row)) {
            let inside = block.iter_mut().filter_map(|r| r.in_domain.as_mut());
            mark_best(&mut inside.collect::<Vec<_>>());
            let outside = block.iter_mut().filter_map(|r| r.out_of_domain.as_mut());
            mark_best(&mut outside.collect::<Vec<_>>());
        }
        Ok(Some(table))
    }
}

/// The cells of a row.
fn cells(results: &Results<'_>, row: &Row) -> Vec<usize> {
    let selection = Selection {
        kind: GridKind::Ablation,
        columns: results.columns(GridKind::Ablation),
    };
    results.cells(row, &selection)
}

fn pretraining_cost(results: &Results<'_>, row: &Row) -> Result<Option<Cost>> {
    let plan = results.plan;
    let mut pretrainings: Vec<usize> = cells(results, row)
        .iter()
        .filter_map(|&c| plan.pretraining_of(c))
        .collect();
    pretrainings.sort_unstable();
    pretrainings.dedup();
    if pretrainings.is_empty() {
        return Ok(None);
    }
    let mut spent: Vec<Spent> = Vec::new();
    for pretraining in pretrainings {
        spent.extend(pretraining_spent(plan, pretraining)?);
    }
    Ok(Some(Cost::of(&spent)))
}

fn finetuning_cost(results: &Results<'_>, row: &Row) -> Result<Cost> {
    let mut spent: Vec<Spent> = Vec::new();
    for cell in cells(results, row) {
        spent.extend(done::<Spent>(&results.plan.finetuning_folder(cell))?);
    }
    Ok(Cost::of(&spent))
}
