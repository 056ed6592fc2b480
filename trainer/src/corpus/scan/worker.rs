//! A thread that reads volumes.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use amaes_core::volume::VolumeError;

use super::Choose;
use crate::corpus::archive::{Kind, Refused, Sidecars, ZipCache, walk_tar};
use crate::corpus::input::{InArchive, Passing, Whole};
use crate::corpus::location::Tree;
use crate::corpus::measure::Scratch;
use crate::corpus::read::{Task, read};
use crate::corpus::record::{Record, Where};
use crate::corpus::sidecar::{Beside, Facts, MAX_SIDECAR, MAX_TABLE, Table};
use crate::corpus::walk::{Job, OpenArchive, member_choice, own_name};
use crate::error::{Error, Result};
use crate::volumes::extension;

/// Sidecars that a thread remembers.
const REMEMBERED: usize = 1024;

/// What a thread found.
pub(super) enum Answer {
    /// The lines for a file or a member.
    Records {
        file: i64,
        records: Vec<Record>,
        bytes: u64,
        /// Whether that is the whole file.
        alone: bool,
    },
    /// How many answers a file of several has, apart from this one.
    Expect { file: i64, count: u64 },
    /// An error that says nothing about a file.
    Failed(Error),
}

/// A thread's buffers.
pub(super) struct Worker<'a> {
    source: &'a str,
    choose: &'a dyn Choose,
    root: &'a Path,
    tree: &'a Tree,
    scratch: Scratch,
    zip: ZipCache,
    folder: Folder<'a>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        root: &'a Path,
        tree: &'a Tree,
        source: &'a str,
        choose: &'a dyn Choose,
    ) -> Self {
        Self {
            source,
            choose,
            root,
            tree,
            scratch: Scratch::new(),
            zip: ZipCache::default(),
            folder: Folder::new(tree),
        }
    }

    /// Does a piece of work; `false` where nobody listens any more. `known` says whether a member
    /// was read before.
    pub(super) fn run(
        &mut self,
        job: Job,
        known: &dyn Fn(i64, &str) -> Result<bool>,
        send: &mut dyn FnMut(Answer) -> bool,
    ) -> bool {
        let tree = self.tree;
        // What could not be fetched is not broken.
        let send = &mut |answer| match tree.failure() {
            Some(error) => {
                send(Answer::Failed(error));
                false
            }
            None => send(answer),
        };
        match job {
            Job::File {
                file,
                location,
                name,
                bytes,
                choice,
            } => {
                let shown = if name.is_empty() {
                    own_name(&location.path())
                } else {
                    name
                };
                let mut input = Whole::new(location);
                let task = Task {
                    source: self.source,
                    place: place(&shown, ""),
                    bytes,
                    choice: &choice,
                };
                let records = read(&task, &mut input, &mut self.folder, &mut self.scratch);
                send(Answer::Records {
                    file,
                    records,
                    bytes,
                    alone: true,
                })
            }
            Job::Member {
                file,
                archive,
                name,
                at,
                bytes,
                choice,
            } => {
                let task = Task {
                    source: self.source,
                    place: place(&self.archive_name(&archive), &name),
                    bytes,
                    choice: &choice,
                };
                let mut input = InArchive::new(&archive.location, at, &mut self.zip);
                let mut beside = &archive.sidecars;
                let mut records = match extension(name.as_ref()) {
                    Some(".hdr") => vec![failed(
                        &task,
                        "a pair of .hdr and .img in an archive: unpack the archive",
                    )],
                    _ => read(&task, &mut input, &mut beside, &mut self.scratch),
                };
                for record in &mut records {
                    record.position = Some(at.position());
                }
                send(Answer::Records {
                    file,
                    records,
                    bytes,
                    alone: false,
                })
            }
            Job::Stream { file, archive } => self.stream(file, &archive, known, send),
            Job::Broken {
                file,
                name,
                member,
                why,
            } => {
                let name = if name.is_empty() {
                    own_name(self.root)
                } else {
                    name
                };
                let record = broken(self.source, place(&name, &member), &why);
                send(Answer::Records {
                    file,
                    records: vec![record],
                    bytes: 0,
                    alone: false,
                })
            }
        }
    }

    fn archive_name(&self, archive: &OpenArchive) -> String {
        match archive.name.as_str() {
            "" => own_name(&archive.location.path()),
            name => name.to_owned(),
        }
    }

    /// Reads a compressed archive from its start to its end.
    fn stream(
        &mut self,
        file: i64,
        archive: &Arc<OpenArchive>,
        known: &dyn Fn(i64, &str) -> Result<bool>,
        send: &mut dyn FnMut(Answer) -> bool,
    ) -> bool {
        let name = self.archive_name(archive);
        let mut count = 0;
        let mut open = true;
        let walked = walk_tar(&archive.location, Kind::TarGz, &mut |member, _, reader| {
            let (records, bytes) = match member {
                Ok(member) => {
                    let Some(choice) = member_choice(&member.name, self.choose) else {
                        return true;
                    };
                    // Where the catalogue cannot be asked, its writer says so.
                    if known(file, &member.name).unwrap_or(false) {
                        return true;
                    }
                    let task = Task {
                        source: self.source,
                        place: place(&name, &member.name),
                        bytes: member.bytes,
                        choice: &choice,
                    };
                    let mut input = Passing::new(reader);
                    let mut beside: &Sidecars = &archive.sidecars;
                    let records = read(&task, &mut input, &mut beside, &mut self.scratch);
                    (records, member.bytes)
                }
                Err(Refused { name: member, why }) => {
                    if extension(member.as_ref()).is_none() {
                        return true;
                    }
                    (vec![broken(self.source, place(&name, &member), why)], 0)
                }
            };
            count += 1;
            open = send(Answer::Records {
                file,
                records,
                bytes,
                alone: false,
            });
            open
        });
        if let Err(error) = walked
            && open
        {
            count += 1;
            let record = broken(self.source, place(&name, ""), &error.to_string());
            open = send(Answer::Records {
                file,
                records: vec![record],
                bytes: 0,
                alone: false,
            });
        }
        open && send(Answer::Expect { file, count })
    }
}

