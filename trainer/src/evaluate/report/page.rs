//! The page of an evaluation.

use std::fmt::Write as _;
use std::io;

use super::super::evaluation::is_label;
use super::super::overlay;
use super::super::plot::{Dot, Row, short, strip};
use super::super::{Comparison, Evaluation, MEAN, Metric, Overlay, Summary};
use crate::corpus::report::escaped;

/// Metrics of the tables and plots; the others are in the CSV files.
const SHOWN: [Metric; 7] = [
    Metric::Dice,
    Metric::Nsd,
    Metric::Hd95Mm,
    Metric::Sensitivity,
    Metric::Precision,
    Metric::VolumeSimilarity,
    Metric::LesionF1,
];
/// P-values below this are set off.
const LEVEL: f64 = 0.05;
/// Colours of dots, one a site; later sites share them.
const COLOURS: usize = 6;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d232b; --quiet: #5b6673; --page: #fff; --line: #d9dee4;
  --box: #e4e9ef; --edge: #9aa5b1; --good: #1f7a4d; --c0: #2f6fb2; --c1: #c2571a; --c2: #2d8659;
  --c3: #8a4fae; --c4: #a08400; --c5: #b13a5b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ed; --quiet: #9aa5b1; --page: #14181d;
  --line: #333b45; --box: #2a323b; --edge: #66727f; --good: #59c793; --c0: #6aa9e9; --c1: #f08b4f;
  --c2: #5cc492; --c3: #c08be0; --c4: #d9bd3c; --c5: #ee7d9b; } }
body { margin: 2rem auto; max-width: 84rem; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--page); }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
.quiet { color: var(--quiet); }
.numbers { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1rem 0; }
.numbers b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(36rem, 100%), 1fr)); gap: 0 2rem; }
.scroll { overflow: auto; } .long { max-height: 40rem; }
table { border-collapse: collapse; } td, th { padding: .25rem 1.1rem .25rem 0; text-align: right;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; white-space: nowrap; }
th { position: sticky; top: 0; background: var(--page); font-weight: 600; }
td:first-child, th:first-child, td.text, th.text { text-align: left; }
td small { display: block; color: var(--quiet); font-size: .8em; line-height: 1.2; }
td.found { color: var(--good); font-weight: 600; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; }
.grid { stroke: var(--line); } .zero { stroke: var(--edge); }
.box { fill: var(--box); stroke: var(--edge); } .median { stroke: var(--ink); stroke-width: 2; }
.mean { fill: var(--page); stroke: var(--ink); stroke-width: 1.3; }
.dot { fill-opacity: .75; } .c0 { fill: var(--c0); } .c1 { fill: var(--c1); } .c2 { fill: var(--c2); }
.c3 { fill: var(--c3); } .c4 { fill: var(--c4); } .c5 { fill: var(--c5); }
.key i { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 1rem; border-radius: 50%;
  vertical-align: -1px; } .key i.line { height: .25rem; border-radius: 0; vertical-align: 3px; }
figure { margin: 0 0 1.2rem; } figure img { max-width: 100%; border-radius: 4px; display: block; }
figcaption { margin-bottom: .3rem; } dt { font-weight: 600; } dd { margin: 0 0 .4rem; }
";

/// The page.
pub(super) fn html(
    found: &Evaluation,
    comparison: Option<&Comparison>,
    overlays: &[Overlay],
) -> io::Result<String> {
    let mut out = String::new();
    let title = match found.settings.name.as_str() {
        "" => "Evaluation".to_owned(),
        name => escaped(name),
    };
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    );
    numbers(&mut out, found);
    out.push_str("<h2>Summary</h2>\n");
    summary(&mut out, found, None);
    let confidence = short(100.0 * found.settings.bootstrap.confidence);
    let _ = writeln!(
        out,
        "<p class=\"quiet\">Mean \u{b1} standard deviation; in brackets the {confidence} % interval \
         of the mean (bootstrap over subjects); then the median and the number of cases that have a \
         value.</p>"
    );
    undefined(&mut out, found);
    if let Some(comparison) = comparison {
        compared(&mut out, found, comparison);
    }
    pictures(&mut out, overlays)?;
    plots(&mut out, found);
    let sites: Vec<&str> = found.sites().into_iter().collect();
    if found.summary.iter().any(|s| s.site.is_some()) {
        out.push_str("<h2>By site</h2>\n");
        for site in &sites {
            let _ = writeln!(out, "<h3>{}</h3>", escaped(site));
            summary(&mut out, found, Some(site));
        }
    }
    cases(&mut out, found);
    definitions(&mut out, found);
    out.push_str("</body></html>\n");
    Ok(out)
}

