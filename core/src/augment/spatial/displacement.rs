//! Elastic deformation: white noise smoothed by a wide Gaussian.
//!
//! A field so smooth is known from few of its values. It is computed at nodes a fifth of the
//! Gaussian's width apart and is a cubic B-spline between them, which is exact to 4e-5 of it.
//! For the same reason the noise may be drawn for blocks of that size in place of voxels: smoothed,
//! the sums of independent numbers over blocks have the same distribution, covariances included.

use super::super::lines::{LANES, Row};
use super::super::random::Random;
use super::super::spline::{End, SETTLED, coefficients, weights};

/// Standard deviation of numbers that are uniform in -1..1.
const SPREAD: f64 = 0.577_350_269_189_625_8;

/// A smooth displacement in voxels along each axis for every voxel of a patch.
#[derive(Clone, Debug)]
pub struct Displacement {
    shape: [usize; 3],
    /// Voxels between nodes.
    step: usize,
    /// Nodes along y and z.
    nodes: [usize; 2],
    /// For each direction, a value for every x at every node of y and z.
    fields: [Vec<f32>; 3],
}

impl Displacement {
    /// What the reference computes of noise of -1..1 for every voxel: `alpha` times SciPy's
    /// `gaussian_filter(noise, sigma, mode="constant")`. `noise` is along x, y and z.
    ///
    /// `None` where the noise is not of the patch's shape, or `sigma` below 1 or no number.
    pub fn from_noise(
        noise: [&[f32]; 3],
        shape: [usize; 3],
        sigma: f64,
        alpha: f64,
    ) -> Option<Self> {
        let voxels: usize = shape.iter().product();
        let fits = noise.iter().all(|n| n.len() == voxels) && sigma >= 1.0 && voxels > 0;
        fits.then(|| Self::smoothed(noise.map(<[f32]>::to_vec), shape, 1, sigma, alpha))
    }

    /// A random field with the distribution of [`Displacement::from_noise`] of independent
    /// uniform noise. `sigma` is taken to be 1 voxel or more.
    pub fn random(random: &mut Random, shape: [usize; 3], sigma: f64, alpha: f64) -> Self {
        let sigma = sigma.max(1.0);
        let block = step(sigma);
        let cells: usize = shape.iter().map(|n| n.div_ceil(block)).product();
        let noise = [(); 3].map(|()| {
            let mut noise = vec![0.0; cells];
            random.normals(&mut noise);
            noise
        });
        Self::smoothed(noise, shape, block, sigma, alpha * SPREAD)
    }

    fn smoothed(
        noise: [Vec<f32>; 3],
        shape: [usize; 3],
        block: usize,
        sigma: f64,
        alpha: f64,
    ) -> Self {
        let step = step(sigma);
        let kernels = shape.map(|n| Kernel::new(n, block, step, sigma));
        let fields = noise.map(|noise| field(&noise, &kernels, shape[0], step, alpha as f32));
        Self {
            shape,
            step,
            nodes: [kernels[1].nodes, kernels[2].nodes],
            fields,
        }
    }

    /// Voxels of the patch.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// No displacement along an axis is larger than this.
    pub(super) fn largest(&self) -> [f32; 3] {
        // A B-spline lies within the range of its coefficients.
        let size = |field: &Vec<f32>| field.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        [0, 1, 2].map(|c| size(&self.fields[c]))
    }

    /// Reads the field row by row.
    pub(super) fn rows(&self) -> Rows<'_> {
        Rows {
            field: self,
            planes: [(); 3].map(|()| vec![0.0; self.nodes[0] * self.shape[0]]),
            rows: [(); 3].map(|()| vec![0.0; self.shape[0]]),
        }
    }

    /// The displacement of every voxel along x, y and z.
    pub fn to_vectors(&self) -> [Vec<f32>; 3] {
        let mut out = [(); 3].map(|()| Vec::with_capacity(self.shape.iter().product()));
        let mut rows = self.rows();
        for z in 0..self.shape[2] {
            rows.plane(z);
            for y in 0..self.shape[1] {
                for (out, row) in out.iter_mut().zip(rows.row(y)) {
                    out.extend_from_slice(row);
                }
            }
        }
        out
    }
}

