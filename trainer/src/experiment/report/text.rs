//! The report as Markdown, and its tables as CSV.

use std::fmt::Write as _;

use super::ablation::{Ablation, AblationRow, Cost};
use super::compare::{Difference, Entry, Row};
use super::comparison::Comparison;
use super::plot::size_name;
use super::{CellRow, Compute, Report};

/// The level below which a corrected p-value is marked.
pub(super) const LEVEL: f64 = 0.05;

pub(super) fn markdown(report: &Report) -> String {
    let mut out = format!("# {}\n\n", report.title);
    if !report.description.is_empty() {
        let _ = writeln!(out, "{}\n", report.description.trim());
    }
    let _ = writeln!(out, "{}\n", progress(report));
    if let Some(table) = &report.comparison {
        let rows: Vec<_> = table.rows.iter().map(|r| &r.row).collect();
        let axes = Axes::of(&rows);
        let mut head = axes.head();
        head.push("Pretraining".into());
        let columns = table.columns.iter();
        head.extend(columns.map(|c| format!("{}, {}", c.task, c.test)));
        let body = table.rows.iter().map(|row| {
            let mut cells = axes.cells(&row.row);
            cells.push(row.title.clone());
            cells.extend(row.entries.iter().map(|e| number(e.as_ref())));
            cells
        });
        let _ = writeln!(out, "## Pretraining by task and backbone\n");
        table_of(&mut out, &head, body);
        let _ = writeln!(out, "\n{}\n", note(table.compared(), "no pretraining"));
    }
    if let Some(table) = &report.ablation {
        let rows: Vec<_> = table.rows.iter().map(|r| &r.row).collect();
        let axes = Axes::of(&rows);
        let mut head = axes.head();
        head.extend(ABLATION_HEAD.map(str::to_owned));
        let body = table.rows.iter().map(|row| {
            let mut cells = axes.cells(&row.row);
            cells.extend([
                row.title.clone(),
                number(row.in_domain.as_ref()),
                number(row.out_of_domain.as_ref()),
            ]);
            cells.extend(costs(row));
            cells
        });
        let _ = writeln!(out, "## Ablation\n");
        table_of(&mut out, &head, body);
        let _ = writeln!(out, "\n{}\n", note(table.compared(), "AMAES"));
        let _ = writeln!(out, "{}\n", means(table));
    }
    for plot in &report.plots {
        let _ = writeln!(out, "## {}\n", plot.title);
        let mut head = vec![plot.axis.clone()];
        head.extend(plot.series.iter().map(|s| s.name.clone()));
        let body = plot.values.iter().enumerate().map(|(n, value)| {
            let mut cells = vec![value.clone()];
            cells.extend(plot.series.iter().map(|s| number(s.points[n].as_ref())));
            cells
        });
        table_of(&mut out, &head, body);
        out.push('\n');
    }
    let _ = writeln!(out, "## Compute\n\n{}", compute(&report.compute));
    out
}

/// The heads of an ablation's columns, after those of its axes.
pub(super) const ABLATION_HEAD: [&str; 9] = [
    "Pretraining",
    "Dice, in domain",
    "Dice, out of domain",
    "s a step",
    "hours",
    "memory, GiB",
    "parameters, M",
    "finetuning, s a step",
    "finetuning, memory, GiB",
];

fn table_of(out: &mut String, head: &[String], rows: impl Iterator<Item = Vec<String>>) {
    let mut line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|")).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    };
    line(head);
    line(&vec!["---".to_owned(); head.len()]);
    rows.for_each(|row| line(&row));
}

/// How far the experiment is, in a sentence.
pub(super) fn progress(report: &Report) -> String {
    let p = &report.progress;
    let mut text = format!("{} of {} cells are done", p.done, p.cells);
    if p.failed > 0 {
        let _ = write!(text, ", {} failed", p.failed);
    }
    text.push('.');
    if p.done < p.cells {
        text.push_str(" What is not done is shown as missing.");
    }
    text
}

/// What stands below a table.
pub(super) fn note(compared: usize, with: &str) -> String {
    format!(
        "Dice in percent: mean ± standard deviation over seeds; then the difference to \
         {with} and the two-sided p-value of the sign-flip permutation test over subjects, each \
         averaged over seeds. \\*: p below {LEVEL} after Holm's correction for the {compared} \
         comparisons of this table. Bold: the largest of its block, once all of it is done."
    )
}

