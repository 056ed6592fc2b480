//! Plots of a corpus as SVG, drawn so that a page's style sheet can give them its colours.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::stats::{Bin, Count};

/// Width of a plot in pixels.
const WIDTH: i32 = 640;
/// Height of a bar and of the gap behind it.
const BAR: i32 = 16;
const GAP: i32 = 6;
/// Where bars begin, and how long they get.
const LEFT: i32 = 220;
const LONGEST: i32 = WIDTH - LEFT - 110;

/// Volumes that are used, and the rest. The page's style sheet replaces these by name of colour.
const USED: RGBColor = RGBColor(47, 111, 178);
const REST: RGBColor = RGBColor(190, 190, 190);
const INK: RGBColor = RGBColor(0, 0, 0);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Horizontal bars, one a name; empty where there is nothing to draw.
pub(super) fn bars(counts: &[Count]) -> String {
    let rows = i32::try_from(counts.len()).unwrap_or(i32::MAX / 64);
    svg(rows * (BAR + GAP) + GAP, counts.is_empty(), |area| {
        let most = counts.iter().map(|c| c.volumes).max().unwrap_or(1).max(1);
        let length = |n: u64| (n as f64 / most as f64 * f64::from(LONGEST)).round() as i32;
        for (row, count) in (0..).zip(counts) {
            let top = GAP + row * (BAR + GAP);
            let (used, all) = (length(count.used), length(count.volumes));
            text(
                area,
                &cut(&count.name, 34),
                (LEFT - 8, top + BAR / 2),
                HPos::Right,
            )?;
            bar(area, (LEFT, top), (LEFT + used, top + BAR), USED)?;
            bar(area, (LEFT + used, top), (LEFT + all, top + BAR), REST)?;
            let number = match count.used == count.volumes {
                true => count.volumes.to_string(),
                false => format!("{} of {}", count.used, count.volumes),
            };
            text(area, &number, (LEFT + all + 6, top + BAR / 2), HPos::Left)?;
        }
        Ok(())
    })
}

/// A histogram; `last_open` where the last bin takes all above.
pub(super) fn histogram(bins: &[Bin], unit: &str, last_open: Option<f64>) -> String {
    const HEIGHT: i32 = 200;
    const BOTTOM: i32 = 40;
    svg(HEIGHT + BOTTOM + 20, bins.is_empty(), |area| {
        let most = bins.iter().map(|b| b.volumes).max().unwrap_or(1).max(1);
        let n = bins.len() as i32;
        let step = ((WIDTH - 40) / n.max(1)).clamp(4, 60);
        let height = |n: u64| (n as f64 / most as f64 * f64::from(HEIGHT - 20)).round() as i32;
        // Labels of 30 pixels must not touch.
        let every = (34 / step).max(1);
        for (i, bin) in (0..).zip(bins) {
            let left = 20 + i * step;
            let (used, all) = (height(bin.used), height(bin.volumes));
            let right = left + (step - 2).max(2);
            bar(area, (left, HEIGHT - used), (right, HEIGHT), USED)?;
            bar(area, (left, HEIGHT - all), (right, HEIGHT - used), REST)?;
            if i % every == 0 {
                text(area, &short(bin.from), (left, HEIGHT + 12), HPos::Center)?;
            }
            if bin.volumes == most {
                text(
                    area,
                    &most.to_string(),
                    (left + step / 2, HEIGHT - all - 8),
                    HPos::Center,
                )?;
            }
        }
        let end = bins.last().map_or(0.0, |b| b.to);
        let open = last_open.is_some_and(|l| bins.last().is_some_and(|b| b.from >= l - 1e-9));
        let last = if open {
            "and more".to_owned()
        } else {
            short(end)
        };
        text(area, &last, (20 + n * step, HEIGHT + 12), HPos::Center)?;
        text(area, unit, (20 + n * step / 2, HEIGHT + 30), HPos::Center)
    })
}

fn svg(height: i32, empty: bool, draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    if empty {
        return String::new();
    }
    let mut out = String::new();
    let size = (WIDTH as u32, u32::try_from(height).unwrap_or(0).max(1));
    let drawn = {
        let area = SVGBackend::with_string(&mut out, size).into_drawing_area();
        draw(&area).and_then(|()| area.present())
    };
    // Writing to memory does not fail.
    if drawn.is_ok() { out } else { String::new() }
}

fn bar(area: &Area<'_>, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Drawn {
    if from.0 >= to.0 || from.1 >= to.1 {
        return Ok(());
    }
    area.draw(&Rectangle::new([from, to], colour.filled()))
}

fn text(area: &Area<'_>, text: &str, at: (i32, i32), align: HPos) -> Drawn {
    let style = ("sans-serif", 12)
        .into_font()
        .color(&INK)
        .pos(Pos::new(align, VPos::Center));
    area.draw_text(text, &style, at)
}

/// A name of at most `n` letters.
fn cut(name: &str, n: usize) -> String {
    if name.chars().count() <= n {
        return name.to_owned();
    }
    let start: String = name.chars().take(n - 1).collect();
    start + "\u{2026}"
}

fn short(n: f64) -> String {
    let text = format!("{n:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, volumes: u64, used: u64) -> Count {
        Count {
            name: name.into(),
            volumes,
            used,
        }
    }

    #[test]
    fn bars_are_as_long_as_their_counts() {
        let svg = bars(&[count("a<b", 100, 50), count("c", 50, 50)]);
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
            "{svg}"
        );
        assert!(svg.contains("a&lt;b") && svg.contains("50 of 100"), "{svg}");
        let widths: Vec<i32> = svg
            .split("<rect ")
            .skip(1)
            .filter_map(|r| r.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(widths.len(), 3, "{svg}");
        assert_eq!(widths[0], widths[2]);
        assert!((widths[0] - widths[1]).abs() <= 1);
        assert_eq!(bars(&[]), "");
    }

    #[test]
    fn a_histogram_has_a_bar_a_bin() {
        let bin = |i: u32, volumes| Bin {
            from: f64::from(i) * 5.0,
            to: f64::from(i + 1) * 5.0,
            volumes,
            used: volumes,
        };
        let svg = histogram(&[bin(0, 3), bin(1, 0), bin(2, 6)], "years", None);
        assert_eq!(svg.matches("<rect ").count(), 2, "{svg}");
        assert!(
            svg.contains("years") && svg.contains(">\n15") || svg.contains("15"),
            "{svg}"
        );
    }
}
