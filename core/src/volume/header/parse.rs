//! Reading and checking a NIfTI header.

use super::fields::{DATATYPE, NiftiVersion, Raw, SCL_INTER, SCL_SLOPE};
use super::{Format, Header, VolumeError, geometry};
use crate::volume::datatype::{DataType, Scaling};

/// End of line marks in the magic of version 2, which a transfer as text would change.
const EOL: [u8; 4] = [13, 10, 26, 10];

/// The NIfTI version that the first four bytes (the header's size) name.
pub(in crate::volume) fn version_of(start: [u8; 4]) -> Option<NiftiVersion> {
    [NiftiVersion::One, NiftiVersion::Two]
        .into_iter()
        .find(|v| {
            let size = v.size() as u32;
            start == size.to_le_bytes() || start == size.to_be_bytes()
        })
}

/// Whether 348 bytes hold the magic of version 1, whatever their size field says.
pub(in crate::volume) fn has_magic_v1(bytes: &[u8]) -> bool {
    bytes
        .get(344..348)
        .is_some_and(|m| m == b"n+1\0" || m == b"ni1\0")
}

impl Header {
    /// Reads a header of `version` from its bytes, of which there are at least the version's
    /// size.
    pub(in crate::volume) fn parse(
        version: NiftiVersion,
        bytes: &[u8],
    ) -> Result<Self, VolumeError> {
        if bytes.len() < version.size() {
            return Err(VolumeError::TruncatedHeader {
                expected: version.size() as u64,
                found: bytes.len() as u64,
            });
        }
        // The number of dimensions tells the byte order, as in nibabel; the size field only
        // where that number makes no sense in either.
        let little = Raw::from_bytes(version, bytes, false);
        let big = Raw::from_bytes(version, bytes, true);
        let valid = 1..=7;
        let big_endian = if valid.contains(&little.dim(0)) {
            false
        } else if valid.contains(&big.dim(0)) {
            true
        } else {
            bytes[..4] == (version.size() as u32).to_be_bytes()
        };
        let raw = if big_endian { big } else { little };
        let pair = check_magic(&raw)?;
        let dims = dims(&raw)?;
        let shape = shape(&dims)?;
        let volumes = volumes(&dims)?;
        let code = raw.short(DATATYPE);
        let datatype = DataType::from_nifti(code).map_err(|name| VolumeError::Datatype {
            code: code.into(),
            name,
        })?;
        let scaling = scaling(&raw)?;
        let data_offset = data_offset(&raw, pair)?;
        let (affine, affine_source) = geometry::affine(&raw, &dims)?;
        Ok(Self {
            format: match version {
                NiftiVersion::One => Format::Nifti1,
                NiftiVersion::Two => Format::Nifti2,
            },
            big_endian,
            pair,
            raw,
            dims,
            shape,
            volumes,
            datatype,
            scaling,
            affine,
            affine_source,
            data_offset,
        })
    }
}

/// Checks the magic and says whether the voxels are in another file.
fn check_magic(raw: &Raw) -> Result<bool, VolumeError> {
    let magic = raw.magic();
    let pair = match (raw.version(), &magic[..4]) {
        (NiftiVersion::One, b"n+1\0") | (NiftiVersion::Two, b"n+2\0") => false,
        (NiftiVersion::One, b"ni1\0") | (NiftiVersion::Two, b"ni2\0") => true,
        _ => {
            return Err(VolumeError::Field {
                field: "magic",
                value: format!("\"{}\"", magic[..4].escape_ascii()),
                problem: "not the mark of a NIfTI file",
            });
        }
    };
    if raw.version() == NiftiVersion::Two && magic[4..] != EOL && magic[4..] != [0; 4] {
        return Err(VolumeError::Field {
            field: "magic",
            value: format!("\"{}\"", magic.escape_ascii()),
            problem: "the file was changed by a transfer as text",
        });
    }
    Ok(pair)
}

/// The dimensions that the file has, each at least 1.
fn dims(raw: &Raw) -> Result<Vec<u64>, VolumeError> {
    const NAMES: [&str; 8] = [
        "dim[0]", "dim[1]", "dim[2]", "dim[3]", "dim[4]", "dim[5]", "dim[6]", "dim[7]",
    ];
    let bad = |i: usize, value: i64, problem| VolumeError::Field {
        field: NAMES[i],
        value: value.to_string(),
        problem,
    };
    let count = raw.dim(0);
    let n = match usize::try_from(count) {
        Ok(n @ 1..=7) => n,
        _ => return Err(bad(0, count, "an image has 1 to 7 dimensions")),
    };
    (1..=n)
        .map(|i| match raw.dim(i) {
            v @ 1.. => Ok(v as u64),
            0 => Err(bad(i, 0, "the image has no voxels")),
            v => Err(bad(i, v, "a negative extent")),
        })
        .collect()
}

/// The first three dimensions; their product fits `usize`.
pub(in crate::volume) fn shape(dims: &[u64]) -> Result<[usize; 3], VolumeError> {
    let mut out = [1usize; 3];
    let mut voxels = 1usize;
    for (to, d) in out.iter_mut().zip(dims) {
        let product = usize::try_from(*d).ok().and_then(|d| {
            *to = d;
            voxels.checked_mul(d)
        });
        voxels = product.ok_or(VolumeError::TooLarge {
            what: "voxels",
            found: dims.iter().take(3).fold(1, |a, d| a.saturating_mul(*d)),
            limit: usize::MAX as u64,
        })?;
    }
    Ok(out)
}

/// Product of the dimensions after the third.
pub(in crate::volume) fn volumes(dims: &[u64]) -> Result<u64, VolumeError> {
    dims.iter()
        .skip(3)
        .try_fold(1u64, |a, d| a.checked_mul(*d))
        .ok_or(VolumeError::TooLarge {
            what: "volumes",
            found: u64::MAX,
            limit: u64::MAX,
        })
}

/// Slope and intercept. A slope of 0 or that is not finite means none; then the intercept does
/// not matter.
fn scaling(raw: &Raw) -> Result<Scaling, VolumeError> {
    let slope = raw.real(SCL_SLOPE, 0);
    let intercept = raw.real(SCL_INTER, 0);
    if slope == 0.0 || !slope.is_finite() {
        return Ok(Scaling::NONE);
    }
    if !intercept.is_finite() {
        return Err(VolumeError::Field {
            field: "scl_inter",
            value: intercept.to_string(),
            problem: "not finite although scl_slope is valid",
        });
    }
    Ok(Scaling { slope, intercept })
}

/// Byte at which the voxels start. 0 in a single file means right after the header and the four
/// bytes that announce extensions.
fn data_offset(raw: &Raw, pair: bool) -> Result<u64, VolumeError> {
    let value = raw.vox_offset();
    let least = if pair {
        0
    } else {
        raw.version().size() as u64 + 4
    };
    if value == 0.0 {
        return Ok(least);
    }
    let bad = |problem| VolumeError::Field {
        field: "vox_offset",
        value: value.to_string(),
        problem,
    };
    if !value.is_finite() {
        return Err(bad("not a number of bytes"));
    }
    if value < least as f64 {
        return Err(bad("inside the header"));
    }
    Ok(value as u64)
}
