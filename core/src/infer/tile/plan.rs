//! How a volume is cut for a MeshNet: the columns and planes that take the least time in the memory
//! there is.

use super::cut;
use crate::infer::{InferError, InferOptions};
use crate::kernel::plane_time;
use crate::model::MeshNetConfig;

/// Bytes of a value.
const VALUE: u64 = 4;
/// Bytes that a plan may take where no limit is set; more would gain nothing.
const DEFAULT_MEMORY: u64 = 1 << 30;
/// Copying a value takes as long as this many multiplications.
const COPY: f64 = 30.0;
/// What a plane takes more where planes are computed one by one, of its time.
const ALONE: f64 = 0.1;
/// Most planes at once: where slabs are joined, more of them mean fewer copies.
const MOST_PLANES: usize = 32;
const MOST_JOINED: usize = 64;
/// The most columns that an axis is cut into.
const MAX_CUTS: usize = 32;

/// How a volume is cut.
#[derive(Clone, Debug, PartialEq)]
pub struct TilePlan {
    /// Columns along y and z.
    pub cuts: [usize; 2],
    /// Strips of a column, along y, for workers that run at the same time.
    pub strips: usize,
    /// Planes that enter a column at once.
    pub planes: usize,
    /// Bytes of activations held at once, by all strips of a column.
    pub bytes: u64,
    /// Voxels computed, summed over layers and weighed by their arithmetic, per voxel needed: 1
    /// without recomputation.
    pub overhead: f64,
}

impl TilePlan {
    /// The cheapest plan within `options`' memory limit and largest tensor. `slabs`: whether the
    /// device [reads](crate::model::MeshNet::reads_slabs) slabs as they are.
    ///
    /// # Errors
    ///
    /// [`InferError::Memory`] when not even one-voxel columns fit.
    pub fn fit(
        config: &MeshNetConfig,
        shape: [usize; 3],
        options: &InferOptions,
        slabs: bool,
    ) -> Result<Self, InferError> {
        let limit = options.memory_limit.unwrap_or(DEFAULT_MEMORY);
        // A neighbour gives a layer all that it reads beyond a strip.
        let reach = config.layers.iter().map(|l| l.dilation).max();
        let strips = |cuts_y: usize| match reach {
            Some(reach) => (shape[1] / cuts_y / reach.max(1)).clamp(1, options.workers.max(1)),
            None => 1,
        };
        let most = if slabs { MOST_PLANES } else { MOST_JOINED };
        let powers = (0..=most.ilog2()).rev().map(|power| 1 << power);
        let mut best: Option<(f64, Self)> = None;
        let mut smallest = u64::MAX;
        // Of equal plans the first: rather many short columns than narrow ones, whose rows are short.
        for cuts_z in 1..=shape[2].min(MAX_CUTS) {
            for cuts_y in 1..=shape[1].min(MAX_CUTS) {
                for planes in powers.clone() {
                    let plan = Self {
                        cuts: [cuts_y, cuts_z],
                        strips: strips(cuts_y),
                        planes,
                        bytes: 0,
                        overhead: 1.0,
                    };
                    let (plan, tensor, work) = plan.estimated(config, shape, slabs);
                    smallest = smallest.min(plan.bytes);
                    if plan.bytes > limit || tensor > options.max_tensor_bytes {
                        continue;
                    }
                    let cost = work / plan.strips as f64;
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

    /// The plan with its bytes and overhead, the bytes of its largest tensor, and its work:
    /// multiplications for a plane of the volume, with all else that takes time counted as such.
    fn estimated(self, config: &MeshNetConfig, shape: [usize; 3], slabs: bool) -> (Self, u64, f64) {
        let Self { cuts, strips, .. } = self;
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
        let planes = self.planes.min(shape[0]);
        let (mut kept, mut late, mut transient, mut tensor) = (0, 0, 0, 0);
        let (mut work, mut needed, mut time, mut copied) = (0.0, 0.0, 0.0, 0.0);
        let (mut after, mut c_in) = (halo, config.in_channels as u64);
        // Where slabs are joined, every layer puts out at once what it held back, with the volume's
        // last planes.
        let at_once = |after: usize| match slabs {
            true => planes as u64,
            false => (planes + halo - after).min(shape[0]) as u64,
        };
        for layer in layers {
            // Two strips that meet have rows of each other.
            let lent = 2 * layer.dilation * (strips - 1);
            let area_in = (widest(1, after) + lent as u64) * widest(2, after);
            if planes < shape[0] {
                // Of slabs the first that is needed in part alone; otherwise kept and new planes,
                // and those to keep next.
                let copies = match slabs {
                    true => 2 * layer.dilation % planes,
                    false => planes + 4 * layer.dilation,
                };
                let values = c_in * summed(1, after) * summed(2, after);
                copied += values as f64 * copies as f64 / planes as f64;
            }
            if strips > 1 {
                copied += (c_in * summed(1, after) * summed(2, after)) as f64;
            }
            let entering = at_once(after);
            after -= layer.dilation;
            let area_out = widest(1, after) * widest(2, after);
            let (c_out, keep) = (
                layer.channels as u64,
                (2 * layer.dilation).min(shape[0]) as u64,
            );
            let plane = c_in * area_in * VALUE;
            let (new, still) = (entering * plane, keep * plane);
            let held = still + new;
            let out = at_once(after) * c_out * area_out * VALUE;
            kept += still;
            // The planes to keep next are copied when those kept before are gone.
            if slabs {
                // At the volume's end one layer has more to put out than comes in.
                late = late.max(layer.dilation.min(shape[0]) as u64 * plane);
                transient = transient.max(new + out);
                tensor = tensor.max(new).max(still).max(out);
            } else {
                // Kept and new planes joined, beside the new ones or the output.
                transient = transient.max(held + new.max(out));
                tensor = tensor.max(held).max(out);
            }
            let arithmetic = (c_in * c_out * 27) as f64;
            let computed = arithmetic * (summed(1, after) * summed(2, after)) as f64;
            work += computed;
            time += computed
                * match slabs {
                    true => plane_time([c_in, c_out].map(|c| c as usize), layer.dilation, planes),
                    false => 1.0,
                };
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
                planes,
                bytes: kept + late + transient,
                overhead,
                ..self
            },
            tensor,
            time * (1.0 + ALONE / planes as f64) + COPY * copied,
        )
    }
}
