//! Exact tiling of a MeshNet without norm.
//!
//! The volume is cut into columns along x. Through each column the planes stream: a layer keeps
//! the `2 * dilation` planes of its input that its next output needs, so nothing is computed
//! twice along x. Across columns, neighbours share a halo that is computed by both; it shrinks
//! with every layer. Zeros pad only where the volume ends, as they do for the whole volume.

use burn::tensor::{Device, Tensor};

use super::host::{Blocking, Host, now, report};
use super::network::{OnProgress, labels};
use super::piece::Share;
use super::{InferError, InferOptions, Input};
use crate::kernel::keep_memory;
use crate::label::Label;
use crate::model::{MeshNet, MeshNetConfig};
use crate::nn::Precision;

/// Bytes of a value.
const VALUE: u64 = 4;
/// Bytes that a plan may take where no limit is set; more would gain nothing.
const DEFAULT_MEMORY: u64 = 1 << 30;
/// The most columns that an axis is cut into.
const MAX_CUTS: usize = 32;

/// How a volume is cut.
#[derive(Clone, Debug, PartialEq)]
pub struct TilePlan {
    /// Columns along y and z.
    pub cuts: [usize; 2],
    /// Planes that enter a column at once.
    pub planes: usize,
    /// Bytes of activations held at once.
    pub bytes: u64,
    /// Voxels computed, summed over layers and weighed by their arithmetic, per voxel needed: 1
    /// without recomputation.
    pub overhead: f64,
}

/// The part of an axis that a layer puts out for a tile.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn len(self) -> usize {
        self.end - self.start
    }

    /// The span grown by `by` on both sides, within `0..n`.
    fn grown(self, by: usize, n: usize) -> Self {
        Self {
            start: self.start.saturating_sub(by),
            end: (self.end + by).min(n),
        }
    }

    /// Zeros to add at both ends so that a layer of dilation `d` maps `input` to this span.
    fn padding(self, input: Self, d: usize) -> [usize; 2] {
        [d - (self.start - input.start), d - (input.end - self.end)]
    }
}

/// Columns of nearly equal width.
fn cut(n: usize, cuts: usize) -> Vec<Span> {
    (0..cuts)
        .map(|i| Span {
            start: i * n / cuts,
            end: (i + 1) * n / cuts,
        })
        .collect()
}

impl TilePlan {
    /// The cheapest plan within `options`' memory limit and largest tensor.
    ///
    /// # Errors
    ///
    /// [`InferError::Memory`] when not even one-voxel columns fit.
    pub fn fit(
        config: &MeshNetConfig,
        shape: [usize; 3],
        options: &InferOptions,
    ) -> Result<Self, InferError> {
        let limit = options.memory_limit.unwrap_or(DEFAULT_MEMORY);
        let workers = options.workers.max(1);
        let mut best: Option<(f64, Self)> = None;
        let mut smallest = u64::MAX;
        for cuts_y in 1..=shape[1].min(MAX_CUTS) {
            for cuts_z in 1..=shape[2].min(MAX_CUTS) {
                for planes in [64, 32, 16, 8, 4, 2, 1] {
                    let (plan, tensor) = Self::estimate(config, shape, [cuts_y, cuts_z], planes);
                    let bytes = plan.bytes.saturating_mul(workers as u64);
                    smallest = smallest.min(bytes);
                    if bytes > limit || tensor > options.max_tensor_bytes {
                        continue;
                    }
                    // Few planes at a time mean that the kept ones are copied more often.
                    let copies = 1.0 + 1.0 / planes.min(shape[0]) as f64;
                    // Workers without a column wait.
                    let columns = cuts_y * cuts_z;
                    let places = columns.next_multiple_of(workers);
                    let waiting = places as f64 / columns as f64;
                    let cost = plan.overhead * copies * waiting;
                    if best.as_ref().is_none_or(|(c, _)| cost < *c) {
                        best = Some((cost, plan));
                    }
                }
            }
        }
        match best {
            Some((_, plan)) => Ok(plan),
            None => Err(InferError::Memory {
                needed: smallest,
                limit,
            }),
        }
    }

