//! Cases of a CSV file: a row a case. Its columns are one for each channel, one for the labels
//! and, where wanted, `id`, `subject` and `site`; paths are relative to the CSV's folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::config::DatasetConfig;
use super::error::{LabelledError, Result};
use super::table::{Table, known};
use super::{Found, LabelledCase};
use crate::volumes::stem;

/// The channel where none is configured.
const IMAGE: &str = "image";

pub(super) fn find(config: &DatasetConfig) -> Result<Found> {
    let path = &config.path;
    let table = Table::read(path, ',')?;
    let channels = match config.channels.is_empty() {
        true => vec![IMAGE.to_owned()],
        false => config.channels.clone(),
    };
    let columns = channels.iter().map(|c| table.required(c));
    let columns: Vec<usize> = columns.collect::<Result<_>>()?;
    let labels = table.required(&config.labels.column)?;
    let [id, subject, site] = ["id", "subject", "site"].map(|c| table.column(c));
    let folder = path.parent().unwrap_or(Path::new("."));

    let (mut cases, mut unlabelled) = (Vec::new(), Vec::new());
    for (line, row) in &table.rows {
        let cell = |column: Option<usize>| column.and_then(|c| known(&row[c])).map(str::to_owned);
        let mut paths: Vec<PathBuf> = Vec::with_capacity(columns.len());
        for (&column, channel) in columns.iter().zip(&channels) {
            let file = cell(Some(column)).ok_or_else(|| {
                LabelledError::field(path, channel, format!("line {line} has no file"))
            })?;
            paths.push(folder.join(file));
        }
        let id = cell(id)
            .or_else(|| cell(subject))
            .unwrap_or_else(|| paths.first().map(|p| stem(p)).unwrap_or_default());
        let Some(labels) = cell(Some(labels)) else {
            unlabelled.push(id);
            continue;
        };
        cases.push(LabelledCase {
            subject: cell(subject).unwrap_or_else(|| id.clone()),
            site: cell(site),
            channels: paths,
            labels: folder.join(labels),
            id,
        });
    }
    Ok(Found {
        cases,
        channels,
        unlabelled,
        names: BTreeMap::new(),
        ignore: None,
        described_by: path.clone(),
    })
}
