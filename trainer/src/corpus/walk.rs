//! Finding the files of a corpus: folders are walked without being listed, archives are opened,
//! and what has not changed since the last scan is passed over.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use walkdir::{DirEntry, WalkDir};

use super::archive::{At, Kind, Member, Refused, Sidecars, open_zip, walk_tar, walk_zip};
use super::catalogue::Stamp;
use super::scan::{Choice, Choose};
use crate::volumes::extension;

/// One piece of work.
#[derive(Debug)]
pub(super) enum Job {
    /// A file that is a volume.
    File {
        file: i64,
        /// Where it is.
        path: PathBuf,
        /// Relative to the root, with `/`.
        name: String,
        choice: Choice,
    },
    /// A volume in an archive.
    Member {
        file: i64,
        archive: Arc<OpenArchive>,
        name: String,
        at: At,
        bytes: u64,
        choice: Choice,
    },
    /// A compressed archive, which can only be read in its order.
    Stream {
        file: i64,
        archive: Arc<OpenArchive>,
    },
    /// Something that cannot be read at all.
    Broken {
        file: i64,
        name: String,
        member: String,
        why: String,
    },
}

/// An archive whose members are read.
#[derive(Debug)]
pub(super) struct OpenArchive {
    pub(super) path: PathBuf,
    /// Relative to the root, with `/`.
    pub(super) name: String,
    pub(super) sidecars: Sidecars,
}

/// What a walk needs of the catalogue and of the threads that read.
pub(super) trait Visit {
    /// The number of a file that has to be read, `None` where it has not changed.
    fn file(&mut self, name: &str, stamp: Stamp) -> crate::Result<Option<i64>>;
    /// Whether a member has been read, in a scan that was broken off.
    fn has_member(&mut self, file: i64, member: &str) -> crate::Result<bool>;
    /// Hands work on; `false` where nobody takes it any more.
    fn job(&mut self, job: Job) -> bool;
    /// How many pieces of work a file of several has; sent after them.
    fn members(&mut self, file: i64, count: u64) -> bool;
    /// Something that is no volume and could not be read.
    fn trouble(&mut self, path: &Path, message: &str);
}

/// Why a walk ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody takes work any more; the reason is known elsewhere.
    Deaf,
    Error(crate::Error),
}

impl From<crate::Error> for Stop {
    fn from(error: crate::Error) -> Self {
        Self::Error(error)
    }
}

/// Walks a folder, or takes a file alone; whether everything could be seen.
pub(super) fn walk(root: &Path, choose: &dyn Choose, visit: &mut dyn Visit) -> Result<bool, Stop> {
    let mut whole = true;
    let files = WalkDir::new(root)
        .follow_links(true)
        .into_iter()
        .filter_entry(is_wanted);
    for entry in files {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                whole = false;
                let path = error.path().unwrap_or(root).to_owned();
                // A link to nothing is a data set that has not been fetched.
                let link = path.symlink_metadata().is_ok_and(|m| m.is_symlink());
                match link
                    && error
                        .io_error()
                        .is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
                {
                    true => visit.trouble(&path, "a link to nothing: its data are not here"),
                    false => visit.trouble(&path, &error.to_string()),
                }
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let path = entry.path();
        let name = relative(root, path);
        let shown = if name.is_empty() {
            own_name(path)
        } else {
            name.clone()
        };
        let archive = Kind::of(&shown);
        if archive.is_none() && !matches!(extension(path), Some(e) if e != ".img") {
            continue;
        }
        let choice = match archive {
            Some(_) => None,
            None => choose.choose(&shown),
        };
        if archive.is_none() && choice.is_none() {
            continue;
        }
        let stamp = match entry
            .metadata()
            .map_err(io::Error::from)
            .and_then(|m| stamp(path, &m))
        {
            Ok(stamp) => stamp,
            Err(error) => {
                whole = false;
                visit.trouble(path, &error.to_string());
                continue;
            }
        };
        let Some(file) = visit.file(&name, stamp)? else {
            continue;
        };
        match (archive, choice) {
            (Some(kind), _) => members(file, kind, path, &name, choose, visit)?,
            (None, Some(choice)) => {
                let path = path.to_owned();
                hand_on(
                    visit,
                    Job::File {
                        file,
                        path,
                        name,
                        choice,
                    },
                )?;
            }
            (None, None) => {}
        }
    }
    Ok(whole)
}

fn hand_on(visit: &mut dyn Visit, job: Job) -> Result<(), Stop> {
    if visit.job(job) {
        Ok(())
    } else {
        Err(Stop::Deaf)
    }
}

