//! FreeSurfer's conformed space: its grid, and its robust scaling to bytes.
//!
//! The facts are those of `mri_convert --conform --cw256` (FreeSurfer 7): the template of
//! `MRIconformedTemplate`, `MRIchangeType` with the fractions 0 and 0.999, then `MRIresample`.

use serde::{Deserialize, Serialize};

use crate::volume::{Affine, Grid};

use super::error::{PlanError, checked_voxels};
use super::normalize::range;
use super::plan::Rescale;

/// Bins of the histogram.
const BINS: usize = 1000;
/// Part of the voxels that are not 0 that may be clipped above.
const CLIPPED: f64 = 1.0 - 0.999;
/// Largest distance (voxels) between two grids that count as one.
pub(super) const SAME_GRID: f64 = 1e-3;

/// A linear map of intensities: `(value - offset) * scale`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByteScaling {
    /// Intensity that becomes 0.
    pub offset: f64,
    /// Factor after the offset is subtracted.
    pub scale: f64,
}

/// The conformed grid of a volume on `source`: `size` voxels of `spacing` mm along each axis, LIA,
/// with `source`'s centre.
///
/// FreeSurfer's centre is voxel `n / 2` of each axis, not the middle of the field of view. A grid
/// that is this one already is returned as it is.
pub(super) fn grid(source: &Grid, size: usize, spacing: f64) -> Result<Grid, PlanError> {
    let shape = [size; 3];
    checked_voxels(shape)?;
    if !source.affine.0.iter().flatten().all(|v| v.is_finite()) {
        return Err(PlanError::SingularAffine);
    }
    let centre = source.affine.apply(source.shape.map(|n| n as f64 / 2.0));
    let half = spacing * size as f64 / 2.0;
    let affine = Affine([
        [-spacing, 0.0, 0.0, centre[0] + half],
        [0.0, 0.0, spacing, centre[1] - half],
        [0.0, -spacing, 0.0, centre[2] + half],
    ]);
    let far = |a: &f64, b: &f64| (a - b).abs() * size as f64 > SAME_GRID * spacing;
    let moved = affine
        .0
        .iter()
        .zip(&source.affine.0)
        .any(|(a, b)| a[..3].iter().zip(&b[..3]).any(|(a, b)| far(a, b)));
    if source.shape == shape && !moved {
        return Ok(source.clone());
    }
    Ok(Grid { shape, affine })
}

/// Brings finite intensities to whole numbers in 0..=255, as FreeSurfer does. Returns the scaling,
/// `None` where it was none.
///
/// Zero stays zero whatever the scaling.
pub(super) fn to_bytes(
    data: &mut [f32],
    rescale: Rescale,
) -> Result<Option<ByteScaling>, PlanError> {
    let scaled = match rescale {
        Rescale::Always => true,
        Rescale::Never => false,
        Rescale::Auto => !data
            .iter()
            .all(|&v| (0.0..=255.0).contains(&v) && v == whole(v)),
    };
    let scaling = if scaled { Some(scaling(data)?) } else { None };
    match scaling {
        Some(ByteScaling { offset, scale }) => {
            let (offset, scale) = (offset as f32, scale as f32);
            for v in data.iter_mut().filter(|v| **v != 0.0) {
                *v = round((*v - offset) * scale);
            }
        }
        None => data.iter_mut().for_each(|v| *v = round(*v)),
    }
    Ok(scaling)
}

/// The nearest whole number in 0..=255, halves up.
pub(super) fn round(v: f32) -> f32 {
    whole(v.clamp(0.0, 255.0) + 0.5)
}

/// The whole part of a number in 0..256. A cast, where `floor` is a call on older processors.
fn whole(v: f32) -> f32 {
    v as i32 as f32
}

