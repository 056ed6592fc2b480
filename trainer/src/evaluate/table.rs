//! Scores and summaries as CSV (RFC 4180).

use std::fmt::Write as _;

use super::{Evaluation, Metric};

/// A row for each case, label or region, and metric; an empty value is not defined.
pub(super) fn scores(found: &Evaluation) -> String {
    let mut out = String::from("case,subject,site,label,name,metric,value\n");
    for case in &found.cases {
        for key in found.keys().iter().filter(|k| case.labels.contains_key(*k)) {
            let scores = &case.labels[key];
            let cells = [
                &case.id,
                &case.subject,
                case.site.as_deref().unwrap_or_default(),
                key,
                &found.title(key),
            ];
            let start = cells.map(quoted).join(",");
            let metrics = Metric::ALL.map(|m| (m.name(), scores.get(m)));
            let sizes = [
                ("reference_mm3", scores.reference_mm3),
                ("prediction_mm3", scores.prediction_mm3),
                ("reference_lesions", scores.reference_lesions as f64),
                ("prediction_lesions", scores.prediction_lesions as f64),
            ];
            let sizes = sizes.map(|(name, value)| (name, Some(value)));
            for (name, value) in metrics.into_iter().chain(sizes) {
                // Writing to memory does not fail.
                let _ = writeln!(out, "{start},{name},{}", number(value));
            }
        }
    }
    out
}

/// A row for each label or region, site and metric.
pub(super) fn summary(found: &Evaluation) -> String {
    let mut out = String::from(
        "label,name,site,metric,n,mean,sd,ci_low,ci_high,min,lower_quartile,median,\
         upper_quartile,max,absent,one_sided\n",
    );
    for row in &found.summary {
        let cells = [
            &row.label,
            &found.title(&row.label),
            row.site.as_deref().unwrap_or_default(),
            row.metric.name(),
        ];
        let values = row.values.as_ref();
        let numbers = [
            values.map(|v| v.mean),
            values.and_then(|v| v.sd),
            row.interval.map(|i| i[0]),
            row.interval.map(|i| i[1]),
            values.map(|v| v.min),
            values.map(|v| v.lower_quartile),
            values.map(|v| v.median),
            values.map(|v| v.upper_quartile),
            values.map(|v| v.max),
        ];
        let _ = writeln!(
            out,
            "{},{},{},{},{}",
            cells.map(quoted).join(","),
            values.map_or(0, |v| v.n),
            numbers.map(number).join(","),
            row.absent,
            row.one_sided
        );
    }
    out
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}
