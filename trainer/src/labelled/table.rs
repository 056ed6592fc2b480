//! Tables in text: CSV (RFC 4180) and the tab-separated ones of BIDS.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{LabelledError, Result};
use crate::error::WithPath;

/// Largest table that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// A table with a line of names at the top.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) path: PathBuf,
    pub(super) columns: Vec<String>,
    /// Each with its line in the file and as many cells as there are columns.
    pub(super) rows: Vec<(usize, Vec<String>)>,
}

impl Table {
    /// Reads a table whose cells are separated by `separator`.
    pub(super) fn read(path: &Path, separator: char) -> Result<Self> {
        let bytes = fs::metadata(path).with_path(path)?.len();
        if bytes > MAX_BYTES {
            let message = format!("{bytes} bytes; a table may have {MAX_BYTES}");
            return Err(crate::Error::unsuitable(path, message).into());
        }
        let text = fs::read_to_string(path).with_path(path)?;
        let mut lines = cells(text.trim_start_matches('\u{feff}'), separator).into_iter();
        let Some((_, columns)) = lines.next() else {
            return Err(crate::Error::unsuitable(path, "the table is empty").into());
        };
        let columns: Vec<String> = columns.iter().map(|c| c.trim().to_owned()).collect();
        for (n, column) in columns.iter().enumerate() {
            if columns[..n].contains(column) {
                return Err(LabelledError::field(
                    path,
                    column.as_str(),
                    "two columns have this name",
                ));
            }
        }
        let rows: Vec<_> = lines.collect();
        if let Some((line, row)) = rows.iter().find(|(_, row)| row.len() != columns.len()) {
            let message = format!("{} cells for {} columns", row.len(), columns.len());
            return Err(LabelledError::field(path, format!("line {line}"), message));
        }
        Ok(Self {
            path: path.to_owned(),
            columns,
            rows,
        })
    }

    /// The index of a column.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }

    /// The index of a column that must be there.
    pub(super) fn required(&self, name: &str) -> Result<usize> {
        self.column(name).ok_or_else(|| {
            let message = format!("no such column; there are: {}", self.columns.join(", "));
            LabelledError::field(&self.path, name, message)
        })
    }
}

/// What says nothing: an empty cell, and BIDS's `n/a`.
pub(super) fn known(cell: &str) -> Option<&str> {
    let cell = cell.trim();
    (!cell.is_empty() && cell != "n/a").then_some(cell)
}

/// The cells of every line that is not blank. A quoted cell may hold separators, line ends and
/// doubled quotes.
fn cells(text: &str, separator: char) -> Vec<(usize, Vec<String>)> {
    let mut rows = Vec::new();
    let (mut row, mut cell) = (Vec::new(), String::new());
    let (mut quoted, mut line, mut first) = (false, 1, 1);
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => quoted = true,
            _ if quoted => cell.push(c),
            '\r' if letters.peek() == Some(&'\n') => {}
            '\n' => {
                row.push(std::mem::take(&mut cell));
                finish(&mut rows, first, &mut row);
                first = line;
            }
            _ if c == separator => row.push(std::mem::take(&mut cell)),
            _ => cell.push(c),
        }
    }
    row.push(cell);
    finish(&mut rows, first, &mut row);
    rows
}

fn finish(rows: &mut Vec<(usize, Vec<String>)>, line: usize, row: &mut Vec<String>) {
    let row = std::mem::take(row);
    if row.len() > 1 || row.iter().any(|c| !c.trim().is_empty()) {
        rows.push((line, row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_cells_hold_anything() {
        let rows = cells("a,b\r\n\"1,\n2\",\"say \"\"so\"\"\"\r\n\r\n3,\n", ',');
        let row = |line, cells: &[&str]| (line, cells.iter().map(|c| (*c).to_owned()).collect());
        let expected: Vec<(usize, Vec<String>)> = vec![
            row(1, &["a", "b"]),
            row(2, &["1,\n2", "say \"so\""]),
            row(5, &["3", ""]),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn short_lines_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.tsv");
        fs::write(&path, "a\tb\n1\t2\n3\n").expect("written");
        let error = Table::read(&path, '\t').expect_err("short").to_string();
        assert!(
            error.contains("t.tsv") && error.contains("line 3"),
            "{error}"
        );
        fs::write(&path, "a\ta\n1\t2\n").expect("written");
        assert!(Table::read(&path, '\t').is_err(), "two columns of one name");
    }
}
