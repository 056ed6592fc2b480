//! Volumes in .tar, .tar.gz and .zip archives, read where they are. Nothing in an archive is
//! trusted: names are only ever compared and shown, and sizes are checked before they are believed.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entries, EntryType, PaxExtensions};
use zip::ZipArchive;

use super::location::{Location, ReadSeek};
use super::sidecar::{Beside, Facts, MAX_SIDECAR, MAX_TABLE, Table};

/// Longest name of a member, in bytes.
const MAX_NAME: u64 = 4096;
/// Largest extended header of a tar member.
const MAX_PAX: u64 = 1 << 20;
/// Largest member that is read, compressed: the largest volume that is read at all.
const MAX_MEMBER: u64 = 16 << 30;
/// Sidecars of one archive that are kept in memory.
const MAX_SIDECARS: usize = 1 << 20;

/// A format of archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tar,
    TarGz,
    Zip,
}

impl Kind {
    /// Of a file's name.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let ends = |e: &str| name.len() > e.len() && name.ends_with(e);
        if ends(".tar") {
            Some(Self::Tar)
        } else if ends(".tar.gz") || ends(".tgz") {
            Some(Self::TarGz)
        } else if ends(".zip") {
            Some(Self::Zip)
        } else {
            None
        }
    }
}

/// Where a member's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// In a tar file.
    Offset { start: u64, bytes: u64 },
    /// In a zip file.
    Index(usize),
}

impl At {
    /// As a catalogue holds it.
    pub(super) fn position(self) -> u64 {
        match self {
            Self::Offset { start, .. } => start,
            Self::Index(index) => index as u64,
        }
    }
}

/// A member that is a file.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// A name from an archive, with `/` and without needless parts.
///
/// # Errors
///
/// Why it is refused: it leaves the archive, or is no name.
pub(super) fn safe_name(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.len() as u64 > MAX_NAME {
        return Err("its name has more than 4096 bytes");
    }
    let text = String::from_utf8_lossy(bytes);
    if text.chars().any(char::is_control) {
        return Err("its name has control characters");
    }
    let text = text.replace('\\', "/");
    let drive = text.as_bytes().get(1) == Some(&b':');
    if text.starts_with('/') || drive {
        return Err("its name is an absolute path");
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|p| !matches!(*p, "" | "."))
        .collect();
    if parts.contains(&"..") {
        return Err("its name leads out of the archive");
    }
    if parts.is_empty() {
        return Err("it has no name");
    }
    Ok(parts.join("/"))
}

/// A name as it can be shown.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// What is done with each file of an archive: its name or why that is refused, how large it is,
/// where it starts, its bytes. `false` ends the walk.
type Each<'a> = dyn FnMut(Result<Member, Refused>, u64, &mut dyn Read) -> bool + 'a;

/// A member that is not read.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// Its name, made fit to be shown.
    pub(super) name: String,
    pub(super) why: &'static str,
}

/// Walks a .tar or .tar.gz.
pub(super) fn walk_tar(archive: &Location, kind: Kind, each: &mut Each<'_>) -> io::Result<()> {
    let file = archive.open()?;
    if kind == Kind::TarGz {
        let mut archive =
            Archive::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 18, file)));
        return walk_entries(archive.entries()?, each);
    }
    let mut archive = Archive::new(file);
    walk_entries(archive.entries_with_seek()?, each)
}

