//! Resampling to a spacing, one axis after the other.
//!
//! Each axis is done in blocks of [`WIDTH`] lines that lie side by side in a workspace, so that
//! filtering and weighting run along the block whatever the axis. For cubic interpolation the
//! workspace holds B-spline coefficients (pole sqrt(3) - 2, Unser 1999) of the line continued by
//! its end values to infinity, which has a closed form.

use crate::volume::{Affine, Grid, Volume};

use super::error::{MAX_VOXELS, PlanError, checked_voxels, filled};
use super::normalize::limits;
use super::plan::Interpolation;

/// Lines in a block.
const WIDTH: usize = 64;
/// Samples of the continued line on each side.
const PAD: usize = 2;
/// Pole of the cubic B-spline's recursive filter: sqrt(3) - 2.
const POLE: f32 = -0.267_949_2;
/// Displacements below this many voxels over a whole axis leave it as it is.
const UNCHANGED: f64 = 1e-3;

/// One axis' positions: new voxel `i` of `to` lies at `origin + i * step` of `from` old ones.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    from: usize,
    to: usize,
    origin: f64,
    step: f64,
}

impl Axis {
    fn new(from: usize, spacing: f64, wanted: f64) -> Result<Self, PlanError> {
        let size = (from as f64 * spacing / wanted).round().max(1.0);
        if !size.is_finite() || size > MAX_VOXELS as f64 {
            return Err(PlanError::TooLarge {
                shape: [size, 1.0, 1.0],
            });
        }
        let step = wanted / spacing;
        let axis = Self {
            from,
            to: size as usize,
            origin: (from as f64 - 1.0) / 2.0 - (size - 1.0) / 2.0 * step,
            step,
        };
        Ok(if axis.is_unchanged() {
            Self {
                origin: 0.0,
                step: 1.0,
                ..axis
            }
        } else {
            axis
        })
    }

    fn is_unchanged(&self) -> bool {
        self.from == self.to && (self.step - 1.0).abs() * (self.from as f64) < UNCHANGED
    }
}

/// The three axes of `grid` at `spacing`.
fn axes(grid: &Grid, spacing: [f64; 3]) -> Result<[Axis; 3], PlanError> {
    let old = grid.spacing();
    if !old.iter().all(|s| s.is_finite() && *s > 0.0) {
        return Err(PlanError::SingularAffine);
    }
    let make = |a: usize| Axis::new(grid.shape[a], old[a], spacing[a]);
    let out = [make(0)?, make(1)?, make(2)?];
    checked_voxels(out.map(|a| a.to))?;
    Ok(out)
}

/// New voxel positions to old ones.
fn to_source(axes: &[Axis; 3]) -> Affine {
    let mut m = Affine::IDENTITY;
    for (a, axis) in axes.iter().enumerate() {
        m.0[a][a] = axis.step;
        m.0[a][3] = axis.origin;
    }
    m
}

/// The grid of a volume on `grid` at `spacing` mm.
pub(super) fn grid(grid: &Grid, spacing: [f64; 3]) -> Result<Grid, PlanError> {
    let axes = axes(grid, spacing)?;
    if axes.iter().all(Axis::is_unchanged) {
        return Ok(grid.clone());
    }
    Ok(Grid {
        shape: axes.map(|a| a.to),
        affine: grid.affine.after(&to_source(&axes)),
    })
}

/// Resamples a finite volume to `spacing` mm. Also returns the map from new to old voxels.
pub(super) fn resample(
    volume: Volume<f32>,
    spacing: [f64; 3],
    interpolation: Interpolation,
) -> Result<(Volume<f32>, Affine), PlanError> {
    let axes = axes(volume.grid(), spacing)?;
    let grid = grid(volume.grid(), spacing)?;
    let (old, mut data) = volume.into_parts();
    let (lo, hi) = limits(&data);
    let mut shape = old.shape;
    // The axes that shrink most go first: less is left for the others.
    let mut order: Vec<usize> = (0..3).filter(|&a| !axes[a].is_unchanged()).collect();
    order.sort_by(|&a, &b| axes[b].step.total_cmp(&axes[a].step));
    for a in order {
        data = along(&data, shape, a, &axes[a], interpolation)?;
        shape[a] = axes[a].to;
    }
    if interpolation == Interpolation::Cubic {
        data.iter_mut().for_each(|v| *v = v.clamp(lo, hi));
    }
    Ok((Volume::new(grid, data)?, to_source(&axes)))
}

/// First workspace sample and weights of one new voxel; unused weights are 0.
struct Taps {
    first: usize,
    weights: [f32; 4],
}

/// The taps of every new voxel, and how many of their weights are used.
fn taps(axis: &Axis, interpolation: Interpolation) -> (Vec<Taps>, usize) {
    let used = match interpolation {
        Interpolation::Nearest => 1,
        Interpolation::Trilinear => 2,
        Interpolation::Cubic => 4,
    };
    let end = axis.from as f64 - 0.5;
    let make = |i: usize| {
        // Positions never leave the field of view by more than rounding errors.
        let p = (axis.origin + i as f64 * axis.step).clamp(-0.5, end);
        let (base, weights) = match interpolation {
            Interpolation::Nearest => ((p + 0.5).floor().min(end - 0.5), [1.0, 0.0, 0.0, 0.0]),
            Interpolation::Trilinear => {
                let f = (p - p.floor()) as f32;
                (p.floor(), [1.0 - f, f, 0.0, 0.0])
            }
            Interpolation::Cubic => (p.floor() - 1.0, cubic(p - p.floor())),
        };
        Taps {
            first: (base + PAD as f64) as usize,
            weights,
        }
    };
    ((0..axis.to).map(make).collect(), used)
}