/// FreeSurfer's robust scaling of `data`: the minimum to 0, and to 255 the lower edge of the bin
/// below those that hold the brightest 0.1 % of the voxels that are not 0.
///
/// Where one outlier is so bright that all else is in the lowest bin, FreeSurfer does not scale;
/// here the maximum then goes to 255.
fn scaling(data: &[f32]) -> Result<ByteScaling, PlanError> {
    let (lo, hi) = range(data)?;
    let (lo, hi) = (f64::from(lo), f64::from(hi));
    let width = (hi - lo) / BINS as f64;
    let mut histogram = [0usize; BINS];
    let mut nonzero = 0usize;
    for &v in data {
        nonzero += usize::from(v != 0.0);
        let bin = ((f64::from(v) - lo) / width) as usize;
        histogram[bin.min(BINS - 1)] += 1;
    }
    let clipped = (CLIPPED * nonzero as f64) as usize;
    let (mut passed, mut bin) = (0, BINS - 1);
    while passed < clipped && bin > 0 {
        passed += histogram[bin];
        bin -= 1;
    }
    let top = if bin > 0 { bin as f64 * width } else { hi - lo };
    Ok(ByteScaling {
        offset: lo,
        scale: 255.0 / top,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_keeps_the_freesurfer_centre() -> Result<(), PlanError> {
        let source = Grid {
            shape: [160, 255, 192],
            affine: Affine([
                [0.9, 0.1, -0.2, -70.0],
                [-0.05, 0.8, 0.3, -100.0],
                [0.15, -0.25, 1.1, -90.0],
            ]),
        };
        let g = grid(&source, 256, 1.0)?;
        let (a, b) = (
            source.affine.apply([80.0, 127.5, 96.0]),
            g.affine.apply([128.0; 3]),
        );
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9));
        assert_eq!(g.orientation()?.to_string(), "LIA");
        assert_eq!(g.spacing(), [1.0; 3]);
        assert_eq!(grid(&g, 256, 1.0)?, g);
        let mut shifted = g.clone();
        shifted.affine.0[0][0] = -1.0 - 1e-7;
        assert_eq!(grid(&shifted, 256, 1.0)?, shifted);
        assert_ne!(grid(&g, 256, 1.1)?, g);
        assert!(matches!(
            grid(&g, 1 << 40, 1.0),
            Err(PlanError::TooLarge { .. })
        ));
        Ok(())
    }

    #[test]
    fn the_brightest_thousandth_is_clipped() -> Result<(), PlanError> {
        // 10,000 voxels that are not 0, 1 to 1000 ten times each; bins are 1 wide.
        let mut data: Vec<f32> = (0..10_000).map(|i| (i % 1000 + 1) as f32).collect();
        data.extend([0.0; 500]);
        let mut bytes = data.clone();
        let s = to_bytes(&mut bytes, Rescale::Auto)?.expect("scaled");
        // The last bin holds 999 and 1000: 20 voxels, enough for the 10 that may be clipped.
        assert_eq!(s.offset, 0.0);
        assert!((s.scale - 255.0 / 998.0).abs() < 1e-12);
        for (v, b) in data.iter().zip(&bytes) {
            let exact = (f64::from(*v) * 255.0 / 998.0).min(255.0);
            assert!((exact - f64::from(*b)).abs() <= 0.5 + 1e-4, "{v} {b}");
        }
        Ok(())
    }

    #[test]
    fn zero_stays_zero_below_it_clips() -> Result<(), PlanError> {
        let mut data: Vec<f32> = (-50..950).map(|i| i as f32).collect();
        let s = to_bytes(&mut data, Rescale::Auto)?.expect("scaled");
        assert_eq!(s.offset, -50.0);
        assert_eq!((data[0], data[50]), (0.0, 0.0));
        assert!(data[49] > 0.0 && data[51] > 0.0);
        Ok(())
    }

    #[test]
    fn bytes_are_left_alone_unless_asked() -> Result<(), PlanError> {
        let bytes: Vec<f32> = (0..2000).map(|i| (i % 200) as f32).collect();
        let mut v = bytes.clone();
        assert_eq!(to_bytes(&mut v, Rescale::Auto)?, None);
        assert_eq!(v, bytes);
        assert!(to_bytes(&mut v, Rescale::Always)?.is_some());
        assert_ne!(v, bytes);
        let mut v = vec![-3.0, 0.4, 0.5, 254.6, 300.0];
        assert_eq!(to_bytes(&mut v, Rescale::Never)?, None);
        assert_eq!(v, [0.0, 0.0, 1.0, 255.0, 255.0]);
        Ok(())
    }

    #[test]
    fn one_outlier_does_not_empty_the_image() -> Result<(), PlanError> {
        let mut data = vec![0.5; 5000];
        data[7] = 1e6;
        data[8] = 0.0;
        let s = to_bytes(&mut data, Rescale::Auto)?.expect("scaled");
        assert!((s.scale - 255.0 / 1e6).abs() < 1e-12);
        assert!(to_bytes(&mut [2.5; 10], Rescale::Auto).is_err());
        Ok(())
    }
}
