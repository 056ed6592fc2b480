//! One writer at a time: advisory locks that end with the process that holds them.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::error::{At, Result, StoreError};

/// Who else may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    #[default]
    Alone,
    /// Other ranks of the same job: each writes volumes of its own.
    Rank(u32),
}

/// The locks of a writer.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Held alone, or shared between ranks.
    store: File,
    path: PathBuf,
    /// Held alone by one rank.
    _rank: Option<File>,
}

impl Lock {
    /// Takes the locks in the folder `root` at once, or not at all.
    pub(crate) fn take(root: &Path, access: Access) -> Result<Self> {
        let path = root.join(".amaes-lock");
        let store = open(&path)?;
        let rank = match access {
            Access::Alone => {
                taken(store.try_lock(), &path)?;
                None
            }
            Access::Rank(rank) => {
                taken(store.try_lock_shared(), &path)?;
                let path = root.join(format!(".amaes-lock.{rank}"));
                let file = open(&path)?;
                taken(file.try_lock(), &path)?;
                Some(file)
            }
        };
        Ok(Self {
            store,
            path,
            _rank: rank,
        })
    }

    /// Makes sure that no other rank is at work any more.
    pub(crate) fn be_alone(&self) -> Result<()> {
        self.store.unlock().at(&self.path)?;
        taken(self.store.try_lock(), &self.path)
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .at(path)
}

fn taken(result: std::result::Result<(), TryLockError>, path: &Path) -> Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(source).at(path),
    }
}
