//! Where in the brain a voxel is, as lesions see it.

use super::lattice::Lattice;
use crate::label::Label;

/// A part of the brain that lesions tell apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Region {
    /// Not in the brain.
    #[default]
    Outside,
    /// White matter of the cerebrum.
    White,
    /// Cortex of the cerebrum, hippocampus and amygdala.
    Cortex,
    /// Deep grey matter.
    Deep,
    /// Lateral ventricles.
    Ventricle,
    /// Brainstem, cerebellum, third and fourth ventricle.
    Hind,
}

/// A set of regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Regions(u8);

impl Regions {
    /// White matter.
    pub(super) const WHITE: Self = Self(1 << Region::White as u8);
    /// White and deep grey matter.
    pub(super) const INNER: Self = Self(Self::WHITE.0 | 1 << Region::Deep as u8);
    /// Everything of the cerebrum but fluid.
    pub(super) const CEREBRUM: Self = Self(Self::INNER.0 | 1 << Region::Cortex as u8);
    /// The cerebrum's ventricles too.
    pub(super) const WITH_VENTRICLES: Self = Self(Self::CEREBRUM.0 | 1 << Region::Ventricle as u8);

    /// Whether a region is in the set.
    #[inline]
    pub(super) fn has(self, region: Region) -> bool {
        self.0 >> region as u8 & 1 == 1
    }
}

/// The region of a label in FreeSurfer's numbers.
pub(super) fn region_of(label: Label) -> Region {
    match label {
        2 | 41 | 77..=79 | 192 | 250..=255 | 3000..=4999 | 5001 | 5002 => Region::White,
        3 | 17 | 18 | 19 | 20 | 42 | 53..=56 | 1000..=2999 | 11_100..=12_999 => Region::Cortex,
        10..=13 | 26 | 27 | 49..=52 | 58 | 59 => Region::Deep,
        4 | 5 | 31 | 43 | 44 | 63 => Region::Ventricle,
        7 | 8 | 14..=16 | 28 | 46 | 47 | 60 | 72 => Region::Hind,
        _ => Region::Outside,
    }
}

/// -1 for labels of the left half, 1 for those of the right, 0 for others.
pub(super) fn side_of(label: Label) -> i8 {
    match label {
        2..=5 | 7 | 8 | 10..=13 | 17..=20 | 26..=28 | 31 => -1,
        1000..=1999 | 3000..=3999 | 5001 | 11_100..=11_999 => -1,
        41..=44 | 46 | 47 | 49..=56 | 58..=60 | 63 => 1,
        2000..=2999 | 4000..=4999 | 5002 | 12_000..=12_999 => 1,
        _ => 0,
    }
}

/// The regions at the nodes of a lattice.
#[derive(Clone, Debug)]
pub(super) struct RegionMap {
    pub(super) lattice: Lattice,
    pub(super) regions: Vec<Region>,
    pub(super) sides: Vec<i8>,
}

impl RegionMap {
    /// Nodes of a set of regions, of one side or (0) any.
    pub(super) fn nodes(&self, set: Regions, side: i8) -> Vec<usize> {
        let fits = |&i: &usize| set.has(self.regions[i]) && (side == 0 || self.sides[i] == side);
        (0..self.regions.len()).filter(fits).collect()
    }

    /// Where a node is, mm.
    pub(super) fn position(&self, node: usize) -> [f32; 3] {
        let [nx, ny, _] = self.lattice.shape;
        let index = [node % nx, node / nx % ny, node / (nx * ny)];
        [0, 1, 2].map(|a| self.lattice.position(a, index[a]))
    }

    /// Volume of a node's cell, mL.
    pub(super) fn cell(&self) -> f64 {
        f64::from(self.lattice.spacing).powi(3) / 1000.0
    }

    /// Distance (mm) of every node to the nearest one of a region, at most `reach`.
    pub(super) fn distance(&self, region: Region, reach: f32) -> Vec<f32> {
        let [nx, ny, nz] = self.lattice.shape;
        let far = reach * reach;
        let mut square: Vec<f32> = self
            .regions
            .iter()
            .map(|&r| if r == region { 0.0 } else { far })
            .collect();
        let steps = (reach / self.lattice.spacing) as usize;
        for (n, stride) in [(nx, 1), (ny, nx), (nz, nx * ny)] {
            // Squares are the sum of those along the axes: the least over a window, axis by axis.
            let mut line = vec![0.0f32; n];
            for start in (0..square.len()).filter(|s| s / stride % n == 0) {
                for (i, v) in line.iter_mut().enumerate() {
                    *v = square[start + i * stride];
                }
                if line.iter().all(|&v| v >= far) {
                    continue;
                }
                for i in 0..n {
                    let mut least = line[i];
                    let window = i.saturating_sub(steps)..(i + steps + 1).min(n);
                    for (j, v) in line[window.clone()].iter().enumerate() {
                        let apart = (window.start + j).abs_diff(i) as f32 * self.lattice.spacing;
                        least = least.min(v + apart * apart);
                    }
                    square[start + i * stride] = least;
                }
            }
        }
        square.iter().map(|s| s.sqrt()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_euclidean() {
        let lattice = Lattice {
            origin: [0.0; 3],
            spacing: 2.0,
            shape: [9, 8, 7],
        };
        let mut map = RegionMap {
            lattice,
            regions: vec![Region::White; 504],
            sides: vec![0; 504],
        };
        map.regions[1 + 9 * (2 + 8 * 3)] = Region::Ventricle;
        let distance = map.distance(Region::Ventricle, 12.0);
        let at = |i: usize, j: usize, k: usize| distance[i + 9 * (j + 8 * k)];
        assert_eq!((at(1, 2, 3), at(4, 2, 3), at(8, 2, 3)), (0.0, 6.0, 12.0));
        assert!((at(3, 3, 5) - 2.0 * 9.0f32.sqrt()).abs() < 1e-5);
    }

    #[test]
    fn regions_and_sides_follow_the_labels() {
        assert_eq!((region_of(41), side_of(41)), (Region::White, 1));
        assert_eq!((region_of(1035), side_of(1035)), (Region::Cortex, -1));
        assert_eq!((region_of(129), side_of(14)), (Region::Outside, 0));
        assert!(Regions::CEREBRUM.has(Region::Deep) && !Regions::CEREBRUM.has(Region::Ventricle));
    }
}
