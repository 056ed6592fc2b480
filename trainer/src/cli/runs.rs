//! `amaes runs`: runs side by side.

use std::path::PathBuf;

use amaes::dashboard::{Comparison, Row, compare, find_runs};
use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::{print, print_json, text};

#[derive(Debug, Args)]
pub(super) struct Runs {
    /// Folders of runs, or folders that hold such folders
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV
    #[arg(long)]
    csv: bool,
}

impl Runs {
    pub(super) fn run(&self) -> Result<()> {
        let mut folders = Vec::new();
        for folder in &self.folders {
            folders.extend(find_runs(folder)?);
        }
        folders.dedup();
        let found = compare(&folders);
        for (_, error) in &found.unreadable {
            eprintln!("note: left out: {error}");
        }
        if self.json {
            return print_json(&found);
        }
        let rows = table(&found);
        if self.csv {
            let lines = rows.iter().map(|row| {
                let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
                cells.join(",") + "\n"
            });
            return print(&lines.collect::<String>());
        }
        print(&text::table(&rows))
    }
}

/// A heading and a row for each run.
fn table(found: &Comparison) -> Vec<Vec<String>> {
    let heading = [
        "run",
        "state",
        "step",
        "steps",
        "loss",
        "masked",
        "visible",
        "validation",
        "best",
        "Dice",
        "best Dice",
        "samples/s",
        "waiting",
        "MiB",
        "hours",
    ];
    let heading = heading.map(str::to_owned).into_iter();
    let mut rows = vec![heading.chain(found.differing.iter().cloned()).collect()];
    rows.extend(found.runs.iter().map(|run| cells(run, &found.differing)));
    rows
}

fn cells(run: &Row, differing: &[String]) -> Vec<String> {
    let s = &run.summary;
    let number =
        |v: Option<f64>, digits: usize| v.map_or_else(String::new, |v| format!("{v:.digits$}"));
    let mut cells = vec![
        s.name.clone(),
        s.state.name().to_owned(),
        s.step.to_string(),
        s.steps.to_string(),
        number(s.loss, 5),
        number(s.masked_loss, 5),
        number(s.visible_loss, 5),
        number(s.validation_loss, 5),
        number(s.best_validation.map(|(loss, _)| loss), 5),
        number(s.dice, 4),
        number(s.best_dice.map(|(dice, _)| dice), 4),
        number(s.samples_per_s, 2),
        number(s.waiting, 2),
        number(s.memory_mib, 0),
        number(Some(s.seconds / 3600.0), 2),
    ];
    cells.extend(differing.iter().map(|name| match &run.settings[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }));
    cells
}

/// A cell of a CSV file (RFC 4180).
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_commas_are_quoted() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("[1, \"a\"]"), "\"[1, \"\"a\"\"]\"");
    }
}
