//! Where the files of a corpus are: on the file system, or behind HTTP or S3, where they are read
//! by ranges.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::catalogue::Stamp;
use crate::error::{Error, Result};
use crate::store::{Listing, OpenOptions, RemoteFiles, StoreError, is_address};
use crate::volumes::extension;

/// Bytes of the first range that is fetched at a place, and of the longest.
const SHORTEST: u64 = 128 << 10;
const LONGEST: u64 = 4 << 20;

/// What can be read from any of its bytes on.
pub(super) trait ReadSeek: Read + Seek + Send + Debug {}

impl<T: Read + Seek + Send + Debug> ReadSeek for T {}

/// The files under a root.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// A folder or a file.
    Disk(PathBuf),
    /// Objects under an address, or one of them.
    Remote(Arc<RemoteTree>),
}

/// A tree behind an address.
#[derive(Debug)]
pub(super) struct RemoteTree {
    files: RemoteFiles,
    /// The name of the root where it is a file and no folder.
    single: Option<String>,
    /// Why something could not be fetched, however often it was tried.
    failure: OnceLock<StoreError>,
}

/// A file.
#[derive(Clone, Debug)]
pub(super) enum Location {
    /// On the file system.
    Disk(PathBuf),
    /// Behind an address.
    Remote {
        /// Where.
        tree: Arc<RemoteTree>,
        /// Relative to the tree, with `/`.
        name: String,
    },
}

impl Tree {
    /// The tree of a root, which is an address or a path.
    pub(super) fn open(root: &Path, options: &OpenOptions) -> Result<Self> {
        let text = root.to_string_lossy();
        if !is_address(&text) {
            return Ok(Self::Disk(root.to_owned()));
        }
        let address = text.trim_end_matches('/');
        // An archive or a volume is a file; whatever else is a folder.
        let parts = address.rsplit_once('/');
        let file = parts.filter(|(_, name)| {
            extension(Path::new(name)).is_some() || super::archive::Kind::of(name).is_some()
        });
        let (folder, single) = match file {
            Some((folder, name)) => (folder, Some(name.to_owned())),
            None => (address, None),
        };
        Ok(Self::Remote(Arc::new(RemoteTree {
            files: RemoteFiles::new(folder, options)?,
            single,
            failure: OnceLock::new(),
        })))
    }

    /// A file by its name relative to the root; empty for the root itself.
    pub(super) fn file(&self, name: &str) -> Location {
        match self {
            Self::Disk(root) if name.is_empty() => Location::Disk(root.clone()),
            Self::Disk(root) => Location::Disk(root.join(name)),
            Self::Remote(tree) => Location::Remote {
                name: match (&tree.single, name) {
                    (Some(single), "") => single.clone(),
                    _ => name.to_owned(),
                },
                tree: Arc::clone(tree),
            },
        }
    }

    /// All of a small file, `None` where there is none or it has more than `limit` bytes.
    pub(super) fn read(&self, name: &str, limit: u64) -> Option<Vec<u8>> {
        match self {
            Self::Disk(root) => {
                // Beside a root that is a file.
                let folder = match root.is_dir() {
                    true => root,
                    false => root.parent().unwrap_or(root),
                };
                let path = folder.join(name);
                let size = path.metadata().ok().filter(|m| m.is_file())?.len();
                (size <= limit).then(|| std::fs::read(path).ok())?
            }
            Self::Remote(tree) => match tree.files.read(name, limit) {
                Ok(bytes) => Some(bytes),
                Err(error) => {
                    tree.note(error);
                    None
                }
            },
        }
    }

    /// The error of the first fetch that failed.
    pub(super) fn failure(&self) -> Option<Error> {
        match self {
            Self::Disk(_) => None,
            Self::Remote(tree) => tree.failure(),
        }
    }
}

impl RemoteTree {
    /// The name of the root where it is a file.
    pub(super) fn single(&self) -> Option<&str> {
        self.single.as_deref()
    }

    /// The address of the root.
    pub(super) fn address(&self) -> PathBuf {
        self.files.describe("").into()
    }

    /// What is in a folder; `""` is the root.
    pub(super) fn list(&self, folder: &str) -> Result<Listing> {
        Ok(self.files.list(folder)?)
    }

