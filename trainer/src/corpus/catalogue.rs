//! The catalogue: one SQLite file with the folders that were scanned, their files and the volumes
//! in them. Open to any program that reads SQLite.

mod counts;
mod query;
mod schema;
mod verdict;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

pub use self::query::{Entry, Selected};
use self::schema::SCHEMA;
use super::record::Record;
use crate::digits::hex;
use crate::error::{Error, Result, WithPath};

/// Version of the tables, SQLite's `user_version`.
pub const SCHEMA_VERSION: i64 = 1;
/// What tells a catalogue from other SQLite files: SQLite's `application_id`, "amae".
const APPLICATION: i64 = 0x616d_6165;
/// How long a command waits for another one to finish writing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A catalogue.
#[derive(Debug)]
pub struct Catalogue {
    db: Connection,
    path: PathBuf,
    /// Held while a scan writes: open is locked.
    _lock: Option<File>,
}

/// A file as it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    /// Nanoseconds since 1970.
    pub(super) modified: i64,
}

impl Stamp {
    /// Of two files together.
    pub(super) fn with(self, bytes: u64, modified: i64) -> Self {
        Self {
            bytes: self.bytes + bytes,
            modified: self.modified.max(modified),
        }
    }
}

/// What the catalogue knows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: i64,
    pub(super) stamp: Stamp,
    /// Whether all of it was read.
    pub(super) complete: bool,
}

