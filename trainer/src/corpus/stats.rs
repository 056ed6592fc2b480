//! What a corpus is made of: counts and histograms, as SQLite computes them.

use serde::Serialize;

use super::catalogue::{Catalogue, Selected};
use super::exclude::Reason;
use crate::error::Result;

/// Lines of a table of names; the rest is summed up as "other".
const MOST_NAMES: usize = 24;
/// Field strengths in tesla that scanners are sold with, to which nominal ones are rounded.
const FIELD_STRENGTHS: [f64; 8] = [0.064, 0.3, 0.55, 1.0, 1.5, 3.0, 4.7, 7.0];

/// A corpus' composition.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Composition {
    /// Volumes and those that are used.
    #[serde(flatten)]
    pub total: Totals,
    /// By data set.
    pub sources: Vec<Source>,
    /// By kind of image.
    pub sequences: Vec<Count>,
    /// By voxel edges in mm, sorted from small to large and rounded to 0.1.
    pub spacings: Vec<Count>,
    /// Smallest voxel edge in mm, bins of 0.25.
    pub finest: Vec<Bin>,
    /// Largest voxel edge in mm, bins of 0.5: the distance of slices.
    pub coarsest: Vec<Bin>,
    /// By maker and model.
    pub scanners: Vec<Count>,
    /// By field strength in tesla.
    pub field_strengths: Vec<Count>,
    /// By place.
    pub sites: Vec<Count>,
    /// By sex.
    pub sexes: Vec<Count>,
    /// Age in years, bins of 5.
    pub ages: Vec<Bin>,
    /// Share of the voxels that are foreground, bins of 0.05.
    pub foreground: Vec<Bin>,
    /// Why volumes are not used; one may have several reasons.
    pub reasons: Vec<ReasonCount>,
    /// Verdicts of a corpus description.
    pub verdicts: Vec<Count>,
    /// Why preparing failed.
    pub quarantined: Vec<Count>,
}

/// Sums over a catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Volumes in the catalogue.
    pub volumes: u64,
    /// Volumes that are used.
    pub used: u64,
    /// Voxels of these.
    pub voxels: u64,
    /// Subjects, as far as they are known.
    pub subjects: u64,
    /// Sessions, as far as they are known.
    pub sessions: u64,
    /// Bytes of all files and members.
    pub bytes: u64,
}

/// A data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Volumes in the catalogue.
    pub volumes: u64,
    /// Volumes that are used.
    pub used: u64,
    /// Subjects, as far as they are known.
    pub subjects: u64,
    /// Sessions, as far as they are known.
    pub sessions: u64,
    /// Bytes of all files and members.
    pub bytes: u64,
}

/// Volumes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The kind.
    pub name: String,
    /// Volumes in the catalogue.
    pub volumes: u64,
    /// Volumes that are used.
    pub used: u64,
}

/// Volumes from `from` to below `to`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Smallest value.
    pub from: f64,
    /// First value of the next bin.
    pub to: f64,
    /// Volumes in the catalogue.
    pub volumes: u64,
    /// Volumes that are used.
    pub used: u64,
}

/// Volumes with a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// The reason.
    pub reason: Reason,
    /// Volumes that have it.
    pub volumes: u64,
    /// Volumes that have no other.
    pub alone: u64,
}

