//! A bounded cache on disk, shared by processes.
//!
//! Remote files are kept in blocks of 1 MiB, each a file with a checksum that is renamed into
//! place. A block's modification time says when it was last used. A lock file guards the sum of
//! the sizes, so that the limit holds whatever the number of processes; readers need no lock.

use std::fs::{self, File, OpenOptions as FileOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::super::error::{At, Result, StoreError};
use super::{CacheOptions, Source, join};
use crate::digits::hex;

/// Bytes of a block.
const BLOCK: u64 = 1 << 20;
/// Starts every block's file, before length and checksum of the rest.
const MAGIC: [u8; 4] = *b"amB1";
const HEADER: usize = 12;
/// A block's time of use is kept to this precision.
const PRECISION: Duration = Duration::from_secs(60);
/// Part of the limit that stays when old blocks are removed.
const KEEP: f64 = 0.9;

/// A source whose blocks stay on disk.
#[derive(Debug)]
pub(crate) struct Cached<S> {
    inner: S,
    folder: PathBuf,
    /// Blocks of this store, at this state of its index.
    name: String,
    limit: u64,
}

impl<S: Source> Cached<S> {
    /// Caches `inner`. `version` changes whenever the store's files do.
    pub(crate) fn new(inner: S, options: &CacheOptions, version: &[u8]) -> Result<Self> {
        let folder = options.folder.clone();
        if options.bytes < 4 * BLOCK {
            return Err(StoreError::Option {
                field: "cache.bytes",
                problem: format!("{} is less than {}", options.bytes, 4 * BLOCK),
            });
        }
        fs::create_dir_all(&folder).at(&folder)?;
        let mut hash = Sha256::new();
        hash.update(inner.describe(""));
        hash.update(version);
        let cache = Self {
            inner,
            name: hex(&hash.finalize()[..12]),
            limit: options.bytes,
            folder,
        };
        // What a killed process left, or another limit wrote.
        cache.locked(|_| cache.scan(cache.limit, true))?;
        Ok(cache)
    }

    /// The same cache for what has another version.
    pub(crate) fn at(&self, version: &[u8]) -> Self
    where
        S: Clone,
    {
        let mut hash = Sha256::new();
        hash.update(&self.name);
        hash.update(version);
        Self {
            inner: self.inner.clone(),
            folder: self.folder.clone(),
            name: hex(&hash.finalize()[..12]),
            limit: self.limit,
        }
    }

    fn block_path(&self, key: &str, block: u64) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(&self.name);
        hash.update(key);
        hash.update(block.to_le_bytes());
        let name = hex(&hash.finalize()[..16]);
        self.folder.join(&name[..2]).join(&name[2..])
    }

    /// A block, if it is here and whole.
    fn load(&self, path: &Path, length: usize) -> Option<Vec<u8>> {
        let mut file = File::open(path).ok()?;
        let mut bytes = Vec::with_capacity(HEADER + length);
        (&mut file)
            .take((HEADER + length + 1) as u64)
            .read_to_end(&mut bytes)
            .ok()?;
        let body = check_block(&bytes).filter(|b| b.len() == length);
        if body.is_none() {
            let _ = fs::remove_file(path);
            return None;
        }
        let old = file.metadata().and_then(|m| m.modified()).ok();
        if old.is_none_or(|t| t.elapsed().is_ok_and(|age| age > PRECISION)) {
            // Failing to note the use costs a later fetch at most.
            let _ = file.set_modified(SystemTime::now());
        }
        bytes.drain(..HEADER);
        Some(bytes)
    }

    /// Keeps a block. A cache that cannot be written must not stop a training run, so errors
    /// leave it out.
    fn keep(&self, path: &Path, body: &[u8]) {
        let size = (HEADER + body.len()) as u64;
        let _ = self.locked(|total| {
            let total = if total + size > self.limit {
                let most = (self.limit as f64 * KEEP) as u64;
                self.scan(most.saturating_sub(size), false)?
            } else {
                total
            };
            if path.exists() {
                return Ok(total);
            }
            let folder = path.parent().unwrap_or(&self.folder);
            fs::create_dir_all(folder).at(folder)?;
            let mut file = tempfile::Builder::new()
                .prefix(".")
                .tempfile_in(folder)
                .at(folder)?;
            file.write_all(&MAGIC).at(path)?;
            file.write_all(&(body.len() as u32).to_le_bytes())
                .at(path)?;
            file.write_all(&crc32c::crc32c(body).to_le_bytes())
                .at(path)?;
            file.write_all(body).at(path)?;
            file.persist(path).map_err(|e| e.error).at(path)?;
            Ok(total + size)
        });
    }

    /// Runs `change` alone among processes, from the sum of sizes to the new one.
    fn locked(&self, change: impl FnOnce(u64) -> Result<u64>) -> Result<()> {
        let path = self.folder.join(".size");
        let mut file = FileOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .at(&path)?;
        file.lock().at(&path)?;
        let mut number = [0; 8];
        let total = match file.read_exact(&mut number) {
            Ok(()) => u64::from_le_bytes(number),
            // An empty file is new.
            Err(_) => self.scan(u64::MAX, false)?,
        };
        let total = change(total)?;
        file.seek(SeekFrom::Start(0)).at(&path)?;
        file.write_all(&total.to_le_bytes()).at(&path)
    }

    /// The sum of the sizes, after blocks were removed, least recently used first, until it is at
    /// most `limit`. `tidy` also removes what other writers left unfinished.
    fn scan(&self, limit: u64, tidy: bool) -> Result<u64> {
        let mut blocks = Vec::new();
        let mut total = 0;
        for folder in fs::read_dir(&self.folder).at(&self.folder)? {
            let folder = folder.at(&self.folder)?.path();
            if !folder.is_dir() {
                continue;
            }
            for item in fs::read_dir(&folder).at(&folder)?.flatten() {
                let Ok(metadata) = item.metadata() else {
                    continue;
                };
                let hidden = item.file_name().to_string_lossy().starts_with('.');
                if hidden && tidy {
                    let _ = fs::remove_file(item.path());
                    continue;
                }
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                total += metadata.len();
                blocks.push((used, metadata.len(), item.path()));
            }
        }
        if total > limit {
            blocks.sort();
            for (_, size, path) in blocks {
                if total <= limit {
                    break;
                }
                if fs::remove_file(&path).is_ok() {
                    total -= size;
                }
            }
        }
        Ok(total)
    }
}