impl Catalogue {
    /// Opens a catalogue to read it.
    ///
    /// # Errors
    ///
    /// [`Error::Catalogue`] where it is none, [`Error::Unsuitable`] where it is of another
    /// version.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).with_path(path)?;
        let out = Self {
            db,
            path: path.to_owned(),
            _lock: None,
        };
        out.start()?;
        out.check()?;
        Ok(out)
    }

    /// Opens a catalogue to write to it, makes it where there is none, and keeps other scans out.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Unsuitable`] while another process writes.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).with_path(folder)?;
        }
        let lock = lock(path)?;
        let db = Connection::open(path).with_path(path)?;
        let out = Self {
            db,
            path: path.to_owned(),
            _lock: Some(lock),
        };
        out.start()?;
        let tables: i64 = out.number("SELECT count(*) FROM sqlite_schema")?;
        if tables == 0 {
            let setup = format!(
                "PRAGMA auto_vacuum = NONE; PRAGMA application_id = {APPLICATION};
                 BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            );
            out.db.execute_batch(&setup).with_path(path)?;
        }
        out.check()?;
        Ok(out)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn start(&self) -> Result<()> {
        self.db.busy_timeout(PATIENCE).with_path(&self.path)?;
        self.db
            .execute_batch(
                "PRAGMA foreign_keys = ON; PRAGMA temp_store = FILE; PRAGMA cache_size = -8192;",
            )
            .with_path(&self.path)
    }

    fn check(&self) -> Result<()> {
        let application = self.number("PRAGMA application_id")?;
        let version = self.number("PRAGMA user_version")?;
        if application != APPLICATION {
            return Err(Error::unsuitable(&self.path, "not a catalogue of volumes"));
        }
        if version != SCHEMA_VERSION {
            let message =
                format!("catalogue version {version}; this program knows {SCHEMA_VERSION}");
            return Err(Error::unsuitable(&self.path, message));
        }
        Ok(())
    }

    fn number(&self, sql: &str) -> Result<i64> {
        self.db
            .query_row(sql, [], |r| r.get(0))
            .with_path(&self.path)
    }

    /// Starts a transaction, unless one is open.
    pub(super) fn begin(&self) -> Result<()> {
        match self.db.is_autocommit() {
            true => self.run("BEGIN IMMEDIATE"),
            false => Ok(()),
        }
    }

    /// Ends the transaction, if one is open.
    pub(super) fn commit(&self) -> Result<()> {
        match self.db.is_autocommit() {
            true => Ok(()),
            false => self.run("COMMIT"),
        }
    }

    fn run(&self, sql: &str) -> Result<()> {
        self.db.execute_batch(sql).with_path(&self.path)
    }

    /// The number of a new scan.
    pub(super) fn new_scan(&self) -> Result<i64> {
        Ok(self.number("SELECT coalesce(max(scan), 0) FROM files")? + 1)
    }

    /// The number of a folder or archive that is scanned under the name `source`.
    pub(super) fn root(&self, root: &Path, source: &str) -> Result<i64> {
        let text = root.to_string_lossy();
        self.db
            .query_row(
                "INSERT INTO roots (path, source) VALUES (?1, ?2)
                 ON CONFLICT (path) DO UPDATE SET source = excluded.source RETURNING id",
                params![text, source],
                |r| r.get(0),
            )
            .with_path(&self.path)
    }

    /// The source under which a folder was scanned before.
    pub(super) fn source_of(&self, root: &Path) -> Result<Option<String>> {
        self.db
            .query_row(
                "SELECT source FROM roots WHERE path = ?1",
                [root.to_string_lossy()],
                |r| r.get(0),
            )
            .optional()
            .with_path(&self.path)
    }

    /// What is known of a file.
    pub(super) fn known(&self, root: i64, path: &str) -> Result<Option<Known>> {
        let mut query = self
            .db
            .prepare_cached(
                "SELECT id, bytes, modified, complete FROM files WHERE root = ?1 AND path = ?2",
            )
            .with_path(&self.path)?;
        query
            .query_row(params![root, path], |r| {
                Ok(Known {
                    id: r.get(0)?,
                    stamp: Stamp {
                        bytes: r.get::<_, i64>(1)? as u64,
                        modified: r.get(2)?,
                    },
                    complete: r.get(3)?,
                })
            })
            .optional()
            .with_path(&self.path)
    }

    /// Notes that scan `scan` met the file and found it as it was.
    pub(super) fn met(&self, file: i64, scan: i64) -> Result<()> {
        self.execute(
            "UPDATE files SET scan = ?2 WHERE id = ?1",
            params![file, scan],
        )
    }

    /// A file that is new or has changed, without volumes and not complete.
    pub(super) fn new_file(&self, root: i64, path: &str, stamp: Stamp, scan: i64) -> Result<i64> {
        self.execute(
            "DELETE FROM files WHERE root = ?1 AND path = ?2",
            params![root, path],
        )?;
        self.execute(
            "INSERT INTO files (root, path, bytes, modified, complete, scan)
             VALUES (?1, ?2, ?3, ?4, 0, ?5)",
            params![root, path, stamp.bytes as i64, stamp.modified, scan],
        )?;
        Ok(self.db.last_insert_rowid())
    }

    /// Notes that all of a file has been read.
    pub(super) fn complete(&self, file: i64) -> Result<()> {
        self.execute("UPDATE files SET complete = 1 WHERE id = ?1", [file])
    }

    /// Whether a member of an archive has been read.
    pub(super) fn has_member(&self, file: i64, member: &str) -> Result<bool> {
        let mut query = self
            .db
            .prepare_cached("SELECT 1 FROM volumes WHERE file = ?1 AND member = ?2")
            .with_path(&self.path)?;
        query.exists(params![file, member]).with_path(&self.path)
    }

    /// Forgets the files of `root` that scan `scan` did not meet; how many.
    pub(super) fn forget(&self, root: i64, scan: i64) -> Result<usize> {
        self.db
            .execute(
                "DELETE FROM files WHERE root = ?1 AND scan <> ?2",
                params![root, scan],
            )
            .with_path(&self.path)
    }

    /// Adds a volume, in place of what was known at the same place.
    pub(super) fn add(&self, file: i64, record: &Record) -> Result<()> {
        let m = record.measured.as_ref();
        let f = m.and_then(|m| m.foreground.as_ref());
        let triple = |v: Option<[f64; 3]>| v.map_or([None; 3], |v| v.map(Some));
        let spacing = triple(record.spacing);
        let shape = record
            .shape
            .map_or([None; 3], |s| s.map(|n| Some(n as i64)));
        let json = |v: serde_json::Value| v.to_string();
        self.execute(
            schema::INSERT,
            params![
                file,
                record.place.member,
                record.place.frame.map_or(-1, i64::from),
                record.name,
                record.source,
                record.subject,
                record.session,
                record.sequence.name(),
                record.bytes as i64,
                record.sha256,
                shape[0],
                shape[1],
                shape[2],
                record.dims.as_ref().map(|d| json(serde_json::json!(d))),
                spacing[0],
                spacing[1],
                spacing[2],
                record.orientation,
                record.datatype,
                record.manufacturer,
                record.scanner,
                record.field_strength,
                record.site,
                record.age,
                record.sex,
                m.map(|m| f64::from(m.min)),
                m.map(|m| f64::from(m.max)),
                m.map(|m| m.mean),
                m.map(|m| m.deviation),
                m.map(|m| m.non_finite as i64),
                m.map(|m| hex(&m.voxels)),
                f.map(|f| f.share),
                f.map(|f| f.mean),
                f.map(|f| f.deviation),
                f.map(|f| f64::from(f.median)),
                f.map(|f| f64::from(f.p99)),
                f.map(|f| json(serde_json::json!([f.start, f.shape]))),
                codes(&record.reasons),
                record.error,
                record.position.map(|n| n as i64),
            ],
        )
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<()> {
        let mut statement = self.db.prepare_cached(sql).with_path(&self.path)?;
        statement.execute(values).map(drop).with_path(&self.path)
    }
}

/// Reasons as a catalogue holds them: codes joined by commas.
pub(super) fn codes(reasons: &[super::exclude::Reason]) -> String {
    let codes: Vec<&str> = reasons.iter().map(|r| r.code()).collect();
    codes.join(",")
}

/// Keeps other writers out for as long as the file is open. The lock is the system's: a process
/// that is killed leaves none behind.
fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .with_path(&name)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::unsuitable(
            path,
            "another process is writing to this catalogue",
        )),
        Err(std::fs::TryLockError::Error(source)) => Err(source).with_path(&name),
    }
}
