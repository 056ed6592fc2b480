//! Voxel counts and the coefficients made of them.

/// Voxels of a structure: in the reference, in the prediction, in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// In the reference.
    pub reference: usize,
    /// In the prediction.
    pub prediction: usize,
    /// In both.
    pub both: usize,
}

impl Overlap {
    /// `2 |A and B| / (|A| + |B|)`; `None` where both are empty.
    pub fn dice(self) -> Option<f64> {
        share(2 * self.both, self.reference + self.prediction)
    }

    /// Share of the reference that is predicted (recall); `None` where the reference is empty.
    pub fn sensitivity(self) -> Option<f64> {
        share(self.both, self.reference)
    }

    /// Share of the prediction that is right (positive predictive value); `None` where the
    /// prediction is empty.
    pub fn precision(self) -> Option<f64> {
        share(self.both, self.prediction)
    }

    /// `1 - ||A| - |B|| / (|A| + |B|)` (Taha and Hanbury 2015): 1 for equal volumes wherever they
    /// lie; `None` where both are empty.
    pub fn volume_similarity(self) -> Option<f64> {
        let difference = self.reference.abs_diff(self.prediction);
        share(difference, self.reference + self.prediction).map(|d| 1.0 - d)
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_defined_is_none() {
        let empty = Overlap::default();
        assert_eq!((empty.dice(), empty.volume_similarity()), (None, None));
        let missed = Overlap {
            reference: 4,
            ..empty
        };
        assert_eq!(
            (missed.dice(), missed.sensitivity()),
            (Some(0.0), Some(0.0))
        );
        assert_eq!(missed.precision(), None);
        assert_eq!(missed.volume_similarity(), Some(0.0));
        let invented = Overlap {
            prediction: 4,
            ..empty
        };
        assert_eq!(
            (invented.sensitivity(), invented.precision()),
            (None, Some(0.0))
        );
    }
}
