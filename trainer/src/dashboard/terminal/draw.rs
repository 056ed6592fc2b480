//! The screen of a run.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LineGauge, Paragraph};

use super::super::history::{History, State, Summary};
use super::duration;

/// Points of a curve; a terminal has fewer dots across.
const POINTS: usize = 400;

const MASKED: Color = Color::Cyan;
const VISIBLE: Color = Color::Green;
const ROTATION: Color = Color::Magenta;
const TOTAL: Color = Color::White;
const VALIDATION: Color = Color::Yellow;

/// A named curve.
struct Curve {
    name: &'static str,
    colour: Color,
    points: Vec<(f64, f64)>,
}

/// Draws a run, with the last of some messages; `now` is in seconds since 1970.
pub(super) fn draw(frame: &mut Frame<'_>, history: &History, notes: &[String], now: f64) {
    let Some(summary) = history.summary(now) else {
        let text = notes
            .last()
            .map_or("waiting for the run's first line", |n| n);
        frame.render_widget(Paragraph::new(text), frame.area());
        return;
    };
    let notes = &notes[notes.len().saturating_sub(3)..];
    let [head, loss, below, gauges, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Fill(2),
        Constraint::Fill(1),
        Constraint::Length(3),
        Constraint::Length(notes.len() as u16),
    ])
    .areas(frame.area());
    frame.render_widget(header(&summary), head);
    let mut curves = losses(history);
    let values = || curves.iter().flat_map(|c| &c.points).map(|p| p.1);
    // The first steps would hide all others.
    let logarithmic = values().all(|v| v > 0.0);
    if logarithmic {
        let points = curves.iter_mut().flat_map(|c| &mut c.points);
        points.for_each(|p| p.1 = p.1.log10());
    }
    chart(frame, loss, "loss", &curves, logarithmic);
    let dice = Curve {
        name: "Dice",
        colour: VALIDATION,
        points: thinned(
            history
                .validations
                .iter()
                .filter_map(|v| Some((v.step as f64, v.dice?))),
        ),
    };
    // Of pretraining there is none, and no room for it.
    let third = u16::from(!dice.points.is_empty());
    let [left, right, last] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Fill(third),
    ])
    .areas(below);
    if third > 0 {
        chart(frame, last, "validation Dice", &[dice], false);
    }
    let of = |name, colour, f: &dyn Fn(&crate::train::log::Step) -> f64| Curve {
        name,
        colour,
        points: thinned(history.steps.iter().map(|s| (s.step as f64, f(s)))),
    };
    let speed = of("samples/s", Color::Magenta, &|s| s.samples_per_s);
    chart(frame, left, "samples a second", &[speed], false);
    let rate = of("lr", Color::Blue, &|s| s.lr);
    chart(frame, right, "learning rate", &[rate], false);
    draw_gauges(frame, gauges, &summary);
    let lines: Vec<Line<'_>> = notes.iter().map(|n| Line::from(n.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).yellow(), foot);
}

fn header(s: &Summary) -> Paragraph<'_> {
    let state = match s.state {
        State::Running | State::Finished => Style::new().green(),
        State::Interrupted | State::Silent => Style::new().yellow(),
        State::Failed => Style::new().red(),
    };
    let first = Line::from(vec![
        Span::from(s.name.as_str()).bold(),
        Span::from("  "),
        Span::styled(s.state.name(), state),
        Span::from(format!(
            "  {}, {:.1} M parameters, {}",
            s.model,
            s.parameters as f64 / 1e6,
            s.device
        )),
    ]);
    let mut parts = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        parts.extend(value.map(|v| format!("{name}{v}")));
    };
    add("loss ", s.loss.map(|v| format!("{v:.5}")));
    add("masked ", s.masked_loss.map(|v| format!("{v:.5}")));
    add("visible ", s.visible_loss.map(|v| format!("{v:.5}")));
    add("rotation ", s.rotation_loss.map(|v| format!("{v:.5}")));
    add(
        "contrastive ",
        s.contrastive_loss.map(|v| format!("{v:.5}")),
    );
    add("inpainting ", s.inpainting_loss.map(|v| format!("{v:.5}")));
    add("Dice part ", s.dice_loss.map(|v| format!("{v:.5}")));
    add("cross-entropy ", s.cross_entropy.map(|v| format!("{v:.5}")));
    add("validation ", s.validation_loss.map(|v| format!("{v:.5}")));
    add("Dice ", s.dice.map(|v| format!("{v:.4}")));
    add("", s.samples_per_s.map(|v| format!("{v:.2} samples/s")));
    add("", s.memory_mib.map(|v| format!("{v:.0} MiB")));
    Paragraph::new(vec![first, Line::from(parts.join("   "))])
}

