//! A thread that prepares volumes.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use amaes_core::preprocess::PlanError;
use amaes_core::volume::{ReadOptions, Volume, VolumeError, VolumeReader};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::budget::Budget;
use super::{PrepareOptions, bytes_needed, is_mine};
use crate::corpus::archive::{At, Kind, ZipCache, walk_tar};
use crate::corpus::catalogue::{Catalogue, Entry};
use crate::corpus::input::{Bytes, Hashing, InArchive, Passing, Whole};
use crate::corpus::location::Location;
use crate::error::{Error, Result};
use crate::store::{StoreError, VolumeMeta, Writer};

/// A piece of work.
pub(super) enum Job {
    /// One volume, its file and what kind of archive that is.
    Volume(Box<Entry>, Location, Option<Kind>),
    /// A compressed archive, which can only be read in its order.
    Stream { file: i64, archive: Location },
}

/// What came of it.
pub(super) enum Answer {
    Written {
        bytes: u64,
        voxels: u64,
        prepared: u64,
    },
    Present,
    Quarantined {
        name: String,
        path: String,
        reason: String,
    },
    /// An error that is not about one volume.
    Failed(Error),
}

/// Why a volume is not prepared.
#[derive(Debug, Error)]
enum Bad {
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("its bytes are not those that were scanned: scan again")]
    Changed,
    #[error("{0}")]
    Store(String),
    /// Not about this volume.
    #[error(transparent)]
    Fatal(#[from] Error),
}

impl From<StoreError> for Bad {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Id { .. } | StoreError::Volume { .. } | StoreError::Encode { .. } => {
                Self::Store(error.to_string())
            }
            other => Self::Fatal(other.into()),
        }
    }
}

