//! Pictures of what a network restores.

use std::path::Path;

use super::sample::Sample;
use crate::error::Result;
use crate::picture::{Grid, Slice};

/// Writes a picture of masked, restored and true patches, a row a sample, cut through the middle
/// of each axis. Patches are `[x, y, z]` with the last axis fastest.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io).
pub fn write(
    path: &Path,
    samples: &[Sample],
    restored: &[Vec<f32>],
    patch: [usize; 3],
) -> Result<()> {
    let columns = ["masked", "restored", "true"]
        .into_iter()
        .flat_map(|what| ["x", "y", "z"].map(|axis| format!("{what} {axis}")));
    let mut grid = Grid::new(columns);
    // Reversed, because a slice is cut from data whose first axis runs fastest.
    let shape = [patch[2], patch[1], patch[0]];
    for (n, (sample, restored)) in samples.iter().zip(restored).enumerate() {
        let hidden: Vec<f32> = sample
            .input
            .iter()
            .zip(&sample.mask)
            .map(|(&v, &m)| if m == 1.0 { f32::NAN } else { v })
            .collect();
        let range = sample
            .target
            .iter()
            .fold([f32::MAX, f32::MIN], |[l, h], &v| [l.min(v), h.max(v)]);
        let cells = [&hidden, restored, &sample.target]
            .into_iter()
            .flat_map(|data| [2, 1, 0].map(|axis| Slice::of(data, shape, axis, shape[axis] / 2)));
        grid.row(format!("sample {}", n + 1), cells.flatten(), range);
    }
    grid.write(path)
}