/// A field that is read plane by plane and row by row.
pub(super) struct Rows<'a> {
    field: &'a Displacement,
    /// At every node of y, in the current plane.
    planes: [Vec<f32>; 3],
    rows: [Vec<f32>; 3],
}

impl Rows<'_> {
    /// Goes to plane `z`.
    pub(super) fn plane(&mut self, z: usize) {
        for (plane, field) in self.planes.iter_mut().zip(&self.field.fields) {
            between(field, z, self.field.step, plane);
        }
    }

    /// The displacements of row `y` of the current plane along x, y and z.
    pub(super) fn row(&mut self, y: usize) -> [&[f32]; 3] {
        for (row, plane) in self.rows.iter_mut().zip(&self.planes) {
            between(plane, y, self.field.step, row);
        }
        [&self.rows[0], &self.rows[1], &self.rows[2]]
    }
}

/// The value at voxel `i` of a line of nodes that are each as long as `out`.
fn between(nodes: &[f32], i: usize, step: usize, out: &mut [f32]) {
    let w = weights((i % step) as f32 / step as f32);
    let n = out.len();
    let start = i / step * n;
    let [a, b, c, d] = [0, 1, 2, 3].map(|k| &nodes[start + k * n..start + (k + 1) * n]);
    for (x, out) in out.iter_mut().enumerate() {
        *out = w[0] * a[x] + w[1] * b[x] + w[2] * c[x] + w[3] * d[x];
    }
}

/// Voxels between nodes.
fn step(sigma: f64) -> usize {
    (sigma / 5.0).clamp(1.0, 1024.0) as usize
}

/// How noise along one axis becomes B-spline coefficients: smoothing, then the spline's filter.
struct Kernel {
    nodes: usize,
    cells: usize,
    /// A row for every node.
    weights: Vec<f32>,
}

impl Kernel {
    /// `n` voxels with noise in cells of `block` of them. Node `k` lies at `(k - 1) * step`.
    fn new(n: usize, block: usize, step: usize, sigma: f64) -> Self {
        let cells = n.div_ceil(block);
        let nodes = (n - 1) / step + 4;
        let radius = (4.0 * sigma + 0.5).floor();
        let bell = |d: f64| (-0.5 * (d / sigma).powi(2)).exp();
        let total: f64 = (-(radius as i64)..=radius as i64)
            .map(|d| bell(d as f64))
            .sum();
        let mut weights = vec![0.0; nodes * cells];
        let mut rows: Vec<Row> = vec![[0.0; LANES]; nodes + 2 * SETTLED];
        for first in (0..cells).step_by(LANES) {
            for (k, row) in rows.iter_mut().enumerate() {
                let at = (k as f64 - 1.0 - SETTLED as f64) * step as f64;
                for (lane, v) in row.iter_mut().enumerate() {
                    let from = ((first + lane) * block).min(n);
                    let count = block.min(n - from);
                    let centre = from as f64 + (count as f64 - 1.0) / 2.0;
                    let near = count > 0 && (at - centre).abs() <= radius;
                    let value = bell(at - centre) / total * (count as f64).sqrt();
                    *v = if near { value as f32 } else { 0.0 };
                }
            }
            coefficients(&mut rows, [End::Continued; 2]);
            for (row, weights) in rows[SETTLED..].iter().zip(weights.chunks_exact_mut(cells)) {
                let lanes = LANES.min(cells - first);
                weights[first..first + lanes].copy_from_slice(&row[..lanes]);
            }
        }
        Self {
            nodes,
            cells,
            weights,
        }
    }

