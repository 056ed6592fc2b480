//! Curves of Dice: against the number of labelled cases, and against the size of the corpus.

use serde::Serialize;

use super::compare::{Entry, Row, Selection, entry};
use super::comparison::{column, rows};
use super::scores::Results;
use crate::experiment::matrix::GridKind;
use crate::experiment::variant::NONE;
use crate::train::config::CorpusSize;

/// Curves over one axis.
#[derive(Clone, Debug, Serialize)]
pub struct Plot {
    /// What is plotted.
    pub title: String,
    /// What the axis is.
    pub axis: String,
    /// Values along the axis.
    pub values: Vec<String>,
    /// The curves.
    pub series: Vec<Series>,
}

/// One curve.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// What it is called.
    pub name: String,
    /// A number for each value of the axis; nothing where the matrix has no such cell.
    pub points: Vec<Option<Entry>>,
}

/// Every plot that has two values on its axis at least.
pub(super) fn all(results: &Results<'_>) -> Vec<Plot> {
    let rows = rows(results.plan, GridKind::Comparison);
    let mut plots = Vec::new();
    for test in results.columns(GridKind::Comparison) {
        let title = column(results.plan, &test);
        let title = format!("{}, {}", title.task, title.test);
        let selection = Selection {
            kind: GridKind::Comparison,
            columns: vec![test],
        };
        plots.extend(by_labelled(results, &rows, &selection, &title));
        plots.extend(by_corpus(results, &rows, &selection, &title));
    }
    plots
}

fn by_labelled(
    results: &Results<'_>,
    rows: &[Row],
    selection: &Selection,
    title: &str,
) -> Option<Plot> {
    let mut values: Vec<usize> = rows.iter().filter_map(|r| r.labelled).collect();
    values.sort_unstable();
    values.dedup();
    let several = rows.iter().any(|a| a.backbone != rows[0].backbone);
    let curve = |row: &Row| Row {
        labelled: None,
        ..row.clone()
    };
    let points = |row: &Row| {
        let at = |&n: &usize| Row {
            labelled: Some(n),
            ..row.clone()
        };
        values
            .iter()
            .map(|n| point(results, &at(n), selection))
            .collect()
    };
    let mut series = Vec::new();
    for row in distinct(rows.iter().map(curve)) {
        let mut name = results.plan.variant_title(&row.pretraining);
        if let Some(size) = row.corpus {
            name = format!("{name}, {}", size_name(size));
        }
        if several {
            name = format!("{}: {name}", row.backbone);
        }
        let points = points(&row);
        series.push(Series { name, points });
    }
    plot(
        format!("{title}: Dice against labelled cases"),
        "labelled cases",
        values.iter().map(usize::to_string).collect(),
        series,
    )
}

fn by_corpus(
    results: &Results<'_>,
    rows: &[Row],
    selection: &Selection,
    title: &str,
) -> Option<Plot> {
    let mut sizes: Vec<CorpusSize> = Vec::new();
    for size in rows.iter().filter_map(|r| r.corpus) {
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    // Counts and shares are not compared with each other: they keep their order.
    sizes.sort_by(|a, b| match (a, b) {
        (CorpusSize::Volumes(a), CorpusSize::Volumes(b)) => a.cmp(b),
        (CorpusSize::Share(a), CorpusSize::Share(b)) => a.total_cmp(b),
        _ => std::cmp::Ordering::Equal,
    });
    let pretrained = rows.iter().filter(|r| r.corpus.is_some());
    let curve = |row: &Row| Row {
        corpus: None,
        ..row.clone()
    };
    let mut series = Vec::new();
    for row in distinct(pretrained.map(curve)) {
        let scratch = Row {
            pretraining: NONE.into(),
            ..row.clone()
        };
        let mut points = vec![point(results, &scratch, selection)];
        for &size in &sizes {
            let at = Row {
                corpus: Some(size),
                ..row.clone()
            };
            points.push(point(results, &at, selection));
        }
        let title = results.plan.variant_title(&row.pretraining);
        let mut name = format!("{}: {title}", row.backbone);
        if let Some(n) = row.labelled {
            name = format!("{name}, n = {n}");
        }
        series.push(Series { name, points });
    }
    let mut values = vec!["none".to_owned()];
    values.extend(sizes.iter().map(|&s| size_name(s)));
    let title = format!("{title}: Dice against the size of the corpus");
    plot(title, "pretraining corpus", values, series)
}

fn plot(title: String, axis: &str, values: Vec<String>, mut series: Vec<Series>) -> Option<Plot> {
    series.retain(|s| s.points.iter().flatten().count() > 1);
    (values.len() > 1 && !series.is_empty()).then(|| Plot {
        title,
        axis: axis.to_owned(),
        values,
        series,
    })
}

fn point(results: &Results<'_>, row: &Row, selection: &Selection) -> Option<Entry> {
    let found = entry(results, row, None, selection);
    (found.wanted > 0).then_some(found)
}

fn distinct(rows: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut found: Vec<Row> = Vec::new();
    for row in rows {
        if !found.contains(&row) {
            found.push(row);
        }
    }
    found
}

/// A size for people.
pub(super) fn size_name(size: CorpusSize) -> String {
    match size {
        CorpusSize::Volumes(n) => format!("{n} volumes"),
        CorpusSize::Share(share) => format!("{} %", 100.0 * share),
    }
}
