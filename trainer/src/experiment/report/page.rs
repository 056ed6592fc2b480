//! The report as one HTML page: nothing is loaded from anywhere.

use std::fmt::Write as _;

use super::Report;
use super::ablation::Ablation;
use super::compare::{Entry, Row};
use super::comparison::{Comparison, same_block};
use super::plot::Plot;
use super::svg::{COLOURS, curves, differences};
use super::text::{
    ABLATION_HEAD, Axes, compute, costs, difference_of, means, note, progress, value,
};

const STYLE: &str = include_str!("page.css");

pub(super) fn html(report: &Report) -> String {
    let title = escaped(&report.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>\n{STYLE}</style></head><body>\n\
         <header><h1>{title}</h1>"
    );
    for paragraph in report.description.split("\n\n").filter(|p| !p.is_empty()) {
        let _ = write!(out, "<p>{}</p>", escaped(paragraph.trim()));
    }
    let _ = writeln!(
        out,
        "<p>{}</p></header>\n<main>",
        escaped(&progress(report))
    );
    if let Some(table) = &report.comparison {
        comparison(&mut out, table);
    }
    if let Some(table) = &report.ablation {
        ablation(&mut out, table);
    }
    if !report.plots.is_empty() {
        out.push_str("<section><h2>Curves</h2><div class=\"plots\">\n");
        report.plots.iter().for_each(|plot| figure(&mut out, plot));
        out.push_str("</div></section>\n");
    }
    cells(&mut out, report);
    let _ = writeln!(
        out,
        "<section><h2>Compute</h2><p>{}</p></section>\n</main></body></html>",
        escaped(&compute(&report.compute))
    );
    out
}

fn comparison(out: &mut String, table: &Comparison) {
    let rows: Vec<&Row> = table.rows.iter().map(|r| &r.row).collect();
    let axes = Axes::of(&rows);
    let mut head = axes.head();
    head.push("Pretraining".into());
    let names = head.len();
    head.extend(
        table
            .columns
            .iter()
            .map(|c| format!("{}, {}", c.task, c.test)),
    );
    begin(out, "Pretraining by task and backbone", &head, names);
    for (n, row) in table.rows.iter().enumerate() {
        let mut named = axes.cells(&row.row);
        named.push(row.title.clone());
        begin_row(out, &named, n > 0 && !same_block(&row.row, rows[n - 1]));
        row.entries.iter().for_each(|e| number(out, e.as_ref()));
        out.push_str("</tr>\n");
    }
    end(out, &[note(table.compared(), "no pretraining")]);
    let drawn = differences(table);
    if !drawn.is_empty() {
        let _ = writeln!(
            out,
            "<section><figure><figcaption><b>Difference to no pretraining, in percent of Dice\
             </b>Bars: 95 % intervals of the mean difference of a subject, by drawing subjects\
             </figcaption>{drawn}</figure></section>"
        );
    }
}

fn ablation(out: &mut String, table: &Ablation) {
    let rows: Vec<&Row> = table.rows.iter().map(|r| &r.row).collect();
    let axes = Axes::of(&rows);
    let mut head = axes.head();
    let names = head.len() + 1;
    head.extend(ABLATION_HEAD.map(str::to_owned));
    begin(out, "Ablation", &head, names);
    for (n, row) in table.rows.iter().enumerate() {
        let mut named = axes.cells(&row.row);
        named.push(row.title.clone());
        begin_row(out, &named, n > 0 && !same_block(&row.row, rows[n - 1]));
        number(out, row.in_domain.as_ref());
        number(out, row.out_of_domain.as_ref());
        for cost in costs(row) {
            let _ = write!(out, "<td>{cost}</td>");
        }
        out.push_str("</tr>\n");
    }
    end(out, &[note(table.compared(), "AMAES"), means(table)]);
}

/// Begins a section with a table, the first `names` columns of which are names.
fn begin(out: &mut String, title: &str, head: &[String], names: usize) {
    let _ = write!(
        out,
        "<section><h2>{title}</h2><div class=\"scroll\"><table><thead><tr>"
    );
    for (n, name) in head.iter().enumerate() {
        let class = if n < names { " class=\"name\"" } else { "" };
        let _ = write!(out, "<th{class} scope=\"col\">{}</th>", escaped(name));
    }
    out.push_str("</tr></thead><tbody>\n");
}

fn begin_row(out: &mut String, names: &[String], block: bool) {
    out.push_str(if block {
        "<tr class=\"block\">"
    } else {
        "<tr>"
    });
    for name in names {
        let _ = write!(out, "<td class=\"name\">{}</td>", escaped(name));
    }
}

fn end(out: &mut String, notes: &[String]) {
    out.push_str("</tbody></table></div>");
    for note in notes {
        // Markdown needs a backslash before a star.
        let _ = write!(
            out,
            "<p class=\"note\">{}</p>",
            escaped(&note.replace('\\', ""))
        );
    }
    out.push_str("</section>\n");
}

fn number(out: &mut String, entry: Option<&Entry>) {
    let Some(entry) = entry else {
        out.push_str("<td>–</td>");
        return;
    };
    let text = escaped(&value(entry));
    let class = match entry.mean {
        None => " class=\"missing\"",
        Some(_) => "",
    };
    let text = match entry.best {
        true => format!("<b>{text}</b>"),
        false => text,
    };
    let difference = entry.difference.as_ref().map(difference_of);
    let difference =
        difference.map_or_else(String::new, |d| format!("<small>{}</small>", escaped(&d)));
    let _ = write!(out, "<td{class}>{text}{difference}</td>");
}

fn figure(out: &mut String, plot: &Plot) {
    let drawn = curves(plot);
    let _ = write!(out, "<figure><figcaption><b>{}</b>", escaped(&plot.title));
    for (n, series) in plot.series.iter().enumerate() {
        let _ = write!(
            out,
            "<span><i class=\"c{}\"></i>{}</span>",
            n % COLOURS,
            escaped(&series.name)
        );
    }
    let _ = writeln!(
        out,
        "</figcaption>{}</figure>",
        match drawn.is_empty() {
            true => "<p class=\"note\">nothing of it is done</p>",
            false => &drawn,
        }
    );
}

fn cells(out: &mut String, report: &Report) {
    out.push_str(
        "<section><details><summary>Every cell</summary><div class=\"scroll\"><table><thead><tr>\
         <th class=\"name\">Cell</th><th class=\"name\">State</th><th class=\"name\">Dice</th>\
         <th>Finetuning, h</th></tr></thead><tbody>\n",
    );
    for cell in &report.cells {
        let scores = cell.scores.iter().map(|(test, dice)| match dice {
            Some(dice) => format!("{test} {:.2}", 100.0 * dice),
            None => format!("{test} missing"),
        });
        let hours = cell
            .spent
            .map_or_else(|| "–".to_owned(), |s| format!("{:.3}", s.seconds / 3600.0));
        let _ = writeln!(
            out,
            "<tr><td class=\"name\">{}</td><td class=\"name\">{}</td><td class=\"name\">{}</td>\
             <td>{hours}</td></tr>",
            escaped(&cell.name),
            escaped(&cell.state),
            escaped(&scores.collect::<Vec<_>>().join(", ")),
        );
    }
    out.push_str("</tbody></table></div></details></section>\n");
}

/// Text within HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
