//! Filling the holes of a label map.

use std::collections::BTreeMap;

use crate::label::Label;
use crate::volume::Volume;

use super::LabelError;
use super::runs::{Connectivity, Grouping, Region, Runs};

/// Fills holes: background (0) that no path over faces leads out of to the volume's border.
/// Returns how many voxels were filled.
///
/// With [`Grouping::Foreground`] the walls may be of several labels, and each hole takes the label
/// that most faces about it have. With [`Grouping::PerLabel`] a label fills the background that it
/// encloses alone, as SciPy's `binary_fill_holes(labels == l)` finds it; where labels enclose one
/// another, background goes to the innermost. Labels are never overwritten. Ties go to the
/// smaller label.
///
/// # Errors
///
/// [`LabelError::TooLarge`] from 2^32 voxels.
pub fn fill_holes(labels: &mut Volume<Label>, grouping: Grouping) -> Result<usize, LabelError> {
    let shape = labels.grid().shape;
    let all = Region {
        start: [0; 3],
        shape,
    };
    let background = Runs::find(labels.data(), shape, all, Connectivity::Faces, |v| {
        Label::from(v == 0)
    })?;
    let open = background.open();
    if open.iter().all(|&o| o) {
        return Ok(0);
    }
    let owner = match grouping {
        Grouping::Foreground => by_contact(labels.data(), shape, &background, &open),
        Grouping::PerLabel => by_enclosure(labels.data(), shape, &background, &open)?,
    };
    let mut filled = 0;
    for (component, range) in background.iter() {
        if let Some(label) = owner[component] {
            filled += range.len();
            labels.data_mut()[range].fill(label);
        }
    }
    Ok(filled)
}

/// The label that most faces about each hole have.
fn by_contact(
    data: &[Label],
    shape: [usize; 3],
    background: &Runs,
    open: &[bool],
) -> Vec<Option<Label>> {
    let mut faces: Vec<BTreeMap<Label, usize>> = vec![BTreeMap::new(); open.len()];
    let (row, plane) = (shape[0], shape[0] * shape[1]);
    for (component, range) in background.iter().filter(|(c, _)| !open[*c]) {
        let faces = &mut faces[component];
        let mut touch = |at: usize| {
            if data[at] != 0 {
                *faces.entry(data[at]).or_default() += 1;
            }
        };
        // A hole never reaches the border, so all six neighbours are in the volume.
        touch(range.start - 1);
        touch(range.end);
        for at in range {
            [at - row, at + row, at - plane, at + plane]
                .into_iter()
                .for_each(&mut touch);
        }
    }
    faces
        .iter()
        .map(|f| {
            let most = *f.values().max()?;
            f.iter().find(|(_, n)| **n == most).map(|(&l, _)| l)
        })
        .collect()
}

/// The innermost label that encloses each hole by itself.
fn by_enclosure(
    data: &[Label],
    shape: [usize; 3],
    background: &Runs,
    open: &[bool],
) -> Result<Vec<Option<Label>>, LabelError> {
    // The smallest enclosed region that holds each hole, and who encloses it.
    let mut best: Vec<Option<(usize, Label)>> = vec![None; open.len()];
    for (label, region) in boxes(data, shape) {
        // Outside its box a label encloses nothing.
        let others = Runs::find(data, shape, region, Connectivity::Faces, |v| {
            Label::from(v != label)
        })?;
        let reached = others.open();
        for (component, range) in others.iter().filter(|(c, _)| !reached[*c]) {
            let size = others.sizes()[component];
            let mut at = range.start;
            while at < range.end {
                let Some(hole) = background.component_at(at) else {
                    at += 1;
                    continue;
                };
                if best[hole].is_none_or(|(s, _)| size < s) {
                    best[hole] = Some((size, label));
                }
                at += data[at..range.end].iter().take_while(|&&v| v == 0).count();
            }
        }
    }
    Ok(best.into_iter().map(|b| b.map(|(_, l)| l)).collect())
}

