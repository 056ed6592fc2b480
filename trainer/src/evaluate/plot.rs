//! Plots of scores as inline SVG: every case a dot, a box around the middle half.

use std::fmt::Write as _;

use super::statistics::Description;
use crate::corpus::report::escaped;

/// Width of a plot in pixels.
const WIDTH: f64 = 640.0;
/// Where the axis begins and ends.
const LEFT: f64 = 170.0;
const RIGHT: f64 = WIDTH - 16.0;
/// Height of a row, of its box, and of the axis below.
const ROW: f64 = 34.0;
const BOX: f64 = 18.0;
const AXIS: f64 = 34.0;
/// Letters of a row's name.
const LETTERS: usize = 24;

/// A case in a plot.
#[derive(Clone, Debug)]
pub(super) struct Dot {
    pub(super) value: f64,
    /// Which of the page's colours.
    pub(super) colour: usize,
    /// Shown when pointed at.
    pub(super) name: String,
}

/// The values of one row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) dots: Vec<Dot>,
}

/// Rows of dots with boxes over one axis: the quartiles, the median, the mean as a diamond,
/// whiskers to the last value within one and a half box lengths (Tukey). Shares run from 0 to 1,
/// distances from 0; a range that goes below 0 gets a line there. Empty without values.
pub(super) fn strip(rows: &[Row], is_share: bool) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|r| !r.dots.is_empty()).collect();
    let values = rows.iter().flat_map(|r| r.dots.iter().map(|d| d.value));
    let (low, high) = values.fold((0.0f64, f64::NEG_INFINITY), |(a, b), v| {
        (a.min(v), b.max(v))
    });
    if rows.is_empty() || !low.is_finite() || !high.is_finite() {
        return String::new();
    }
    let high = if is_share { 1.0 } else { high };
    let ticks = ticks(low, high.max(low + 1e-9));
    let (first, last) = (ticks[0], ticks[ticks.len() - 1]);
    let x = |v: f64| LEFT + (v - first) / (last - first) * (RIGHT - LEFT);
    let bottom = rows.len() as f64 * ROW + 4.0;
    let mut out = String::new();
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {:.0}\" width=\"{WIDTH}\" role=\"img\">",
        bottom + AXIS
    );
    for &tick in &ticks {
        let class = if tick == 0.0 { "zero" } else { "grid" };
        let _ = write!(
            out,
            "<line class=\"{class}\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{bottom:.1}\"/>\
             <text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"middle\">{2}</text>",
            x(tick),
            bottom + 16.0,
            short(tick)
        );
    }
    for (i, row) in rows.iter().enumerate() {
        let middle = (i as f64 + 0.5) * ROW + 2.0;
        draw(&mut out, row, middle, &x);
    }
    out.push_str("</svg>");
    out
}

fn draw(out: &mut String, row: &Row, middle: f64, x: &dyn Fn(f64) -> f64) {
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 10.0,
        middle + 4.0,
        escaped(&cut(&row.name))
    );
    let values: Vec<f64> = row.dots.iter().map(|d| d.value).collect();
    let Some(found) = Description::of(&values) else {
        return;
    };
    let reach = 1.5 * (found.upper_quartile - found.lower_quartile);
    let within =
        |v: &&f64| (found.lower_quartile - reach..=found.upper_quartile + reach).contains(*v);
    let ends = values.iter().filter(within);
    let (low, high) = ends.fold((found.median, found.median), |(a, b), &v| {
        (a.min(v), b.max(v))
    });
    let (top, half) = (middle - BOX / 2.0, BOX / 2.0);
    let (from, to) = (x(found.lower_quartile), x(found.upper_quartile));
    let _ = write!(
        out,
        "<line class=\"box\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\
         <rect class=\"box\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BOX}\" rx=\"2\"/>",
        x(low),
        x(high),
        to - from
    );
    for (i, dot) in row.dots.iter().enumerate() {
        let _ = write!(
            out,
            "<circle class=\"dot c{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.6\"><title>{}: {}</title></circle>",
            dot.colour,
            x(dot.value),
            middle + (spread(i) - 0.5) * (BOX - 4.0),
            escaped(&dot.name),
            short(dot.value)
        );
    }
    let (median, mean) = (x(found.median), x(found.mean));
    let _ = write!(
        out,
        "<line class=\"median\" x1=\"{median:.1}\" x2=\"{median:.1}\" y1=\"{top:.1}\" y2=\"{:.1}\"/>\
         <path class=\"mean\" d=\"M{mean:.1} {:.1}l5 5l-5 5l-5 -5z\"><title>mean {}</title></path>",
        middle + half,
        middle - 5.0,
        short(found.mean)
    );
}

/// Where in its row a dot lies, 0 to 1, so that neighbours are apart (the golden ratio's
/// multiples).
fn spread(i: usize) -> f64 {
    (i as f64 * 0.618_033_988_749_895 + 0.5).fract()
}

/// Round numbers from at most `low` to at least `high`.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|s| s * power);
    let step = steps.into_iter().find(|&s| s >= rough * (1.0 - 1e-9));
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = (
        (low / step).floor() as i64,
        (high / step - 1e-9).ceil() as i64,
    );
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A name that fits.
fn cut(name: &str) -> String {
    match name.chars().count() <= LETTERS {
        true => name.to_owned(),
        false => name.chars().take(LETTERS - 1).chain(['\u{2026}']).collect(),
    }
}

/// A number with at most three digits after the point.
pub(super) fn short(n: f64) -> String {
    let text = format!("{n:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_all() {
        let near = |a: Vec<f64>, b: &[f64]| {
            assert!(
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9),
                "{a:?}"
            );
        };
        near(ticks(0.0, 1.0), &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        near(ticks(0.0, 37.0), &[0.0, 10.0, 20.0, 30.0, 40.0]);
        near(ticks(-0.11, 0.2), &[-0.2, -0.1, 0.0, 0.1, 0.2]);
    }

    #[test]
    fn every_case_is_a_dot() {
        let dot = |value: f64| Dot {
            value,
            colour: 1,
            name: "a<b".into(),
        };
        let row = |name: &str, values: &[f64]| Row {
            name: name.into(),
            dots: values.iter().map(|&v| dot(v)).collect(),
        };
        let svg = strip(&[row("one", &[0.2, 0.5, 0.9]), row("none", &[])], true);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("<rect").count(), 1);
        assert!(
            svg.contains("a&lt;b: 0.2") && !svg.contains("none"),
            "{svg}"
        );
        // 0.5 lies in the middle between the axis' ends at 0 and 1.
        let middle = format!("cx=\"{:.1}\"", (LEFT + RIGHT) / 2.0);
        assert!(svg.contains(&middle), "{svg}");
        assert_eq!(strip(&[row("none", &[])], false), "");
    }
}
