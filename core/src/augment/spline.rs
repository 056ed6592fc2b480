//! Cubic B-splines along lines (Unser 1999): coefficients by a recursive filter, and values
//! between the samples.

use super::lines::{LANES, Lines, Row};

/// Pole of the recursive filter: sqrt(3) - 2.
const POLE: f32 = -0.267_949_2;
/// After this many samples what was before a line no longer matters: POLE^14 is 1e-8.
pub(super) const SETTLED: usize = 14;
/// Samples beyond a line's ends that values near them need.
const PAD: usize = 2;

/// What continues a line beyond an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The line mirrored about its last sample: SciPy's `mirror`, and what `constant` filters by.
    Mirror,
    /// Its last sample, for ever: SciPy's `nearest`.
    Continued,
}

/// Cubic B-spline at distances `1 + f`, `f`, `1 - f` and `2 - f`.
#[inline]
pub(super) fn weights(f: f32) -> [f32; 4] {
    let g = 1.0 - f;
    let (ff, gg) = (f * f, g * g);
    [
        gg * g / 6.0,
        2.0 / 3.0 - 0.5 * ff * (2.0 - f),
        2.0 / 3.0 - 0.5 * gg * (2.0 - g),
        ff * f / 6.0,
    ]
}

/// Turns samples into coefficients, line by line.
pub(super) fn coefficients(rows: &mut [Row], ends: [End; 2]) {
    let n = rows.len();
    if n < 2 {
        // A constant line is its own coefficients.
        return;
    }
    let (first, last) = (rows[0], rows[n - 1]);
    rows[0] = match ends[0] {
        End::Continued => first.map(|v| v / (1.0 - POLE)),
        End::Mirror => mirrored_start(rows),
    };
    for i in 1..n {
        let before = rows[i - 1];
        for (v, b) in rows[i].iter_mut().zip(&before) {
            *v += POLE * b;
        }
    }
    let before = rows[n - 2];
    match ends[1] {
        End::Continued => {
            // Beyond the end the forward filter nears its goal by a factor POLE a sample, so that
            // the backward filter's sum to infinity is two geometric series.
            for (v, l) in rows[n - 1].iter_mut().zip(&last) {
                let goal = l / (1.0 - POLE);
                *v = -6.0 * POLE * (goal / (1.0 - POLE) + (*v - goal) / (1.0 - POLE * POLE));
            }
        }
        End::Mirror => {
            for (v, b) in rows[n - 1].iter_mut().zip(&before) {
                *v = 6.0 * POLE / (POLE * POLE - 1.0) * (*v + POLE * b);
            }
        }
    }
    for i in (0..n - 1).rev() {
        let after = rows[i + 1];
        for (v, a) in rows[i].iter_mut().zip(&after) {
            *v = POLE * (a - 6.0 * *v);
        }
    }
}

/// The forward filter's first value on a line that is mirrored about both ends.
fn mirrored_start(rows: &[Row]) -> Row {
    let n = rows.len();
    let mut out = rows[0];
    let mut add = |row: &Row, weight: f32| {
        for (o, v) in out.iter_mut().zip(row) {
            *o += weight * v;
        }
    };
    let mut weight = 1.0;
    for row in rows[1..].iter().take(SETTLED) {
        weight *= POLE;
        add(row, weight);
    }
    if n > SETTLED {
        return out;
    }
    // A short line comes back before it has settled, again and again.
    for row in rows[1..n - 1].iter().rev() {
        weight *= POLE;
        add(row, weight);
    }
    let round = 1.0 / (1.0 - weight * POLE);
    out.map(|v| v * round)
}

/// Index of sample `i` in a line of `n` that is mirrored about its ends.
pub(super) fn mirrored(i: isize, n: usize) -> usize {
    if n < 2 {
        return 0;
    }
    let period = 2 * (n - 1);
    let i = i.rem_euclid(period as isize) as usize;
    if i < n { i } else { period - i }
}

/// The values at `positions` along one axis of a volume.
///
/// Positions are clamped to half a sample beyond the ends. Only the samples that are needed are
/// filtered.
pub(super) fn resample(
    data: &[f32],
    shape: [usize; 3],
    axis: usize,
    positions: &[f64],
    end: End,
) -> Vec<f32> {
    let n = shape[axis];
    let clamped = |p: f64| p.clamp(-0.5, n as f64 - 0.5);
    let low = positions.iter().copied().fold(f64::INFINITY, f64::min);
    let high = positions.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let from = (clamped(low).floor() as usize).saturating_sub(PAD + SETTLED);
    let to = n.min(clamped(high).max(0.0) as usize + PAD + SETTLED + 1);
    let cut = |edge: bool| if edge { end } else { End::Continued };
    let ends = [cut(from == 0), cut(to == n)];
    let taps: Vec<(usize, [f32; 4])> = positions
        .iter()
        .map(|&p| {
            let p = clamped(p);
            let floor = p.floor();
            let first = (floor as isize - 1 + PAD as isize) as usize - from;
            (first, weights((p - floor) as f32))
        })
        .collect();
    let mut target = shape;
    target[axis] = positions.len();
    let mut out = vec![0.0f32; target.iter().product()];
    let (source, goal) = (Lines::new(shape, axis), Lines::new(target, axis));
    let len = to - from;
    let mut rows = vec![[0.0f32; LANES]; len + 2 * PAD];
    let mut values = vec![[0.0f32; LANES]; positions.len()];
    for block in source.blocks() {
        source.load(data, block, from, &mut rows[PAD..PAD + len]);
        filter_padded(&mut rows, ends);
        for (value, (first, weights)) in values.iter_mut().zip(&taps) {
            let [a, b, c, d] = [0, 1, 2, 3].map(|k| &rows[first + k]);
            for l in 0..LANES {
                value[l] =
                    weights[0] * a[l] + weights[1] * b[l] + weights[2] * c[l] + weights[3] * d[l];
            }
        }
        goal.store(&mut out, block, &values);
    }
    out
}

/// Coefficients of samples that have `PAD` free rows before and after them, those included.
fn filter_padded(rows: &mut [Row], ends: [End; 2]) {
    let n = rows.len() - 2 * PAD;
    let (first, last) = (rows[PAD], rows[PAD + n - 1]);
    rows[..PAD].fill(first);
    rows[PAD + n..].fill(last);
    // Rows that continue a line are filtered with it; mirrored ones are copied afterwards.
    let from = if ends[0] == End::Mirror { PAD } else { 0 };
    let to = rows.len() - if ends[1] == End::Mirror { PAD } else { 0 };
    coefficients(&mut rows[from..to], ends);
    for k in 1..=PAD {
        if ends[0] == End::Mirror {
            rows[PAD - k] = rows[PAD + mirrored(-(k as isize), n)];
        }
        if ends[1] == End::Mirror {
            rows[PAD + n - 1 + k] = rows[PAD + mirrored((n - 1 + k) as isize, n)];
        }
    }
}
