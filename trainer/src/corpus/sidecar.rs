//! What stands beside an image: JSON sidecars, which upper folders pass on, and the tables of
//! participants and of their sessions.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::naming::entity;

/// Largest JSON sidecar or table that is read, in bytes.
pub(super) const MAX_SIDECAR: u64 = 4 << 20;
/// Largest table of participants.
pub(super) const MAX_TABLE: u64 = 64 << 20;

/// What is said about a scan and who was scanned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) manufacturer: Option<String>,
    pub(super) scanner: Option<String>,
    /// Tesla.
    pub(super) field_strength: Option<f64>,
    pub(super) site: Option<String>,
    /// Years.
    pub(super) age: Option<f64>,
    /// `M`, `F` or `O`.
    pub(super) sex: Option<&'static str>,
    /// Description of the series.
    pub(super) series: Option<String>,
    /// DICOM's modality: `MR`, `CT`, `PT`.
    pub(super) modality: Option<String>,
}

impl Facts {
    /// Takes from `other` what is not known.
    pub(super) fn or(self, other: &Self) -> Self {
        Self {
            manufacturer: self.manufacturer.or_else(|| other.manufacturer.clone()),
            scanner: self.scanner.or_else(|| other.scanner.clone()),
            field_strength: self.field_strength.or(other.field_strength),
            site: self.site.or_else(|| other.site.clone()),
            age: self.age.or(other.age),
            sex: self.sex.or(other.sex),
            series: self.series.or_else(|| other.series.clone()),
            modality: self.modality.or_else(|| other.modality.clone()),
        }
    }

    /// Of a JSON sidecar.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let json: Value = serde_json::from_slice(bytes)?;
        let text = |keys: &[&str]| {
            keys.iter().find_map(|k| match json.get(k)? {
                Value::String(s) => known(s),
                Value::Number(n) => Some(n.to_string()),
                _ => None,
            })
        };
        Ok(Self {
            manufacturer: text(&["Manufacturer"]),
            scanner: text(&["ManufacturersModelName", "ManufacturerModelName"]),
            field_strength: text(&["MagneticFieldStrength"]).as_deref().and_then(tesla),
            site: text(&["InstitutionName", "Site"]),
            age: text(&["PatientAge", "Age"]).as_deref().and_then(years),
            sex: text(&["PatientSex", "Sex"]).as_deref().and_then(sex),
            series: text(&["SeriesDescription", "ProtocolName"]),
            modality: text(&["Modality"]),
        })
    }
}

/// Text that says something, without what no catalogue should hold.
fn known(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    let text = text.trim();
    let nothing = ["", "n/a", "na", "nan", "none", "unknown", "null"];
    (!nothing.contains(&text.to_ascii_lowercase().as_str())).then(|| text.to_owned())
}

/// Field strength in tesla; some files hold gauss.
fn tesla(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches(['T', 't']).trim();
    let value: f64 = text.parse().ok()?;
    let value = if value >= 1000.0 {
        value / 10_000.0
    } else {
        value
    };
    (0.001..30.0).contains(&value).then_some(value)
}

/// Age in years: `34`, `34.5`, DICOM's `034Y` and `018M`, `89+`.
fn years(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches('+');
    let (number, factor) = match text.as_bytes().last()? {
        b'Y' | b'y' => (&text[..text.len() - 1], 1.0),
        b'M' | b'm' => (&text[..text.len() - 1], 1.0 / 12.0),
        b'W' | b'w' => (&text[..text.len() - 1], 7.0 / 365.25),
        b'D' | b'd' => (&text[..text.len() - 1], 1.0 / 365.25),
        _ => (text, 1.0),
    };
    let value = number.trim().parse::<f64>().ok()? * factor;
    (0.0..=130.0).contains(&value).then_some(value)
}

fn sex(text: &str) -> Option<&'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "m" | "male" | "man" => Some("M"),
        "f" | "female" | "woman" => Some("F"),
        "o" | "other" => Some("O"),
        _ => None,
    }
}

/// participants.tsv: who is who, by subject without `sub-`. Where it has a column `dataset`, by
/// `dataset/subject`. Or a subject's `_sessions.tsv`, by session without `ses-`.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_name: HashMap<String, Facts>,
    datasets: bool,
}

impl Table {
    /// Parses a table of participants; `None` where it has no column of them.
    pub(super) fn of_participants(bytes: &[u8]) -> Option<Self> {
        Self::parse(bytes, &["participant_id", "subject_id", "subject"], "sub-")
    }

    /// Parses the table of a subject's sessions; `None` where it has no column of them.
    pub(super) fn of_sessions(bytes: &[u8]) -> Option<Self> {
        Self::parse(bytes, &["session_id", "session"], "ses-")
    }

