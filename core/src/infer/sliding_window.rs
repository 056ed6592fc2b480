//! Overlapping windows whose logits are averaged, as nnU-Net and MONAI do it.
//!
//! Windows run in order of x; planes that no later window touches are decided at once, so that
//! logits are held for one window's depth of planes and not for the volume.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::host::{Host, data};
use super::{ClassMap, InferError, InferOptions};
use crate::label::{Label, RunnerUp};
use crate::model::{Model, Spec};
use crate::nn::Precision;

/// How much a voxel of a window counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// A Gaussian about the window's centre, sigma an eighth of its edge: borders count little.
    #[default]
    Gaussian,
    /// All the same.
    Uniform,
}

/// The windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlidingWindow {
    /// Edges of a window in voxels; rounded up to what the network accepts, and no larger than
    /// the volume needs.
    pub patch: [usize; 3],
    /// Share of a window that the next one covers again, in 0..1.
    pub overlap: f64,
    /// How much a voxel of a window counts.
    pub weighting: Weighting,
    /// Average over the eight mirror images of each window.
    pub mirror: bool,
}

impl Default for SlidingWindow {
    fn default() -> Self {
        Self {
            patch: [128; 3],
            overlap: 0.5,
            weighting: Weighting::Gaussian,
            mirror: false,
        }
    }
}

/// Where windows of edge `patch` start along an axis of `n >= patch` voxels; the last one ends
/// with the axis.
fn starts(n: usize, patch: usize, overlap: f64) -> Vec<usize> {
    let step = ((patch as f64 * (1.0 - overlap)) as usize).max(1);
    let last = n - patch;
    (0..last).step_by(step).chain([last]).collect()
}

/// Weights of a window's voxels along one axis.
fn profile(weighting: Weighting, n: usize) -> Vec<f32> {
    let (centre, sigma) = ((n as f64 - 1.0) / 2.0, n as f64 / 8.0);
    let gaussian = |i: usize| (-0.5 * ((i as f64 - centre) / sigma).powi(2)).exp() as f32;
    match weighting {
        Weighting::Uniform => vec![1.0; n],
        Weighting::Gaussian => (0..n).map(gaussian).collect(),
    }
}

/// Bytes of activations that a network holds at once for a window of `voxels`: its finest level,
/// and a quarter for those below.
pub(super) fn live_bytes(spec: &Spec, voxels: u64) -> u64 {
    // Input, joined skip, output of the convolution and of the norm.
    let plain = |filters: usize| 5 * filters;
    let channels = match spec {
        Spec::UNet(c) => plain(c.filters),
        Spec::MedNeXt(c) => {
            // Input, skip, and the widened middle before and after its activation.
            let native = c.decoder.last_expansion();
            plain(c.filters).max(c.filters * (2 + 2 * c.expansion[0].max(native)))
        }
        Spec::MeshNet(c) => c.live_channels(),
        Spec::ResEncUNet(c) => plain(c.features[0]),
        Spec::Strided(c) => c.live_channels(),
        // Two skips joined, the residual's way around and what comes of both.
        Spec::SwinUNETR(c) => 7 * c.encoder.features,
    };
    voxels * 4 * (channels as u64 * 5 / 4 + 2 * spec.out_channels() as u64)
}

/// Bytes of the largest tensor of a network for a window of `voxels`.
pub(super) fn largest_bytes(spec: &Spec, voxels: u64) -> u64 {
    let channels = match spec {
        // The skip and what is joined to it.
        Spec::UNet(c) => 2 * c.filters,
        Spec::MedNeXt(c) => {
            let native = c.decoder.last_expansion();
            c.filters * c.expansion[0].max(native).max(2)
        }
        Spec::MeshNet(c) => c.layers.iter().map(|l| l.channels).max().unwrap_or(0),
        Spec::ResEncUNet(c) => c.features[0] * if c.skips { 2 } else { 1 },
        Spec::Strided(c) => c.widest(),
        Spec::SwinUNETR(c) => 2 * c.encoder.features,
    };
    voxels * 4 * channels.max(spec.in_channels()).max(spec.out_channels()) as u64
}