fn numbers(out: &mut String, found: &Evaluation) {
    let mut subjects: Vec<&str> = found.cases.iter().map(|c| c.subject.as_str()).collect();
    subjects.sort_unstable();
    subjects.dedup();
    let key = if found.settings.labels.len() > 1 {
        MEAN
    } else {
        ""
    };
    let key = match key {
        "" => found.keys().first().cloned().unwrap_or_default(),
        key => key.to_owned(),
    };
    let mean = |metric| {
        let values = found.overall(&key, metric).and_then(|s| s.values);
        values.map_or_else(|| "\u{2013}".into(), |v| format!("{:.3}", v.mean))
    };
    out.push_str("<div class=\"numbers\">");
    for (value, name) in [
        (mean(Metric::Dice), "mean Dice"),
        (mean(Metric::Nsd), "mean surface Dice"),
        (found.cases.len().to_string(), "cases"),
        (subjects.len().to_string(), "subjects"),
        (found.settings.labels.len().to_string(), "labels"),
        (
            format!("{} mm", short(found.settings.score.tolerance_mm)),
            "tolerance",
        ),
    ] {
        let _ = write!(out, "<div><b>{value}</b>{name}</div>");
    }
    out.push_str("</div>\n");
}

/// Digits after the point: distances need fewer.
fn value(metric: Metric, v: f64) -> String {
    match metric.is_distance() {
        true => format!("{v:.2}"),
        false => format!("{v:.3}"),
    }
}

fn headings(out: &mut String, class: &str, first: &[&str]) {
    let _ = write!(out, "<div class=\"{class}\"><table><tr>");
    for name in first {
        let _ = write!(out, "<th class=\"text\">{name}</th>");
    }
    for metric in SHOWN {
        let _ = write!(out, "<th>{}</th>", metric.title());
    }
    out.push_str("</tr>\n");
}

