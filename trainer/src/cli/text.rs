//! Numbers and tables for people.

/// Columns aligned by their widest cell; the first column to the left, the others to the right.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    aligned(rows, |column| column == 0)
}

/// Columns of words, aligned to the left.
pub(super) fn words(rows: &[Vec<String>]) -> String {
    aligned(rows, |_| true)
}

fn aligned(rows: &[Vec<String>], left: impl Fn(usize) -> bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter()
            .filter_map(|r| r.get(c))
            .map(|s| s.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(c, (cell, &w))| match left(c) {
            true => format!("{cell:<w$}"),
            false => format!("{cell:>w$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Numbers joined by `x`, with at most four digits after the point.
pub(super) fn by(numbers: [f64; 3]) -> String {
    numbers.map(short).join(" x ")
}

/// A number with at most four digits after the point and no trailing zeros.
pub(super) fn short(n: f64) -> String {
    let text = format!("{n:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