fn place(path: &str, member: &str) -> Where {
    Where {
        path: path.to_owned(),
        member: member.to_owned(),
        frame: None,
    }
}

fn failed(task: &Task<'_>, why: &str) -> Record {
    broken(task.source, task.place.clone(), why)
}

/// The line of something that cannot be read.
fn broken(source: &str, place: Where, why: &str) -> Record {
    let mut record = Record {
        name: crate::corpus::naming::portable(&place.path),
        source: source.to_owned(),
        place,
        ..Record::default()
    };
    record.fail(&VolumeError::Read(io::Error::other(why.to_owned())));
    record
}

/// The sidecars of a folder.
struct Folder<'a> {
    tree: &'a Tree,
    json: HashMap<String, Option<Arc<Facts>>>,
    tables: HashMap<String, Option<Arc<Table>>>,
}

impl<'a> Folder<'a> {
    fn new(tree: &'a Tree) -> Self {
        Self {
            tree,
            json: HashMap::new(),
            tables: HashMap::new(),
        }
    }

    fn table(
        &mut self,
        path: &str,
        parse: impl FnOnce(&[u8]) -> Option<Table>,
    ) -> Option<Arc<Table>> {
        if let Some(known) = self.tables.get(path) {
            return known.clone();
        }
        let bytes = self.tree.read(path, MAX_TABLE);
        let found = bytes.and_then(|b| parse(&b)).map(Arc::new);
        if self.tables.len() >= REMEMBERED {
            self.tables.clear();
        }
        self.tables.insert(path.to_owned(), found.clone());
        found
    }
}

impl Beside for Folder<'_> {
    fn json(&mut self, path: &str) -> Option<Arc<Facts>> {
        if let Some(known) = self.json.get(path) {
            return known.clone();
        }
        let bytes = self.tree.read(path, MAX_SIDECAR);
        let found = bytes.and_then(|b| Facts::from_json(&b).ok()).map(Arc::new);
        if self.json.len() >= REMEMBERED {
            self.json.clear();
        }
        self.json.insert(path.to_owned(), found.clone());
        found
    }

    fn participants(&mut self, folder: &str) -> Option<Arc<Table>> {
        let path = match folder {
            "" => "participants.tsv".to_owned(),
            folder => format!("{folder}/participants.tsv"),
        };
        self.table(&path, Table::of_participants)
    }

    fn sessions(&mut self, path: &str) -> Option<Arc<Table>> {
        self.table(path, Table::of_sessions)
    }
}
