//! Where the bytes of a store come from: files, HTTP or an S3-compatible object store.

mod cache;
mod file;
mod files;
mod remote;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::Result;

pub(crate) use self::cache::Cached;
pub(crate) use self::file::Files;
pub use self::files::is_address;
pub(crate) use self::files::{Listing, RemoteFiles};
pub(crate) use self::remote::Remote;

/// How patient a reader is, and what it keeps on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenOptions {
    /// Seconds without a byte after which a request counts as failed.
    pub timeout: f64,
    /// Requests made before an error is returned, 1 or more.
    pub attempts: u32,
    /// Seconds of pause after the first failure; each following pause is twice as long, up to 10 s.
    pub pause: f64,
    /// Bytes of decoded chunks that are kept in memory, two a voxel. The first that are read stay:
    /// where every volume comes once an epoch, one that gave way to newer ones would never be
    /// there when its turn comes.
    pub memory: usize,
    /// Keeps what was fetched.
    pub cache: Option<CacheOptions>,
    /// Options of the S3 client beside those of the environment (`AWS_...`), such as `endpoint`.
    pub s3: BTreeMap<String, String>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            timeout: 30.0,
            attempts: 8,
            pause: 0.25,
            memory: 0,
            cache: None,
            s3: BTreeMap::new(),
        }
    }
}

/// A cache on disk for stores that are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheOptions {
    /// Folder; several processes may share it.
    pub folder: PathBuf,
    /// Bytes it may take.
    pub bytes: u64,
}

/// Bytes by name. Names are relative to the store, with `/` between folders.
pub(crate) trait Source: Send + Sync + std::fmt::Debug {
    /// File or address of a name, for messages.
    fn describe(&self, key: &str) -> String;

    /// All of a file, which must have no more than `limit` bytes.
    fn read(&self, key: &str, limit: u64) -> Result<Vec<u8>>;

    /// Hands the bytes of each range to `take`, with the range's number, in order. The file must
    /// have `size` bytes and the ranges must lie within and ascend.
    fn ranges(
        &self,
        key: &str,
        size: u64,
        ranges: &[Range<u64>],
        buffer: &mut Vec<u8>,
        take: &mut dyn FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()>;

    /// Drops what is cached of a file that proved damaged; whether reading again may help.
    fn forget(&self, _key: &str, _size: u64) -> bool {
        false
    }
}

/// Joins ranges less than `gap` apart: each joined range with the numbers of its parts.
pub(crate) fn join(ranges: &[Range<u64>], gap: u64) -> Vec<(Range<u64>, Range<usize>)> {
    let mut joined: Vec<(Range<u64>, Range<usize>)> = Vec::new();
    for (i, range) in ranges.iter().enumerate() {
        match joined.last_mut() {
            Some((last, parts)) if range.start <= last.end.saturating_add(gap) => {
                last.end = last.end.max(range.end);
                parts.end = i + 1;
            }
            _ => joined.push((range.clone(), i..i + 1)),
        }
    }
    joined
}

impl<S: Source> Source for std::sync::Arc<S> {
    fn describe(&self, key: &str) -> String {
        (**self).describe(key)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Vec<u8>> {
        (**self).read(key, limit)
    }

    fn forget(&self, key: &str, size: u64) -> bool {
        (**self).forget(key, size)
    }

    fn ranges(
        &self,
        key: &str,
        size: u64,
        ranges: &[Range<u64>],
        buffer: &mut Vec<u8>,
        take: &mut dyn FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        (**self).ranges(key, size, ranges, buffer, take)
    }
}