    /// Size and time of a file; `None` where it is not there.
    pub(super) fn stamp(&self, name: &str) -> Result<Option<Stamp>> {
        match self.files.head(name) {
            Ok((bytes, modified)) => Ok(Some(Stamp { bytes, modified })),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps an error that says nothing about one file.
    fn note(&self, error: StoreError) {
        if matches!(error, StoreError::Remote { .. }) {
            // The first is told.
            let _ = self.failure.set(error);
        }
    }

    fn failure(&self) -> Option<Error> {
        match self.failure.get()? {
            StoreError::Remote {
                url,
                attempts,
                message,
            } => {
                let error = StoreError::Remote {
                    url: url.clone(),
                    attempts: *attempts,
                    message: message.clone(),
                };
                Some(error.into())
            }
            _ => None,
        }
    }

    fn failed(&self, error: StoreError) -> io::Error {
        let kind = match error.is_missing() {
            true => io::ErrorKind::NotFound,
            false => io::ErrorKind::Other,
        };
        let shown = io::Error::new(kind, error.to_string());
        self.note(error);
        shown
    }
}

impl Location {
    /// Opens it at its start.
    pub(super) fn open(&self) -> io::Result<Box<dyn ReadSeek>> {
        match self {
            Self::Disk(path) => Ok(Box::new(File::open(path)?)),
            Self::Remote { tree, name } => {
                let (size, modified) = tree.files.head(name).map_err(|e| tree.failed(e))?;
                Ok(Box::new(RemoteReader {
                    tree: Arc::clone(tree),
                    name: name.clone(),
                    stamp: Stamp {
                        bytes: size,
                        modified,
                    },
                    at: 0,
                    first: 0,
                    buffer: Vec::new(),
                    step: SHORTEST,
                }))
            }
        }
    }

    /// Its path or address.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Disk(path) => path.clone(),
            Self::Remote { tree, name } => tree.files.describe(name).into(),
        }
    }

    /// The file of voxels of a header that is a file of its own.
    pub(super) fn image(&self) -> Self {
        match self {
            Self::Disk(path) => Self::Disk(path.with_extension("img")),
            Self::Remote { tree, name } => Self::Remote {
                tree: Arc::clone(tree),
                name: format!("{}img", name.trim_end_matches("hdr")),
            },
        }
    }

    /// The error of the first fetch that failed.
    pub(super) fn failure(&self) -> Option<Error> {
        match self {
            Self::Disk(_) => None,
            Self::Remote { tree, .. } => tree.failure(),
        }
    }
}

/// Reads a remote file by ranges that grow while it is read in its order.
#[derive(Debug)]
struct RemoteReader {
    tree: Arc<RemoteTree>,
    name: String,
    stamp: Stamp,
    at: u64,
    /// The place of what is in `buffer`.
    first: u64,
    buffer: Vec<u8>,
    step: u64,
}

impl RemoteReader {
    /// Fetches what follows `at`.
    fn fetch(&mut self) -> io::Result<()> {
        let end = self.first + self.buffer.len() as u64;
        self.step = match self.at == end && !self.buffer.is_empty() {
            true => (2 * self.step).min(LONGEST),
            false => SHORTEST,
        };
        let range = self.at..(self.at + self.step).min(self.stamp.bytes);
        let Stamp { bytes, modified } = self.stamp;
        self.buffer = self
            .tree
            .files
            .range(&self.name, (bytes, modified), range)
            .map_err(|e| self.tree.failed(e))?;
        self.first = self.at;
        Ok(())
    }
}

impl Read for RemoteReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || self.at >= self.stamp.bytes {
            return Ok(0);
        }
        let here = |r: &Self| (r.first..r.first + r.buffer.len() as u64).contains(&r.at);
        if !here(self) {
            self.fetch()?;
        }
        let rest = &self.buffer[(self.at - self.first) as usize..];
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for RemoteReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.stamp.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// The trees of several roots, each opened once.
#[derive(Debug)]
pub(super) struct Trees {
    options: OpenOptions,
    known: HashMap<PathBuf, Tree>,
}

impl Trees {
    pub(super) fn new(options: OpenOptions) -> Self {
        Self {
            options,
            known: HashMap::new(),
        }
    }

    pub(super) fn get(&mut self, root: &Path) -> Result<&Tree> {
        if !self.known.contains_key(root) {
            let tree = Tree::open(root, &self.options)?;
            self.known.insert(root.to_owned(), tree);
        }
        Ok(&self.known[root])
    }
}
