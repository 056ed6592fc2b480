//! `amaes corpus stats`.

use std::path::PathBuf;

use amaes::atomic::write_bytes;
use amaes::corpus::Catalogue;
use amaes::corpus::report::html;
use amaes::corpus::stats::{Bin, Composition, Count};
use anyhow::Result;
use clap::Args;

use crate::cli::{Outcome, print, print_json, text};

#[derive(Debug, Args)]
pub(in crate::cli) struct Stats {
    /// A catalogue
    catalogue: PathBuf,
    /// Write a page with plots, which needs no network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Title of the page; the corpus' name by default
    #[arg(long, requires = "html")]
    title: Option<String>,
    /// Print JSON in place of tables
    #[arg(long)]
    json: bool,
}

impl Stats {
    pub(super) fn run(&self) -> Result<Outcome> {
        let catalogue = Catalogue::open(&self.catalogue)?;
        let found = Composition::of(&catalogue)?;
        if let Some(path) = &self.html {
            let title = match &self.title {
                Some(title) => title.clone(),
                None => catalogue.corpus()?.unwrap_or_else(|| "Corpus".to_owned()),
            };
            write_bytes(path, html(&title, &found).as_bytes())?;
        }
        if self.json {
            print_json(&found)?;
        } else {
            print(&tables(&found))?;
        }
        Ok(Outcome::Done)
    }
}

fn tables(found: &Composition) -> String {
    let total = &found.total;
    let mut out = format!(
        "{} volumes, {} used; {} subjects, {} sessions, {:.2} GiB\n",
        total.volumes,
        total.used,
        total.subjects,
        total.sessions,
        total.bytes as f64 / f64::from(1 << 30)
    );
    let mut rows = vec![
        ["source", "volumes", "used", "subjects", "sessions"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for s in &found.sources {
        let numbers = [s.volumes, s.used, s.subjects, s.sessions].map(|n| n.to_string());
        rows.push([vec![s.name.clone()], numbers.to_vec()].concat());
    }
    out.push('\n');
    out.push_str(&text::table(&rows));
    for (title, counts) in [
        ("sequence", &found.sequences),
        ("voxel size", &found.spacings),
        ("scanner", &found.scanners),
        ("field strength", &found.field_strengths),
        ("sex", &found.sexes),
        ("verdict", &found.verdicts),
        ("quarantined", &found.quarantined),
    ] {
        counted(&mut out, title, counts);
    }
    let years = |b: &Bin| Count {
        name: format!("{:.0} to {:.0}", b.from, b.to),
        volumes: b.volumes,
        used: b.used,
    };
    counted(
        &mut out,
        "age",
        &found.ages.iter().map(years).collect::<Vec<_>>(),
    );
    if !found.reasons.is_empty() {
        let mut rows = vec![
            ["not used", "volumes", "no other reason"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for r in &found.reasons {
            rows.push(vec![
                r.reason.to_string(),
                r.volumes.to_string(),
                r.alone.to_string(),
            ]);
        }
        out.push('\n');
        out.push_str(&text::table(&rows));
    }
    out
}

fn counted(out: &mut String, title: &str, counts: &[Count]) {
    if counts.is_empty() {
        return;
    }
    let mut rows = vec![[title, "volumes", "used"].map(str::to_owned).to_vec()];
    for c in counts {
        rows.push(vec![
            c.name.clone(),
            c.volumes.to_string(),
            c.used.to_string(),
        ]);
    }
    out.push('\n');
    out.push_str(&text::table(&rows));
}