/// Long names are taken from their own members here, with a limit: the library would take as much
/// memory as they claim.
fn walk_entries<R: Read>(entries: Entries<'_, R>, each: &mut Each<'_>) -> io::Result<()> {
    let mut long: Option<Vec<u8>> = None;
    let mut size: Option<u64> = None;
    for entry in entries.raw(true) {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            let name = read_limited(&mut entry, MAX_NAME + 1)?;
            long = Some(name.split(|b| *b == 0).next().unwrap_or_default().to_vec());
        } else if kind.is_pax_local_extensions() {
            let bytes = read_limited(&mut entry, MAX_PAX)?;
            for extension in PaxExtensions::new(&bytes) {
                let extension = extension?;
                match extension.key_bytes() {
                    b"path" => long = Some(extension.value_bytes().to_vec()),
                    b"size" => size = extension.value().ok().and_then(|v| v.parse().ok()),
                    _ => {}
                }
            }
        } else if !kind.is_pax_global_extensions() && !kind.is_gnu_longlink() {
            let name = long
                .take()
                .unwrap_or_else(|| entry.path_bytes().into_owned());
            let bytes = entry.size();
            if size.take().is_some_and(|s| s != bytes) {
                return Err(io::Error::other(
                    "a member of more than 8 GiB: unpack the archive",
                ));
            }
            if matches!(kind, EntryType::Regular | EntryType::Continuous) {
                let start = entry.raw_file_position();
                if !each(member(&name, bytes), start, &mut entry) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn member(name: &[u8], bytes: u64) -> Result<Member, Refused> {
    let why = match safe_name(name) {
        Ok(name) if bytes <= MAX_MEMBER => return Ok(Member { name, bytes }),
        Ok(_) => "it claims more than 16 GiB",
        Err(why) => why,
    };
    let name = shown(name);
    Err(Refused { name, why })
}

/// All bytes of a reader that may have at most `limit`.
fn read_limited(reader: &mut dyn Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if reader.take(limit + 1).read_to_end(&mut bytes)? as u64 > limit {
        return Err(io::Error::other(format!("more than {limit} bytes")));
    }
    Ok(bytes)
}

/// A zip file as its members are read.
pub(super) type Zip = ZipArchive<BufReader<Box<dyn ReadSeek>>>;

/// Opens a zip file.
pub(super) fn open_zip(archive: &Location) -> io::Result<Zip> {
    Ok(ZipArchive::new(BufReader::new(archive.open()?))?)
}

/// Walks a .zip; members are where `index` says.
pub(super) fn walk_zip(
    zip: &mut Zip,
    each: &mut dyn FnMut(Result<Member, Refused>, usize) -> bool,
) -> io::Result<()> {
    for index in 0..zip.len() {
        let file = zip.by_index_raw(index)?;
        if file.is_file() && !each(member(file.name_raw(), file.size()), index) {
            break;
        }
    }
    Ok(())
}

/// Members of one archive as its threads read them.
#[derive(Debug, Default)]
pub(super) struct ZipCache(Option<(PathBuf, Zip)>);

/// The bytes of a member.
pub(super) fn open_member<'a>(
    archive: &Location,
    at: At,
    cache: &'a mut ZipCache,
) -> io::Result<Box<dyn Read + 'a>> {
    match at {
        At::Offset { start, bytes } => {
            let mut file = archive.open()?;
            file.seek(SeekFrom::Start(start))?;
            Ok(Box::new(file.take(bytes)))
        }
        At::Index(index) => {
            let path = archive.path();
            if cache.0.as_ref().is_none_or(|(known, _)| *known != path) {
                cache.0 = Some((path, open_zip(archive)?));
            }
            let (_, zip) = cache
                .0
                .as_mut()
                .ok_or_else(|| io::Error::other("no archive"))?;
            Ok(Box::new(zip.by_index(index)?.take(MAX_MEMBER)))
        }
    }
}

/// The sidecars of an archive, which may come after their images.
#[derive(Debug, Default)]
pub(super) struct Sidecars {
    json: HashMap<String, Arc<Facts>>,
    participants: HashMap<String, Arc<Table>>,
    sessions: HashMap<String, Arc<Table>>,
}

impl Sidecars {
    /// Reads those of a tar file, as far as it can be read: what is wrong with it is told when its
    /// images are.
    pub(super) fn of_tar(archive: &Location, kind: Kind) -> Self {
        let mut out = Self::default();
        let _ = walk_tar(archive, kind, &mut |member, _, reader| {
            if let Ok(member) = member
                && wanted(&member)
                && let Ok(bytes) = read_limited(reader, MAX_TABLE)
            {
                out.take(&member.name, &bytes);
            }
            true
        });
        out
    }

    /// Reads those of a zip file.
    pub(super) fn of_zip(zip: &mut Zip) -> io::Result<Self> {
        let mut found = Vec::new();
        walk_zip(zip, &mut |member, index| {
            if let Ok(member) = member
                && wanted(&member)
            {
                found.push((member.name, index));
            }
            true
        })?;
        let mut out = Self::default();
        for (name, index) in found {
            if let Ok(mut file) = zip.by_index(index)
                && let Ok(bytes) = read_limited(&mut file, MAX_TABLE)
            {
                out.take(&name, &bytes);
            }
        }
        Ok(out)
    }

    fn take(&mut self, name: &str, bytes: &[u8]) {
        if self.json.len() + self.sessions.len() >= MAX_SIDECARS {
            return;
        }
        if name.ends_with(".json") {
            if let Ok(facts) = Facts::from_json(bytes) {
                self.json.insert(name.to_owned(), Arc::new(facts));
            }
        } else if name.ends_with(SESSIONS) {
            if let Some(table) = Table::of_sessions(bytes) {
                self.sessions.insert(name.to_owned(), Arc::new(table));
            }
        } else if let Some(table) = Table::of_participants(bytes) {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            self.participants.insert(folder.to_owned(), Arc::new(table));
        }
    }
}

/// How the name of a table of sessions ends.
const SESSIONS: &str = "_sessions.tsv";

fn wanted(member: &Member) -> bool {
    let participants = member.name.rsplit('/').next() == Some("participants.tsv");
    let table = participants || member.name.ends_with(SESSIONS);
    let json = member.name.ends_with(".json");
    json && member.bytes <= MAX_SIDECAR || table && member.bytes <= MAX_TABLE
}

impl Beside for &Sidecars {
    fn json(&mut self, path: &str) -> Option<Arc<Facts>> {
        self.json.get(path).cloned()
    }

    fn participants(&mut self, folder: &str) -> Option<Arc<Table>> {
        self.participants.get(folder).cloned()
    }

    fn sessions(&mut self, path: &str) -> Option<Arc<Table>> {
        self.sessions.get(path).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_archive_are_refused() {
        assert_eq!(safe_name(b"./a//b\\c.nii").as_deref(), Ok("a/b/c.nii"));
        for (name, part) in [
            (&b"/etc/passwd"[..], "absolute"),
            (b"\\\\server\\x", "absolute"),
            (b"C:\\x.nii", "absolute"),
            (b"a/../../x.nii", "leads out"),
            (b"..\\x.nii", "leads out"),
            (b"a\nb.nii", "control"),
            (b"./", "no name"),
            (&[b'x'; 5000], "4096"),
        ] {
            let why = safe_name(name).expect_err(part);
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(shown(b"a\x1b[2Jb"), "a?[2Jb");
    }

    #[test]
    fn a_long_name_does_not_take_the_memory_that_it_claims() {
        // A header of a long name of a gibibyte, and not much behind it.
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(1 << 30);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(1 << 16, b'x');
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.tar");
        std::fs::write(&path, bytes).expect("written");
        let archive = Location::Disk(path);
        let error = walk_tar(&archive, Kind::Tar, &mut |_, _, _| true).expect_err("too long");
        assert!(error.to_string().contains("more than"), "{error}");
    }
}
