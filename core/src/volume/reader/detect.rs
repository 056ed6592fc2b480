//! Telling the formats apart by their first bytes.

use std::io::Read;

use super::source::Source;
use crate::volume::header::{self, Header, NiftiVersion};
use crate::volume::{VolumeError, mgh};

/// Bytes of a header, from its first four.
pub(super) fn header_size(magic: [u8; 4]) -> usize {
    match header::version_of(magic) {
        _ if magic == mgh::MAGIC => mgh::HEADER,
        Some(version) => version.size(),
        None => NiftiVersion::One.size(),
    }
}

/// The header of any format, from its bytes or as many as there are.
pub(super) fn parse_any_header(bytes: &[u8]) -> Result<Header, VolumeError> {
    let unknown = || VolumeError::UnknownFormat {
        start: bytes[..bytes.len().min(4)].to_vec(),
    };
    let magic = *bytes.first_chunk::<4>().ok_or_else(unknown)?;
    if magic == mgh::MAGIC {
        return mgh::parse(bytes);
    }
    match header::version_of(magic) {
        Some(version) => Header::parse(version, bytes),
        // nibabel reads these too: the size field is wrong, everything else right.
        None if header::has_magic_v1(bytes) => Header::parse(NiftiVersion::One, bytes),
        None => Err(unknown()),
    }
}

/// The header of any format.
pub(super) fn read_any_header<R: Read>(source: &mut Source<R>) -> Result<Header, VolumeError> {
    let mut bytes = [0; 540];
    let mut n = source.fill(&mut bytes[..4])?;
    if n == 4 {
        let size = header_size([bytes[0], bytes[1], bytes[2], bytes[3]]);
        n += source.fill(&mut bytes[4..size])?;
    }
    parse_any_header(&bytes[..n])
}

/// Reads a header alone: of a file with several volumes, or of an .hdr file, too.
///
/// # Errors
///
/// Those of [`super::VolumeReader::new`] about the header.
pub fn read_header<R: Read>(reader: R) -> Result<Header, VolumeError> {
    read_any_header(&mut Source::new(reader)?)
}
