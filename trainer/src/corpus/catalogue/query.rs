//! Questions to a catalogue: duplicates, what is used, and counts.

use std::path::PathBuf;

use rusqlite::{Row, params};

use super::Catalogue;
use crate::corpus::exclude::Reason;
use crate::corpus::record::Where;
use crate::error::{Result, WithPath};

/// A volume that is to be prepared.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The catalogue's own number.
    pub id: i64,
    /// That of its file.
    pub file: i64,
    /// Name in the store.
    pub name: String,
    /// The folder or archive that was scanned.
    pub root: PathBuf,
    /// Where it is in there.
    pub place: Where,
    /// Where a member of an archive starts: its offset in a .tar, its index in a .zip.
    pub position: Option<u64>,
    /// Bytes of the file or member.
    pub bytes: u64,
    /// The data set.
    pub source: String,
    /// Who.
    pub subject: Option<String>,
    /// When.
    pub session: Option<String>,
    /// What kind of image.
    pub sequence: String,
    /// Place of the scan.
    pub site: Option<String>,
    /// SHA-256 of the file or member.
    pub sha256: Option<String>,
    /// Voxels along each axis.
    pub shape: [usize; 3],
    /// Voxel edges in mm.
    pub spacing: [f64; 3],
    /// How often it is drawn, beside others.
    pub weight: Option<f64>,
}

/// How many volumes there are, and how many are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// All volumes.
    pub volumes: u64,
    /// Those that are used.
    pub used: u64,
    /// Voxels of those.
    pub voxels: u64,
}

/// The volumes that are used: those that a corpus description keeps, or, without one, those that
/// nothing speaks against.
pub(in crate::corpus) const USED: &str = "coalesce(v.kept, v.reasons = '')";

/// The used volumes and where they are.
const ENTRY: &str = "SELECT v.id, v.name, r.path, f.path, v.member, v.frame, v.source, v.subject,
   v.session, v.sequence, v.site, v.sha256, v.shape_x, v.shape_y, v.shape_z,
   v.spacing_x, v.spacing_y, v.spacing_z, v.weight, v.file, v.position, v.bytes
 FROM volumes v JOIN files f ON f.id = v.file JOIN roots r ON r.id = f.root
 WHERE coalesce(v.kept, v.reasons = '') AND v.shape_x IS NOT NULL AND v.spacing_x IS NOT NULL";

/// Volumes with their files, in the order of every list.
const ORDER: &str = "v.source, f.path, v.member, v.frame";

