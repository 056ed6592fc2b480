//! Runs side by side: where they are, and what their configurations differ in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use walkdir::WalkDir;

use super::follow::Follower;
use super::history::{History, Summary};
use crate::error::{Error, Result};
use crate::train::log::{FILE, now};

/// How deep below a folder runs are looked for.
const DEPTH: usize = 4;
/// Runs whose names are asked for too often are not listed: more is no comparison.
const MAX_RUNS: usize = 1000;

/// The folders of runs in a folder, itself included, in the order of their names. A run's own
/// folder is not searched for others.
///
/// # Errors
///
/// [`Error::Unsuitable`] where there is none, or more than a thousand.
pub fn find_runs(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut runs = Vec::new();
    let mut walk = WalkDir::new(folder)
        .max_depth(DEPTH)
        .sort_by_file_name()
        .into_iter();
    while let Some(entry) = walk.next() {
        // A folder that cannot be read has no runs to show.
        let Ok(entry) = entry else { continue };
        if entry.file_type().is_dir() && entry.path().join(FILE).is_file() {
            runs.push(entry.path().to_owned());
            walk.skip_current_dir();
        }
    }
    match runs.len() {
        0 => Err(Error::unsuitable(
            folder,
            format!("there is no run here: no `{FILE}` in it or up to {DEPTH} folders below"),
        )),
        1..=MAX_RUNS => Ok(runs),
        n => Err(Error::unsuitable(folder, format!("{n} runs are too many"))),
    }
}

/// A run in a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its folder.
    pub folder: PathBuf,
    /// Where it is and how it does.
    #[serde(flatten)]
    pub summary: Summary,
    /// The values of the settings that differ between the runs; `null` where it has none.
    pub settings: BTreeMap<String, Value>,
}

/// Runs side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The settings that differ, by their path in the configuration.
    pub differing: Vec<String>,
    /// The runs.
    pub runs: Vec<Row>,
    /// Folders whose logs cannot be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Compares the runs in some folders.
pub fn compare(folders: &[PathBuf]) -> Comparison {
    let mut unreadable = Vec::new();
    let mut histories = Vec::new();
    for folder in folders {
        let mut follower = Follower::new(folder);
        match follower.poll() {
            Ok(_) => histories.push((folder.clone(), follower.history().clone())),
            Err(error) => unreadable.push((folder.clone(), error.to_string())),
        }
    }
    let histories: Vec<(PathBuf, &History)> =
        histories.iter().map(|(f, h)| (f.clone(), h)).collect();
    Comparison {
        unreadable,
        ..beside(&histories, now())
    }
}

/// Compares histories, `now` being seconds since 1970.
pub(super) fn beside(histories: &[(PathBuf, &History)], now: f64) -> Comparison {
    let mut rows = Vec::new();
    let mut all = Vec::new();
    for (folder, history) in histories {
        if let (Some(summary), Some(run)) = (history.summary(now), &history.run) {
            let mut settings = BTreeMap::new();
            flatten(String::new(), &run.config, &mut settings);
            rows.push((folder.clone(), summary));
            all.push(settings);
        }
    }
    let names: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let differs = |name: &&&String| {
        let first = all.first().and_then(|s| s.get(**name));
        all.iter().any(|s| s.get(**name) != first)
    };
    let differing: Vec<String> = names.iter().filter(differs).map(|n| (*n).clone()).collect();
    let runs = rows
        .into_iter()
        .zip(&all)
        .map(|((folder, summary), settings)| Row {
            folder,
            summary,
            settings: differing
                .iter()
                .map(|name| {
                    let value = settings.get(name).cloned().unwrap_or_default();
                    (name.clone(), value)
                })
                .collect(),
        })
        .collect();
    Comparison {
        differing,
        runs,
        unreadable: Vec::new(),
    }
}

/// The leaves of a configuration by their paths, such as `optimiser.lr`. Lists are leaves.
fn flatten(path: String, value: &Value, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                flatten(path, value, out);
            }
        }
        value => {
            out.insert(path, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::history::tests::{run, step};
    use super::*;
    use crate::train::log::{Logger, Record};

    fn write(folder: &Path, config: Value, steps: u64) {
        std::fs::create_dir_all(folder).expect("a folder");
        let mut log = Logger::create(folder).expect("a log");
        let mut run = run(&folder.file_name().expect("a name").to_string_lossy());
        run.config = config;
        log.write(&Record::Run(run)).expect("written");
        for i in 1..=steps {
            log.write(&Record::Step(step(i))).expect("written");
        }
    }

    #[test]
    fn runs_are_compared_by_what_differs() {
        let folder = tempfile::tempdir().expect("a folder");
        let a = json!({"lr": 1e-4, "model": {"name": "b"}, "augment": {"preset": "all"}});
        let b =
            json!({"lr": 1e-4, "model": {"name": "xl"}, "augment": {"preset": "all"}, "ema": 0.9});
        write(&folder.path().join("x/first"), a, 10);
        write(&folder.path().join("second"), b, 4);
        let broken = folder.path().join("third");
        std::fs::create_dir_all(&broken).expect("a folder");
        std::fs::write(broken.join(FILE), "no JSON\n").expect("written");

        let folders = find_runs(folder.path()).expect("three runs");
        assert_eq!(folders.len(), 3);
        let found = compare(&folders);
        assert_eq!(found.differing, ["ema", "model.name"]);
        let names: Vec<&str> = found.runs.iter().map(|r| r.summary.name.as_str()).collect();
        assert_eq!(names, ["second", "first"]);
        assert_eq!(found.runs[0].settings["model.name"], json!("xl"));
        assert_eq!(found.runs[1].settings["ema"], Value::Null);
        assert_eq!(found.runs[1].summary.step, 10);
        assert_eq!(found.unreadable.len(), 1);
        assert!(found.unreadable[0].1.contains("third"));
    }

    #[test]
    fn no_run_is_an_error_that_names_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = find_runs(folder.path()).expect_err("no run").to_string();
        assert!(error.contains("no run") && error.contains(FILE), "{error}");
    }
}
