//! Finding the files of a corpus: folders are walked without being listed, archives are opened,
//! and what has not changed since the last scan is passed over.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use walkdir::{DirEntry, WalkDir};

use super::archive::{
    At, Kind, Member, Refused, Sidecars, open_zip, safe_name, walk_tar, walk_zip,
};
use super::catalogue::Stamp;
use super::location::{Location, RemoteTree, Tree};
use super::scan::{Choice, Choose};
use crate::error::WithPath;
use crate::store::{Listing, StoreError};
use crate::volumes::extension;

/// One piece of work.
#[derive(Debug)]
pub(super) enum Job {
    /// A file that is a volume.
    File {
        file: i64,
        location: Location,
        /// Relative to the root, with `/`.
        name: String,
        bytes: u64,
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
    pub(super) location: Location,
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

/// Walks a tree, or takes a file alone; whether everything could be seen. A remote tree is listed by
/// its server, or by `names`, a file of relative paths, one a line.
pub(super) fn walk(
    tree: &Tree,
    names: Option<&Path>,
    choose: &dyn Choose,
    visit: &mut dyn Visit,
) -> Result<bool, Stop> {
    match tree {
        Tree::Disk(root) => walk_disk(root, choose, visit),
        Tree::Remote(remote) => {
            let mut take = |name: &str, stamp: Stamp| {
                let location = tree.file(name);
                take_file(name, &location, &mut || Ok(stamp), choose, visit).map(drop)
            };
            match (remote.single(), names) {
                (Some(single), _) => {
                    let missing = || StoreError::Missing {
                        location: tree.file("").path().display().to_string(),
                    };
                    let stamp = remote.stamp(single)?;
                    take("", stamp.ok_or_else(missing).map_err(crate::Error::from)?)?;
                }
                (None, Some(names)) => return walk_names(remote, names, &mut take),
                (None, None) => walk_listed(remote, &mut take)?,
            }
            Ok(true)
        }
    }
}

fn walk_disk(root: &Path, choose: &dyn Choose, visit: &mut dyn Visit) -> Result<bool, Stop> {
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
        let mut stamp = || {
            let metadata = entry.metadata().map_err(io::Error::from)?;
            stamp(path, &metadata)
        };
        let location = Location::Disk(path.to_owned());
        whole &= take_file(&relative(root, path), &location, &mut stamp, choose, visit)?;
    }
    Ok(whole)
}

/// What is done with each file of a remote tree.
type Take<'a> = dyn FnMut(&str, Stamp) -> Result<(), Stop> + 'a;

/// Walks the folders that a server lists.
fn walk_listed(remote: &RemoteTree, take: &mut Take<'_>) -> Result<(), Stop> {
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let Listing {
            folders: inner,
            files,
        } = remote.list(&folder)?;
        let within = |name: &str| match folder.as_str() {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        };
        if folder.is_empty() && inner.is_empty() && files.is_empty() {
            let address = remote.address();
            return Err(crate::Error::unsuitable(&address, "nothing is there").into());
        }
        let is_bids = files.iter().any(|f| f.0 == DESCRIPTION);
        for (name, bytes, modified) in &files {
            if is_hidden(name) {
                continue;
            }
            let mut stamp = Stamp {
                bytes: *bytes,
                modified: *modified,
            };
            let image = name.strip_suffix(".hdr").map(|stem| format!("{stem}.img"));
            if let Some(image) = image
                && let Some((_, bytes, modified)) = files.iter().find(|f| f.0 == image)
            {
                stamp = stamp.with(*bytes, *modified);
            }
            take(&within(name), stamp)?;
        }
        let left_out = |name: &str| is_hidden(name) || is_bids && is_apart(name);
        let wanted = inner.iter().filter(|name| !left_out(name)).rev();
        folders.extend(wanted.map(|name| within(name)));
    }
    Ok(())
}

