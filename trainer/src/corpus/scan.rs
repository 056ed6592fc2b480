//! Scanning: files are found by one thread, read by several and written by one, so that memory
//! is that of a few volumes' planes whatever the size of the corpus.

mod worker;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use self::worker::{Answer, Worker};
use super::catalogue::{Catalogue, Stamp};
use super::exclude::Reason;
use super::layout::{Captures, Layout};
use super::location::Tree;
use super::walk::{self, Job, Stop, Visit};
use crate::error::{Error, Result, WithPath};
use crate::store::OpenOptions;

/// Work that waits for a thread.
const WAITING: usize = 64;
/// Volumes that are written between two commits, and how long a commit waits at most.
const BATCH: u64 = 256;
const INTERVAL: Duration = Duration::from_secs(2);

/// How a scan runs.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// Name of the data set; that of the folder by default.
    pub source: Option<String>,
    /// Threads that read.
    pub threads: usize,
    /// Read again what has not changed: after sidecars or tables were edited.
    pub again: bool,
    /// Relative paths of the files of a remote root, one a line, where its server lists no
    /// folders.
    pub names: Option<PathBuf>,
    /// How a remote root is read.
    pub remote: OpenOptions,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            source: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            again: false,
            names: None,
            remote: OpenOptions::default(),
        }
    }
}

/// How a file is read.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// What the names of its layout stand for.
    pub(super) captures: Captures,
    /// What each of several volumes in the file is; empty where the file must hold one.
    pub(super) channels: Vec<String>,
}

/// Which files of a corpus are read, by their relative path.
pub trait Choose: Sync {
    /// How to read a file, `None` where it is passed over.
    fn choose(&self, path: &str) -> Option<Choice>;
}

/// Every file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everything;

impl Choose for Everything {
    fn choose(&self, _: &str) -> Option<Choice> {
        Some(Choice::default())
    }
}

/// Files of a layout, whose names `subject`, `session`, `sequence` and `site` are known from then
/// on.
impl Choose for Layout {
    fn choose(&self, path: &str) -> Option<Choice> {
        let captures = self.matches(path)?;
        Some(Choice {
            captures,
            channels: Vec::new(),
        })
    }
}

/// Something to show while a scan runs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A file that is no good, in one line.
    Trouble {
        /// The file, and the member of an archive.
        path: &'a str,
        /// Why.
        message: &'a str,
    },
    /// How far it is.
    Progress(&'a ScanSummary),
}

/// What a scan did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ScanSummary {
    /// Volumes that were read.
    pub volumes: u64,
    /// Of these, those that something speaks against, duplicates aside.
    pub excluded: u64,
    /// Of these, those that cannot be read.
    pub broken: u64,
    /// Files that had not changed since the last scan.
    pub unchanged: u64,
    /// Files that are gone since then.
    pub gone: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Duplicates in the whole catalogue.
    pub duplicates: u64,
    /// How long it took.
    pub seconds: f64,
}

impl ScanSummary {
    /// Adds what a later scan of the same catalogue did.
    pub fn add(&mut self, later: &Self) {
        self.volumes += later.volumes;
        self.excluded += later.excluded;
        self.broken += later.broken;
        self.unchanged += later.unchanged;
        self.gone += later.gone;
        self.bytes += later.bytes;
        self.seconds += later.seconds;
        self.duplicates = later.duplicates;
    }
}

