//! Connected components of a label map, and keeping or removing them by size.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::label::Label;
use crate::volume::{Grid, Volume};

use super::LabelError;
use super::runs::{Connectivity, Grouping, Region, Runs};

/// The connected components of a label map; 0 is background and in none.
pub struct Components {
    grid: Grid,
    runs: Runs,
}

impl Components {
    /// Finds the components of `labels`.
    ///
    /// # Errors
    ///
    /// [`LabelError::TooLarge`] from 2^32 voxels.
    pub fn find(
        labels: &Volume<Label>,
        connectivity: Connectivity,
        grouping: Grouping,
    ) -> Result<Self, LabelError> {
        let shape = labels.grid().shape;
        let all = Region {
            start: [0; 3],
            shape,
        };
        let runs = match grouping {
            Grouping::Foreground => Runs::find(labels.data(), shape, all, connectivity, |v| {
                Label::from(v != 0)
            }),
            Grouping::PerLabel => Runs::find(labels.data(), shape, all, connectivity, |v| v),
        }?;
        Ok(Self {
            grid: labels.grid().clone(),
            runs,
        })
    }

    /// Voxels of each component. Components are in the order of their first voxels, first axis
    /// fastest.
    pub fn sizes(&self) -> &[usize] {
        self.runs.sizes()
    }

    /// Label of each component; 1 for all of [`Grouping::Foreground`].
    pub fn labels(&self) -> &[Label] {
        self.runs.keys()
    }

    /// Runs of voxels along the first axis: the component, from 0, and the indices of its voxels.
    pub fn runs(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        self.runs.iter()
    }

    /// A map of component numbers, the first being 1; 0 is background. Takes four bytes a voxel.
    ///
    /// # Errors
    ///
    /// [`LabelError::OutOfMemory`].
    pub fn numbered(&self) -> Result<Volume<u32>, LabelError> {
        let voxels = self.grid.voxels();
        let mut data = Vec::new();
        data.try_reserve_exact(voxels)
            .map_err(|_| LabelError::OutOfMemory {
                bytes: voxels.saturating_mul(size_of::<u32>()),
            })?;
        data.resize(voxels, 0);
        for (component, range) in self.runs.iter() {
            data[range].fill(component as u32 + 1);
        }
        Volume::new(self.grid.clone(), data).map_err(|_| LabelError::TooLarge { voxels })
    }

    /// Sets the voxels of components that `keep` refuses to 0; returns how many.
    fn retain(&self, labels: &mut Volume<Label>, keep: impl Fn(usize) -> bool) -> usize {
        let mut cleared = 0;
        for (component, range) in self.runs.iter() {
            if !keep(component) {
                cleared += range.len();
                labels.data_mut()[range].fill(0);
            }
        }
        cleared
    }
}

/// Keeps the largest component of the foreground (all labels but 0 together) and sets the rest to
/// 0. Of equally large ones the first is kept. Returns how many voxels were set to 0.
///
/// # Errors
///
/// As [`Components::find`].
pub fn keep_largest(
    labels: &mut Volume<Label>,
    connectivity: Connectivity,
) -> Result<usize, LabelError> {
    let found = Components::find(labels, connectivity, Grouping::Foreground)?;
    let mut best = 0;
    for (i, &size) in found.sizes().iter().enumerate() {
        if size > found.sizes()[best] {
            best = i;
        }
    }
    Ok(found.retain(labels, |i| i == best))
}

/// Keeps the largest component of each label and sets the other voxels of that label to 0. Of
/// equally large ones the first is kept. Returns how many voxels were set to 0.
///
/// # Errors
///
/// As [`Components::find`].
pub fn keep_largest_per_label(
    labels: &mut Volume<Label>,
    connectivity: Connectivity,
) -> Result<usize, LabelError> {
    let found = Components::find(labels, connectivity, Grouping::PerLabel)?;
    let mut best = vec![None; usize::from(Label::MAX) + 1];
    for (i, (&size, &label)) in found.sizes().iter().zip(found.labels()).enumerate() {
        let best = &mut best[usize::from(label)];
        if best.is_none_or(|b: usize| size > found.sizes()[b]) {
            *best = Some(i);
        }
    }
    Ok(found.retain(labels, |i| best[usize::from(found.labels()[i])] == Some(i)))
}

/// A size below which a component is removed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MinimumSize {
    /// In voxels.
    Voxels(usize),
    /// In mm^3, by the volume's voxel size.
    Mm3(f64),
}