/// Takes the files of a list; whether all are there.
fn walk_names(remote: &RemoteTree, names: &Path, take: &mut Take<'_>) -> Result<bool, Stop> {
    let mut whole = true;
    let file = File::open(names).with_path(names)?;
    for line in BufReader::new(file).lines() {
        let line = line.with_path(names)?;
        let name = line.trim_end_matches('\r').trim_start_matches("./");
        if name.is_empty() || name.starts_with('#') || !is_volume_or_archive(name) {
            continue;
        }
        let name = safe_name(name.as_bytes())
            .map_err(|why| crate::Error::unsuitable(names, format!("`{name}`: {why}")))?;
        let Some(mut stamp) = remote.stamp(&name)? else {
            whole = false;
            continue;
        };
        if let Some(stem) = name.strip_suffix(".hdr")
            && let Some(image) = remote.stamp(&format!("{stem}.img"))?
        {
            stamp = stamp.with(image.bytes, image.modified);
        }
        take(&name, stamp)?;
    }
    Ok(whole)
}

/// Whether a name is that of a volume or an archive. The voxels of a pair are its header's.
fn is_volume_or_archive(name: &str) -> bool {
    Kind::of(name).is_some() || matches!(extension(Path::new(name)), Some(e) if e != ".img")
}

/// Hands on a file that is wanted and has changed; whether it could be looked at.
fn take_file(
    name: &str,
    location: &Location,
    stamp: &mut dyn FnMut() -> io::Result<Stamp>,
    choose: &dyn Choose,
    visit: &mut dyn Visit,
) -> Result<bool, Stop> {
    let path = location.path();
    let shown = match name {
        "" => own_name(&path),
        name => name.to_owned(),
    };
    if !is_volume_or_archive(&shown) {
        return Ok(true);
    }
    let archive = Kind::of(&shown);
    let choice = match archive {
        Some(_) => None,
        None => choose.choose(&shown),
    };
    if archive.is_none() && choice.is_none() {
        return Ok(true);
    }
    let stamp = match stamp() {
        Ok(stamp) => stamp,
        Err(error) => {
            visit.trouble(&path, &error.to_string());
            return Ok(false);
        }
    };
    let Some(file) = visit.file(name, stamp)? else {
        return Ok(true);
    };
    match (archive, choice) {
        (Some(kind), _) => members(file, kind, location, name, choose, visit)?,
        (None, Some(choice)) => {
            let job = Job::File {
                file,
                location: location.clone(),
                name: name.to_owned(),
                bytes: stamp.bytes,
                choice,
            };
            hand_on(visit, job)?;
        }
        (None, None) => {}
    }
    Ok(true)
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
    location: &Location,
    name: &str,
    choose: &dyn Choose,
    visit: &mut dyn Visit,
) -> Result<(), Stop> {
    let open = |sidecars| {
        Arc::new(OpenArchive {
            location: location.clone(),
            name: name.to_owned(),
            sidecars,
        })
    };
    if kind == Kind::TarGz {
        // The thread that reads it says when it is done.
        let archive = open(Sidecars::of_tar(location, kind));
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
            let archive = open(Sidecars::of_tar(location, kind));
            walk_tar(location, kind, &mut |member, start, _| {
                members.take(&archive, member, &|bytes| At::Offset { start, bytes })
            })
        }
        Kind::Zip => open_zip(location).and_then(|mut zip| {
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
    if let Some(error) = location.failure() {
        return Err(error.into());
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
    let is_bids = || entry.path().with_file_name(DESCRIPTION).is_file();
    !(is_hidden(&name) || is_apart(&name) && is_bids())
}

/// What the root of a BIDS tree has.
const DESCRIPTION: &str = "dataset_description.json";

fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

/// What BIDS keeps apart from the raw data.
fn is_apart(name: &str) -> bool {
    matches!(name, "derivatives" | "sourcedata" | "code")
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
        out = out.with(image.len(), time(&image)?);
    }
    Ok(out)
}