impl Catalogue {
    /// Finds volumes with the same voxels. The first of those, in the order of source and path and
    /// by preference one that nothing else speaks against, stays; the others are duplicates of it.
    pub(in crate::corpus) fn find_duplicates(&self) -> Result<u64> {
        let code = Reason::Duplicate.code();
        // The code is last in every list of reasons.
        self.run(&format!(
            "UPDATE volumes SET duplicate_of = NULL,
               reasons = CASE reasons WHEN '{code}' THEN ''
                 ELSE substr(reasons, 1, length(reasons) - length(',{code}')) END
             WHERE duplicate_of IS NOT NULL"
        ))?;
        let n = self
            .db
            .execute(
                &format!(
                    "WITH same AS (
                       SELECT v.id, row_number() OVER w AS place, first_value(v.name) OVER w AS first
                       FROM volumes v JOIN files f ON f.id = v.file
                       WHERE v.voxels IN
                         (SELECT voxels FROM volumes GROUP BY voxels HAVING count(*) > 1)
                       WINDOW w AS (PARTITION BY v.voxels ORDER BY v.reasons <> '', {ORDER}, f.root)
                     )
                     UPDATE volumes SET duplicate_of = same.first,
                       reasons = iif(reasons = '', ?1, reasons || ',' || ?1)
                     FROM same WHERE same.id = volumes.id AND same.place > 1"
                ),
                [code],
            )
            .with_path(&self.path)?;
        Ok(n as u64)
    }

    /// How many volumes there are and how many are used.
    ///
    /// # Errors
    ///
    /// [`Error::Catalogue`](crate::Error::Catalogue).
    pub fn selected(&self) -> Result<Selected> {
        let sql = format!(
            "SELECT count(*), coalesce(sum({USED}), 0),
               coalesce(sum(iif({USED}, shape_x * shape_y * shape_z, 0)), 0) FROM volumes v"
        );
        let number = |r: &Row<'_>, i| r.get::<_, i64>(i).map(|n| n as u64);
        self.db
            .query_row(&sql, [], |r| {
                Ok(Selected {
                    volumes: number(r, 0)?,
                    used: number(r, 1)?,
                    voxels: number(r, 2)?,
                })
            })
            .with_path(&self.path)
    }

    /// The next volumes that are used, after the one of number `after`, at most `count`. The order
    /// is the catalogue's own, so that memory does not grow with it.
    ///
    /// # Errors
    ///
    /// [`Error::Catalogue`](crate::Error::Catalogue).
    pub fn used_after(&self, after: i64, count: usize) -> Result<Vec<Entry>> {
        let sql = format!("{ENTRY} AND v.id > ?1 ORDER BY v.id LIMIT ?2");
        let mut query = self.db.prepare_cached(&sql).with_path(&self.path)?;
        let rows = query
            .query_map(params![after, count as i64], entry)
            .with_path(&self.path)?;
        rows.collect::<rusqlite::Result<_>>().with_path(&self.path)
    }

    /// The volumes that are used of one file.
    pub(in crate::corpus) fn used_of_file(&self, file: i64) -> Result<Vec<Entry>> {
        let sql = format!("{ENTRY} AND v.file = ?1 ORDER BY v.id");
        let mut query = self.db.prepare_cached(&sql).with_path(&self.path)?;
        let rows = query.query_map([file], entry).with_path(&self.path)?;
        rows.collect::<rusqlite::Result<_>>().with_path(&self.path)
    }

    /// The volumes that are used of one member of an archive.
    pub(in crate::corpus) fn used_member(&self, file: i64, member: &str) -> Result<Vec<Entry>> {
        let sql = format!("{ENTRY} AND v.file = ?1 AND v.member = ?2 ORDER BY v.frame");
        let mut query = self.db.prepare_cached(&sql).with_path(&self.path)?;
        let rows = query
            .query_map(params![file, member], entry)
            .with_path(&self.path)?;
        rows.collect::<rusqlite::Result<_>>().with_path(&self.path)
    }

    /// Writes down which volumes could not be prepared and why, in place of what was known.
    pub(in crate::corpus) fn set_quarantine(
        &self,
        found: impl Iterator<Item = (String, String)>,
    ) -> Result<()> {
        self.begin()?;
        self.run("UPDATE volumes SET quarantined = NULL WHERE quarantined IS NOT NULL")?;
        for (name, reason) in found {
            self.execute(
                "UPDATE volumes SET quarantined = ?2 WHERE name = ?1",
                params![name, reason],
            )?;
        }
        self.commit()
    }
}

fn entry(r: &Row<'_>) -> rusqlite::Result<Entry> {
    let size = |i| r.get::<_, i64>(i).map(|n| n as usize);
    Ok(Entry {
        id: r.get(0)?,
        name: r.get(1)?,
        root: PathBuf::from(r.get::<_, String>(2)?),
        place: Where {
            path: r.get(3)?,
            member: r.get(4)?,
            frame: u32::try_from(r.get::<_, i64>(5)?).ok(),
        },
        source: r.get(6)?,
        subject: r.get(7)?,
        session: r.get(8)?,
        sequence: r.get(9)?,
        site: r.get(10)?,
        sha256: r.get(11)?,
        shape: [size(12)?, size(13)?, size(14)?],
        spacing: [r.get(15)?, r.get(16)?, r.get(17)?],
        weight: r.get(18)?,
        file: r.get(19)?,
        position: r.get::<_, Option<i64>>(20)?.map(|n| n as u64),
        bytes: r.get::<_, i64>(21)? as u64,
    })
}