    /// The plan with these cuts, and the bytes of its largest tensor.
    fn estimate(
        config: &MeshNetConfig,
        shape: [usize; 3],
        cuts: [usize; 2],
        planes: usize,
    ) -> (Self, u64) {
        let layers = &config.layers;
        let halo: usize = layers.iter().map(|l| l.dilation).sum();
        let widest = |axis: usize, halo: usize| {
            (shape[axis].div_ceil(cuts[axis - 1]) + 2 * halo).min(shape[axis]) as u64
        };
        let summed = |axis: usize, halo: usize| -> u64 {
            cut(shape[axis], cuts[axis - 1])
                .iter()
                .map(|s| s.grown(halo, shape[axis]).len() as u64)
                .sum()
        };
        let planes = planes.min(shape[0]);
        let (mut kept, mut transient, mut tensor) = (0, 0, 0);
        let (mut work, mut needed) = (0.0, 0.0);
        let (mut after, mut c_in) = (halo, config.in_channels as u64);
        // With the volume's last planes every layer puts out those that it has held back, too.
        let at_once = |after: usize| (planes + halo - after).min(shape[0]) as u64;
        for layer in layers {
            let area_in = widest(1, after) * widest(2, after);
            let entering = at_once(after);
            after -= layer.dilation;
            let area_out = widest(1, after) * widest(2, after);
            let (c_out, keep) = (
                layer.channels as u64,
                (2 * layer.dilation).min(shape[0]) as u64,
            );
            let new = entering * c_in * area_in * VALUE;
            let still = keep * c_in * area_in * VALUE;
            let held = still + new;
            let out = at_once(after) * c_out * area_out * VALUE;
            kept += still;
            // Kept and new planes joined, beside the new ones or the output. The planes to keep
            // next are copied when those kept before are gone.
            transient = transient.max(held + new.max(out));
            tensor = tensor.max(held).max(out);
            let arithmetic = (c_in * c_out * 27) as f64;
            work += arithmetic * (summed(1, after) * summed(2, after)) as f64;
            needed += arithmetic * (shape[1] * shape[2]) as f64;
            c_in = c_out;
        }
        // Logits and their argmax, whose indices may take eight bytes.
        let area = widest(1, 0) * widest(2, 0) * at_once(0);
        let logits = area * (config.out_channels as u64 * VALUE + 8);
        transient = transient.max(logits + area * c_in * VALUE);
        tensor = tensor.max(logits);
        let overhead = if needed > 0.0 { work / needed } else { 1.0 };
        (
            Self {
                cuts,
                planes,
                bytes: kept + transient,
                overhead,
            },
            tensor,
        )
    }
}

/// A layer's place in the stream.
struct Stage {
    dilation: usize,
    /// Planes of the input kept, and the index of the first and past the last.
    input: Option<Tensor<5>>,
    span: Span,
    /// Next plane to put out.
    next: usize,
    /// Zeros at the ends of y and z.
    padding: [[usize; 2]; 2],
}

impl Stage {
    /// Takes planes in; puts out those that can be computed now.
    fn push(&mut self, net: &MeshNet, layer: usize, x: Tensor<5>, n: usize) -> Option<Tensor<5>> {
        let (added, d) = (x.dims()[2], self.dilation);
        let x = match self.input.take() {
            Some(kept) => Tensor::cat(vec![kept, x], 2),
            None => x,
        };
        self.span.end += added;
        let end = if self.span.end == n {
            n
        } else {
            self.span.end.saturating_sub(d)
        };
        if end <= self.next {
            self.input = Some(x);
            return None;
        }
        let output = Span {
            start: self.next,
            end,
        };
        let wanted = output.grown(d, n);
        let x = self.planes(x, wanted.start, wanted.end);
        let padding = [output.padding(wanted, d), self.padding[0], self.padding[1]];
        let y = net.layer(layer, x.clone(), padding);
        self.next = end;
        let keep = end.saturating_sub(d);
        if end < n {
            self.span.start = wanted.start;
            self.input = Some(copied(self.planes(x, keep, self.span.end)));
            self.span.start = keep;
        }
        Some(y)
    }

    /// Planes `start..end` of the volume out of those in `x`, which begin at `span.start`.
    fn planes(&self, x: Tensor<5>, start: usize, end: usize) -> Tensor<5> {
        let [_, c, planes, h, w] = x.dims();
        let (from, to) = (start - self.span.start, end - self.span.start);
        if (from, to) == (0, planes) {
            x
        } else {
            x.slice([0..1, 0..c, from..to, 0..h, 0..w])
        }
    }
}

/// A tensor of its own: a slice may be a view that holds all of what it was cut from.
fn copied(x: Tensor<5>) -> Tensor<5> {
    let [n, c, d, h, w] = x.dims();
    let place = Tensor::empty([n, c, d, h, w], (&x.device(), x.dtype()));
    place.slice_assign([0..n, 0..c, 0..d, 0..h, 0..w], x)
}

/// The columns of one run, y by z.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    shape: [usize; 3],
    spans: Vec<(Span, Span)>,
    planes: usize,
    halo: usize,
    precision: Precision,
}

