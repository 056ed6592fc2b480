//! The header of FreeSurfer's MGH volumes (.mgh, and .mgz with gzip).
//!
//! Big-endian throughout: version, four extents, type, degrees of freedom, a flag, and where it
//! is set voxel edges, direction cosines by axis and the world position of the centre; voxels
//! from byte 284. <https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat>

use super::datatype::DataType;
use super::header::{self, Header};
use super::{Affine, Grid, VolumeError};

/// The first bytes: version 1.
pub(super) const MAGIC: [u8; 4] = [0, 0, 0, 1];
/// Bytes before the voxels.
pub(super) const HEADER: usize = 284;

/// Reads a header from its bytes.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, VolumeError> {
    let Some(bytes) = bytes.first_chunk::<HEADER>() else {
        return Err(VolumeError::TruncatedHeader {
            expected: HEADER as u64,
            found: bytes.len() as u64,
        });
    };
    let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    let int = |at| i32::from_be_bytes(word(at));
    let real = |at| f64::from(f32::from_be_bytes(word(at)));
    let mut dims = [0; 4];
    for (i, d) in dims.iter_mut().enumerate() {
        let value = int(4 + 4 * i);
        *d = u64::try_from(value)
            .ok()
            .filter(|d| *d > 0)
            .ok_or_else(|| VolumeError::Field {
                field: ["width", "height", "depth", "nframes"][i],
                value: value.to_string(),
                problem: "the image has no voxels",
            })?;
    }
    let code = int(20);
    let datatype = DataType::from_mgh(code).map_err(|name| VolumeError::Datatype { code, name })?;
    // The flag counts as set with any value but 0, as nibabel reads it.
    let set = bytes[28] != 0 || bytes[29] != 0;
    let (delta, cosines, centre) = if set {
        (
            [0, 1, 2].map(|i| real(30 + 4 * i)),
            [0, 1, 2].map(|axis| [0, 1, 2].map(|w| real(42 + 12 * axis + 4 * w))),
            [0, 1, 2].map(|w| real(78 + 4 * w)),
        )
    } else {
        // nibabel's default: coronal slices of 1 mm voxels about the origin.
        (
            [1.0; 3],
            [[-1., 0., 0.], [0., 0., 1.], [0., -1., 0.]],
            [0.0; 3],
        )
    };
    let mut affine = [[0.0; 4]; 3];
    for (w, row) in affine.iter_mut().enumerate() {
        row[3] = centre[w];
        for axis in 0..3 {
            row[axis] = cosines[axis][w] * delta[axis];
            row[3] -= row[axis] * dims[axis] as f64 / 2.0;
        }
    }
    let grid = Grid {
        shape: header::shape(&dims)?,
        affine: Affine(affine),
    };
    Ok(Header::from_mgh(
        &grid,
        datatype,
        header::volumes(&dims)?,
        HEADER as u64,
    ))
}