impl Composition {
    /// Counts what is in a catalogue.
    ///
    /// # Errors
    ///
    /// [`Error::Catalogue`](crate::Error::Catalogue).
    pub fn of(catalogue: &Catalogue) -> Result<Self> {
        let Selected {
            volumes,
            used,
            voxels,
        } = catalogue.selected()?;
        let [subjects, sessions, bytes] = catalogue.sums()?;
        let names = |sql: &str| catalogue.counts(sql).map(shortened);
        let mut reasons = Vec::new();
        for reason in Reason::ALL {
            let [volumes, alone] = catalogue.with_reason(reason.code())?;
            if volumes > 0 {
                reasons.push(ReasonCount {
                    reason,
                    volumes,
                    alone,
                });
            }
        }
        Ok(Self {
            total: Totals {
                volumes,
                used,
                voxels,
                subjects,
                sessions,
                bytes,
            },
            sources: catalogue.sources()?,
            sequences: names("v.sequence")?,
            spacings: names(SPACING)?,
            finest: catalogue.bins("min(v.spacing_x, v.spacing_y, v.spacing_z)", 0.25, 5.0)?,
            coarsest: catalogue.bins("max(v.spacing_x, v.spacing_y, v.spacing_z)", 0.5, 12.0)?,
            scanners: names(
                "nullif(trim(coalesce(v.manufacturer, '') || ' ' || coalesce(v.scanner, '')), '')",
            )?,
            field_strengths: strengths(catalogue.counts("round(v.field_strength, 3)")?),
            sites: names("v.site")?,
            sexes: names("v.sex")?,
            ages: catalogue.bins("v.age", 5.0, 100.0)?,
            foreground: catalogue.bins("v.foreground_share", 0.05, 1.0)?,
            reasons,
            verdicts: names(
                "iif(v.verdict IS NULL, NULL, iif(v.kept, 'kept: ', 'not kept: ') || v.verdict)",
            )?
            .into_iter()
            .filter(|c| c.name != UNKNOWN)
            .collect(),
            quarantined: names("v.quarantined")?
                .into_iter()
                .filter(|c| c.name != UNKNOWN)
                .collect(),
        })
    }
}

/// What a kind that is not known is called.
pub(super) const UNKNOWN: &str = "unknown";

/// The three edges from small to large.
const SPACING: &str = "iif(v.spacing_x IS NULL, NULL,
  printf('%.1f x %.1f x %.1f mm', min(v.spacing_x, v.spacing_y, v.spacing_z),
    v.spacing_x + v.spacing_y + v.spacing_z - min(v.spacing_x, v.spacing_y, v.spacing_z)
      - max(v.spacing_x, v.spacing_y, v.spacing_z),
    max(v.spacing_x, v.spacing_y, v.spacing_z)))";

/// The most frequent names, and the others together.
fn shortened(mut counts: Vec<Count>) -> Vec<Count> {
    if counts.len() > MOST_NAMES {
        let rest = counts.split_off(MOST_NAMES - 1);
        counts.push(Count {
            name: format!("{} others", rest.len()),
            volumes: rest.iter().map(|c| c.volumes).sum(),
            used: rest.iter().map(|c| c.used).sum(),
        });
    }
    counts
}

/// Field strengths by what scanners are sold with: 2.89 T is 3 T.
fn strengths(counts: Vec<Count>) -> Vec<Count> {
    let mut out: Vec<Count> = Vec::new();
    for count in counts {
        let nominal = count.name.parse::<f64>().ok().map(|value| {
            let near = |known: &&f64| (*known - value).abs() <= 0.08 * **known;
            FIELD_STRENGTHS.iter().find(near).copied().unwrap_or(value)
        });
        let name = nominal.map_or(count.name, |n| format!("{n} T"));
        match out.iter_mut().find(|c| c.name == name) {
            Some(known) => {
                known.volumes += count.volumes;
                known.used += count.used;
            }
            None => out.push(Count { name, ..count }),
        }
    }
    out.sort_by(|a, b| b.volumes.cmp(&a.volumes).then_with(|| a.name.cmp(&b.name)));
    shortened(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, volumes: u64) -> Count {
        Count {
            name: name.into(),
            volumes,
            used: volumes / 2,
        }
    }

    #[test]
    fn field_strengths_are_those_of_the_shop() {
        let found = strengths(vec![
            count("2.894", 4),
            count("1.494", 2),
            count("3.0", 6),
            count(UNKNOWN, 1),
            count("9.4", 1),
        ]);
        let names: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.volumes)).collect();
        assert_eq!(
            names,
            [("3 T", 10), ("1.5 T", 2), ("9.4 T", 1), (UNKNOWN, 1)]
        );
    }

    #[test]
    fn long_tables_are_cut() {
        let all: Vec<_> = (0..40)
            .map(|i| count(&format!("s{i:02}"), 100 - i))
            .collect();
        let short = shortened(all.clone());
        assert_eq!(short.len(), MOST_NAMES);
        let sum = |c: &[Count]| c.iter().map(|c| c.volumes).sum::<u64>();
        assert_eq!(sum(&short), sum(&all));
        assert_eq!(short[MOST_NAMES - 1].name, "17 others");
    }
}
