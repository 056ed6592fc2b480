//! The Dice coefficient.

use std::collections::BTreeMap;

use crate::label::Label;
use crate::volume::Volume;

use super::{MetricError, Overlap};

/// The Dice coefficient (0 to 1) of one label in two volumes of one shape; `None` where neither
/// has it. World positions are not compared.
///
/// # Errors
///
/// [`MetricError::Shape`] when the shapes differ.
pub fn dice(
    first: &Volume<Label>,
    second: &Volume<Label>,
    label: Label,
) -> Result<Option<f64>, MetricError> {
    let pairs = pairs(first, second)?;
    let mut counts = Overlap::default();
    for (a, b) in pairs {
        let (a, b) = (a == label, b == label);
        counts.reference += usize::from(a);
        counts.prediction += usize::from(b);
        counts.both += usize::from(a && b);
    }
    Ok(counts.dice())
}

/// The Dice coefficient of every label but 0 that is in either volume.
///
/// # Errors
///
/// [`MetricError::Shape`] when the shapes differ.
pub fn dice_per_label(
    first: &Volume<Label>,
    second: &Volume<Label>,
) -> Result<BTreeMap<Label, f64>, MetricError> {
    let pairs = pairs(first, second)?;
    let mut counts = vec![Overlap::default(); usize::from(Label::MAX) + 1];
    for (a, b) in pairs {
        counts[usize::from(a)].reference += 1;
        counts[usize::from(b)].prediction += 1;
        counts[usize::from(a)].both += usize::from(a == b);
    }
    Ok((1..=Label::MAX)
        .filter_map(|l| Some((l, counts[usize::from(l)].dice()?)))
        .collect())
}

/// The labels of both volumes, voxel by voxel.
fn pairs(
    first: &Volume<Label>,
    second: &Volume<Label>,
) -> Result<impl Iterator<Item = (Label, Label)>, MetricError> {
    let shapes = (first.grid().shape, second.grid().shape);
    if shapes.0 != shapes.1 {
        return Err(MetricError::Shape {
            first: shapes.0,
            second: shapes.1,
        });
    }
    Ok(first
        .data()
        .iter()
        .copied()
        .zip(second.data().iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Grid};

    fn volume(data: &[Label]) -> Volume<Label> {
        let grid = Grid {
            shape: [data.len(), 1, 1],
            affine: Affine::IDENTITY,
        };
        Volume::new(grid, data.to_vec()).expect("one value a voxel")
    }

    #[test]
    fn overlap_counts_twice() -> Result<(), MetricError> {
        let (a, b) = (volume(&[0, 1, 1, 1, 2, 0]), volume(&[0, 0, 1, 1, 1, 9]));
        assert_eq!(dice(&a, &b, 1)?, Some(2.0 * 2.0 / 6.0));
        assert_eq!(dice(&a, &b, 0)?, Some(0.5));
        assert_eq!(dice(&a, &b, 5)?, None);
        let all = dice_per_label(&a, &b)?;
        assert_eq!(
            all.into_iter().collect::<Vec<_>>(),
            [(1, 2.0 / 3.0), (2, 0.0), (9, 0.0)]
        );
        assert_eq!(dice_per_label(&a, &a)?.values().sum::<f64>(), 2.0);
        Ok(())
    }

    #[test]
    fn shapes_must_agree() {
        let e = dice(&volume(&[1]), &volume(&[1, 1]), 1).expect_err("shapes");
        assert!(e.to_string().contains("[1, 1, 1] and [2, 1, 1]"), "{e}");
    }
}
