//! Pictures of what a network restores.

use std::path::Path;

use crate::error::Result;
use crate::picture::{Grid, Slice};

/// What is shown of a sample: patches `[x, y, z]`, last axis fastest.
#[derive(Clone, Debug)]
pub struct Row {
    /// What the network sees; NaN where it sees nothing.
    pub shown: Vec<f32>,
    /// What it makes of that.
    pub restored: Vec<f32>,
    /// What it should.
    pub truth: Vec<f32>,
}

/// Writes a picture of masked, restored and true patches, a row a sample, cut through the middle
/// of each axis.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io).
pub fn write(path: &Path, rows: &[Row], patch: [usize; 3]) -> Result<()> {
    let columns = ["masked", "restored", "true"]
        .into_iter()
        .flat_map(|what| ["x", "y", "z"].map(|axis| format!("{what} {axis}")));
    let mut grid = Grid::new(columns);
    // Reversed, because a slice is cut from data whose first axis runs fastest.
    let shape = [patch[2], patch[1], patch[0]];
    for (n, row) in rows.iter().enumerate() {
        let range = row
            .truth
            .iter()
            .fold([f32::MAX, f32::MIN], |[l, h], &v| [l.min(v), h.max(v)]);
        let cells = [&row.shown, &row.restored, &row.truth]
            .into_iter()
            .flat_map(|data| [2, 1, 0].map(|axis| Slice::of(data, shape, axis, shape[axis] / 2)));
        grid.row(format!("sample {}", n + 1), cells.flatten(), range);
    }
    grid.write(path)
}