/// Sets components smaller than `minimum` to 0. Returns how many voxels that were.
///
/// # Errors
///
/// As [`Components::find`].
pub fn remove_small(
    labels: &mut Volume<Label>,
    connectivity: Connectivity,
    grouping: Grouping,
    minimum: MinimumSize,
) -> Result<usize, LabelError> {
    let voxel = labels.grid().voxel_volume();
    let found = Components::find(labels, connectivity, grouping)?;
    Ok(found.retain(labels, |i| match minimum {
        MinimumSize::Voxels(n) => found.sizes()[i] >= n,
        // Rounding of the voxel's volume must not remove a component of exactly this size.
        MinimumSize::Mm3(v) => found.sizes()[i] as f64 * voxel >= v * (1.0 - 1e-9),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;
    use proptest::prelude::*;

    fn volume(shape: [usize; 3], data: Vec<Label>) -> Volume<Label> {
        let affine = Affine([[2., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1.5, 0.]]);
        Volume::new(Grid { shape, affine }, data).expect("one value a voxel")
    }

    const ALL: [Connectivity; 3] = [
        Connectivity::Faces,
        Connectivity::Edges,
        Connectivity::Corners,
    ];

    #[test]
    fn neighbours_of_a_voxel_connect_to_it() -> Result<(), LabelError> {
        for (connectivity, expected) in ALL.into_iter().zip([6, 18, 26]) {
            let mut neighbours = 0;
            for other in (0..27).filter(|&o| o != 13) {
                let mut data = vec![0; 27];
                (data[13], data[other]) = (1, 2);
                let v = volume([3; 3], data);
                let found = Components::find(&v, connectivity, Grouping::Foreground)?;
                neighbours += usize::from(found.sizes() == [2]);
                let own = Components::find(&v, connectivity, Grouping::PerLabel)?;
                assert_eq!(own.sizes(), [1, 1]);
            }
            assert_eq!(neighbours, expected);
        }
        Ok(())
    }

    #[test]
    fn largest_and_small() -> Result<(), LabelError> {
        // Along x: label 1 x2, gap, label 2 x1 + label 1 x1 + label 2 x2, gap, label 3.
        let v = volume([10, 1, 1], vec![1, 1, 0, 2, 1, 2, 2, 0, 3, 0]);
        let run = |f: &dyn Fn(&mut Volume<Label>) -> Result<usize, LabelError>| {
            let mut w = v.clone();
            let cleared = f(&mut w)?;
            Ok::<_, LabelError>((cleared, w.into_parts().1))
        };
        assert_eq!(
            run(&|w| keep_largest(w, Connectivity::Faces))?,
            (3, vec![0, 0, 0, 2, 1, 2, 2, 0, 0, 0])
        );
        assert_eq!(
            run(&|w| keep_largest_per_label(w, Connectivity::Faces))?,
            (2, vec![1, 1, 0, 0, 0, 2, 2, 0, 3, 0])
        );
        let small =
            |grouping, minimum| run(&|w| remove_small(w, Connectivity::Faces, grouping, minimum));
        assert_eq!(
            small(Grouping::Foreground, MinimumSize::Voxels(2))?,
            (1, vec![1, 1, 0, 2, 1, 2, 2, 0, 0, 0])
        );
        // A voxel has 3 mm^3.
        assert_eq!(
            small(Grouping::PerLabel, MinimumSize::Mm3(6.0))?,
            (3, vec![1, 1, 0, 0, 0, 2, 2, 0, 0, 0])
        );
        assert_eq!(
            small(Grouping::PerLabel, MinimumSize::Mm3(6.1))?.1,
            vec![0; 10]
        );
        let mut empty = volume([4, 1, 1], vec![0; 4]);
        assert_eq!(keep_largest(&mut empty, Connectivity::Corners)?, 0);
        Ok(())
    }

    /// Components by flooding, voxel by voxel.
    fn flood(v: &Volume<Label>, connectivity: Connectivity, grouping: Grouping) -> Vec<u32> {
        let [nx, ny, nz] = v.grid().shape.map(|n| n as i64);
        let at = |x: i64, y: i64, z: i64| (x + nx * (y + ny * z)) as usize;
        let far = match connectivity {
            Connectivity::Faces => 1,
            Connectivity::Edges => 2,
            Connectivity::Corners => 3,
        };
        let mut out = vec![0; v.data().len()];
        let mut next = 0;
        for seed in 0..out.len() {
            if v.data()[seed] == 0 || out[seed] != 0 {
                continue;
            }
            next += 1;
            out[seed] = next;
            let mut stack = vec![seed];
            while let Some(i) = stack.pop() {
                let (x, y, z) = (i as i64 % nx, i as i64 / nx % ny, i as i64 / (nx * ny));
                for n in 0..27i64 {
                    let (dx, dy, dz) = (n % 3 - 1, n / 3 % 3 - 1, n / 9 - 1);
                    let (a, b, c) = (x + dx, y + dy, z + dz);
                    let inside = a >= 0 && b >= 0 && c >= 0 && a < nx && b < ny && c < nz;
                    if dx.abs() + dy.abs() + dz.abs() > far || !inside {
                        continue;
                    }
                    let j = at(a, b, c);
                    let same = match grouping {
                        Grouping::Foreground => v.data()[j] != 0,
                        Grouping::PerLabel => v.data()[j] == v.data()[i],
                    };
                    if same && out[j] == 0 {
                        out[j] = next;
                        stack.push(j);
                    }
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn agrees_with_flooding(
            shape in prop::array::uniform3(1usize..9),
            seed in prop::collection::vec(0u16..4, 512),
        ) {
            let n: usize = shape.iter().product();
            let v = volume(shape, seed[..n].to_vec());
            for connectivity in ALL {
                for grouping in [Grouping::Foreground, Grouping::PerLabel] {
                    let found = Components::find(&v, connectivity, grouping).expect("small");
                    let numbered = found.numbered().expect("small");
                    let expected = flood(&v, connectivity, grouping);
                    prop_assert_eq!(numbered.data(), &expected[..]);
                    for (i, &size) in found.sizes().iter().enumerate() {
                        let n = expected.iter().filter(|&&c| c == i as u32 + 1).count();
                        prop_assert_eq!(size, n);
                    }
                }
            }
        }
    }
}
