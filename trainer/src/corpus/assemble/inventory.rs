//! Names of a source's files, counted without reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::corpus::archive::{Kind, walk_tar};
use crate::corpus::catalogue::Stamp;
use crate::corpus::location::Tree;
use crate::corpus::manifest::{Judgement, Source};
use crate::corpus::scan::{Choice, Choose};
use crate::corpus::walk::{Job, Stop, Visit, member_choice, walk};
use crate::error::Result;

/// Most problems of a source that are told.
const MOST_TROUBLES: usize = 5;

/// What is in the folders of a source.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// Files that are read.
    pub(super) read: u64,
    pub(super) held_out: u64,
    pub(super) dropped: BTreeMap<String, u64>,
    pub(super) outside: u64,
    /// Subjects whose files are read.
    pub(super) subjects: BTreeSet<String>,
    /// Subjects of whom there is any file of a layout that is not dropped.
    pub(super) all_subjects: BTreeSet<String>,
    pub(super) troubles: Vec<String>,
}

impl Inventory {
    /// Counts what is in `roots`.
    pub(super) fn of(
        source: &Source,
        held_out: &BTreeSet<String>,
        roots: &[PathBuf],
    ) -> Result<Self> {
        let list = List {
            source,
            held_out,
            found: Mutex::default(),
        };
        for root in roots {
            let mut visit = Lister { list: &list };
            match walk(&Tree::Disk(root.clone()), None, &list, &mut visit) {
                Ok(_) | Err(Stop::Deaf) => {}
                Err(Stop::Error(error)) => return Err(error),
            }
        }
        Ok(list
            .found
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts names, and wants none of them read.
struct List<'a> {
    source: &'a Source,
    held_out: &'a BTreeSet<String>,
    found: Mutex<Inventory>,
}

impl List<'_> {
    fn with(&self, change: impl FnOnce(&mut Inventory)) {
        change(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Choose for List<'_> {
    fn choose(&self, path: &str) -> Option<Choice> {
        let judgement = self.source.judge(path, self.held_out);
        self.with(|found| match judgement {
            Judgement::Outside => found.outside += 1,
            Judgement::HeldOut => found.held_out += 1,
            Judgement::Dropped(word) => *found.dropped.entry(word).or_default() += 1,
            Judgement::Read(captures) => {
                found.read += 1;
                if let Some(subject) = captures.get("subject") {
                    let whole = match captures.get("dataset") {
                        Some(dataset) => format!("{dataset}/{subject}"),
                        None => subject.clone(),
                    };
                    found.subjects.insert(whole);
                    if self.source.split.is_some() {
                        found.all_subjects.insert(subject.clone());
                    }
                }
            }
        });
        None
    }
}

struct Lister<'a> {
    list: &'a List<'a>,
}

impl Visit for Lister<'_> {
    fn file(&mut self, _: &str, _: Stamp) -> Result<Option<i64>> {
        Ok(Some(0))
    }

    fn has_member(&mut self, _: i64, _: &str) -> Result<bool> {
        Ok(false)
    }

    fn job(&mut self, job: Job) -> bool {
        match job {
            Job::Stream { archive, .. } => {
                let walked = walk_tar(&archive.location, Kind::TarGz, &mut |member, _, _| {
                    if let Ok(member) = member {
                        member_choice(&member.name, self.list);
                    }
                    true
                });
                if let Err(error) = walked {
                    self.trouble(&archive.location.path(), &error.to_string());
                }
            }
            Job::Broken {
                name, member, why, ..
            } => self.trouble(&Path::new(&name).join(member), &why),
            Job::File { .. } | Job::Member { .. } => {}
        }
        true
    }

    fn members(&mut self, _: i64, _: u64) -> bool {
        true
    }

    fn trouble(&mut self, path: &Path, message: &str) {
        self.list.with(|found| {
            if found.troubles.len() < MOST_TROUBLES {
                found
                    .troubles
                    .push(format!("{}: {message}", path.display()));
            }
        });
    }
}