/// The bounding box of every label but 0, ascending.
fn boxes(data: &[Label], shape: [usize; 3]) -> BTreeMap<Label, Region> {
    let mut corners: BTreeMap<Label, ([usize; 3], [usize; 3])> = BTreeMap::new();
    for (row, line) in data.chunks_exact(shape[0]).enumerate() {
        let (y, z) = (row % shape[1], row / shape[1]);
        let mut x = 0;
        while x < line.len() {
            let label = line[x];
            let n = line[x..].iter().take_while(|&&v| v == label).count();
            if label != 0 {
                let (low, high) = corners.entry(label).or_insert((shape, [0; 3]));
                for (a, (first, last)) in [(x, x + n - 1), (y, y), (z, z)].into_iter().enumerate() {
                    low[a] = low[a].min(first);
                    high[a] = high[a].max(last);
                }
            }
            x += n;
        }
    }
    let region = |(low, high): ([usize; 3], [usize; 3])| Region {
        start: low,
        shape: [0, 1, 2].map(|a| high[a] + 1 - low[a]),
    };
    corners.into_iter().map(|(l, c)| (l, region(c))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Grid};

    /// A cube of 9^3; `f` gives the label at a distance (largest coordinate) from its centre.
    fn shells(f: impl Fn(i64, [i64; 3]) -> Label) -> Volume<Label> {
        let data = (0..729)
            .map(|i| {
                let p = [i % 9 - 4, i / 9 % 9 - 4, i / 81 - 4];
                f(p.iter().map(|c: &i64| c.abs()).max().unwrap_or(0), p)
            })
            .collect();
        let grid = Grid {
            shape: [9; 3],
            affine: Affine::IDENTITY,
        };
        Volume::new(grid, data).expect("729 voxels")
    }

    #[test]
    fn enclosed_background_is_filled() -> Result<(), LabelError> {
        for grouping in [Grouping::Foreground, Grouping::PerLabel] {
            let mut v = shells(|d, _| if d == 2 { 7 } else { 0 });
            assert_eq!(fill_holes(&mut v, grouping)?, 27);
            assert_eq!(v, shells(|d, _| if d <= 2 { 7 } else { 0 }));
            assert_eq!(fill_holes(&mut v, grouping)?, 0);
            // An edge or a corner missing is no way out, a face is.
            let holed = |gap: [i64; 3]| shells(move |d, p| if d == 2 && p != gap { 7 } else { 0 });
            assert_eq!(fill_holes(&mut holed([2, 2, 2]), grouping)?, 27);
            assert_eq!(fill_holes(&mut holed([2, 2, 0]), grouping)?, 27);
            assert_eq!(fill_holes(&mut holed([2, 0, 0]), grouping)?, 0);
        }
        Ok(())
    }

    #[test]
    fn the_border_of_the_volume_is_open() -> Result<(), LabelError> {
        let mut v = shells(|_, p| Label::from(p[0] == -3 || p[0] == 3));
        assert_eq!(fill_holes(&mut v, Grouping::Foreground)?, 0);
        assert_eq!(fill_holes(&mut v, Grouping::PerLabel)?, 0);
        Ok(())
    }

    #[test]
    fn shared_walls_count_for_the_foreground_only() -> Result<(), LabelError> {
        // A shell of two labels, 5 on the larger side.
        let make = || {
            shells(|d, p| match (d, p[2]) {
                (2, 2) => 3,
                (2, _) => 5,
                _ => 0,
            })
        };
        let mut v = make();
        assert_eq!(fill_holes(&mut v, Grouping::PerLabel)?, 0);
        assert_eq!(fill_holes(&mut v, Grouping::Foreground)?, 27);
        assert!((0..729).all(|i| make().data()[i] != 0 || [0, 5].contains(&v.data()[i])));
        Ok(())
    }

    #[test]
    fn nested_shells_keep_their_own_holes() -> Result<(), LabelError> {
        for grouping in [Grouping::Foreground, Grouping::PerLabel] {
            let mut v = shells(|d, _| match d {
                1 => 4,
                3 => 2,
                _ => 0,
            });
            assert_eq!(fill_holes(&mut v, grouping)?, 1 + 98);
            let filled = shells(|d, _| match d {
                0 | 1 => 4,
                2 | 3 => 2,
                _ => 0,
            });
            assert_eq!(v, filled);
        }
        Ok(())
    }
}
