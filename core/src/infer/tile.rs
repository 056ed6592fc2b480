//! Exact tiling of a MeshNet without norm.
//!
//! The volume is cut into columns along x. Through each column the planes stream: a layer keeps
//! the `2 * dilation` planes of its input that its next output needs, so nothing is computed
//! twice along x. Across columns, neighbours share a halo that is computed by both; it shrinks
//! with every layer. Zeros pad only where the volume ends, as they do for the whole volume.
//!
//! Where several workers share a run, each takes a strip of a column, along y. What a layer reads
//! beyond the strip's rows its neighbours give it, so that nothing is computed twice between them.

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

/// The part of a column that one worker puts out.
#[derive(Clone, Copy, Debug)]
struct Strip {
    y: Span,
    z: Span,
    /// Whether there are strips of the column before its first row and after its last.
    neighbours: [bool; 2],
}

impl Strip {
    /// The rows along y, and the voxels along z, that are there before layers whose dilations sum
    /// up to `halo`: beyond its own rows only where no neighbour gives them.
    fn grown(&self, halo: usize, [ny, nz]: [usize; 2]) -> [Span; 2] {
        let mut y = self.y.grown(halo, ny);
        if self.neighbours[0] {
            y.start = self.y.start;
        }
        if self.neighbours[1] {
            y.end = self.y.end;
        }
        [y, self.z.grown(halo, nz)]
    }
}

/// The strips of one run, column by column, y by z.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    shape: [usize; 3],
    strips: Vec<Strip>,
    /// Strips of a column.
    together: usize,
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
        let mut strips = Vec::new();
        for column in cut(shape[1], plan.cuts[0]) {
            for z in cut(shape[2], plan.cuts[1]) {
                for (i, rows) in cut(column.len(), plan.strips).into_iter().enumerate() {
                    let y = Span {
                        start: column.start + rows.start,
                        end: column.start + rows.end,
                    };
                    let neighbours = [i > 0, i + 1 < plan.strips];
                    strips.push(Strip { y, z, neighbours });
                }
            }
        }
        Self {
            shape,
            strips,
            together: plan.strips,
            planes: plan.planes,
            halo: dilations.iter().sum(),
            precision,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.strips.len()
    }

    /// Strips that have to run at the same time.
    pub(super) fn together(&self) -> usize {
        self.together
    }

    /// Voxels that a strip puts out.
    pub(super) fn voxels(&self, index: usize) -> usize {
        let Strip { y, z, .. } = self.strips[index];
        self.shape[0] * y.len() * z.len()
    }

    /// The box that a strip reads of the image.
    pub(super) fn reads(&self, index: usize) -> ([usize; 3], [usize; 3]) {
        let [nx, ny, nz] = self.shape;
        let [y, z] = self.strips[index].grown(self.halo, [ny, nz]);
        ([0, y.start, z.start], [nx, y.end, z.end])
    }

    /// Puts a strip's classes in their place.
    pub(super) fn put(&self, index: usize, strip: &[Label], classes: &mut [Label]) {
        let [_, ny, nz] = self.shape;
        let Strip { y, z, .. } = self.strips[index];
        for (i, row) in strip.chunks_exact(z.len()).enumerate() {
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
/// [`InferError::Cancelled`] when `progress` breaks, and [`InferError::Device`] for a plan of several
/// strips, which need a worker each.
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
        let out = now(strip(
            net, &columns, index, input, origin, device, &mut share,
        ))?;
        columns.put(index, &out, &mut classes);
    }
    Ok(classes)
}

/// Runs the network over one strip of an image that begins at `origin`.
pub(super) async fn strip<H: Host>(
    net: &MeshNet,
    columns: &Columns,
    index: usize,
    image: Input<'_>,
    origin: [usize; 3],
    device: &Device,
    host: &mut H,
) -> Result<Vec<Label>, InferError> {
    let [nx, ny, nz] = columns.shape;
    let strip = &columns.strips[index];
    let mut stages = stages(net.dilations(), strip, [ny, nz]);
    let (from, to) = columns.reads(index);
    let at = |x: usize, p: [usize; 3]| [x, p[1] - origin[1], p[2] - origin[2]];
    let mut classes = Vec::with_capacity(columns.voxels(index));
    let most = if net.reads_slabs() {
        columns.planes
    } else {
        nx
    };
    let plane = strip.y.len() * strip.z.len();
    let mut start = 0;
    while classes.len() < nx * plane {
        let end = (start + columns.planes).min(nx);
        let mut x = (start < end).then(|| {
            let planes = image.window(at(start, from), at(end, to), 0.0, device);
            columns.precision.enter(planes)
        });
        for (layer, stage) in stages.iter_mut().enumerate() {
            if let Some(planes) = x {
                x = Some(stage.gather(planes, host).await?);
            }
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