/// Mean, spread, interval and median of each label or region.
fn summary(out: &mut String, found: &Evaluation, site: Option<&str>) {
    headings(out, "scroll", &["Label"]);
    for key in found.keys() {
        let _ = write!(out, "<tr><td>{}</td>", escaped(&found.title(&key)));
        for metric in SHOWN {
            let mut rows = found.summary.iter();
            let row =
                rows.find(|s| s.label == key && s.metric == metric && s.site.as_deref() == site);
            cell(out, metric, row);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div>\n");
}

fn cell(out: &mut String, metric: Metric, row: Option<&Summary>) {
    let Some((row, values)) = row.and_then(|r| Some((r, r.values?))) else {
        out.push_str("<td class=\"quiet\">\u{2013}</td>");
        return;
    };
    let show = |v: f64| value(metric, v);
    let sd = values
        .sd
        .map_or_else(String::new, |sd| format!(" \u{b1} {}", show(sd)));
    let interval = row.interval.map_or_else(String::new, |[a, b]| {
        format!("<small>[{}, {}]</small>", show(a), show(b))
    });
    let _ = write!(
        out,
        "<td>{}{sd}{interval}<small>{}, n={}</small></td>",
        show(values.mean),
        show(values.median),
        values.n
    );
}

/// What the means leave out.
fn undefined(out: &mut String, found: &Evaluation) {
    let rows: Vec<String> = found
        .keys()
        .iter()
        .filter(|key| *key != MEAN)
        .filter_map(|key| {
            let row = found.overall(key, Metric::Hd95Mm)?;
            let parts = [
                (row.absent, "with neither reference nor prediction"),
                (
                    row.one_sided,
                    "with only one of them (Dice and surface Dice 0, no distances)",
                ),
            ];
            let parts: Vec<String> = (parts.iter().filter(|(n, _)| *n > 0))
                .map(|(n, what)| format!("{n} {what}"))
                .collect();
            (!parts.is_empty())
                .then(|| format!("{}: {}", escaped(&found.title(key)), parts.join(", ")))
        })
        .collect();
    if !rows.is_empty() {
        let _ = writeln!(
            out,
            "<p class=\"quiet\">Cases without a value, which the means leave out. {}.</p>",
            rows.join("; ")
        );
    }
}

fn compared(out: &mut String, found: &Evaluation, comparison: &Comparison) {
    let (a, b) = (escaped(&comparison.first), escaped(&comparison.second));
    let _ = write!(
        out,
        "<h2>{a} against {b}</h2>\n<p class=\"quiet\">{} cases of both, by subject; differences are \
         {a} less {b}.",
        comparison.common
    );
    if !comparison.unpaired.is_empty() {
        let _ = write!(
            out,
            " Left out because only one has them: {}.",
            comparison.unpaired.len()
        );
    }
    let _ = write!(
        out,
        " P-values are two-sided and corrected for the number of labels and regions (Holm); those \
         below {LEVEL} are set off.</p>\n<div class=\"scroll long\"><table><tr><th>Label</th>\
         <th class=\"text\">Metric</th><th>{a}</th><th>{b}</th><th>Difference</th><th>n</th>\
         <th>Wilcoxon p</th><th>Permutation p</th><th>Rank-biserial</th><th>Cohen\u{2019}s d</th></tr>\n"
    );
    for key in found.keys() {
        for metric in SHOWN {
            let Some(row) = comparison.row(&key, metric) else {
                continue;
            };
            let p = |p: f64, exact: bool| {
                let class = if p < LEVEL { " class=\"found\"" } else { "" };
                let number = if p < 0.001 {
                    "&lt; 0.001".to_owned()
                } else {
                    format!("{p:.3}")
                };
                let how = if exact { "exact" } else { "approximate" };
                format!("<td{class} title=\"{how}\">{number}</td>")
            };
            let effect =
                |v: Option<f64>| v.map_or_else(|| "\u{2013}".to_owned(), |v| format!("{v:.2}"));
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td class=\"text\">{}</td><td>{}</td><td>{}</td><td>{}{}</td><td>{}</td>\
                 {}{}<td>{}</td><td>{}</td></tr>",
                escaped(&found.title(&key)),
                metric.title(),
                value(metric, row.first),
                value(metric, row.second),
                if row.test.mean_difference > 0.0 {
                    "+"
                } else {
                    ""
                },
                value(metric, row.test.mean_difference),
                row.test.n,
                p(row.wilcoxon_holm, row.test.wilcoxon_exact),
                p(row.permutation_holm, row.test.permutation_exact),
                effect(row.test.rank_biserial),
                effect(row.test.cohen_d)
            );
        }
    }
    out.push_str("</table></div>\n");
}

fn pictures(out: &mut String, overlays: &[Overlay]) -> io::Result<()> {
    if overlays.is_empty() {
        return Ok(());
    }
    let colour = |[r, g, b]: [u8; 3]| format!("#{r:02x}{g:02x}{b:02x}");
    let _ = writeln!(
        out,
        "<h2>Best, median and worst case</h2>\n<p class=\"key quiet\">By Dice; the axial slice with \
         most of both, the patient\u{2019}s right on the left. Outlines:\
         <i class=\"line\" style=\"background:{}\"></i>reference\
         <i class=\"line\" style=\"background:{}\"></i>prediction\
         <i class=\"line\" style=\"background:{}\"></i>both</p>",
        colour(overlay::REFERENCE),
        colour(overlay::PREDICTION),
        colour(overlay::BOTH)
    );
    for o in overlays {
        let [width, height] = o.picture.size();
        let _ = writeln!(
            out,
            "<figure><figcaption><b>{}</b> {} <span class=\"quiet\">Dice {:.3}</span></figcaption>\
             <img alt=\"{} case\" width=\"{width}\" height=\"{height}\" src=\"data:image/png;base64,{}\"></figure>",
            o.rank.title(),
            escaped(&o.id),
            o.dice,
            o.rank.title(),
            base64(&o.picture.png()?)
        );
    }
    Ok(())
}

fn plots(out: &mut String, found: &Evaluation) {
    let sites: Vec<&str> = found.sites().into_iter().collect();
    out.push_str(
        "<h2>Every case</h2>\n<p class=\"key quiet\">Dots are cases, boxes the middle half \
        with the median, diamonds means.",
    );
    if sites.len() > 1 {
        for (i, site) in sites.iter().enumerate() {
            let _ = write!(
                out,
                "<i style=\"background:var(--c{})\"></i>{}",
                i % COLOURS,
                escaped(site)
            );
        }
    }
    out.push_str("</p>\n<div class=\"plots\">\n");
    for metric in SHOWN {
        let rows: Vec<Row> = found
            .keys()
            .iter()
            .filter(|key| *key != MEAN)
            .map(|key| Row {
                name: found.title(key),
                dots: (found.cases.iter())
                    .filter_map(|case| {
                        let site = case.site.as_deref();
                        Some(Dot {
                            value: case.get(key, metric)?,
                            colour: sites.iter().position(|s| Some(*s) == site).unwrap_or(0)
                                % COLOURS,
                            name: case.id.clone(),
                        })
                    })
                    .collect(),
            })
            .collect();
        let svg = strip(&rows, !metric.is_distance());
        if !svg.is_empty() {
            let _ = writeln!(out, "<section><h3>{}</h3>{svg}</section>", metric.title());
        }
    }
    out.push_str("</div>\n");
}

/// A row for each case: its metrics where there is one label, otherwise the Dice of each.
fn cases(out: &mut String, found: &Evaluation) {
    out.push_str("<h2>Cases</h2>\n");
    let keys = found.keys();
    if let [key] = &keys[..] {
        headings(out, "scroll long", &["Case", "Site"]);
        for case in &found.cases {
            start_case(out, &case.id, case.site.as_deref());
            for metric in SHOWN {
                plain(out, metric, case.get(key, metric));
            }
            out.push_str("</tr>\n");
        }
    } else {
        out.push_str(
            "<div class=\"scroll long\"><table><tr><th>Case</th><th class=\"text\">Site</th>",
        );
        for key in &keys {
            let title = match is_label(key) {
                true => found.title(key),
                false => key.clone(),
            };
            let _ = write!(out, "<th>{}</th>", escaped(&title));
        }
        out.push_str("</tr>\n");
        for case in &found.cases {
            start_case(out, &case.id, case.site.as_deref());
            for key in &keys {
                plain(out, Metric::Dice, case.get(key, Metric::Dice));
            }
            out.push_str("</tr>\n");
        }
    }
    out.push_str("</table></div>\n");
    let shown = if keys.len() > 1 { "Dice; all" } else { "All" };
    let _ = writeln!(
        out,
        "<p class=\"quiet\">{shown} scores are in <code>scores.csv</code> and <code>evaluation.json</code>.</p>"
    );
}

fn start_case(out: &mut String, id: &str, site: Option<&str>) {
    let _ = write!(
        out,
        "<tr><td>{}</td><td class=\"text quiet\">{}</td>",
        escaped(id),
        escaped(site.unwrap_or_default())
    );
}

fn plain(out: &mut String, metric: Metric, v: Option<f64>) {
    let text = v.map_or_else(|| "\u{2013}".to_owned(), |v| value(metric, v));
    let _ = write!(out, "<td>{text}</td>");
}

fn definitions(out: &mut String, found: &Evaluation) {
    let score = &found.settings.score;
    let lesions = &score.lesions;
    let mut rule = String::from("any voxel in common");
    if lesions.min_overlap > 0.0 {
        rule = format!("{} % of it in common", short(100.0 * lesions.min_overlap));
    }
    if lesions.min_mm3 > 0.0 {
        let _ = write!(
            rule,
            "; those below {} mm\u{b3} are not counted",
            short(lesions.min_mm3)
        );
    }
    let _ = writeln!(
        out,
        "<h2>What the numbers are</h2>\n<dl class=\"quiet\">\
         <dt>Surface Dice</dt><dd>Share of both surfaces\u{2019} voxels that are at most {} mm from the \
         other surface.</dd>\
         <dt>HD95</dt><dd>95th percentile of the distances between surfaces, the larger of the two \
         directions.</dd>\
         <dt>Volume similarity</dt><dd>1 less the difference of the volumes by their sum.</dd>\
         <dt>Lesion F1</dt><dd>Harmonic mean of the shares of lesions found and of predicted lesions that \
         are right; lesions are connected components, matched by {rule}.</dd></dl>",
        short(score.tolerance_mm)
    );
}

/// Bytes as text (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |w, i| {
            w << 8 | u32::from(chunk.get(i).copied().unwrap_or(0))
        });
        for i in 0..4 {
            match i <= chunk.len() {
                true => out.push(char::from(LETTERS[(word >> (18 - 6 * i) & 63) as usize])),
                false => out.push('='),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        let all = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let expected = [
            "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy",
        ];
        assert_eq!(all.map(|s| base64(s.as_bytes())), expected);
    }
}