    fn parse(bytes: &[u8], ids: &[&str], prefix: &str) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.trim_start_matches('\u{feff}').lines();
        let head: Vec<String> = lines
            .next()?
            .split('\t')
            .map(|c| c.trim().to_ascii_lowercase())
            .collect();
        let column = |names: &[&str]| {
            let found = |n: &&str| head.iter().position(|c| c == n);
            names.iter().find_map(found)
        };
        let id = column(ids)?;
        let dataset = column(&["dataset"]);
        let age = column(&[
            "age",
            "age_at_scan",
            "age_years",
            "participant_age",
            "age_at_first_scan",
            "age_at_session",
            "session_age",
        ]);
        let sex_column = column(&["sex", "gender", "participant_sex"]);
        let site = column(&["site", "site_id", "center", "centre", "institution"]);
        let scanner = column(&["scanner", "scanner_model", "manufacturers_model_name"]);
        let maker = column(&["manufacturer", "scanner_manufacturer", "vendor"]);
        let strength = column(&[
            "magnetic_field_strength",
            "field_strength",
            "magneticfieldstrength",
            "tesla",
        ]);
        let mut out = HashMap::new();
        for line in lines {
            let cells: Vec<&str> = line.split('\t').collect();
            let cell = |c: Option<usize>| c.and_then(|c| cells.get(c)).and_then(|t| known(t));
            let Some(subject) = cell(Some(id)) else {
                continue;
            };
            let subject = subject.strip_prefix(prefix).unwrap_or(&subject).to_owned();
            let facts = Facts {
                manufacturer: cell(maker),
                scanner: cell(scanner),
                field_strength: cell(strength).as_deref().and_then(tesla),
                site: cell(site),
                age: cell(age).as_deref().and_then(years),
                sex: cell(sex_column).as_deref().and_then(sex),
                ..Facts::default()
            };
            let subject = match cell(dataset) {
                Some(dataset) => format!("{dataset}/{subject}"),
                None => subject,
            };
            // Of several lines for one subject (one a session) the first counts.
            out.entry(subject).or_insert(facts);
        }
        Some(Self {
            by_name: out,
            datasets: dataset.is_some(),
        })
    }

    fn get(&self, name: &str) -> Option<&Facts> {
        let key = if self.datasets { name } else { bare(name) };
        self.by_name.get(key)
    }
}

/// A subject without its data set.
fn bare(subject: &str) -> &str {
    subject.rsplit('/').next().unwrap_or(subject)
}

/// Where sidecars are: a folder or an archive. Paths are relative, with `/`.
pub(super) trait Beside {
    /// The facts of a JSON file, `None` where it is not there or no JSON.
    fn json(&mut self, path: &str) -> Option<Arc<Facts>>;
    /// The table of participants in a folder (`""` is the root).
    fn participants(&mut self, folder: &str) -> Option<Arc<Table>>;
    /// A table of sessions.
    fn sessions(&mut self, path: &str) -> Option<Arc<Table>>;
}

/// Everything that is said about the image `folders/stem`: its own sidecar first, then those that
/// upper folders pass on (BIDS's inheritance), then the table of the subject's sessions, then that
/// of the participants.
pub(super) fn facts(
    beside: &mut dyn Beside,
    folders: &[&str],
    stem: &str,
    subject: Option<&str>,
    session: Option<&str>,
) -> Facts {
    let at = |depth: usize, name: &str| {
        let mut path = folders[..depth].join("/");
        if depth > 0 {
            path.push('/');
        }
        path + name
    };
    let mut out = Facts::default();
    let mut take = |found: Option<Arc<Facts>>| {
        if let Some(found) = found {
            out = std::mem::take(&mut out).or(&found);
        }
    };
    take(beside.json(&at(folders.len(), &format!("{stem}.json"))));
    for name in inherited(stem) {
        for depth in (0..=folders.len()).rev().take(5) {
            take(beside.json(&at(depth, &name)));
        }
    }
    if let (Some(subject), Some(session)) = (subject, session) {
        let own = format!("sub-{}", bare(subject));
        if let Some(depth) = folders.iter().position(|f| *f == own)
            && let Some(table) = beside.sessions(&at(depth + 1, &format!("{own}_sessions.tsv")))
            && let Some(found) = table.get(session)
        {
            out = out.or(found);
        }
    }
    if let Some(subject) = subject {
        for depth in (0..=folders.len()).rev() {
            if let Some(table) = beside.participants(at(depth, "").trim_end_matches('/')) {
                if let Some(found) = table.get(subject) {
                    out = out.or(found);
                }
                break;
            }
        }
    }
    out
}