/// Hands on the members of an archive.
fn members(
    file: i64,
    kind: Kind,
    path: &Path,
    name: &str,
    choose: &dyn Choose,
    visit: &mut dyn Visit,
) -> Result<(), Stop> {
    let open = |sidecars| {
        Arc::new(OpenArchive {
            path: path.to_owned(),
            name: name.to_owned(),
            sidecars,
        })
    };
    if kind == Kind::TarGz {
        // The thread that reads it says when it is done.
        let archive = open(Sidecars::of_tar(path, kind));
        return hand_on(visit, Job::Stream { file, archive });
    }
    let mut members = Members {
        file,
        choose,
        visit,
        count: 0,
        stop: None,
    };
    let done = match kind {
        Kind::Tar | Kind::TarGz => {
            let archive = open(Sidecars::of_tar(path, kind));
            walk_tar(path, kind, &mut |member, start, _| {
                members.take(&archive, member, &|bytes| At::Offset { start, bytes })
            })
        }
        Kind::Zip => open_zip(path).and_then(|mut zip| {
            let archive = open(Sidecars::of_zip(&mut zip)?);
            walk_zip(&mut zip, &mut |member, index| {
                members.take(&archive, member, &|_| At::Index(index))
            })
        }),
    };
    let Members {
        mut count, stop, ..
    } = members;
    if let Some(stop) = stop {
        return Err(stop);
    }
    if let Err(error) = done {
        count += 1;
        let broken = Job::Broken {
            file,
            name: name.to_owned(),
            member: String::new(),
            why: error.to_string(),
        };
        hand_on(visit, broken)?;
    }
    if visit.members(file, count) {
        Ok(())
    } else {
        Err(Stop::Deaf)
    }
}

/// The members of an archive as they are handed on.
struct Members<'a> {
    file: i64,
    choose: &'a dyn Choose,
    visit: &'a mut dyn Visit,
    count: u64,
    stop: Option<Stop>,
}

impl Members<'_> {
    /// Hands a member on; `false` where no more are wanted.
    fn take(
        &mut self,
        archive: &Arc<OpenArchive>,
        member: Result<Member, Refused>,
        at: &dyn Fn(u64) -> At,
    ) -> bool {
        match self.job(archive, member, at) {
            Ok(None) => {}
            Ok(Some(job)) => {
                self.count += 1;
                if !self.visit.job(job) {
                    self.stop = Some(Stop::Deaf);
                }
            }
            Err(error) => self.stop = Some(Stop::Error(error)),
        }
        self.stop.is_none()
    }

    /// The work that a member makes, if any.
    fn job(
        &mut self,
        archive: &Arc<OpenArchive>,
        member: Result<Member, Refused>,
        at: &dyn Fn(u64) -> At,
    ) -> crate::Result<Option<Job>> {
        let file = self.file;
        let member = match member {
            Ok(member) => member,
            Err(refused) => {
                let volume = extension(Path::new(&refused.name)).is_some();
                if !volume || self.visit.has_member(file, &refused.name)? {
                    return Ok(None);
                }
                return Ok(Some(Job::Broken {
                    file,
                    name: archive.name.clone(),
                    member: refused.name,
                    why: refused.why.to_owned(),
                }));
            }
        };
        let Some(choice) = member_choice(&member.name, self.choose) else {
            return Ok(None);
        };
        if self.visit.has_member(file, &member.name)? {
            return Ok(None);
        }
        Ok(Some(Job::Member {
            file,
            archive: Arc::clone(archive),
            at: at(member.bytes),
            bytes: member.bytes,
            name: member.name,
            choice,
        }))
    }
}

/// How a member of an archive is read, `None` where it is not.
pub(super) fn member_choice(name: &str, choose: &dyn Choose) -> Option<Choice> {
    let volume = matches!(extension(Path::new(name)), Some(e) if e != ".img");
    let hidden = name
        .split('/')
        .any(|p| p.starts_with('.') || p == "__MACOSX");
    if volume && !hidden {
        choose.choose(name)
    } else {
        None
    }
}

/// Hidden files and what BIDS keeps apart are left out, unless they are asked for by name.
fn is_wanted(entry: &DirEntry) -> bool {
    if entry.depth() == 0 {
        return true;
    }
    let name = entry.file_name().to_string_lossy();
    if name.starts_with('.') || name == "__MACOSX" {
        return false;
    }
    let apart = matches!(name.as_ref(), "derivatives" | "sourcedata" | "code");
    !(apart
        && entry
            .path()
            .with_file_name("dataset_description.json")
            .is_file())
}

/// The path from `root`, with `/`; empty for the root itself.
fn relative(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).components();
    let names: Vec<_> = parts.map(|c| c.as_os_str().to_string_lossy()).collect();
    names.join("/")
}

pub(super) fn own_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// Size and time of a file; of both files of a pair.
fn stamp(path: &Path, metadata: &Metadata) -> io::Result<Stamp> {
    let time = |m: &Metadata| -> io::Result<i64> {
        let since = m.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    };
    let mut out = Stamp {
        bytes: metadata.len(),
        modified: time(metadata)?,
    };
    if extension(path) == Some(".hdr")
        && let Ok(image) = path.with_extension("img").metadata()
    {
        out.bytes += image.len();
        out.modified = out.modified.max(time(&image)?);
    }
    Ok(out)
}
