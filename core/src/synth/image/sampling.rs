//! Sampling as a scanner does it: thick slices, large pixels, noise, and back to the grid.

use super::super::frame::Frame;
use super::super::site::Acquisition;
use super::rician;
use crate::augment::Random;

/// Weights of some neighbouring samples, from the first on.
type Taps = (usize, Vec<f32>);

/// Averages over slices and pixels, adds noise there, and interpolates back.
pub(super) fn acquire(
    data: &mut Vec<f32>,
    frame: &Frame,
    acquisition: &Acquisition,
    noise: f64,
    random: &mut Random,
) {
    let across = acquisition.slices.axis();
    let mut shape = frame.shape;
    let mut back: Vec<(usize, Vec<Taps>)> = Vec::new();
    let mut room = 1.0;
    for axis in 0..3 {
        let n = shape[axis];
        let step = frame.spacing[axis];
        let (width, distance) = match axis == across {
            true => (acquisition.thickness, acquisition.distance()),
            false => (acquisition.pixel, acquisition.pixel),
        };
        // Finer than the grid: as if resampled to it, which averages noise.
        if distance <= step * 1.02 && width <= step * 1.02 {
            room *= (width / step).min(1.0);
            continue;
        }
        let count = ((n as f64 * step / distance).round() as usize).max(1);
        let first = ((n as f64 - 1.0) - (count as f64 - 1.0) * distance / step) / 2.0;
        let at: Vec<f64> = (0..count)
            .map(|s| first + s as f64 * distance / step)
            .collect();
        let taps: Vec<Taps> = at.iter().map(|&c| averaged(n, c, width / step)).collect();
        *data = resampled(data, shape, axis, &taps);
        shape[axis] = count;
        let linear = (0..n)
            .map(|i| interpolated(count, (i as f64 - first) * step / distance))
            .collect();
        back.push((axis, linear));
    }
    // Half of the voxels' volume, sqrt(2) of the noise; a larger grid averages.
    rician(data, (noise * room.sqrt()) as f32, random);
    for (axis, taps) in back.iter().rev() {
        *data = resampled(data, shape, *axis, taps);
        shape[*axis] = taps.len();
    }
}

/// The mean over a width (samples) about a place, samples at the ends continued.
fn averaged(n: usize, centre: f64, width: f64) -> Taps {
    let width = width.max(1.0);
    let (low, high) = (centre - width / 2.0 + 0.5, centre + width / 2.0 + 0.5);
    let last = n as f64;
    let first = low.clamp(0.0, last - 1.0).floor() as usize;
    let end = (high.clamp(1.0, last).ceil() as usize).max(first + 1);
    let mut weights: Vec<f32> = (first..end)
        .map(|i| {
            // Sample i covers i..i + 1.
            let (a, b) = (low.max(i as f64), high.min(i as f64 + 1.0));
            (b - a).max(0.0) as f32
        })
        .collect();
    let total: f32 = weights.iter().sum();
    match total > 0.0 {
        true => weights.iter_mut().for_each(|w| *w /= total),
        false => weights.fill(1.0 / (end - first) as f32),
    }
    (first, weights)
}

/// Linear interpolation at a place, the ends continued.
fn interpolated(n: usize, at: f64) -> Taps {
    let at = at.clamp(0.0, n as f64 - 1.0);
    let first = (at as usize).min(n.saturating_sub(2));
    let part = (at - first as f64) as f32;
    match n {
        1 => (0, vec![1.0]),
        _ => (first, vec![1.0 - part, part]),
    }
}

/// Weighted sums along an axis.
fn resampled(data: &[f32], shape: [usize; 3], axis: usize, taps: &[Taps]) -> Vec<f32> {
    let stride: usize = shape[..axis].iter().product();
    let block = stride * shape[axis];
    let sets = data.len() / block.max(1);
    let mut out = Vec::with_capacity(sets * stride * taps.len());
    for set in data.chunks_exact(block) {
        for (first, weights) in taps {
            if axis == 0 {
                let values = set[*first..].iter().zip(weights);
                out.push(values.map(|(v, w)| v * w).sum());
                continue;
            }
            let start = out.len();
            out.resize(start + stride, 0.0);
            for (s, &w) in weights.iter().enumerate() {
                let from = (first + s) * stride;
                let lines = set[from..from + stride].iter();
                for (o, v) in out[start..].iter_mut().zip(lines) {
                    *o += w * v;
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::signal::Sequence;
    use super::super::super::site::Plane;
    use super::*;

    fn frame() -> Frame {
        Frame {
            shape: [5, 6, 40],
            spacing: [1.0; 3],
            origin: [0.0; 3],
        }
    }

    fn acquisition(thickness: f64, distance: f64) -> Acquisition {
        Acquisition {
            sequence: Sequence::SpinEcho { tr: 1.0, te: 1.0 },
            slices: Plane::Axial,
            pixel: 1.0,
            thickness,
            distance: Some(distance),
        }
    }

    #[test]
    fn slices_keep_a_constant_and_a_slope() {
        let frame = frame();
        let slope: Vec<f32> = (0..40).flat_map(|k| vec![k as f32; 30]).collect();
        let mut data = slope.clone();
        acquire(
            &mut data,
            &frame,
            &acquisition(5.0, 5.0),
            0.0,
            &mut Random::new(0, 0),
        );
        assert_eq!(data.len(), slope.len());
        for k in 3..37 {
            assert!(
                (data[30 * k] - k as f32).abs() < 1e-4,
                "{k}: {}",
                data[30 * k]
            );
        }
        let mut flat = vec![7.0f32; 1200];
        acquire(
            &mut flat,
            &frame,
            &acquisition(4.0, 6.5),
            0.0,
            &mut Random::new(0, 0),
        );
        assert!(flat.iter().all(|v| (v - 7.0).abs() < 1e-4));
    }

    #[test]
    fn a_thick_slice_is_the_mean_of_its_planes() {
        let (first, weights) = averaged(40, 10.0, 5.0);
        assert_eq!((first, weights.len()), (8, 5));
        assert!(weights.iter().all(|w| (w - 0.2).abs() < 1e-6));
        let (first, weights) = averaged(40, 10.5, 2.0);
        assert_eq!((first, weights), (10, vec![0.5, 0.5]));
        let (first, weights) = averaged(40, 39.0, 5.0);
        assert_eq!(
            (first + weights.len(), weights.iter().sum::<f32>()),
            (40, 1.0)
        );
    }
}
