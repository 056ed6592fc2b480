//! Gaussian blur.

use super::config::Blurring;
use super::lines::{LANES, Lines, Row};
use super::random::Random;
use super::range::{clip, limits};

/// What is drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blur {
    /// Standard deviation of the Gaussian in voxels.
    pub sigma: f64,
}

impl Blur {
    pub(super) fn draw(config: &Blurring, random: &mut Random) -> Self {
        Self {
            sigma: random.between(config.sigma),
        }
    }

    /// Blurs; the image keeps its range.
    pub fn apply(&self, image: &mut [f32], shape: [usize; 3]) {
        blur(image, shape, self.sigma);
    }
}

/// SciPy's `gaussian_filter(image, sigma)`: cut at four standard deviations, the image reflected
/// about its edges (the outermost voxels twice); clipped to the image's range.
pub fn blur(image: &mut [f32], shape: [usize; 3], sigma: f64) {
    let kernel = kernel(sigma);
    if kernel.len() < 2 {
        return;
    }
    let range = limits(image);
    let [nx, ny, nz] = shape;
    for plane in image.chunks_exact_mut(nx * ny) {
        // While the plane is near.
        along(plane, [nx, ny, 1], 0, &kernel);
        along(plane, [nx, ny, 1], 1, &kernel);
    }
    along(image, [nx, ny, nz], 2, &kernel);
    clip(image, range);
}

/// Weights at distance 0, 1, ...
fn kernel(sigma: f64) -> Vec<f32> {
    if sigma.is_nan() || sigma <= 0.0 {
        return Vec::new();
    }
    let radius = (4.0 * sigma + 0.5) as usize;
    let bell = |d: usize| (-0.5 * (d as f64 / sigma).powi(2)).exp();
    let total: f64 = 1.0 + 2.0 * (1..=radius).map(bell).sum::<f64>();
    (0..=radius).map(|d| (bell(d) / total) as f32).collect()
}

fn along(data: &mut [f32], shape: [usize; 3], axis: usize, kernel: &[f32]) {
    let lines = Lines::new(shape, axis);
    let (n, radius) = (lines.len(), kernel.len() - 1);
    if n < 2 {
        return;
    }
    let mut rows: Vec<Row> = vec![[0.0; LANES]; n + 2 * radius];
    let mut out: Vec<Row> = vec![[0.0; LANES]; n];
    for block in lines.blocks() {
        lines.load(data, block, 0, &mut rows[radius..radius + n]);
        for k in 0..radius {
            rows[radius - 1 - k] = rows[radius + reflected(k, n)];
            rows[radius + n + k] = rows[radius + n - 1 - reflected(k, n)];
        }
        for (i, out) in out.iter_mut().enumerate() {
            let middle = &rows[i + radius];
            *out = middle.map(|v| v * kernel[0]);
            for (d, &w) in kernel.iter().enumerate().skip(1) {
                let (before, after) = (&rows[i + radius - d], &rows[i + radius + d]);
                for l in 0..LANES {
                    out[l] += w * (before[l] + after[l]);
                }
            }
        }
        lines.store(data, block, &out);
    }
}

/// Which voxel, counted from an end, is `k + 1` voxels beyond that end of a line of `n`.
fn reflected(k: usize, n: usize) -> usize {
    let k = k % (2 * n);
    if k < n { k } else { 2 * n - 1 - k }
}