/// The window that fits volume, network, memory limit and largest tensor.
fn fit_patch(
    spec: &Spec,
    shape: [usize; 3],
    options: &InferOptions,
) -> Result<[usize; 3], InferError> {
    let multiple = spec.edge_multiple();
    let wanted = options.window.patch;
    let mut patch = [0, 1, 2].map(|a| {
        wanted[a]
            .max(1)
            .next_multiple_of(multiple)
            .min(shape[a].next_multiple_of(multiple))
    });
    let (limit, max_tensor) = (
        options.memory_limit.unwrap_or(u64::MAX),
        options.max_tensor_bytes,
    );
    loop {
        let planes = [1, 2].map(|a| shape[a].max(patch[a]) as u64);
        let voxels = patch.iter().product::<usize>() as u64;
        let sums = (spec.out_channels() * patch[0]) as u64 * planes[0] * planes[1] * 4;
        let needed = sums + live_bytes(spec, voxels);
        let tensor = largest_bytes(spec, voxels);
        if needed <= limit && tensor <= max_tensor {
            return Ok(patch);
        }
        let widest = (0..3).max_by_key(|&a| patch[a]).unwrap_or(0);
        if patch[widest] <= multiple {
            return Err(match needed <= limit {
                true => InferError::Tensor {
                    needed: tensor,
                    limit: max_tensor,
                },
                false => InferError::Memory { needed, limit },
            });
        }
        patch[widest] -= multiple;
    }
}

/// The windows of one run.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    patch: [usize; 3],
    /// The volume; padded at its high ends where it is smaller than a window.
    padded: [usize; 3],
    starts: [Vec<usize>; 3],
    weights: [Vec<f32>; 3],
    mirror: bool,
    precision: Precision,
}

