//! An evaluation as files: JSON, CSV, and one HTML page that loads nothing.

mod page;

use std::path::Path;

use super::{Comparison, Evaluation, FILE, Overlay, table};
use crate::atomic::write_bytes;
use crate::error::{Result, WithPath};

/// Name of the page.
pub const REPORT_FILE: &str = "report.html";
/// Name of the comparison's file.
pub const COMPARISON_FILE: &str = "comparison.json";

/// Writes `evaluation.json`, `scores.csv`, `summary.csv`, `report.html` and, where there is a
/// comparison, `comparison.json` into a folder. The evaluation itself comes last: where it is, all
/// is.
///
/// # Errors
///
/// [`crate::Error::Io`] names the file that cannot be written.
pub fn write(
    folder: &Path,
    found: &Evaluation,
    comparison: Option<&Comparison>,
    overlays: &[Overlay],
) -> Result<()> {
    let text = |name: &str, text: &str| write_bytes(&folder.join(name), text.as_bytes());
    text("scores.csv", &table::scores(found))?;
    text("summary.csv", &table::summary(found))?;
    let report = folder.join(REPORT_FILE);
    let page = page::html(found, comparison, overlays).with_path(&report)?;
    write_bytes(&report, page.as_bytes())?;
    if let Some(comparison) = comparison {
        let path = folder.join(COMPARISON_FILE);
        write_bytes(
            &path,
            &serde_json::to_vec_pretty(comparison).with_path(&path)?,
        )?;
    }
    let path = folder.join(FILE);
    write_bytes(&path, &serde_json::to_vec_pretty(found).with_path(&path)?)
}

impl Evaluation {
    /// Writes the files of an evaluation without comparison and pictures, as [`write()`] does.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`] names the file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write(folder, self, None, &[])
    }
}