/// The contents of a block's file, if its checksum is right.
fn check_block(bytes: &[u8]) -> Option<&[u8]> {
    let (head, body) = bytes.split_at_checked(HEADER)?;
    let (magic, numbers) = head.split_at(4);
    let length = u32::from_le_bytes(numbers[..4].try_into().ok()?);
    let sum = u32::from_le_bytes(numbers[4..].try_into().ok()?);
    let whole = magic == MAGIC && length as usize == body.len() && crc32c::crc32c(body) == sum;
    whole.then_some(body)
}

impl<S: Source> Source for Cached<S> {
    fn describe(&self, key: &str) -> String {
        self.inner.describe(key)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Vec<u8>> {
        self.inner.read(key, limit)
    }

    fn forget(&self, key: &str, size: u64) -> bool {
        for block in 0..size.div_ceil(BLOCK) {
            let _ = fs::remove_file(self.block_path(key, block));
        }
        self.inner.forget(key, size)
    }

    fn ranges(
        &self,
        key: &str,
        size: u64,
        ranges: &[Range<u64>],
        buffer: &mut Vec<u8>,
        take: &mut dyn FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let extent = |block: u64| block * BLOCK..((block + 1) * BLOCK).min(size);
        // Ranges whose blocks touch are put together from their blocks at once.
        let of_blocks: Vec<_> = ranges
            .iter()
            .map(|r| r.start / BLOCK..r.end.div_ceil(BLOCK))
            .collect();
        for (blocks, parts) in join(&of_blocks, 0) {
            let first = blocks.start * BLOCK;
            let mut bytes = vec![0; (extent(blocks.end - 1).end - first) as usize];
            let place = |block: u64| {
                let e = extent(block);
                (e.start - first) as usize..(e.end - first) as usize
            };
            let mut missing = Vec::new();
            for block in blocks {
                let target = &mut bytes[place(block)];
                match self.load(&self.block_path(key, block), target.len()) {
                    Some(body) => target.copy_from_slice(&body),
                    None => missing.push(block),
                }
            }
            let wanted: Vec<_> = missing.iter().map(|&b| extent(b)).collect();
            self.inner
                .ranges(key, size, &wanted, buffer, &mut |i, body| {
                    bytes[place(missing[i])].copy_from_slice(body);
                    self.keep(&self.block_path(key, missing[i]), body);
                    Ok(())
                })?;
            for i in parts {
                let start = (ranges[i].start - first) as usize;
                let end = (ranges[i].end - first) as usize;
                take(i, &bytes[start..end])?;
            }
        }
        Ok(())
    }
}
