//! One structure of two label volumes, cut out where either has it.

use crate::infer::BoundingBox;
use crate::label::Label;
use crate::volume::Volume;

use super::{MetricError, Overlap};

/// Bit of a voxel that the reference has.
pub(super) const REFERENCE: u8 = 1;
/// Bit of a voxel that the prediction has.
pub(super) const PREDICTION: u8 = 2;

/// A reference and a prediction on one grid, and where their labels are.
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    reference: &'a Volume<Label>,
    prediction: &'a Volume<Label>,
    /// The labels that are in either volume, ascending, each with the box around both.
    boxes: Vec<(Label, BoundingBox)>,
}

const NOWHERE: BoundingBox = BoundingBox {
    start: [usize::MAX; 3],
    end: [0; 3],
};

impl<'a> Pair<'a> {
    /// Joins two volumes. World positions are not compared; the reference's voxel size counts.
    ///
    /// # Errors
    ///
    /// [`MetricError::Shape`] when the shapes differ, [`MetricError::Spacing`] when voxels have no
    /// size.
    pub fn new(
        reference: &'a Volume<Label>,
        prediction: &'a Volume<Label>,
    ) -> Result<Self, MetricError> {
        let (first, second) = (reference.grid().shape, prediction.grid().shape);
        if first != second {
            return Err(MetricError::Shape { first, second });
        }
        let spacing = reference.grid().spacing();
        if !spacing.iter().all(|s| s.is_finite() && *s > 0.0) {
            return Err(MetricError::Spacing(spacing));
        }
        let mut boxes = vec![NOWHERE; usize::from(Label::MAX) + 1];
        for volume in [reference, prediction] {
            // `max` only keeps an empty volume from an empty chunk.
            for (row, line) in volume.data().chunks_exact(first[0].max(1)).enumerate() {
                let mut x = 0;
                while x < line.len() {
                    let n = line[x..].iter().take_while(|&&v| v == line[x]).count();
                    if line[x] != 0 {
                        let (y, z) = (row % first[1], row / first[1]);
                        grow(
                            &mut boxes[usize::from(line[x])],
                            [x, y, z],
                            [x + n, y + 1, z + 1],
                        );
                    }
                    x += n;
                }
            }
        }
        let boxes = (0..).zip(boxes).filter(|(_, b)| *b != NOWHERE).collect();
        Ok(Self {
            reference,
            prediction,
            boxes,
        })
    }

    /// The labels but 0 that are in either volume, ascending.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.boxes.iter().map(|(label, _)| *label)
    }

    /// The structure of all voxels that have one of some labels.
    ///
    /// # Errors
    ///
    /// [`MetricError::OutOfMemory`] where a byte a voxel of the box around it is not there.
    pub fn masks(&self, labels: &[Label]) -> Result<Masks, MetricError> {
        let mut around = NOWHERE;
        for (_, b) in self.boxes.iter().filter(|(l, _)| labels.contains(l)) {
            grow(&mut around, b.start, b.end);
        }
        let shape = [0, 1, 2].map(|a| around.end[a].saturating_sub(around.start[a]));
        let bytes = shape.iter().product();
        let mut voxels = Vec::new();
        voxels
            .try_reserve_exact(bytes)
            .map_err(|_| MetricError::OutOfMemory { bytes })?;
        let mut wanted = vec![false; usize::from(Label::MAX) + 1];
        for &label in labels {
            wanted[usize::from(label)] = true;
        }
        let [nx, ny, _] = self.reference.grid().shape;
        for z in around.start[2]..around.end[2] {
            for y in around.start[1]..around.end[1] {
                let at = around.start[0] + nx * (y + ny * z);
                let row = at..at + shape[0];
                let pairs = self.reference.data()[row.clone()]
                    .iter()
                    .zip(&self.prediction.data()[row]);
                voxels.extend(pairs.map(|(&r, &p)| {
                    let bit = |label: Label, bit: u8| match wanted[usize::from(label)] {
                        true => bit,
                        false => 0,
                    };
                    bit(r, REFERENCE) | bit(p, PREDICTION)
                }));
            }
        }
        let grid = self.reference.grid();
        Ok(Masks {
            shape,
            spacing: grid.spacing(),
            voxel_mm3: grid.voxel_volume(),
            voxels,
        })
    }
}

/// Makes a box hold the voxels from `start` to before `end`.
fn grow(around: &mut BoundingBox, start: [usize; 3], end: [usize; 3]) {
    for a in 0..3 {
        around.start[a] = around.start[a].min(start[a]);
        around.end[a] = around.end[a].max(end[a]);
    }
}

/// One structure in a reference and in a prediction, cut out where either has it.
#[derive(Clone, Debug)]
pub struct Masks {
    pub(super) shape: [usize; 3],
    /// Edge lengths of a voxel in mm. Distances take the axes as orthogonal, which those of a
    /// scanner are.
    pub(super) spacing: [f64; 3],
    pub(super) voxel_mm3: f64,
    /// The bits [`REFERENCE`] and [`PREDICTION`], first axis fastest.
    pub(super) voxels: Vec<u8>,
}

impl Masks {
    /// Volume of a voxel in mm^3.
    pub fn voxel_mm3(&self) -> f64 {
        self.voxel_mm3
    }

    /// The voxel counts.
    pub fn overlap(&self) -> Overlap {
        let mut counts = [0; 4];
        for &v in &self.voxels {
            counts[usize::from(v)] += 1;
        }
        let [_, reference, prediction, both] = counts;
        Overlap {
            reference: reference + both,
            prediction: prediction + both,
            both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Grid};

    fn volume(shape: [usize; 3], data: &[Label]) -> Volume<Label> {
        let affine = Affine([[2., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1.5, 0.]]);
        Volume::new(Grid { shape, affine }, data.to_vec()).expect("one value a voxel")
    }

    #[test]
    fn structures_are_cut_out_where_either_has_them() -> Result<(), MetricError> {
        let shape = [3, 2, 2];
        let a = volume(shape, &[0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
        let b = volume(shape, &[0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        let pair = Pair::new(&a, &b)?;
        assert!(pair.labels().eq([1, 2, 7]));
        let one = pair.masks(&[1])?;
        assert_eq!((one.shape, &one.voxels[..]), ([2, 1, 1], &[3, 2][..]));
        assert_eq!(one.voxel_mm3(), 3.0);
        let both = pair.masks(&[1, 2])?;
        assert_eq!(both.shape, [2, 1, 2]);
        assert_eq!(both.voxels, [3, 2, 1, 0]);
        let counts = both.overlap();
        assert_eq!(
            (counts.reference, counts.prediction, counts.both),
            (2, 2, 1)
        );
        assert_eq!(pair.masks(&[5])?.overlap(), Overlap::default());
        let flat = volume([1, 1, 1], &[1]);
        assert!(matches!(
            Pair::new(&a, &flat),
            Err(MetricError::Shape { .. })
        ));
        Ok(())
    }
}