fn losses(history: &History) -> Vec<Curve> {
    type Loss = fn(&crate::train::log::Step) -> Option<f64>;
    let steps: [(&'static str, Color, Loss); 8] = [
        ("loss", TOTAL, |s| Some(s.loss)),
        ("masked", MASKED, |s| s.masked_loss),
        ("visible", VISIBLE, |s| s.visible_loss),
        ("rotation", ROTATION, |s| s.rotation_loss),
        ("contrastive", MASKED, |s| s.contrastive_loss),
        ("inpainting", VISIBLE, |s| s.inpainting_loss),
        ("Dice part", MASKED, |s| s.dice_loss),
        ("cross-entropy", VISIBLE, |s| s.cross_entropy),
    ];
    let mut curves: Vec<Curve> = steps
        .into_iter()
        .map(|(name, colour, of)| Curve {
            name,
            colour,
            points: thinned(
                history
                    .steps
                    .iter()
                    .filter_map(|s| Some((s.step as f64, of(s)?))),
            ),
        })
        .collect();
    let validations = history.validations.iter();
    curves.push(Curve {
        name: "validation",
        colour: VALIDATION,
        points: thinned(validations.map(|v| (v.step as f64, v.loss))),
    });
    curves.retain(|c| !c.points.is_empty());
    curves
}

/// At most [`POINTS`] points, each the mean of a stretch; points that are not finite are left out.
fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> = points.filter(|(_, y)| y.is_finite()).collect();
    let stretch = points.len().div_ceil(POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let n = part.len() as f64;
        let sum = part.iter().fold((0.0, 0.0), |a, p| (a.0 + p.0, a.1 + p.1));
        (sum.0 / n, sum.1 / n)
    };
    points.chunks(stretch).map(mean).collect()
}

/// Draws curves; those that are `logarithmic` hold powers of ten.
fn chart(frame: &mut Frame<'_>, area: Rect, title: &str, curves: &[Curve], logarithmic: bool) {
    let block = Block::bordered().title(title.to_owned());
    let all = || curves.iter().flat_map(|c| &c.points);
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let low = all().map(of).fold(f64::INFINITY, f64::min);
        let high = all().map(of).fold(f64::NEG_INFINITY, f64::max);
        if low < high {
            Some([low, high])
        } else {
            low.is_finite()
                .then(|| [low - low.abs() * 0.1 - 1e-9, low + low.abs() * 0.1 + 1e-9])
        }
    };
    let (Some(x), Some(y)) = (bounds(|p| p.0), bounds(|p| p.1)) else {
        frame.render_widget(block, area);
        return;
    };
    let datasets = curves
        .iter()
        .map(|c| {
            Dataset::default()
                .name(c.name)
                .marker(Marker::Braille)
                .graph_type(GraphType::Line)
                .style(Style::new().fg(c.colour))
                .data(&c.points)
        })
        .collect();
    let label = |v: f64| short(if logarithmic { 10f64.powf(v) } else { v });
    let chart = Chart::new(datasets)
        .block(block)
        .hidden_legend_constraints((Constraint::Percentage(50), Constraint::Percentage(70)))
        .x_axis(
            Axis::default()
                .bounds(x)
                .labels(x.map(|v| format!("{v:.0}"))),
        )
        .y_axis(
            Axis::default()
                .bounds(y)
                .labels([y[0], (y[0] + y[1]) / 2.0, y[1]].map(label)),
        );
    frame.render_widget(chart, area);
}

/// A number with three digits that count.
fn short(v: f64) -> String {
    match v.abs() {
        0.0 => "0".into(),
        s if !(1e-3..1e4).contains(&s) => format!("{v:.1e}"),
        s if s < 1.0 => format!("{v:.4}"),
        _ => format!("{v:.2}"),
    }
}

fn draw_gauges(frame: &mut Frame<'_>, area: Rect, s: &Summary) {
    let [progress, waiting, time] = Layout::vertical([Constraint::Length(1); 3]).areas(area);
    let done = s.step as f64 / s.steps.max(1) as f64;
    let gauge = |label: String, ratio: f64, colour: Color| {
        LineGauge::default()
            .label(label)
            .ratio(ratio.clamp(0.0, 1.0))
            .filled_style(Style::new().fg(colour))
    };
    let label = format!("step {} of {}", s.step, s.steps);
    frame.render_widget(gauge(label, done, Color::Green), progress);
    let share = s.waiting.unwrap_or(0.0);
    let colour = if share > 0.2 { Color::Red } else { Color::Blue };
    let label = format!("waiting for samples {:.0} %", share * 100.0);
    frame.render_widget(gauge(label, share, colour), waiting);
    let left = s
        .left_s
        .map_or_else(String::new, |t| format!(", {} left", duration(t)));
    let text = format!("{} in steps{left}", duration(s.seconds));
    frame.render_widget(Paragraph::new(text), time);
}