/// Cubic B-spline at distances 1 + f, f, 1 - f and 2 - f.
fn cubic(f: f64) -> [f32; 4] {
    let outer = |d: f64| (2.0 - d).powi(3) / 6.0;
    let inner = |d: f64| 2.0 / 3.0 - d * d * (2.0 - d) / 2.0;
    [outer(1.0 + f), inner(f), inner(1.0 - f), outer(2.0 - f)].map(|w| w as f32)
}

/// Resamples one axis of `data`.
fn along(
    data: &[f32],
    shape: [usize; 3],
    which: usize,
    axis: &Axis,
    interpolation: Interpolation,
) -> Result<Vec<f32>, PlanError> {
    let mut target = shape;
    target[which] = axis.to;
    let mut out = filled(checked_voxels(target)?, 0.0f32)?;
    let (taps, used) = taps(axis, interpolation);
    let mut work = filled((axis.from + 2 * PAD) * WIDTH, 0.0f32)?;
    let mut line = [0.0f32; WIDTH];
    // Voxels between neighbours along the axis, and voxels of one whole set of lines.
    let stride: usize = shape[..which].iter().product();
    let (set, new_set) = (stride * axis.from, stride * axis.to);
    let sets = data.len() / set;
    // Along x, neighbouring lines lie one row apart; along y and z, side by side.
    let (lines, gap) = if which == 0 { (sets, set) } else { (stride, 1) };
    let new_gap = if which == 0 { new_set } else { 1 };
    for s in 0..if which == 0 { 1 } else { sets } {
        for first in (0..lines).step_by(WIDTH) {
            let n = WIDTH.min(lines - first);
            let (from, to) = (s * set + first * gap, s * new_set + first * new_gap);
            for (i, row) in work[PAD * WIDTH..].chunks_exact_mut(WIDTH).enumerate() {
                if i < axis.from {
                    let at = from + i * stride;
                    if gap == 1 {
                        row[..n].copy_from_slice(&data[at..at + n]);
                    } else {
                        for (l, v) in row[..n].iter_mut().enumerate() {
                            *v = data[at + l * gap];
                        }
                    }
                }
            }
            match interpolation {
                Interpolation::Cubic => coefficients(&mut work, axis.from),
                _ => continued(&mut work, axis.from),
            }
            for (i, tap) in taps.iter().enumerate() {
                weigh(&work[tap.first * WIDTH..], &tap.weights[..used], &mut line);
                let at = to + i * stride;
                if gap == 1 {
                    out[at..at + n].copy_from_slice(&line[..n]);
                } else {
                    for (l, v) in line[..n].iter().enumerate() {
                        out[at + l * new_gap] = *v;
                    }
                }
            }
        }
    }
    Ok(out)
}

/// The weighted sum of the first rows of `work`.
fn weigh(work: &[f32], weights: &[f32], out: &mut [f32; WIDTH]) {
    *out = [0.0; WIDTH];
    for (row, &w) in work.as_chunks::<WIDTH>().0.iter().zip(weights) {
        for (o, v) in out.iter_mut().zip(row) {
            *o += w * v;
        }
    }
}

/// Continues `n` samples by their first and last.
fn continued(work: &mut [f32], n: usize) {
    let (rows, _) = work.as_chunks_mut::<WIDTH>();
    let (first, last) = (rows[PAD], rows[PAD + n - 1]);
    rows[..PAD].fill(first);
    rows[PAD + n..PAD + n + PAD].fill(last);
}

/// Turns `n` samples into the B-spline coefficients of the line that their end values continue to
/// infinity, with those of [`PAD`] samples on each side.
fn coefficients(work: &mut [f32], n: usize) {
    let (rows, _) = work.as_chunks_mut::<WIDTH>();
    // Forward filter; on a constant line it has settled to this multiple of the value.
    let settled = 1.0 / (1.0 - POLE);
    let (first, last) = (rows[PAD], rows[PAD + n - 1]);
    rows[..PAD].fill(first.map(|v| v * settled));
    for i in PAD..PAD + n {
        let before = rows[i - 1];
        for (v, b) in rows[i].iter_mut().zip(&before) {
            *v += POLE * b;
        }
    }
    // Beyond the end the forward filter approaches its settled value by a factor POLE a sample,
    // so the backward filter's sum to infinity is two geometric series.
    let goal = last.map(|v| v * settled);
    for i in PAD + n..PAD + n + PAD {
        let before = rows[i - 1];
        for ((v, b), g) in rows[i].iter_mut().zip(&before).zip(&goal) {
            *v = g + POLE * (b - g);
        }
    }
    let end = PAD + n + PAD - 1;
    for (v, g) in rows[end].iter_mut().zip(&goal) {
        *v = -6.0 * POLE * (g * settled + (*v - g) / (1.0 - POLE * POLE));
    }
    for i in (0..end).rev() {
        let after = rows[i + 1];
        for (v, a) in rows[i].iter_mut().zip(&after) {
            *v = POLE * (a - 6.0 * *v);
        }
    }
}