    /// Each line of cells, cells `inner` values apart, becomes a line of nodes.
    fn apply(&self, data: &[f32], inner: usize) -> Vec<f32> {
        let sets = data.len() / (self.cells * inner);
        let mut out = vec![0.0; sets * self.nodes * inner];
        let sources = data.chunks_exact(self.cells * inner);
        for (source, out) in sources.zip(out.chunks_exact_mut(self.nodes * inner)) {
            for (out, weights) in out
                .chunks_exact_mut(inner)
                .zip(self.weights.chunks_exact(self.cells))
            {
                for (cell, &w) in source.chunks_exact(inner).zip(weights) {
                    if w != 0.0 {
                        for (o, v) in out.iter_mut().zip(cell) {
                            *o += w * v;
                        }
                    }
                }
            }
        }
        out
    }
}

/// The coefficients of one direction: at nodes along y and z, at every voxel along x.
fn field(noise: &[f32], kernels: &[Kernel; 3], nx: usize, step: usize, alpha: f32) -> Vec<f32> {
    let [x, y, z] = kernels;
    let data = z.apply(noise, x.cells * y.cells);
    let data = y.apply(&data, x.cells);
    let data = x.apply(&data, 1);
    let mut out = Vec::with_capacity(y.nodes * z.nodes * nx);
    let taps: Vec<[f32; 4]> = (0..step)
        .map(|i| weights(i as f32 / step as f32).map(|w| w * alpha))
        .collect();
    for nodes in data.chunks_exact(x.nodes) {
        for i in 0..nx {
            let w = taps[i % step];
            let n = &nodes[i / step..i / step + 4];
            out.push(w[0] * n[0] + w[1] * n[1] + w[2] * n[2] + w[3] * n[3]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variance of the reference's field at voxel `x` of `n`, along one axis and without alpha.
    fn variance(n: usize, x: usize, sigma: f64) -> f64 {
        let radius = (4.0 * sigma + 0.5).floor() as i64;
        let bell = |d: i64| (-0.5 * (d as f64 / sigma).powi(2)).exp();
        let total: f64 = (-radius..=radius).map(bell).sum();
        let offsets = (0..n as i64).map(|v| v - x as i64);
        let near = offsets.filter(|d| d.abs() <= radius);
        near.map(|d| (bell(d) / total).powi(2)).sum()
    }

    #[test]
    fn block_noise_has_the_variance_of_voxel_noise() {
        // Seldom along short axes, the field is drawn many times to be seen along one.
        let (shape, sigma, alpha) = ([97, 3, 1], 21.5, 10.0);
        let at = [0, 20, 48, 96];
        let mut sums = [0.0f64; 4];
        let draws = 6000;
        for seed in 0..draws {
            let field = Displacement::random(&mut Random::new(seed, 9), shape, sigma, alpha);
            for along in field.to_vectors() {
                for (sum, x) in sums.iter_mut().zip(at) {
                    *sum += f64::from(along[x + 97]).powi(2);
                }
            }
        }
        for (sum, x) in sums.into_iter().zip(at) {
            let others = variance(3, 1, sigma) * variance(1, 0, sigma);
            let wanted = alpha.powi(2) / 3.0 * others * variance(97, x, sigma);
            let found = sum / (3.0 * draws as f64);
            assert!(
                (found / wanted - 1.0).abs() < 0.05,
                "{x}: {found} for {wanted}"
            );
        }
    }

    #[test]
    fn noise_of_another_shape_is_refused() {
        let noise = [0.0; 8];
        let all = [&noise[..], &noise[..], &noise[..7]];
        assert!(Displacement::from_noise(all, [2, 2, 2], 2.0, 1.0).is_none());
        let all = [&noise[..]; 3];
        assert!(Displacement::from_noise(all, [2, 2, 2], f64::NAN, 1.0).is_none());
        assert!(Displacement::from_noise(all, [2, 2, 2], 2.0, 1.0).is_some());
    }
}