/// Scans a folder, or one archive or volume, into a catalogue. A root may be an address:
/// `http://`, `https://` or `s3://`.
///
/// Files that are as they were are not read again; what has gone is forgotten. The result does not
/// depend on the number of threads. A scan that is killed keeps what it has committed and goes on
/// from there.
///
/// # Errors
///
/// [`Error::Unsuitable`] where `root` is not there, [`Error::Catalogue`] where the catalogue
/// cannot be written, [`Error::Store`] where a server does not answer. A broken file is no error: it is reported and written down.
pub fn scan(
    catalogue: &mut Catalogue,
    root: &Path,
    options: &ScanOptions,
    choose: &dyn Choose,
    show: &(dyn Fn(Event<'_>) + Sync),
) -> Result<ScanSummary> {
    let started = Instant::now();
    let tree = match Tree::open(root, &options.remote)? {
        Tree::Disk(path) => Tree::Disk(std::fs::canonicalize(&path).with_path(&path)?),
        remote => remote,
    };
    let root = match &tree {
        Tree::Disk(path) => path.clone(),
        Tree::Remote(_) => root.to_string_lossy().trim_end_matches('/').into(),
    };
    if options.names.is_some() && matches!(tree, Tree::Disk(_)) {
        return Err(Error::unsuitable(
            &root,
            "a list of files goes with an address",
        ));
    }
    let source = match &options.source {
        Some(source) => source.clone(),
        None => match catalogue.source_of(&root)? {
            Some(source) => source,
            None => crate::volumes::stem(&root),
        },
    };
    catalogue.begin()?;
    let number = catalogue.root(&root, &source)?;
    let scan = catalogue.new_scan()?;
    let state = State {
        root,
        tree,
        names: options.names.clone(),
        number,
        scan,
        again: options.again,
        catalogue: Mutex::new(catalogue),
        unchanged: Mutex::new(0),
    };
    let mut summary = ScanSummary::default();
    let whole = run(
        &state,
        &source,
        options.threads.max(1),
        choose,
        show,
        &mut summary,
        started,
    )?;
    summary.unchanged = *lock(&state.unchanged);
    let catalogue = lock(&state.catalogue);
    if whole {
        summary.gone = catalogue.forget(number, scan)? as u64;
    }
    summary.duplicates = catalogue.find_duplicates()?;
    catalogue.commit()?;
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

/// What the threads share.
struct State<'a> {
    root: PathBuf,
    tree: Tree,
    names: Option<PathBuf>,
    number: i64,
    scan: i64,
    again: bool,
    catalogue: Mutex<&'a mut Catalogue>,
    unchanged: Mutex<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the threads; whether the walk saw everything.
fn run(
    state: &State<'_>,
    source: &str,
    threads: usize,
    choose: &dyn Choose,
    show: &(dyn Fn(Event<'_>) + Sync),
    summary: &mut ScanSummary,
    started: Instant,
) -> Result<bool> {
    let (jobs, taken) = sync_channel::<Job>(WAITING);
    let (answers, heard) = sync_channel::<Answer>(WAITING);
    // With the last thread the queue's end goes too, so that a walk does not wait for ever.
    let taken = Arc::new(Mutex::new(taken));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let answers = answers.clone();
            let taken = Arc::clone(&taken);
            scope.spawn(move || {
                let mut worker = Worker::new(&state.root, &state.tree, source, choose);
                while let Some(job) = next(&taken) {
                    let known =
                        |file, member: &str| lock(&state.catalogue).has_member(file, member);
                    if !worker.run(job, &known, &mut |answer| answers.send(answer).is_ok()) {
                        break;
                    }
                }
            });
        }
        drop(taken);
        let walker = scope.spawn(move || {
            let mut walker = Walker {
                state,
                jobs: Some(jobs),
                answers,
                show,
            };
            walk::walk(&state.tree, state.names.as_deref(), choose, &mut walker)
        });
        let written = write(state, &heard, show, summary, started);
        // A walk that waits for a place in a full queue must see that nobody listens.
        drop(heard);
        let walked = walker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written?;
        match walked {
            Ok(whole) => Ok(whole),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Deaf) => Ok(false),
        }
    })
}

fn next(taken: &Mutex<Receiver<Job>>) -> Option<Job> {
    lock(taken).recv().ok()
}

/// Writes down what the threads found.
fn write(
    state: &State<'_>,
    heard: &Receiver<Answer>,
    show: &(dyn Fn(Event<'_>) + Sync),
    summary: &mut ScanSummary,
    started: Instant,
) -> Result<()> {
    // Files of several volumes: those still expected; below 0 while their number is not known.
    let mut open: HashMap<i64, i64> = HashMap::new();
    let mut pending = 0;
    let mut committed = Instant::now();
    for answer in heard {
        let catalogue = lock(&state.catalogue);
        catalogue.begin()?;
        let mut done = |file: i64, change: i64| -> Result<()> {
            let left = open.entry(file).or_default();
            *left += change;
            if *left == 0 {
                open.remove(&file);
                catalogue.complete(file)?;
            }
            Ok(())
        };
        match answer {
            Answer::Records {
                file,
                records,
                bytes,
                alone,
            } => {
                summary.bytes += bytes;
                for record in &records {
                    catalogue.add(file, record)?;
                    summary.volumes += 1;
                    pending += 1;
                    summary.excluded += u64::from(!record.reasons.is_empty());
                    if record.reasons.contains(&Reason::Broken) {
                        summary.broken += 1;
                        let path = match record.place.member.as_str() {
                            "" => record.place.path.clone(),
                            member => format!("{}: {member}", record.place.path),
                        };
                        let message = record.error.as_deref().unwrap_or("cannot be read");
                        show(Event::Trouble {
                            path: &path,
                            message,
                        });
                    }
                }
                match alone {
                    true => catalogue.complete(file)?,
                    false => done(file, -1)?,
                }
            }
            // One more than there are, so that a file without members is complete too.
            Answer::Expect { file, count } => {
                done(file, count as i64 + 1)?;
                done(file, -1)?;
            }
            // The next scan goes on from here.
            Answer::Failed(error) => {
                catalogue.commit()?;
                return Err(error);
            }
        }
        if pending >= BATCH || committed.elapsed() >= INTERVAL {
            catalogue.commit()?;
            pending = 0;
            committed = Instant::now();
        }
        drop(catalogue);
        summary.seconds = started.elapsed().as_secs_f64();
        summary.unchanged = *lock(&state.unchanged);
        show(Event::Progress(summary));
    }
    Ok(())
}

/// The thread that finds files.
struct Walker<'a, 'b> {
    state: &'a State<'b>,
    jobs: Option<SyncSender<Job>>,
    answers: SyncSender<Answer>,
    show: &'a (dyn Fn(Event<'_>) + Sync),
}

impl Visit for Walker<'_, '_> {
    fn file(&mut self, name: &str, stamp: Stamp) -> Result<Option<i64>> {
        let catalogue = lock(&self.state.catalogue);
        catalogue.begin()?;
        let known = catalogue.known(self.state.number, name)?;
        if let Some(known) = known
            && known.stamp == stamp
            && !self.state.again
        {
            catalogue.met(known.id, self.state.scan)?;
            if known.complete {
                *lock(&self.state.unchanged) += 1;
            }
            return Ok((!known.complete).then_some(known.id));
        }
        catalogue
            .new_file(self.state.number, name, stamp, self.state.scan)
            .map(Some)
    }

    fn has_member(&mut self, file: i64, member: &str) -> Result<bool> {
        lock(&self.state.catalogue).has_member(file, member)
    }

    fn job(&mut self, job: Job) -> bool {
        self.jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok())
    }

    fn members(&mut self, file: i64, count: u64) -> bool {
        self.answers.send(Answer::Expect { file, count }).is_ok()
    }

    fn trouble(&mut self, path: &Path, message: &str) {
        let path = path.strip_prefix(&self.state.root).unwrap_or(path);
        (self.show)(Event::Trouble {
            path: &path.to_string_lossy(),
            message,
        });
    }
}
