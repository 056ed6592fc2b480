//! Exact tiling of a MeshNet without norm.
//!
//! The volume is cut into columns along x. Through each column the planes stream: a layer keeps
//! the `2 * dilation` planes of its input that its next output needs, so nothing is computed
//! twice along x. Across columns, neighbours share a halo that is computed by both; it shrinks
//! with every layer. Zeros pad only where the volume ends, as they do for the whole volume.

mod plan;
mod stage;

use burn::tensor::Device;

pub use self::plan::TilePlan;
use self::stage::stages;
use super::host::{Blocking, Host, now, report};
use super::network::{OnProgress, labels};
use super::piece::Share;
use super::{InferError, Input};
use crate::kernel::keep_memory;
use crate::label::Label;
use crate::model::MeshNet;
use crate::nn::Precision;

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
    let _kept = keep_memory(Some(plan.bytes));
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
    let mut stages = stages(net, y, z, ny, nz);
    let (from, to) = columns.reads(index);
    let at = |x: usize, p: [usize; 3]| [x, p[1] - origin[1], p[2] - origin[2]];
    let mut classes = Vec::with_capacity(columns.voxels(index));
    let most = if net.reads_slabs() {
        columns.planes
    } else {
        nx
    };
    let plane = y.len() * z.len();
    let mut start = 0;
    while classes.len() < nx * plane {
        let end = (start + columns.planes).min(nx);
        let mut x = (start < end).then(|| {
            let planes = image.window(at(start, from), at(end, to), 0.0, device);
            columns.precision.enter(planes)
        });
        for (layer, stage) in stages.iter_mut().enumerate() {
            x = stage.push((net, layer), x, most, nx);
        }
        if let Some(x) = x {
            classes.extend(labels::<H>(net.classify_features(x)).await?);
        }
        start = end;
        report(host, (classes.len() / plane) as u64, nx as u64).await?;
    }
    Ok(classes)
}
