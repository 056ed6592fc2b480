//! Where the voxels of the volume that is read lie in its file.

use super::ReadOptions;
use crate::volume::VolumeError;
use crate::volume::decode::Encoding;
use crate::volume::header::Header;

/// Place and form of the voxels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// First byte, from the start of the file that holds them.
    pub(super) start: u64,
    /// Bytes.
    pub(super) bytes: u64,
    pub(super) encoding: Encoding,
    /// Whether no other volume follows in the file.
    pub(super) last: bool,
}

impl Layout {
    /// Checks what a header promises against `options`.
    pub(super) fn of(header: &Header, options: &ReadOptions) -> Result<Self, VolumeError> {
        let voxels = header.grid().voxels() as u64;
        if voxels > options.max_voxels {
            return Err(VolumeError::TooLarge {
                what: "voxels",
                found: voxels,
                limit: options.max_voxels,
            });
        }
        let volumes = header.volumes();
        let index = match options.volume {
            None if volumes > 1 => {
                return Err(VolumeError::NotThreeD {
                    dims: header.dims().to_vec(),
                    volumes,
                });
            }
            None => 0,
            Some(index) if index >= volumes => {
                return Err(VolumeError::NoSuchVolume { index, volumes });
            }
            Some(index) => index,
        };
        let bytes = voxels.checked_mul(header.datatype().size() as u64);
        let start = bytes
            .and_then(|b| b.checked_mul(index))
            .and_then(|b| b.checked_add(header.data_offset()));
        let total = start.zip(bytes).and_then(|(a, b)| a.checked_add(b));
        match (start, bytes, total) {
            (Some(start), Some(bytes), Some(total)) if total <= options.max_bytes => Ok(Self {
                start,
                bytes,
                encoding: Encoding {
                    datatype: header.datatype(),
                    big_endian: header.is_big_endian(),
                    scaling: header.scaling(),
                },
                last: index + 1 == volumes,
            }),
            _ => Err(VolumeError::TooLarge {
                what: "bytes",
                found: total.unwrap_or(u64::MAX),
                limit: options.max_bytes,
            }),
        }
    }

    /// The error of a file that ends after `found` bytes of voxels.
    pub(super) fn truncated(&self, found: u64) -> VolumeError {
        VolumeError::TruncatedData {
            expected: self.bytes,
            found,
        }
    }
}