impl Windows {
    /// The windows that fit the options' limits.
    pub(super) fn fit(
        spec: &Spec,
        shape: [usize; 3],
        options: &InferOptions,
    ) -> Result<Self, InferError> {
        let window = &options.window;
        if !(0.0..1.0).contains(&window.overlap) {
            return Err(InferError::Option {
                field: "overlap",
                value: window.overlap.to_string(),
                must: "it must be at least 0 and below 1",
            });
        }
        let patch = fit_patch(spec, shape, options)?;
        let padded = [0, 1, 2].map(|a| shape[a].max(patch[a]));
        Ok(Self {
            patch,
            padded,
            starts: [0, 1, 2].map(|a| starts(padded[a], patch[a], window.overlap)),
            weights: patch.map(|n| profile(window.weighting, n)),
            mirror: window.mirror,
            precision: options.precision,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.starts.iter().map(Vec::len).product()
    }

    /// Where a window starts; the last axis moves fastest.
    fn start(&self, index: usize) -> [usize; 3] {
        let [_, ny, nz] = [0, 1, 2].map(|a| self.starts[a].len());
        let at = [index / (ny * nz), index / nz % ny, index % nz];
        [0, 1, 2].map(|a| self.starts[a][at[a]])
    }

    /// The box that a window reads.
    pub(super) fn reads(&self, index: usize) -> ([usize; 3], [usize; 3]) {
        let start = self.start(index);
        (start, [0, 1, 2].map(|a| start[a] + self.patch[a]))
    }

    /// Logits of a window.
    pub(super) async fn predict<H: Host>(
        &self,
        model: &Model,
        input: Tensor<5>,
    ) -> Result<Vec<f32>, InferError> {
        values::<H>(self.logits(model, input)).await
    }

    /// Logits of a window, averaged over its mirror images where asked.
    fn logits(&self, model: &Model, x: Tensor<5>) -> Tensor<5> {
        let forward = |x| {
            let x = self.precision.enter(x);
            self.precision.leave(model.forward(x))
        };
        if !self.mirror {
            return forward(x);
        }
        let mirrored = |x: Tensor<5>, bits: usize| {
            (0..3)
                .filter(|a| bits >> a & 1 == 1)
                .fold(x, |x, a| x.flip([a + 2]))
        };
        let sum = (1..8).fold(forward(x.clone()), |sum, bits| {
            sum + mirrored(forward(mirrored(x.clone(), bits)), bits)
        });
        sum / 8.0
    }

    /// The slab that windows are summed in.
    pub(super) fn sums(&self, classes: usize) -> Sums {
        let weights = [0, 1, 2].map(|a| {
            let mut sums = vec![0.0; self.padded[a]];
            for &start in &self.starts[a] {
                for (sum, weight) in sums[start..].iter_mut().zip(&self.weights[a]) {
                    *sum += weight;
                }
            }
            sums
        });
        Sums::new(classes, self.patch[0], weights)
    }

    /// Number of logits of a window.
    pub(super) fn values(&self, sums: &Sums) -> usize {
        sums.classes * self.patch.iter().product::<usize>()
    }

    /// Adds a window's logits, weighted, to `sums`, `[classes, x, y, z]` of the image's shape, and
    /// its weights to `weights`, `[x, y, z]`.
    pub(super) fn spread(
        &self,
        index: usize,
        logits: &[f32],
        shape: [usize; 3],
        sums: &mut [f32],
        weights: &mut [f32],
    ) {
        let start = self.start(index);
        let [nx, ny, nz] = [0, 1, 2].map(|a| self.patch[a].min(shape[a] - start[a]));
        let voxels: usize = shape.iter().product();
        for (x, y) in (0..nx).flat_map(|x| (0..ny).map(move |y| (x, y))) {
            let weight = self.weights[0][x] * self.weights[1][y];
            let row = self.weights[2][..nz].iter().map(|w| w * weight);
            let to = ((start[0] + x) * shape[1] + start[1] + y) * shape[2] + start[2];
            for (sum, w) in weights[to..to + nz].iter_mut().zip(row.clone()) {
                *sum += w;
            }
            for (class, sums) in sums.chunks_exact_mut(voxels).enumerate() {
                let from = ((class * self.patch[0] + x) * self.patch[1] + y) * self.patch[2];
                let values = logits[from..from + nz].iter().zip(row.clone());
                for (sum, (v, w)) in sums[to..to + nz].iter_mut().zip(values) {
                    *sum += v * w;
                }
            }
        }
    }

    /// Adds the next window; with the last of its planes, decides those that no later one touches.
    pub(super) fn add(
        &self,
        index: usize,
        logits: &[f32],
        sums: &mut Sums,
        shape: [usize; 3],
        out: &mut ClassMap,
    ) {
        let [x, y, z] = self.start(index);
        sums.add(logits, self.patch, [y, z], &self.weights);
        let row = self.starts[1].len() * self.starts[2].len();
        if (index + 1).is_multiple_of(row) {
            let next = self.starts[0].get(index / row + 1);
            let next = next.copied().unwrap_or(self.padded[0]);
            sums.decide(x, next, shape, out);
        }
    }
}

async fn values<H: Host>(logits: Tensor<5>) -> Result<Vec<f32>, InferError> {
    data::<H, 5, _>(logits)
        .await?
        .convert::<f32>()
        .try_into_vec()
        .map_err(|e| InferError::Device(format!("{e:?}")))
}

/// Weighted sums of logits over a slab of planes: `[classes, planes, y, z]`.
pub(super) struct Sums {
    values: Vec<f32>,
    /// Weights of all windows together at a voxel: the product of its three numbers.
    weights: [Vec<f32>; 3],
    classes: usize,
    planes: usize,
    size: [usize; 2],
}

impl Sums {
    fn new(classes: usize, planes: usize, weights: [Vec<f32>; 3]) -> Self {
        let size = [weights[1].len(), weights[2].len()];
        Self {
            values: vec![0.0; classes * planes * size[0] * size[1]],
            weights,
            classes,
            planes,
            size,
        }
    }

    /// Adds a window that begins at the slab's first plane and at `at` along y and z.
    fn add(&mut self, logits: &[f32], patch: [usize; 3], at: [usize; 2], weights: &[Vec<f32>; 3]) {
        let rows = logits.chunks_exact(patch[2]);
        for (i, row) in rows.enumerate() {
            let (cx, y) = (i / patch[1], i % patch[1]);
            let weight = weights[0][cx % patch[0]] * weights[1][y];
            let to = (cx * self.size[0] + at[0] + y) * self.size[1] + at[1];
            for ((sum, v), w) in self.values[to..to + patch[2]]
                .iter_mut()
                .zip(row)
                .zip(&weights[2])
            {
                *sum += v * (w * weight);
            }
        }
    }

    /// Decides the planes `start..end` of the volume, the slab's first, and moves the slab on.
    fn decide(&mut self, start: usize, end: usize, shape: [usize; 3], out: &mut ClassMap) {
        let [ny, nz] = self.size;
        let (plane, class) = (ny * nz, self.planes * ny * nz);
        for x in start..end.min(shape[0]) {
            for y in 0..shape[1] {
                let from = (x - start) * plane + y * nz;
                let to = (x * shape[1] + y) * shape[2];
                for (z, label) in out.classes[to..to + shape[2]].iter_mut().enumerate() {
                    let value = |c: usize| self.values[c * class + from + z];
                    let best =
                        (1..self.classes).fold(0, |b, c| if value(c) > value(b) { c } else { b });
                    *label = best as Label;
                }
                if out.second.is_empty() {
                    continue;
                }
                let across = self.weights[0][x] * self.weights[1][y];
                let rows = out.second[to..to + shape[2]]
                    .iter_mut()
                    .zip(&self.weights[2]);
                for (z, (second, weight)) in rows.enumerate() {
                    let value = |c: usize| self.values[c * class + from + z];
                    let best = usize::from(out.classes[to + z]);
                    let others = (0..self.classes).filter(|&c| c != best);
                    if let Some(next) =
                        others.reduce(|b, c| if value(c) > value(b) { c } else { b })
                    {
                        let ahead = (value(best) - value(next)) / (weight * across);
                        *second = RunnerUp::new(next as Label, 1.0 / (1.0 + ahead.exp()));
                    }
                }
            }
        }
        let gone = (end - start).min(self.planes) * plane;
        for values in self.values.chunks_exact_mut(class) {
            values.copy_within(gone.., 0);
            values[class - gone..].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_the_axis_and_end_with_it() {
        assert_eq!(starts(10, 4, 0.5), [0, 2, 4, 6]);
        assert_eq!(starts(11, 4, 0.5), [0, 2, 4, 6, 7]);
        assert_eq!(starts(4, 4, 0.5), [0]);
        assert_eq!(starts(9, 4, 0.0), [0, 4, 5]);
    }

    #[test]
    fn sums_decide_by_the_weighted_mean() {
        let patch = [2, 1, 2];
        let weights = [vec![1.0, 1.0], vec![1.0], vec![1.0, 3.0]];
        let mut sums = Sums::new(2, 2, [vec![1.0; 2], vec![1.0], vec![1.0, 4.0, 3.0]]);
        // Class 0 is 0 everywhere; class 1 is 1 in the first window and -0.5 in the second.
        let window = |v: f32| [vec![0.0; 4], vec![v; 4]].concat();
        sums.add(&window(1.0), patch, [0, 0], &weights);
        sums.add(&window(-0.5), patch, [0, 1], &weights);
        let mut out = ClassMap {
            classes: vec![9; 6],
            second: vec![RunnerUp::new(9, 0.0); 6],
        };
        sums.decide(0, 1, [2, 1, 3], &mut out);
        // The middle voxel: 3 * 1 - 1 * 0.5 > 0.
        assert_eq!(out.classes, [1, 1, 0, 9, 9, 9]);
        sums.decide(1, 2, [2, 1, 3], &mut out);
        assert_eq!(out.classes, [1, 1, 0, 1, 1, 0]);
        // Softmax of the mean logits: 1 and 0, 0.625 and 0, 0 and -0.5.
        let second = [(0, 0.268_941), (0, 0.348_645), (1, 0.377_541)];
        for (found, (label, share)) in out.second.iter().zip(second.iter().cycle()) {
            assert_eq!(found.label, *label);
            assert!((found.share() - share).abs() < 2e-5, "{found:?}");
        }
    }
}