/// What the numbers of an ablation are means of.
pub(super) fn means(table: &Ablation) -> String {
    let list = |names: &[String]| match names {
        [] => "nothing".to_owned(),
        names => names.join("; "),
    };
    format!(
        "In domain: mean over {}. Out of domain: mean over {}. Seconds of a step and hours are \
         those of the machine that ran it; memory is the largest resident memory of the process.",
        list(&table.in_domain),
        list(&table.out_of_domain)
    )
}

/// What was spent, in a sentence.
pub(super) fn compute(spent: &Compute) -> String {
    format!(
        "{:.2} hours in all: {} pretrainings {:.2} h, {} finetunings {:.2} h, {} test sets \
         {:.2} h. Steps that a killed process took again are counted once; making data is not \
         counted.",
        spent.pretraining_h + spent.finetuning_h + spent.testing_h,
        spent.pretrainings,
        spent.pretraining_h,
        spent.finetunings,
        spent.finetuning_h,
        spent.tests,
        spent.testing_h,
    )
}

/// Which axes of a table have several values.
pub(super) struct Axes {
    backbone: bool,
    labelled: bool,
    corpus: bool,
}

impl Axes {
    pub(super) fn of(rows: &[&Row]) -> Self {
        let differs = |same: fn(&Row, &Row) -> bool| rows.iter().any(|r| !same(r, rows[0]));
        Self {
            // What network it was is always told.
            backbone: true,
            labelled: differs(|a, b| a.labelled == b.labelled)
                || rows.iter().any(|r| r.labelled.is_some()),
            corpus: rows.iter().any(|r| r.corpus.is_some()),
        }
    }

    pub(super) fn head(&self) -> Vec<String> {
        let names = [
            (self.backbone, "Backbone"),
            (self.labelled, "Labelled cases"),
            (self.corpus, "Corpus"),
        ];
        let shown = names.into_iter().filter(|(shown, _)| *shown);
        shown.map(|(_, name)| name.to_owned()).collect()
    }

    pub(super) fn cells(&self, row: &Row) -> Vec<String> {
        let labelled = row.labelled.map_or_else(|| "all".into(), |n| n.to_string());
        let values = [
            (self.backbone, row.backbone.clone()),
            (self.labelled, labelled),
            (self.corpus, row.corpus.map_or_else(String::new, size_name)),
        ];
        let shown = values.into_iter().filter(|(shown, _)| *shown);
        shown.map(|(_, value)| value).collect()
    }
}

/// A number as Markdown.
fn number(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else {
        return "–".into();
    };
    let mut text = value(entry);
    if entry.best {
        text = format!("**{text}**");
    }
    if let Some(difference) = &entry.difference {
        let _ = write!(text, " ({})", difference_of(difference).replace('*', "\\*"));
    }
    text
}

/// Mean and spread, and how much of it is there.
pub(super) fn value(entry: &Entry) -> String {
    let Some(mean) = entry.mean else {
        return format!("missing (0 of {})", entry.wanted);
    };
    let mut text = format!("{:.2}", 100.0 * mean);
    if let Some(sd) = entry.sd {
        let _ = write!(text, " ± {:.2}", 100.0 * sd);
    }
    if !entry.complete() {
        let _ = write!(text, " ({} of {} seeds)", entry.done, entry.wanted);
    }
    text
}

pub(super) fn difference_of(difference: &Difference) -> String {
    let mark = match difference.p_corrected < LEVEL {
        true => "*",
        false => "",
    };
    let p = match difference.p < 0.001 {
        true => "p < 0.001".to_owned(),
        false => format!("p = {:.3}", difference.p),
    };
    format!("{:+.2}, {p}{mark}", 100.0 * difference.mean)
}

/// The cells of what pretraining and finetuning cost.
pub(super) fn costs(row: &AblationRow) -> [String; 6] {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "missing".into());
    let step = |cost: &Cost| shown(cost.step_s.map(|s| format!("{s:.3}")));
    let memory = |cost: &Cost| shown(cost.memory_mib.map(|m| format!("{:.2}", m / 1024.0)));
    let none = || std::array::from_fn(|_| "–".to_owned());
    let pretraining = row.cost.as_ref().map_or_else(none, |cost| {
        [
            step(cost),
            shown(cost.hours.map(|h| format!("{h:.2}"))),
            memory(cost),
            shown(cost.parameters.map(|p| format!("{:.2}", p as f64 / 1e6))),
        ]
    });
    let [step_s, hours, memory_gib, parameters] = pretraining;
    let finetuning = &row.finetuning;
    [
        step_s,
        hours,
        memory_gib,
        parameters,
        step(finetuning),
        memory(finetuning),
    ]
}

