//! The tables that are printed.

use amaes::evaluate::{Comparison, Evaluation, Metric};

use crate::cli::text;

/// What is printed.
pub(super) fn tables(found: &Evaluation, comparison: Option<&Comparison>) -> String {
    const SHOWN: [Metric; 5] = [
        Metric::Dice,
        Metric::Nsd,
        Metric::Hd95Mm,
        Metric::Sensitivity,
        Metric::LesionF1,
    ];
    let head = ["label", "cases"]
        .into_iter()
        .chain(SHOWN.map(Metric::title));
    let mut rows = vec![head.map(str::to_owned).collect::<Vec<_>>()];
    for key in found.keys() {
        let summary = SHOWN.map(|m| found.overall(&key, m).and_then(|s| s.values));
        let n = summary[0].map_or(0, |v| v.n);
        let cells = summary.map(|values| match values {
            Some(v) => match v.sd {
                Some(sd) => format!("{:.3} \u{b1} {sd:.3}", v.mean),
                None => format!("{:.3}", v.mean),
            },
            None => "-".to_owned(),
        });
        rows.push(
            [found.title(&key), n.to_string()]
                .into_iter()
                .chain(cells)
                .collect(),
        );
    }
    let mut out = text::table(&rows);
    if let Some(comparison) = comparison {
        out.push_str(&against(found, comparison));
    }
    out
}
/// Dice of two models.
fn against(found: &Evaluation, comparison: &Comparison) -> String {
    let names = [comparison.first.as_str(), comparison.second.as_str()];
    let head = [
        "Dice",
        names[0],
        names[1],
        "difference",
        "n",
        "Wilcoxon p (Holm)",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for key in found.keys() {
        if let Some(row) = comparison.row(&key, Metric::Dice) {
            rows.push(vec![
                found.title(&key),
                format!("{:.3}", row.first),
                format!("{:.3}", row.second),
                format!("{:+.3}", row.test.mean_difference),
                row.test.n.to_string(),
                format!("{:.4}", row.wilcoxon_holm),
            ]);
        }
    }
    format!("\n{}", text::table(&rows))
}
