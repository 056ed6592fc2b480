//! The zip archive of `torch.save`: `ROOT/data.pkl` and the storages `ROOT/data/KEY`.

use std::cell::RefCell;
use std::io::{self, Cursor, Read};

use burn_pack::Bytes;
use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive, ZipReadOptions};

use crate::weights::state_dict::{reserve, shared};
use crate::weights::{Format, WeightsError};

/// Largest pickle in an archive.
const MAX_PICKLE: u64 = 64 << 20;
/// Largest storage that is stored compressed, which `torch.save` never does.
const MAX_INFLATED: u64 = 1 << 30;
/// Bytes of all compressed storages together.
const MAX_INFLATED_TOTAL: u64 = 4 << 30;

pub(super) struct Archive<'a> {
    bytes: &'a Bytes,
    zip: RefCell<ZipArchive<Cursor<&'a [u8]>>>,
    /// The folder of `data.pkl` with its slash, or nothing.
    root: String,
    inflated: RefCell<u64>,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a Bytes) -> Result<Self, WeightsError> {
        // Nothing precedes the archive. Left to find that out, zip 9.8 starts at the second entry
        // of archives with a zip64 record, as torch writes, whose first header is 76 bytes long.
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let zip = ZipArchive::with_config(config, Cursor::new(&bytes[..]))
            .map_err(|error| damaged("", &error))?;
        let root = zip
            .file_names()
            .flatten()
            .filter_map(|name| name.strip_suffix("data.pkl").map(str::to_owned))
            .filter(|root| root.is_empty() || root.ends_with('/'))
            .min_by_key(String::len)
            .ok_or_else(|| {
                WeightsError::malformed(Format::PytorchZip, "a zip archive without `data.pkl`")
            })?;
        let archive = Self {
            bytes,
            zip: RefCell::new(zip),
            root,
            inflated: RefCell::new(0),
        };
        let order = archive.entry("byteorder", 64)?;
        if order.is_some_and(|order| order.trim_ascii() == b"big") {
            return Err(WeightsError::malformed(
                Format::PytorchZip,
                "big-endian tensors",
            ));
        }
        Ok(archive)
    }

    pub(super) fn pickle(&self) -> Result<Bytes, WeightsError> {
        self.entry("data.pkl", MAX_PICKLE)?.ok_or_else(|| {
            WeightsError::malformed(Format::PytorchZip, "a zip archive without `data.pkl`")
        })
    }

    /// The bytes of a storage, checked against their checksum.
    pub(super) fn storage(&self, key: &str) -> Result<Bytes, WeightsError> {
        self.entry(&format!("data/{key}"), u64::MAX)?
            .ok_or_else(|| {
                WeightsError::malformed(Format::PytorchZip, format!("no storage `{key}`"))
            })
    }

    fn entry(&self, name: &str, limit: u64) -> Result<Option<Bytes>, WeightsError> {
        let name = format!("{}{name}", self.root);
        let mut zip = self.zip.borrow_mut();
        let Some(index) = zip.index_for_name(&name) else {
            return Ok(None);
        };
        let raw = zip
            .by_index_raw(index)
            .map_err(|error| damaged(&name, &error))?;
        let (size, stored) = (raw.size(), raw.compression() == CompressionMethod::Stored);
        let (start, compressed) = (raw.data_start(), raw.compressed_size());
        // `torch.save` can be told to leave the checksums out; they are 0 then.
        let unchecked = raw.crc32() == 0;
        drop(raw);

        let limit = if stored {
            limit
        } else {
            limit.min(MAX_INFLATED)
        };
        if size > limit {
            return Err(WeightsError::TooLarge {
                what: format!("`{name}`"),
                size,
                limit,
            });
        }
        if stored && compressed != size {
            let message = format!("`{name}` has {compressed} bytes where {size} are announced");
            return Err(WeightsError::malformed(Format::PytorchZip, message));
        }
        let options = ZipReadOptions::new().ignore_crc32(unchecked);
        let mut file = zip
            .by_index_with_options(index, options)
            .map_err(|error| damaged(&name, &error))?;
        if stored {
            // A view costs nothing; reading once through the archive checks the sum.
            let view = start
                .and_then(|start| usize::try_from(start).ok())
                .and_then(|start| Some((start, start.checked_add(usize::try_from(size).ok()?)?)))
                .and_then(|(start, end)| self.bytes.view(start, end).ok());
            let Some(view) = view else {
                let message = format!("`{name}` lies outside the archive");
                return Err(WeightsError::malformed(Format::PytorchZip, message));
            };
            io::copy(&mut file, &mut io::sink()).map_err(|error| damaged(&name, &error))?;
            return Ok(Some(view));
        }
        let mut total = self.inflated.borrow_mut();
        *total += size;
        if *total > MAX_INFLATED_TOTAL {
            let what = "the archive uncompressed".to_owned();
            return Err(WeightsError::TooLarge {
                what,
                size: *total,
                limit: MAX_INFLATED_TOTAL,
            });
        }
        inflate(&name, &mut file, size).map(Some)
    }
}

/// Reads `size` bytes; memory grows as they come, since `size` is only a claim.
fn inflate(name: &str, file: &mut impl Read, size: u64) -> Result<Bytes, WeightsError> {
    let mut bytes = reserve::<u8>(usize::try_from(size.min(1 << 20)).unwrap_or(1 << 20), name)?;
    // One byte more than announced, so that the end is reached and the checksum checked.
    file.take(size + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(name, &error))?;
    if bytes.len() as u64 != size {
        let message = format!(
            "`{name}` has {} bytes where {size} are announced",
            bytes.len()
        );
        return Err(WeightsError::malformed(Format::PytorchZip, message));
    }
    Ok(shared(bytes))
}

fn damaged(name: &str, error: &dyn std::error::Error) -> WeightsError {
    let place = if name.is_empty() {
        String::new()
    } else {
        format!("`{name}`: ")
    };
    WeightsError::malformed(Format::PytorchZip, format!("{place}{error}"))
}
