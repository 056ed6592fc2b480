//! Curves and intervals as SVG, in the colours of the page that they are in.

use std::fmt::Write as _;

use super::comparison::Comparison;
use super::page::escaped;
use super::plot::{Plot, Series};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Colours of the page's style sheet: `--c0` and so on.
pub(super) const COLOURS: usize = 8;

/// Where values lie on an axis.
struct Scale {
    from: f64,
    to: f64,
    at: [f64; 2],
}

impl Scale {
    /// A scale that shows some values, with room around them.
    fn of(values: impl Iterator<Item = f64>, at: [f64; 2]) -> Self {
        let (mut from, mut to) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            from = from.min(value);
            to = to.max(value);
        }
        let room = (0.08 * (to - from)).max(0.5);
        Self {
            from: from - room,
            to: to + room,
            at,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        self.at[0] + share * (self.at[1] - self.at[0])
    }

    /// Round values, about six.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.to - self.from) / 6.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|f| f * power)
            .into_iter()
            .find(|s| *s >= rough)
            .unwrap_or(rough);
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }
}

/// Curves with the spread over seeds as bars; hollow where seeds are missing.
pub(super) fn curves(plot: &Plot) -> String {
    let percent = |s: &Series| -> Vec<Option<(f64, f64, bool)>> {
        let points = s.points.iter();
        let point = points.map(|p| {
            let entry = p.as_ref()?;
            let sd = 100.0 * entry.sd.unwrap_or(0.0);
            Some((100.0 * entry.mean?, sd, entry.complete()))
        });
        point.collect()
    };
    let series: Vec<_> = plot.series.iter().map(percent).collect();
    let ends = series.iter().flatten().flatten();
    let ends: Vec<f64> = ends.flat_map(|(m, sd, _)| [m - sd, m + sd]).collect();
    if ends.is_empty() {
        return String::new();
    }
    let y = Scale::of(ends.into_iter(), [HEIGHT - BOTTOM, TOP]);
    let step = (WIDTH - LEFT - RIGHT) / plot.values.len() as f64;
    let mut out = begin(HEIGHT, &plot.title);
    for tick in y.ticks() {
        let at = y.place(tick);
        line(&mut out, "grid", [LEFT, at], [WIDTH - RIGHT, at]);
        text(&mut out, "end", [LEFT - 6.0, at + 4.0], &short(tick));
    }
    for (n, value) in plot.values.iter().enumerate() {
        let at = LEFT + (n as f64 + 0.5) * step;
        text(&mut out, "middle", [at, HEIGHT - BOTTOM + 18.0], value);
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    text(&mut out, "middle", [middle, HEIGHT - 6.0], &plot.axis);
    for (s, points) in series.iter().enumerate() {
        // Beside each other, so that bars do not cover each other.
        let shift = (s as f64 - (series.len() as f64 - 1.0) / 2.0) * 6.0;
        let x = |n: usize| LEFT + (n as f64 + 0.5) * step + shift;
        let known = points.iter().enumerate();
        let known: Vec<_> = known.filter_map(|(n, p)| p.map(|p| (n, p))).collect();
        let colour = s % COLOURS;
        let path: Vec<String> = known
            .iter()
            .map(|(n, (mean, ..))| format!("{:.1},{:.1}", x(*n), y.place(*mean)))
            .collect();
        let _ = write!(
            out,
            "<polyline class=\"c{colour}\" points=\"{}\"/>",
            path.join(" ")
        );
        for (n, (mean, sd, complete)) in known {
            let (x, at) = (x(n), y.place(mean));
            let (low, high) = (y.place(mean - sd), y.place(mean + sd));
            let _ = write!(
                out,
                "<g class=\"c{colour}{}\"><line x1=\"{x:.1}\" y1=\"{low:.1}\" x2=\"{x:.1}\" \
                 y2=\"{high:.1}\"/><circle cx=\"{x:.1}\" cy=\"{at:.1}\" r=\"4\"><title>{}, {}: \
                 {mean:.2} ± {sd:.2}</title></circle></g>",
                if complete { "" } else { " part" },
                escaped(&plot.series[s].name),
                escaped(&plot.values[n]),
            );
        }
    }
    out.push_str("</svg>");
    out
}

/// The difference to no pretraining on each test set, with its interval.
pub(super) fn differences(table: &Comparison) -> String {
    const ROW: f64 = 22.0;
    const NAMES: f64 = 300.0;
    let mut lines = Vec::new();
    for (n, column) in table.columns.iter().enumerate() {
        for row in &table.rows {
            let entry = row.entries[n].as_ref();
            let Some(difference) = entry.and_then(|e| e.difference) else {
                continue;
            };
            let mut name = format!("{}, {}: {}", column.task, column.test, row.row.backbone);
            if let Some(n) = row.row.labelled {
                let _ = write!(name, ", n = {n}");
            }
            let mean = 100.0 * difference.mean;
            let ends = difference
                .interval
                .map_or([mean; 2], |i| i.map(|v| 100.0 * v));
            lines.push((format!("{name}, {}", row.title), mean, ends));
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let height = ROW * lines.len() as f64 + 40.0;
    let ends = lines
        .iter()
        .flat_map(|(_, mean, ends)| [*mean, ends[0], ends[1]]);
    let x = Scale::of(ends.chain([0.0]), [NAMES + 10.0, WIDTH + 100.0 - RIGHT]);
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {:.0} {height:.0}\" role=\"img\" aria-label=\"Differences to no \
         pretraining\">",
        WIDTH + 100.0
    );
    for tick in x.ticks() {
        let at = x.place(tick);
        let class = if tick == 0.0 { "zero" } else { "grid" };
        line(&mut out, class, [at, 4.0], [at, height - 30.0]);
        text(&mut out, "middle", [at, height - 14.0], &signed(tick));
    }
    for (n, (name, mean, ends)) in lines.iter().enumerate() {
        let y = ROW * (n as f64 + 0.5) + 4.0;
        text(&mut out, "end", [NAMES, y + 4.0], name);
        let _ = write!(
            out,
            "<g class=\"c0\"><line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\"/><circle \
             cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}: {mean:+.2}</title></circle></g>",
            x.place(ends[0]),
            x.place(ends[1]),
            x.place(*mean),
            escaped(name),
        );
    }
    out.push_str("</svg>");
    out
}

fn begin(height: f64, title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">",
        escaped(title)
    )
}

fn line(out: &mut String, class: &str, from: [f64; 2], to: [f64; 2]) {
    let _ = write!(
        out,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from[0], from[1], to[0], to[1]
    );
}

fn text(out: &mut String, anchor: &str, at: [f64; 2], text: &str) {
    let _ = write!(
        out,
        "<text text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        at[0],
        at[1],
        escaped(text)
    );
}

/// A difference without digits that say nothing.
fn signed(value: f64) -> String {
    match value > 0.0 {
        true => format!("+{}", short(value)),
        false => short(value),
    }
}

/// A number without digits that say nothing.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
