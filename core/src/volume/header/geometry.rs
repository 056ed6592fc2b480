//! Where a NIfTI header places its voxels: sform, qform or neither, as nibabel chooses.

use super::fields::{PIXDIM, QFORM_CODE, QOFFSET, QUATERN, Raw, SFORM_CODE, SROW};
use super::{NiftiVersion, VolumeError};
use crate::volume::Affine;
use crate::volume::rotation::{from_quaternion, nearest_rotation, to_quaternion};

/// Which fields of the header the affine came from, with the code of the space that it maps to:
/// 1 scanner, 2 aligned to another image, 3 Talairach, 4 MNI 152, 5 another template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AffineSource {
    /// `srow_x`, `srow_y`, `srow_z`.
    Sform(i32),
    /// The quaternion, `qoffset` and `pixdim`.
    Qform(i32),
    /// Neither is set: `pixdim` about the centre of the image, first axis to the left.
    Pixdim,
    /// Direction cosines of an MGH file.
    Mgh,
}

/// A space code, where it is one of the defined ones; other codes count as 0, not set.
fn known(code: i32) -> Option<i32> {
    (1..=5).contains(&code).then_some(code)
}

/// Voxel edges (mm) with the repairs that nibabel makes: 0 becomes 1, the sign is dropped.
fn zooms(raw: &Raw) -> [f64; 3] {
    [1, 2, 3].map(|i| {
        let v = raw.real(PIXDIM, i);
        if v == 0.0 { 1.0 } else { v.abs() }
    })
}

/// The affine of a header and where it was found. `dims` are the dimensions that the file has.
pub(super) fn affine(raw: &Raw, dims: &[u64]) -> Result<(Affine, AffineSource), VolumeError> {
    if let Some(code) = known(raw.code(SFORM_CODE)) {
        let rows = [0, 1, 2].map(|r| [0, 1, 2, 3].map(|c| raw.real(SROW, 4 * r + c)));
        return Ok((Affine(rows), AffineSource::Sform(code)));
    }
    if let Some(code) = known(raw.code(QFORM_CODE)) {
        return Ok((qform(raw)?, AffineSource::Qform(code)));
    }
    let zooms = zooms(raw);
    let mut rows = [[0.0; 4]; 3];
    for (i, row) in rows.iter_mut().enumerate() {
        // An axis that the file does not have is one voxel of 1 mm.
        let (n, zoom) = match dims.get(i) {
            Some(n) => (*n as f64, zooms[i]),
            None => (1.0, 1.0),
        };
        let zoom = if i == 0 { -zoom } else { zoom };
        row[i] = zoom;
        row[3] = -(n - 1.0) / 2.0 * zoom;
    }
    Ok((Affine(rows), AffineSource::Pixdim))
}

/// The affine that the quaternion describes.
fn qform(raw: &Raw) -> Result<Affine, VolumeError> {
    let [b, c, d] = [0, 1, 2].map(|i| raw.real(QUATERN, i));
    // The header leaves out the first component of a unit quaternion. Where it is 0 up to the
    // precision of the stored numbers, the square root of rounding errors must not be taken.
    let tolerance = 3.0
        * match raw.version() {
            NiftiVersion::One => f64::from(f32::EPSILON),
            NiftiVersion::Two => f64::EPSILON,
        };
    let square = 1.0 - (b * b + c * c + d * d);
    let a = if square.abs() < tolerance {
        0.0
    } else if square < 0.0 {
        return Err(VolumeError::Field {
            field: "quatern_b, quatern_c, quatern_d",
            value: format!("{b}, {c}, {d}"),
            problem: "longer than a unit quaternion",
        });
    } else {
        square.sqrt()
    };
    let rotation = from_quaternion([a, b, c, d]);
    let mut zooms = zooms(raw);
    if raw.real(PIXDIM, 0) == -1.0 {
        zooms[2] = -zooms[2];
    }
    let mut rows = [[0.0; 4]; 3];
    for (i, row) in rows.iter_mut().enumerate() {
        for j in 0..3 {
            row[j] = rotation[i][j] * zooms[j];
        }
        row[3] = raw.real(QOFFSET, i);
    }
    Ok(Affine(rows))
}

/// Writes `affine` into sform, qform and `pixdim`, with the space `code` for both.
///
/// The qform cannot hold shear: where it does not give the affine back, its code is 0.
pub(super) fn set_affine(raw: &mut Raw, affine: &Affine, code: i16) {
    for (r, row) in affine.0.iter().enumerate() {
        for (c, v) in row.iter().enumerate() {
            raw.set_real(SROW, 4 * r + c, *v);
        }
        raw.set_real(QOFFSET, r, row[3]);
    }
    raw.set_code(SFORM_CODE, code);
    raw.set_code(QFORM_CODE, 0);
    let spacing = affine.spacing();
    for (i, v) in spacing.iter().enumerate() {
        raw.set_real(PIXDIM, i + 1, *v);
        raw.set_real(QUATERN, i, 0.0);
    }
    raw.set_real(PIXDIM, 0, 1.0);
    let Some(mut rotation) = nearest_rotation(affine) else {
        return;
    };
    if affine.determinant() < 0.0 {
        raw.set_real(PIXDIM, 0, -1.0);
        for row in &mut rotation {
            row[2] = -row[2];
        }
    }
    let quaternion = to_quaternion(&rotation);
    for i in 0..3 {
        raw.set_real(QUATERN, i, quaternion[i + 1]);
    }
    let same = qform(raw).is_ok_and(|q| {
        q.0.iter()
            .zip(&affine.0)
            .all(|(a, b)| (0..3).all(|c| (a[c] - b[c]).abs() <= 1e-5 * spacing[c]))
    });
    if same {
        raw.set_code(QFORM_CODE, code);
    }
}