/// Names of sidecars that apply to a BIDS file, the most special first: the same suffix and fewer
/// entities.
fn inherited(stem: &str) -> Vec<String> {
    let Some((_, suffix)) = stem.rsplit_once('_') else {
        return Vec::new();
    };
    let Some(subject) = entity(stem, "sub") else {
        return Vec::new();
    };
    let mut heads = Vec::new();
    if let Some(session) = entity(stem, "ses") {
        heads.push(format!("sub-{subject}_ses-{session}_"));
    }
    heads.push(format!("sub-{subject}_"));
    heads.push(String::new());
    let mut middles = Vec::new();
    for key in ["task", "acq"] {
        if let Some(value) = entity(stem, key) {
            middles.push(format!("{key}-{value}_"));
        }
    }
    middles.push(String::new());
    let names = heads
        .iter()
        .flat_map(|h| middles.iter().map(move |m| format!("{h}{m}{suffix}.json")));
    names
        .filter(|n| n.strip_suffix(".json") != Some(stem))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Map(HashMap<&'static str, &'static str>);

    impl Beside for Map {
        fn json(&mut self, path: &str) -> Option<Arc<Facts>> {
            Some(Arc::new(
                Facts::from_json(self.0.get(path)?.as_bytes()).ok()?,
            ))
        }

        fn participants(&mut self, folder: &str) -> Option<Arc<Table>> {
            let path = match folder {
                "" => "participants.tsv".to_owned(),
                folder => format!("{folder}/participants.tsv"),
            };
            Table::of_participants(self.0.get(path.as_str())?.as_bytes()).map(Arc::new)
        }

        fn sessions(&mut self, path: &str) -> Option<Arc<Table>> {
            Table::of_sessions(self.0.get(path)?.as_bytes()).map(Arc::new)
        }
    }

    #[test]
    fn near_sidecars_win_over_far_ones() {
        let mut tree = Map(HashMap::from([
            (
                "ds/sub-01/ses-1/anat/sub-01_ses-1_acq-a_T1w.json",
                r#"{"MagneticFieldStrength": 3, "PatientAge": "034Y"}"#,
            ),
            (
                "ds/sub-01/sub-01_T1w.json",
                r#"{"MagneticFieldStrength": 1.5, "ManufacturersModelName": "Prisma"}"#,
            ),
            (
                "ds/T1w.json",
                r#"{"ManufacturersModelName": "Trio", "Manufacturer": "Siemens", "InstitutionName": "n/a"}"#,
            ),
            (
                "ds/participants.tsv",
                "participant_id\tage\tsex\tsite\nsub-02\t1\tM\tx\nsub-01\t60\tF\tOslo\n",
            ),
        ]));
        let folders = ["ds", "sub-01", "ses-1", "anat"];
        let found = facts(
            &mut tree,
            &folders,
            "sub-01_ses-1_acq-a_T1w",
            Some("01"),
            Some("1"),
        );
        assert_eq!(
            found,
            Facts {
                manufacturer: Some("Siemens".into()),
                scanner: Some("Prisma".into()),
                field_strength: Some(3.0),
                site: Some("Oslo".into()),
                age: Some(34.0),
                sex: Some("F"),
                ..Facts::default()
            }
        );
        // Another suffix inherits nothing of T1w.
        let found = facts(
            &mut tree,
            &folders,
            "sub-01_ses-1_T2w",
            Some("01"),
            Some("1"),
        );
        assert_eq!((found.scanner, found.age), (None, Some(60.0)));
    }

    #[test]
    fn sessions_have_ages_of_their_own() {
        let mut tree = Map(HashMap::from([
            (
                "participants.tsv",
                "participant_id\tage\tsex\nsub-01\t60\tF\n",
            ),
            (
                "sub-01/sub-01_sessions.tsv",
                "session_id\tacq_time\tage\tsite\nses-a\t2020\t61.5\tx\nses-b\tn/a\tn/a\ty\n",
            ),
        ]));
        let mut of = |subject, session| {
            let name = format!("ses-{session}");
            let folders = ["sub-01", &name, "anat"];
            let found = facts(&mut tree, &folders, "x_T1w", Some(subject), Some(session));
            (found.age, found.sex, found.site)
        };
        assert_eq!(of("01", "a"), (Some(61.5), Some("F"), Some("x".into())));
        assert_eq!(of("ds/01", "b"), (Some(60.0), Some("F"), Some("y".into())));
        assert_eq!(of("01", "c"), (Some(60.0), Some("F"), None));
        assert!(Table::of_sessions(b"participant_id\tage\n").is_none());
    }

    #[test]
    fn ages_and_strengths_have_many_forms() {
        assert_eq!(years("034Y"), Some(34.0));
        assert_eq!(years("018M"), Some(1.5));
        assert_eq!(years("89+"), Some(89.0));
        assert_eq!(years("n/a"), None);
        assert_eq!(years("-4"), None);
        assert_eq!(tesla("15000"), Some(1.5));
        assert_eq!(tesla("3T"), Some(3.0));
        assert_eq!(tesla("nan"), None);
        assert_eq!(sex("Female"), Some("F"));
        assert_eq!(sex("1"), None);
    }

    #[test]
    fn subjects_of_several_data_sets_are_told_apart() {
        let text = b"dataset\tparticipant_id\tage\na\tsub_1\t30\nb\tsub_1\t50\n";
        let table = Table::of_participants(text).expect("a table");
        let age = |s| table.get(s).and_then(|f| f.age);
        assert_eq!(
            (age("a/sub_1"), age("b/sub_1"), age("sub_1")),
            (Some(30.0), Some(50.0), None)
        );
    }

    #[test]
    fn tables_without_participants_are_none() {
        assert!(Table::of_participants(b"a\tb\n1\t2\n").is_none());
        assert!(Table::of_participants(b"").is_none());
    }
}
