//! The composition of a corpus as one HTML page: nothing is loaded from anywhere.

use std::fmt::Write as _;

use super::plot;
use super::stats::{Composition, Count};

/// Colours of the page and of the plots in it, for light and for dark.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d232b; --quiet: #5b6673; --page: #fff; --line: #d9dee4;
  --used: #2f6fb2; --rest: #c4ccd5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ed; --quiet: #9aa5b1; --page: #14181d;
  --line: #333b45; --used: #6aa9e9; --rest: #4a5561; } }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--page); }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p.quiet, td.quiet { color: var(--quiet); }
.numbers { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1rem 0; }
.numbers b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)); gap: 0 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: right;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
td:first-child, th:first-child, td.text { text-align: left; }
.scroll { overflow-x: auto; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); }
svg rect[fill='#2F6FB2'] { fill: var(--used); } svg rect[fill='#BEBEBE'] { fill: var(--rest); }
.key i { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 1rem; vertical-align: -1px; }
";

/// The page. `title` is shown above it.
pub fn html(title: &str, found: &Composition) -> String {
    let mut out = String::new();
    let title = escaped(title);
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    );
    numbers(&mut out, found);
    sources(&mut out, found);
    reasons(&mut out, found);
    out.push_str(
        "<p class=\"key quiet\">In the plots:<i style=\"background:var(--used)\"></i>used\
         <i style=\"background:var(--rest)\"></i>not used</p>\n<div class=\"plots\">\n",
    );
    let by_source: Vec<Count> = found
        .sources
        .iter()
        .map(|s| Count {
            name: s.name.clone(),
            volumes: s.volumes,
            used: s.used,
        })
        .collect();
    section(&mut out, "Source", &plot::bars(&by_source));
    section(&mut out, "Sequence", &plot::bars(&found.sequences));
    section(&mut out, "Voxel size", &plot::bars(&found.spacings));
    section(
        &mut out,
        "Smallest voxel edge",
        &plot::histogram(&found.finest, "mm", Some(5.0)),
    );
    section(
        &mut out,
        "Largest voxel edge",
        &plot::histogram(&found.coarsest, "mm", Some(12.0)),
    );
    section(&mut out, "Scanner", &plot::bars(&found.scanners));
    section(
        &mut out,
        "Field strength",
        &plot::bars(&found.field_strengths),
    );
    section(&mut out, "Site", &plot::bars(&found.sites));
    section(
        &mut out,
        "Age",
        &plot::histogram(&found.ages, "years", Some(100.0)),
    );
    section(&mut out, "Sex", &plot::bars(&found.sexes));
    section(
        &mut out,
        "Share of foreground voxels",
        &plot::histogram(&found.foreground, "of all voxels", None),
    );
    out.push_str("</div>\n");
    table(&mut out, "Verdicts", &found.verdicts);
    table(&mut out, "Quarantined", &found.quarantined);
    out.push_str("</body></html>\n");
    out
}

fn numbers(out: &mut String, found: &Composition) {
    let total = &found.total;
    out.push_str("<div class=\"numbers\">");
    for (value, name) in [
        (grouped(total.volumes), "volumes"),
        (grouped(total.used), "used"),
        (grouped(total.subjects), "subjects"),
        (grouped(total.sessions), "sessions"),
        (
            format!("{:.1}", total.voxels as f64 / 1e9),
            "billion voxels used",
        ),
        (
            format!("{:.1}", total.bytes as f64 / f64::from(1 << 30)),
            "GiB",
        ),
    ] {
        let _ = write!(out, "<div><b>{value}</b>{name}</div>");
    }
    out.push_str("</div>\n");
}

fn sources(out: &mut String, found: &Composition) {
    out.push_str(
        "<div class=\"scroll\"><table><tr><th>Source</th><th>Volumes</th><th>Used</th>\
         <th>Subjects</th><th>Sessions</th><th>GiB</th></tr>\n",
    );
    for s in &found.sources {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.2}</td></tr>",
            escaped(&s.name),
            grouped(s.volumes),
            grouped(s.used),
            grouped(s.subjects),
            grouped(s.sessions),
            s.bytes as f64 / f64::from(1 << 30),
        );
    }
    out.push_str("</table></div>\n");
}

fn reasons(out: &mut String, found: &Composition) {
    if found.reasons.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Why volumes are not used</h2><div class=\"scroll\"><table>\
         <tr><th>Reason</th><th></th><th>Volumes</th><th>No other reason</th></tr>\n",
    );
    for r in &found.reasons {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"text quiet\">{}</td><td>{}</td><td>{}</td></tr>",
            r.reason.code(),
            r.reason,
            grouped(r.volumes),
            grouped(r.alone),
        );
    }
    out.push_str("</table></div>\n");
}

fn table(out: &mut String, title: &str, counts: &[Count]) {
    if counts.is_empty() {
        return;
    }
    let _ = write!(out, "<h2>{title}</h2><div class=\"scroll\"><table>");
    for c in counts {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td></tr>",
            escaped(&c.name),
            grouped(c.volumes)
        );
    }
    out.push_str("</table></div>\n");
}

/// A plot with its title; nothing where there is nothing to show.
fn section(out: &mut String, title: &str, svg: &str) {
    if !svg.is_empty() {
        let _ = writeln!(out, "<section><h2>{title}</h2>{svg}</section>");
    }
}

/// Text between tags or quotes of HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(d);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::stats::{Source, Totals};

    #[test]
    fn the_page_stands_alone_and_runs_nothing() {
        let hostile = "<script>alert(1)</script>\"&";
        let found = Composition {
            total: Totals {
                volumes: 1_234_567,
                ..Totals::default()
            },
            sources: vec![Source {
                name: hostile.into(),
                volumes: 3,
                used: 2,
                subjects: 1,
                sessions: 1,
                bytes: 5,
            }],
            ..Composition::default()
        };
        let page = html(hostile, &found);
        assert!(page.contains("1\u{202f}234\u{202f}567"), "{page}");
        for bad in ["<script", "http://", "https://", "src=", "@import", "url("] {
            let page = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(bad), "{bad}");
        }
        // The colours that the style sheet replaces are those that are drawn.
        assert!(
            page.contains("<rect ") && page.contains("fill=\"#2F6FB2\""),
            "{page}"
        );
    }
}
