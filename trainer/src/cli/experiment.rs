//! `amaes experiment`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use amaes::device::DeviceKind;
use amaes::experiment::{Event, Matrix, Plan, Report, Runner, State, Unit};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::signals::stop_on_signals;
use super::{Outcome, print, print_json, text};

/// Set by the first signal.
static STOP: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Subcommand)]
pub(super) enum Experiment {
    /// Do what is not done yet
    Run(Run),
    /// Show the cells of a matrix, how far they are and how each is run
    List(List),
    /// Write the tables and curves of what is there
    Report(Write),
}

/// Exit code 3 says that some cells failed, or that it was stopped.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// TOML file that says what is compared
    #[arg(value_name = "MATRIX")]
    matrix: PathBuf,
    /// Work at every N-th cell only, beginning with cell I, from 0: for array jobs
    #[arg(long, value_name = "I/N", value_parser = parse_job, conflicts_with = "cell")]
    job: Option<Job>,
    /// Work at this cell only; may be given several times
    #[arg(long, value_name = "NAME")]
    cell: Vec<String>,
    /// What computes, in place of the matrix's
    #[arg(long, value_enum)]
    device: Option<DeviceKind>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// TOML file that says what is compared
    #[arg(value_name = "MATRIX")]
    matrix: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Write {
    /// TOML file that says what is compared
    #[arg(value_name = "MATRIX")]
    matrix: PathBuf,
    /// Where the report goes; into the experiment's folder by default
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do not print the tables
    #[arg(short, long)]
    quiet: bool,
}

/// Which cells an array job works at.
#[derive(Clone, Copy, Debug)]
struct Job {
    index: usize,
    count: usize,
}

fn parse_job(text: &str) -> Result<Job, String> {
    let parsed = text
        .split_once('/')
        .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((index, count)) if index < count => Ok(Job { index, count }),
        Some(_) => Err("I is below N, and counted from 0".into()),
        None => Err("neither I nor N is a number: 0/4 to 3/4".into()),
    }
}

#[derive(Serialize)]
struct Listed {
    cell: String,
    state: String,
    pretraining: Option<String>,
    folder: PathBuf,
    command: String,
}

impl Experiment {
    pub(super) fn run(&self) -> Result<Outcome> {
        match self {
            Self::Run(command) => command.run(),
            Self::List(command) => command.run(),
            Self::Report(command) => command.run(),
        }
    }
}

impl Run {
    fn run(&self) -> Result<Outcome> {
        let mut matrix = Matrix::read(&self.matrix)?;
        matrix.device = self.device.unwrap_or(matrix.device);
        let device = matrix.device;
        let plan = Plan::new(matrix, &self.matrix)?;
        let cells = self.cells(&plan)?;
        if self.dry_run {
            print(&estimate(&plan, &cells))?;
            return Ok(Outcome::Done);
        }
        stop_on_signals(&STOP)?;
        let device = device.open()?;
        let quiet = self.quiet;
        let mut show = |plan: &Plan, event: Event| {
            let failed = matches!(event, Event::Failed { .. });
            if failed || !quiet {
                eprintln!("{}", line(plan, &event));
            }
        };
        let summary = Runner::new(&plan, device, &STOP, &mut show).run(&cells)?;
        if !self.quiet {
            eprintln!(
                "{} cells: {} were done before, {} are done now, {} by other processes, {} failed",
                summary.cells, summary.present, summary.done, summary.others, summary.failed
            );
            if summary.stopped {
                eprintln!("stopped; the same command goes on");
            }
        }
        Ok(match summary.failed > 0 || summary.stopped {
            true => Outcome::SomeFailed,
            false => Outcome::Done,
        })
    }

    fn cells(&self, plan: &Plan) -> Result<Vec<usize>> {
        if !self.cell.is_empty() {
            let found = self.cell.iter().map(|name| plan.find(name));
            return Ok(found.collect::<Result<_, _>>()?);
        }
        let all = 0..plan.cells.len();
        Ok(match self.job {
            Some(job) => all.skip(job.index).step_by(job.count).collect(),
            None => all.collect(),
        })
    }
}

