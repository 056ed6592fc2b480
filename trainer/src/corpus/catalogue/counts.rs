//! Counting in a catalogue.

use rusqlite::Row;

use super::Catalogue;
use super::query::USED;
use crate::corpus::stats::{Bin, Count, Source, UNKNOWN};
use crate::error::{Result, WithPath};

fn number(r: &Row<'_>, i: usize) -> rusqlite::Result<u64> {
    r.get::<_, Option<i64>>(i).map(|n| n.unwrap_or(0) as u64)
}

impl Catalogue {
    fn rows<T>(
        &self,
        sql: &str,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut query = self.db.prepare(sql).with_path(&self.path)?;
        let rows = query.query_map([], row).with_path(&self.path)?;
        rows.collect::<rusqlite::Result<_>>().with_path(&self.path)
    }

    /// Subjects, sessions and bytes.
    pub(in crate::corpus) fn sums(&self) -> Result<[u64; 3]> {
        let sql = "SELECT
            (SELECT count(*) FROM (SELECT DISTINCT source, subject FROM volumes WHERE subject IS NOT NULL)),
            (SELECT count(*) FROM (SELECT DISTINCT source, subject, session FROM volumes WHERE session IS NOT NULL)),
            (SELECT sum(bytes) FROM volumes WHERE frame <= 0)";
        let rows = self.rows(sql, |r| Ok([number(r, 0)?, number(r, 1)?, number(r, 2)?]))?;
        Ok(rows.first().copied().unwrap_or_default())
    }

    /// Volumes that have a reason, and those that have no other.
    pub(in crate::corpus) fn with_reason(&self, code: &str) -> Result<[u64; 2]> {
        // Codes are letters, digits and underscores.
        let sql = format!(
            "SELECT count(*), sum(reasons = '{code}') FROM volumes
             WHERE ',' || reasons || ',' GLOB '*,{code},*'"
        );
        let rows = self.rows(&sql, |r| Ok([number(r, 0)?, number(r, 1)?]))?;
        Ok(rows.first().copied().unwrap_or_default())
    }

    /// Volumes by the text of an expression, the most frequent first.
    pub(in crate::corpus) fn counts(&self, expression: &str) -> Result<Vec<Count>> {
        let sql = format!(
            "SELECT coalesce(cast({expression} AS TEXT), '{UNKNOWN}') AS kind, count(*) AS n, sum({USED})
             FROM volumes v GROUP BY kind ORDER BY n DESC, kind"
        );
        self.rows(&sql, |r| {
            Ok(Count {
                name: r.get(0)?,
                volumes: number(r, 1)?,
                used: number(r, 2)?,
            })
        })
    }

    /// Volumes by a number, in bins of `width`; the last one, from `end`, takes all above.
    pub(in crate::corpus) fn bins(
        &self,
        expression: &str,
        width: f64,
        end: f64,
    ) -> Result<Vec<Bin>> {
        let last = (end / width).round() as i64;
        let sql = format!(
            // A little more, so that 0.3 is in the bin that starts at 0.3.
            "SELECT min(cast(({expression}) / {width} + 1e-9 AS INTEGER), {last}) AS bin, count(*), sum({USED})
             FROM volumes v WHERE ({expression}) >= 0 GROUP BY bin ORDER BY bin"
        );
        let found = self.rows(&sql, |r| {
            Ok((r.get::<_, i64>(0)?, number(r, 1)?, number(r, 2)?))
        })?;
        let (Some(first), Some(stop)) = (found.first(), found.last()) else {
            return Ok(Vec::new());
        };
        // Empty bins in between are shown as such.
        let bin = |i: i64| {
            let (volumes, used) = found
                .iter()
                .find(|b| b.0 == i)
                .map_or((0, 0), |b| (b.1, b.2));
            Bin {
                from: i as f64 * width,
                to: (i + 1) as f64 * width,
                volumes,
                used,
            }
        };
        Ok((first.0..=stop.0).map(bin).collect())
    }

    /// The data sets, by name.
    pub(in crate::corpus) fn sources(&self) -> Result<Vec<Source>> {
        let sql = format!(
            "SELECT source, count(*), sum({USED}), count(DISTINCT subject),
               count(DISTINCT iif(session IS NULL, NULL, coalesce(subject, '') || '/' || session)),
               sum(iif(frame <= 0, bytes, 0))
             FROM volumes v GROUP BY source ORDER BY source"
        );
        self.rows(&sql, |r| {
            Ok(Source {
                name: r.get(0)?,
                volumes: number(r, 1)?,
                used: number(r, 2)?,
                subjects: number(r, 3)?,
                sessions: number(r, 4)?,
                bytes: number(r, 5)?,
            })
        })
    }
}