impl Comparison {
    /// Comparisons in the table.
    pub(super) fn compared(&self) -> usize {
        let entries = self.rows.iter().flat_map(|r| r.entries.iter().flatten());
        entries.filter(|e| e.difference.is_some()).count()
    }

    /// One line a number.
    pub(super) fn csv(&self) -> String {
        let mut out = format!("{ROW_HEAD},task,test,in_domain,{ENTRY_HEAD}\n");
        for row in &self.rows {
            for (column, entry) in self.columns.iter().zip(&row.entries) {
                let Some(entry) = entry else { continue };
                let _ = writeln!(
                    out,
                    "{},{},{},{},{}",
                    row_csv(&row.row),
                    quoted(&column.task),
                    quoted(&column.test),
                    column.in_domain,
                    entry_csv(entry)
                );
            }
        }
        out
    }
}

impl Ablation {
    /// Comparisons in the table.
    pub(super) fn compared(&self) -> usize {
        let entries = |r: &AblationRow| [r.in_domain.clone(), r.out_of_domain.clone()];
        let entries = self.rows.iter().flat_map(entries).flatten();
        entries.filter(|e| e.difference.is_some()).count()
    }

    /// One line a number, with what pretraining and finetuning cost.
    pub(super) fn csv(&self) -> String {
        let mut out = format!(
            "{ROW_HEAD},in_domain,{ENTRY_HEAD},step_s,pretraining_h,memory_mib,parameters,\
             finetuning_step_s,finetuning_memory_mib\n"
        );
        for row in &self.rows {
            for (inside, entry) in [(true, &row.in_domain), (false, &row.out_of_domain)] {
                let Some(entry) = entry else { continue };
                let cost = row.cost.unwrap_or_default();
                let _ = writeln!(
                    out,
                    "{},{inside},{},{},{},{},{},{},{}",
                    row_csv(&row.row),
                    entry_csv(entry),
                    optional(cost.step_s),
                    optional(cost.hours),
                    optional(cost.memory_mib),
                    optional(cost.parameters),
                    optional(row.finetuning.step_s),
                    optional(row.finetuning.memory_mib),
                );
            }
        }
        out
    }
}

const ROW_HEAD: &str = "backbone,labelled,corpus,pretraining";
const ENTRY_HEAD: &str = "seeds,seeds_done,dice,dice_sd,difference,difference_low,\
                          difference_high,p,p_corrected,subjects,best";

fn row_csv(row: &Row) -> String {
    let corpus = row.corpus.map(size_name);
    format!(
        "{},{},{},{}",
        row.backbone,
        optional(row.labelled),
        optional(corpus),
        row.pretraining
    )
}

fn entry_csv(entry: &Entry) -> String {
    let of = |value: fn(&Difference) -> f64| optional(entry.difference.as_ref().map(value));
    let interval = entry.difference.as_ref().and_then(|d| d.interval);
    [
        entry.wanted.to_string(),
        entry.done.to_string(),
        optional(entry.mean),
        optional(entry.sd),
        of(|d| d.mean),
        optional(interval.map(|i| i[0])),
        optional(interval.map(|i| i[1])),
        of(|d| d.p),
        of(|d| d.p_corrected),
        optional(entry.difference.as_ref().map(|d| d.subjects)),
        entry.best.to_string(),
    ]
    .join(",")
}

/// Every cell with the mean of each of its test sets.
pub(super) fn cells_csv(cells: &[CellRow]) -> String {
    let mut out = "cell,state,test,dice,steps,finetuning_s\n".to_owned();
    for cell in cells {
        for (test, dice) in &cell.scores {
            let _ = writeln!(
                out,
                "{},{},{test},{},{},{}",
                cell.name,
                quoted(&cell.state),
                optional(*dice),
                optional(cell.spent.map(|s| s.steps)),
                optional(cell.spent.map(|s| s.seconds)),
            );
        }
    }
    out
}

fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