/// An event as a line.
fn line(plan: &Plan, event: &Event) -> String {
    let name = |unit: &Unit| plan.unit_name(*unit);
    match event {
        Event::Begun { unit, step: 0 } => format!("{}: begins", name(unit)),
        Event::Begun { unit, step } => format!("{}: goes on after step {step}", name(unit)),
        Event::Step {
            unit,
            step,
            steps,
            loss,
        } => format!("{}: step {step} of {steps}, loss {loss:.4}", name(unit)),
        Event::Note { unit, text } => format!("{}: {text}", name(unit)),
        Event::Tested { unit, test, dice } => {
            let dice = dice.map_or("undefined".to_owned(), |d| format!("{:.2} %", 100.0 * d));
            format!("{}: {test}: Dice {dice}", name(unit))
        }
        Event::Done { unit, seconds } => format!("{}: done, {seconds:.0} s", name(unit)),
        Event::Failed { unit, message } => format!("error: {}: {message}", name(unit)),
        Event::Waiting { cells } => {
            format!("waiting for other processes, which are at what {cells} cells need")
        }
        _ => String::new(),
    }
}

/// What a run would do.
fn estimate(plan: &Plan, cells: &[usize]) -> String {
    let mut rows = vec![["", "state", "steps"].map(str::to_owned).to_vec()];
    let mut total = 0;
    let mut unknown = 0;
    let mut add = |unit: Unit| {
        let steps = plan.steps(unit);
        let state = plan.state(unit);
        match steps {
            _ if state == State::Done => {}
            Some(steps) => total += steps,
            None => unknown += 1,
        }
        let steps = steps.map_or("depends on the corpus".to_owned(), |s| s.to_string());
        rows.push(vec![plan.unit_name(unit), state.to_string(), steps]);
    };
    let cells = plan.with_earlier(cells);
    let needed: BTreeSet<usize> = cells
        .iter()
        .filter_map(|&c| plan.pretraining_of(c))
        .collect();
    for &n in &needed {
        add(Unit::Pretraining(n));
    }
    for &n in &cells {
        add(Unit::Cell(n));
    }
    let mut out = text::table(&rows);
    out.push_str(&format!(
        "{} pretrainings, {} cells, {} test sets; {total} steps to take",
        needed.len(),
        cells.len(),
        cells
            .iter()
            .map(|&n| plan.cells[n].tests.len())
            .sum::<usize>(),
    ));
    if unknown > 0 {
        out.push_str(&format!(
            ", and those of {unknown} pretrainings, which depend on a corpus that is not there yet"
        ));
    }
    out.push('\n');
    out
}

impl List {
    fn run(&self) -> Result<Outcome> {
        let plan = Plan::read(&self.matrix)?;
        let listed: Vec<Listed> = (0..plan.cells.len())
            .map(|n| listed(&plan, n, &self.matrix))
            .collect();
        if self.json {
            print_json(&listed)?;
            return Ok(Outcome::Done);
        }
        let mut rows = vec![["cell", "state", "command"].map(str::to_owned).to_vec()];
        for cell in listed {
            rows.push(vec![cell.cell, cell.state, cell.command]);
        }
        for n in 0..plan.pretrainings.len() {
            let unit = Unit::Pretraining(n);
            rows.push(vec![plan.unit_name(unit), plan.state(unit).to_string()]);
        }
        for n in 0..plan.data.len() {
            let unit = Unit::Data(n);
            rows.push(vec![plan.unit_name(unit), plan.state(unit).to_string()]);
        }
        print(&text::words(&rows))?;
        Ok(Outcome::Done)
    }
}

fn listed(plan: &Plan, n: usize, matrix: &Path) -> Listed {
    let cell = &plan.cells[n];
    let pretraining = plan
        .pretraining_of(n)
        .map(|p| plan.unit_name(Unit::Pretraining(p)));
    Listed {
        cell: cell.name.clone(),
        state: plan.state(Unit::Cell(n)).to_string(),
        pretraining,
        folder: plan.finetuning_folder(n),
        command: format!(
            "amaes experiment run {} --cell {}",
            matrix.display(),
            cell.name
        ),
    }
}

impl Write {
    fn run(&self) -> Result<Outcome> {
        let plan = Plan::read(&self.matrix)?;
        if !plan.matrix.folder.is_dir() {
            bail!("{}: nothing was run yet", plan.matrix.folder.display());
        }
        let report = Report::of(&plan)?;
        let folder = match &self.out {
            Some(folder) => folder.clone(),
            None => plan.matrix.folder.join("report"),
        };
        let files = report.write(&folder)?;
        if !self.quiet {
            print(&report.markdown())?;
            for file in files {
                eprintln!("{}", file.display());
            }
        }
        Ok(Outcome::Done)
    }
}