impl Columns {
    pub(super) fn new(
        plan: &TilePlan,
        shape: [usize; 3],
        dilations: &[usize],
        precision: Precision,
    ) -> Self {
        let zs = cut(shape[2], plan.cuts[1]);
        let spans = cut(shape[1], plan.cuts[0])
            .into_iter()
            .flat_map(|y| zs.iter().map(move |z| (y, *z)));
        Self {
            shape,
            spans: spans.collect(),
            planes: plan.planes,
            halo: dilations.iter().sum(),
            precision,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.spans.len()
    }

    /// Voxels that a column puts out.
    pub(super) fn voxels(&self, index: usize) -> usize {
        let (y, z) = self.spans[index];
        self.shape[0] * y.len() * z.len()
    }

    /// The box that a column reads.
    pub(super) fn reads(&self, index: usize) -> ([usize; 3], [usize; 3]) {
        let [nx, ny, nz] = self.shape;
        let (y, z) = self.spans[index];
        let (y, z) = (y.grown(self.halo, ny), z.grown(self.halo, nz));
        ([0, y.start, z.start], [nx, y.end, z.end])
    }

    /// Puts a column's classes in their place.
    pub(super) fn put(&self, index: usize, column: &[Label], classes: &mut [Label]) {
        let [_, ny, nz] = self.shape;
        let (y, z) = self.spans[index];
        for (i, row) in column.chunks_exact(z.len()).enumerate() {
            let (x, y) = (i / y.len(), y.start + i % y.len());
            let at = (x * ny + y) * nz + z.start;
            classes[at..at + z.len()].copy_from_slice(row);
        }
    }
}

/// Runs the network column by column, in single precision.
///
/// # Errors
///
/// [`InferError::Cancelled`] when `progress` breaks.
pub fn run(
    net: &MeshNet,
    plan: &TilePlan,
    input: Input<'_>,
    device: &Device,
    progress: OnProgress<'_>,
) -> Result<Vec<Label>, InferError> {
    let _kept = keep_memory();
    let (dilations, precision) = (net.dilations(), Precision::Float32);
    let columns = Columns::new(plan, input.shape, dilations, precision);
    let mut classes = vec![0; input.voxels()];
    let (count, nx) = (columns.count() as u64, input.shape[0] as u64);
    let mut host = Blocking(progress);
    for index in 0..columns.count() {
        let mut share = Share {
            host: &mut host,
            before: index as u64 * nx,
            total: count * nx,
        };
        let origin = [0; 3];
        let out = now(column(
            net, &columns, index, input, origin, device, &mut share,
        ))?;
        columns.put(index, &out, &mut classes);
    }
    Ok(classes)
}

/// Runs the network over one column of an image that begins at `origin`.
pub(super) async fn column<H: Host>(
    net: &MeshNet,
    columns: &Columns,
    index: usize,
    image: Input<'_>,
    origin: [usize; 3],
    device: &Device,
    host: &mut H,
) -> Result<Vec<Label>, InferError> {
    let [nx, ny, nz] = columns.shape;
    let (y, z) = columns.spans[index];
    let (mut stages, _) = stages(net, y, z, ny, nz);
    let (from, to) = columns.reads(index);
    let at = |x: usize, p: [usize; 3]| [x, p[1] - origin[1], p[2] - origin[2]];
    let mut classes = Vec::with_capacity(columns.voxels(index));
    let mut start = 0;
    while start < nx {
        let end = (start + columns.planes).min(nx);
        let planes = image.window(at(start, from), at(end, to), 0.0, device);
        let mut x = Some(columns.precision.enter(planes));
        for (layer, stage) in stages.iter_mut().enumerate() {
            x = x.and_then(|x| stage.push(net, layer, x, nx));
        }
        if let Some(x) = x {
            classes.extend(labels::<H>(net.classify_features(x)).await?);
        }
        start = end;
        report(host, end as u64, nx as u64).await?;
    }
    Ok(classes)
}

/// The layers of a column that puts out `y` x `z`, and what of y and z enters it.
fn stages(net: &MeshNet, y: Span, z: Span, ny: usize, nz: usize) -> (Vec<Stage>, [Span; 2]) {
    let mut after: usize = net.dilations().iter().sum();
    let entering = [y.grown(after, ny), z.grown(after, nz)];
    let mut input = entering;
    let stages = net.dilations().iter().map(|&d| {
        after -= d;
        let output = [y.grown(after, ny), z.grown(after, nz)];
        let padding = [0, 1].map(|a| output[a].padding(input[a], d));
        input = output;
        let span = Span { start: 0, end: 0 };
        Stage {
            dilation: d,
            input: None,
            span,
            next: 0,
            padding,
        }
    });
    (stages.collect(), entering)
}
