//! What a corpus description says of the volumes of a catalogue, and notes beside them.

use rusqlite::{OptionalExtension, params};

use super::Catalogue;
use crate::corpus::exclude::Reason;
use crate::error::{Result, WithPath};

/// Volumes that are changed between two commits.
const PAGE: i64 = 1024;

impl Catalogue {
    /// Keeps no volume; `why` is the verdict on all.
    pub(in crate::corpus) fn keep_none(&self, why: &str) -> Result<()> {
        self.begin()?;
        self.execute(
            "UPDATE volumes SET kept = 0, verdict = ?1, weight = NULL",
            [why],
        )?;
        self.commit()
    }

    /// Keeps the volumes of a source against which nothing speaks but what is allowed; how many.
    pub(in crate::corpus) fn keep(
        &self,
        source: &str,
        allow: &[Reason],
        weight: Option<f64>,
    ) -> Result<u64> {
        let (mut after, mut used) = (0, 0);
        loop {
            let page: Vec<(i64, String)> = {
                let mut query = self
                    .db
                    .prepare_cached(
                        "SELECT id, reasons FROM volumes WHERE source = ?1 AND id > ?2
                         ORDER BY id LIMIT ?3",
                    )
                    .with_path(&self.path)?;
                let rows = query
                    .query_map(params![source, after, PAGE], |r| Ok((r.get(0)?, r.get(1)?)))
                    .with_path(&self.path)?;
                rows.collect::<rusqlite::Result<_>>()
                    .with_path(&self.path)?
            };
            let Some((last, _)) = page.last() else {
                return Ok(used);
            };
            after = *last;
            self.begin()?;
            for (id, reasons) in &page {
                let (mut against, mut allowed) = (Vec::new(), Vec::new());
                for reason in reasons.split(',').filter_map(Reason::from_code) {
                    match allow.contains(&reason) {
                        true => allowed.push(reason.code()),
                        false => against.push(reason.code()),
                    }
                }
                let verdict = match (against.as_slice(), allowed.as_slice()) {
                    ([], []) => "nothing against it".to_owned(),
                    ([], allowed) => format!("allowed: {}", allowed.join(", ")),
                    (against, _) => against.join(", "),
                };
                used += u64::from(against.is_empty());
                self.execute(
                    "UPDATE volumes SET kept = ?2, verdict = ?3, weight = ?4 WHERE id = ?1",
                    params![id, against.is_empty(), verdict, weight],
                )?;
            }
            self.commit()?;
        }
    }

    /// Keeps a piece of text beside the volumes.
    pub(in crate::corpus) fn set_note(&self, key: &str, value: &str) -> Result<()> {
        self.execute(
            "INSERT OR REPLACE INTO notes (key, value) VALUES (?1, ?2)",
            params![key, value],
        )
    }

    /// A piece of text kept beside the volumes.
    pub(in crate::corpus) fn note(&self, key: &str) -> Result<Option<String>> {
        self.db
            .query_row("SELECT value FROM notes WHERE key = ?1", [key], |r| {
                r.get(0)
            })
            .optional()
            .with_path(&self.path)
    }

    /// The corpus whose description chose the volumes, if one did.
    ///
    /// # Errors
    ///
    /// [`Error::Catalogue`](crate::Error::Catalogue).
    pub fn corpus(&self) -> Result<Option<String>> {
        self.note(crate::corpus::assemble::CORPUS_NOTE)
    }
}
