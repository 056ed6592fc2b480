//! Telling the formats apart by their first bytes.

use std::io::Read;

use super::source::Source;
use crate::volume::header::{self, Header, NiftiVersion};
use crate::volume::{VolumeError, mgh};

/// The header of any format.
pub(super) fn read_any_header<R: Read>(source: &mut Source<R>) -> Result<Header, VolumeError> {
    let mut bytes = [0; 540];
    let start = source.fill(&mut bytes[..4])?;
    let magic = [bytes[0], bytes[1], bytes[2], bytes[3]];
    let unknown = |n: usize| VolumeError::UnknownFormat {
        start: magic[..n].to_vec(),
    };
    if start < 4 {
        return Err(unknown(start));
    }
    if magic == mgh::MAGIC {
        let n = 4 + source.fill(&mut bytes[4..mgh::HEADER])?;
        return mgh::parse(&bytes[..n]);
    }
    let version = header::version_of(magic);
    let size = version.unwrap_or(NiftiVersion::One).size();
    let n = 4 + source.fill(&mut bytes[4..size])?;
    match version {
        Some(version) => Header::parse(version, &bytes[..n]),
        // nibabel reads these too: the size field is wrong, everything else right.
        None if header::has_magic_v1(&bytes[..n]) => Header::parse(NiftiVersion::One, &bytes[..n]),
        None => Err(unknown(4)),
    }
}

/// Reads a header alone: of a file with several volumes, or of an .hdr file, too.
///
/// # Errors
///
/// Those of [`super::VolumeReader::new`] about the header.
pub fn read_header<R: Read>(reader: R) -> Result<Header, VolumeError> {
    read_any_header(&mut Source::new(reader)?)
}
