//! A store in a folder.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;

use super::super::error::{At, Result, StoreError};
use super::Source;

/// Files under a folder.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

impl Source for Files {
    fn describe(&self, key: &str) -> String {
        self.root.join(key).display().to_string()
    }

    fn read(&self, key: &str, limit: u64) -> Result<Vec<u8>> {
        let path = self.root.join(key);
        let file = File::open(&path).at(&path)?;
        let size = file.metadata().at(&path)?.len();
        if size > limit {
            return Err(StoreError::too_large(self.describe(key), size, limit));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(limit).read_to_end(&mut bytes).at(&path)?;
        Ok(bytes)
    }

    fn ranges(
        &self,
        key: &str,
        size: u64,
        ranges: &[Range<u64>],
        buffer: &mut Vec<u8>,
        take: &mut dyn FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let path = self.root.join(key);
        let file = File::open(&path).at(&path)?;
        let found = file.metadata().at(&path)?.len();
        if found != size {
            return Err(StoreError::Size {
                location: self.describe(key),
                expected: size,
                found,
            });
        }
        // One range after the other: a chunk is decoded while it is in the processor's cache.
        for (i, range) in ranges.iter().enumerate() {
            let length = (range.end - range.start) as usize;
            if buffer.len() < length {
                buffer.resize(length, 0);
            }
            read_at(&file, &mut buffer[..length], range.start).at(&path)?;
            take(i, &buffer[..length])?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(not(unix))]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}
