//! Where the bytes of a volume come from: a file, two files, or a member of an archive.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::archive::{At, ZipCache, open_member};
use super::location::Location;
use crate::digits::hex;
use crate::volumes::extension;

/// Bytes that are read behind the voxels, for the hash of the whole file.
const MOST: u64 = 16 << 30;

/// Where the bytes of a volume come from; they may be wanted more than once.
pub(super) trait Bytes {
    /// Reads from the start.
    fn open(&mut self) -> io::Result<Box<dyn Read + '_>>;
    /// The header where it is a file of its own.
    fn header(&mut self) -> Option<io::Result<Box<dyn Read + '_>>> {
        None
    }
    /// Whether it can be opened again.
    fn again(&self) -> bool {
        true
    }
}

/// A file, or two of them.
pub(super) struct Whole(Location);

impl Whole {
    pub(super) fn new(location: Location) -> Self {
        Self(location)
    }

    fn is_pair(&self) -> bool {
        extension(&self.0.path()) == Some(".hdr")
    }
}

impl Bytes for Whole {
    fn open(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self.is_pair() {
            true => Box::new(self.0.image().open()?),
            false => Box::new(self.0.open()?),
        })
    }

    fn header(&mut self) -> Option<io::Result<Box<dyn Read + '_>>> {
        let open = || -> io::Result<Box<dyn Read>> { Ok(Box::new(self.0.open()?)) };
        self.is_pair().then(open)
    }
}

/// A member that can be read again.
pub(super) struct InArchive<'a> {
    archive: &'a Location,
    at: At,
    zip: &'a mut ZipCache,
}

impl<'a> InArchive<'a> {
    pub(super) fn new(archive: &'a Location, at: At, zip: &'a mut ZipCache) -> Self {
        Self { archive, at, zip }
    }
}

impl Bytes for InArchive<'_> {
    fn open(&mut self) -> io::Result<Box<dyn Read + '_>> {
        open_member(self.archive, self.at, self.zip)
    }
}

/// A member as it passes by.
pub(super) struct Passing<'a>(Option<&'a mut dyn Read>);

impl<'a> Passing<'a> {
    pub(super) fn new(reader: &'a mut dyn Read) -> Self {
        Self(Some(reader))
    }
}

impl Bytes for Passing<'_> {
    fn open(&mut self) -> io::Result<Box<dyn Read + '_>> {
        match self.0.take() {
            Some(reader) => Ok(Box::new(reader)),
            None => Err(io::Error::other("it has passed")),
        }
    }

    fn again(&self) -> bool {
        false
    }
}

/// Hashes what passes through.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: Option<Sha256>,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(out.get(..n).unwrap_or_default());
        }
        Ok(n)
    }
}

impl<R: Read> Hashing<R> {
    /// Hashes nothing where `hasher` is `None`.
    pub(super) fn new(inner: R, hasher: Option<Sha256>) -> Self {
        Self { inner, hasher }
    }

    /// Hashes what is left; `None` where no hash was wanted.
    pub(super) fn finish(mut self) -> io::Result<Option<String>> {
        let mut scratch = vec![0; 64 << 10];
        let mut left = MOST;
        while self.hasher.is_some() && left > 0 {
            match self.read(&mut scratch) {
                Ok(0) => break,
                Ok(n) => left = left.saturating_sub(n as u64),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(self.hasher.map(|h| hex(&h.finalize())))
    }
}