pub(super) struct Worker<'a> {
    catalogue: &'a Path,
    writer: &'a Writer,
    budget: &'a Budget,
    options: &'a PrepareOptions,
    zip: ZipCache,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        catalogue: &'a Path,
        writer: &'a Writer,
        budget: &'a Budget,
        options: &'a PrepareOptions,
    ) -> Self {
        Self {
            catalogue,
            writer,
            budget,
            options,
            zip: ZipCache::default(),
        }
    }

    /// Does a piece of work; `false` where nobody listens any more.
    pub(super) fn run(&mut self, job: Job, send: &mut dyn FnMut(Answer) -> bool) -> bool {
        match job {
            Job::Volume(entry, location, kind) => {
                let mut zip = std::mem::take(&mut self.zip);
                let at = match (kind, entry.position) {
                    (Some(Kind::Tar), Some(start)) => Some(At::Offset {
                        start,
                        bytes: entry.bytes,
                    }),
                    (Some(Kind::Zip), Some(index)) => Some(At::Index(index as usize)),
                    _ => None,
                };
                let answer = match at {
                    Some(at) => self.one(&entry, &mut InArchive::new(&location, at, &mut zip)),
                    None => self.one(&entry, &mut Whole::new(location.clone())),
                };
                self.zip = zip;
                // What could not be fetched is no bad volume.
                send(location.failure().map_or(answer, Answer::Failed))
            }
            Job::Stream { file, archive } => {
                let mut send = |answer| send(archive.failure().map_or(answer, Answer::Failed));
                match self.stream(file, &archive, &mut send) {
                    Ok(open) => open,
                    Err(error) => send(Answer::Failed(error)),
                }
            }
        }
    }

    /// Prepares the volumes of a compressed archive as they pass by.
    fn stream(
        &self,
        file: i64,
        archive: &Location,
        send: &mut dyn FnMut(Answer) -> bool,
    ) -> Result<bool> {
        let catalogue = Catalogue::open(self.catalogue)?;
        let (mut open, mut failed) = (true, None);
        let wanted = |entry: &Entry| {
            is_mine(&entry.name, self.options) && !self.writer.contains(&entry.name)
        };
        let mut seen = HashSet::new();
        let walked = walk_tar(archive, Kind::TarGz, &mut |member, _, reader| {
            let Ok(member) = member else {
                return true;
            };
            match catalogue.used_member(file, &member.name) {
                Ok(entries) => {
                    // Files of several volumes are not taken from such archives.
                    if let Some(entry) = entries.first()
                        && wanted(entry)
                    {
                        seen.insert(entry.id);
                        open = send(self.one(entry, &mut Passing::new(reader)));
                    }
                }
                Err(error) => failed = Some(error),
            }
            open && failed.is_none()
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let reason = match walked {
            Ok(()) => "it is not in the archive any more: scan again".to_owned(),
            Err(error) => error.to_string(),
        };
        // What did not pass by.
        for entry in catalogue.used_of_file(file)? {
            if open && wanted(&entry) && !seen.contains(&entry.id) {
                open = send(quarantined(&entry, reason.clone()));
            }
        }
        Ok(open)
    }

    fn one(&self, entry: &Entry, input: &mut dyn Bytes) -> Answer {
        match self.prepare(entry, input) {
            Ok(answer) => answer,
            Err(Bad::Fatal(error)) => Answer::Failed(error),
            Err(bad) => quarantined(entry, bad.to_string()),
        }
    }

    fn prepare(&self, entry: &Entry, input: &mut dyn Bytes) -> std::result::Result<Answer, Bad> {
        let plan = &self.options.store.plan;
        let _share = self.budget.take(bytes_needed(entry, plan));
        let volume = read(entry, input)?;
        let original = volume.grid().clone();
        let voxels = original.voxels() as u64;
        let prepared = plan.apply(volume)?;
        let meta = VolumeMeta {
            source: entry.source.clone(),
            sequence: Some(entry.sequence.clone()),
            subject: entry.subject.clone(),
            session: entry.session.clone(),
            site: entry.site.clone(),
            weight: entry.weight,
            original: Some(original),
            trace: Some(prepared.trace),
            sha256: entry.sha256.clone(),
        };
        match self.writer.write(&entry.name, &prepared.volume, &meta) {
            Ok(_) => Ok(Answer::Written {
                bytes: entry.bytes,
                voxels,
                prepared: prepared.volume.grid().voxels() as u64,
            }),
            // Two files of one content that were both asked for.
            Err(StoreError::Exists { .. }) => Ok(Answer::Present),
            Err(error) => Err(error.into()),
        }
    }
}

fn quarantined(entry: &Entry, reason: String) -> Answer {
    let path = match entry.place.member.as_str() {
        "" => entry.place.path.clone(),
        member => format!("{}: {member}", entry.place.path),
    };
    Answer::Quarantined {
        name: entry.name.clone(),
        path,
        reason,
    }
}

/// Reads a volume and checks that it is what was scanned.
fn read(entry: &Entry, input: &mut dyn Bytes) -> std::result::Result<Volume<f32>, Bad> {
    let options = ReadOptions {
        volume: entry.place.frame.map(u64::from),
        ..ReadOptions::default()
    };
    let mut hasher = Sha256::new();
    let mut header = Vec::new();
    if let Some(file) = input.header() {
        let file = file.map_err(VolumeError::Read)?;
        file.take(1 << 20)
            .read_to_end(&mut header)
            .map_err(VolumeError::Read)?;
        hasher.update(&header);
    }
    let mut bytes = Hashing::new(input.open().map_err(VolumeError::Read)?, Some(hasher));
    let reader = match header.is_empty() {
        true => VolumeReader::new(&mut bytes, &options)?,
        false => VolumeReader::from_pair(&header[..], &mut bytes, &options)?,
    };
    if reader.grid().shape != entry.shape {
        return Err(Bad::Changed);
    }
    let (volume, _) = reader.read_all()?;
    let hash = bytes.finish().map_err(VolumeError::Read)?;
    if entry.sha256.is_some() && hash != entry.sha256 {
        return Err(Bad::Changed);
    }
    Ok(volume)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_not_a_bad_volume() {
        let full = StoreError::Io {
            path: "x".into(),
            source: std::io::Error::from(std::io::ErrorKind::StorageFull),
        };
        assert!(matches!(Bad::from(full), Bad::Fatal(_)));
        let large = StoreError::Volume {
            id: "x".into(),
            problem: "too large".into(),
        };
        assert!(matches!(Bad::from(large), Bad::Store(_)));
    }
}
