//! Files behind an address that are no store: listed, and read by ranges.

use std::ops::Range;
use std::sync::Arc;

use super::super::error::Result;
use super::cache::Cached;
use super::remote::Remote;
use super::{OpenOptions, Source};

/// Whether a location is an address, `http://`, `https://` or `s3://`, and no path.
pub fn is_address(location: &str) -> bool {
    let schemes = ["http://", "https://", "s3://"];
    schemes.iter().any(|scheme| location.starts_with(scheme))
}

/// What is in a folder behind an address, in the order of the names.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Folders in it, without what leads to them.
    pub(crate) folders: Vec<String>,
    /// Files: name, bytes and time of change in nanoseconds since 1970.
    pub(crate) files: Vec<(String, u64, i64)>,
}

/// Files under an address, with the patience and the cache of a store.
#[derive(Debug)]
pub(crate) struct RemoteFiles {
    remote: Arc<Remote>,
    cached: Option<Cached<Arc<Remote>>>,
}

impl RemoteFiles {
    pub(crate) fn new(address: &str, options: &OpenOptions) -> Result<Self> {
        let remote = Arc::new(Remote::new(address, options)?);
        let cached = match &options.cache {
            Some(cache) => Some(Cached::new(Arc::clone(&remote), cache, &[])?),
            None => None,
        };
        Ok(Self { remote, cached })
    }

    /// The address of a file.
    pub(crate) fn describe(&self, name: &str) -> String {
        self.remote.describe(name)
    }

    pub(crate) fn list(&self, folder: &str) -> Result<Listing> {
        self.remote.list(folder)
    }

    /// Bytes of a file and when it was changed, in nanoseconds since 1970.
    pub(crate) fn head(&self, name: &str) -> Result<(u64, i64)> {
        self.remote.head(name)
    }

    /// All of a file of at most `limit` bytes.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        self.remote.read(name, limit)
    }

    /// Some bytes of a file that has the size and time of `state`.
    pub(crate) fn range(
        &self,
        name: &str,
        state: (u64, i64),
        range: Range<u64>,
    ) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut take = |_: usize, bytes: &[u8]| {
            out = bytes.to_vec();
            Ok(())
        };
        let mut buffer = Vec::new();
        let (size, modified) = state;
        match &self.cached {
            Some(cached) => cached.at(&modified.to_le_bytes()).ranges(
                name,
                size,
                &[range],
                &mut buffer,
                &mut take,
            ),
            None => self
                .remote
                .ranges(name, size, &[range], &mut buffer, &mut take),
        }?;
        Ok(out)
    }
}
