//! Convolutions with a kernel of 3 by Winograd's minimal filtering F(2, 3) along all three axes:
//! 64 multiplications for 8 outputs instead of 216.
//!
//! Vectors run along tiles. A task transforms its tiles of all input channels for one plane of
//! points at a time, multiplies them with [`Machine::run`], and transforms back; nothing it holds
//! leaves the second-level cache for usual channel counts.

mod filter;
mod gather;
mod plan;
#[cfg(test)]
mod tests;
mod transform;
mod weight;

use super::dense::{blocks, volume};
use super::epilogue::{Epilogue, Found, Output};
use super::moments::{Moments, PACKED};
use super::parallel::{Shared, filled, for_each, with_scratch};
use super::source::Source;
use super::tile::{Machine, Tap, Tile};
use filter::Filter;
pub(crate) use filter::Weights;
pub(super) use filter::spread;
pub(crate) use gather::Line;
use gather::{Combination, Gather, Map, merge};
use plan::{Grid, Lanes, Task};
use transform::{POINTS, Reads, ToOutputs, ToPoints};
pub(super) use transform::{outputs, window};
pub(crate) use weight::WeightGradient;

/// Planes of a window for each plane of points.
const WINDOW: [Combination; 4] = [
    [(0, 1.0), (2, -1.0)],
    [(1, 1.0), (2, 1.0)],
    [(2, 1.0), (1, -1.0)],
    [(1, 1.0), (3, -1.0)],
];

/// Floats that a task holds for all its channels.
const TASK_FLOATS: usize = 256 * 1024;

/// Floats between points, beyond their lanes, that keep them apart in the cache's sets.
const APART: usize = 16;

/// A convolution of kernel 3 and stride 1.
pub(crate) struct Winograd<'a> {
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// What the outputs read along each axis.
    pub(crate) lines: [Line; 3],
    pub(crate) out_size: [usize; 3],
    pub(crate) weights: Weights<'a>,
}

/// Whether what is done to the values of `source` on their way in can be done here.
pub(crate) fn takes(source: &Source<'_>) -> bool {
    source
        .activations()
        .all(|activation| Map::slope(activation).is_some())
}

/// What the tasks of a convolution share.
struct Plan<'a> {
    winograd: &'a Winograd<'a>,
    machine: Machine,
    grid: Grid,
    /// Output channels of each block.
    blocks: Vec<[usize; 2]>,
    filter: Filter,
    tasks: Vec<Task>,
}

impl Winograd<'_> {
    fn in_size(&self) -> [usize; 3] {
        self.lines.map(|line| line.size)
    }

    fn grid(&self) -> Grid {
        Grid {
            outputs: self.out_size,
            dilation: self.lines.map(|line| line.dilation),
        }
    }

    /// The output `[batch, outputs, depth, height, width]` from `source`, which [`takes`] allows.
    pub(crate) fn run(&self, source: &Source<'_>, epilogue: &Epilogue<'_>) -> Output {
        assert_eq!(source.channels(), self.inputs);
        assert_eq!(
            source.len(),
            self.batch * self.inputs * volume(self.in_size())
        );
        let len = self.batch * self.outputs * volume(self.out_size);
        let machine = Machine::detect();
        let blocks = blocks(self.outputs, machine.block());
        let filter = Filter::new(self.weights, self.inputs, &blocks);
        let grid = self.grid();
        let per_lane = POINTS * (self.inputs + machine.block()) + 8 * self.outputs;
        let most = TASK_FLOATS / per_lane;
        let least = machine.lanes * machine.vectors(machine.block());
        let plan = Plan {
            winograd: self,
            tasks: grid.tasks(&machine, self.batch, most.max(least)),
            machine,
            grid,
            blocks,
            filter,
        };
        let count = if epilogue.moments {
            plan.tasks.len() * self.outputs
        } else {
            0
        };
        let mut packed = vec![0.0; count * PACKED];
        let found = epilogue.moments.then(|| Found::new(&mut packed));
        let write = |output: Shared<'_>| {
            for_each(plan.tasks.len(), |index| {
                plan.run(index, source, epilogue, output, found);
            });
        };
        // SAFETY: the tiles of the tasks partition the outputs.
        let values = unsafe { filled(len, write) };
        let moments = epilogue.moments.then(|| plan.merge(&packed));
        Output { values, moments }
    }
}

impl Plan<'_> {
    fn run(
        &self,
        index: usize,
        source: &Source<'_>,
        epilogue: &Epilogue<'_>,
        output: Shared<'_>,
        found: Option<Found<'_>>,
    ) {
        let (machine, grid, task) = (&self.machine, &self.grid, &self.tasks[index]);
        let Winograd {
            inputs, outputs, ..
        } = *self.winograd;
        let lanes = Lanes::new(machine, grid, task.tiles());
        let vectors = lanes.starts.len();
        let count = vectors * machine.lanes;
        let gather = Gather {
            lines: self.winograd.lines,
            base: task.base,
            first: task.first(),
            slab: lanes.slab,
        };
        let point = inputs * count + APART;
        let most = self.blocks.iter().map(|[a, b]| b - a).max().unwrap_or(0);
        let product = most * count + APART;
        let sizes = [
            4 * lanes.slab.len,
            gather.row_len(),
            POINTS * point,
            POINTS * product,
            8 * outputs * count,
            2 * grid.width(),
        ];
        with_scratch(sizes.iter().sum(), |scratch| {
            let mut rest = scratch;
            let [copy, row, points, products, sums, line] = sizes.map(|size| {
                let (part, left) = std::mem::take(&mut rest).split_at_mut(size);
                rest = left;
                part
            });
            for (plane, combination) in WINDOW.into_iter().enumerate() {
                for i in 0..inputs {
                    let channel = source.channel(task.sample, i);
                    gather.fill(&channel, combination, copy, row);
                    let transform = ToPoints {
                        reads: Reads::Window,
                        copy: copy.as_ptr(),
                        slab: lanes.slab.len,
                        next: [lanes.slab.pitch, grid.dilation[2]],
                        starts: &lanes.starts,
                        points: points[i * count..].as_mut_ptr(),
                        point,
                    };
                    // SAFETY: `Slab::len` covers the windows of all vectors, and `points` has
                    // `count` floats per channel and point.
                    unsafe { machine.arch.dispatch(transform) };
                }
                for (b, &[first, last]) in self.blocks.iter().enumerate() {
                    let weights = self.filter.block(plane, b, first);
                    self.multiply(
                        last - first,
                        weights,
                        (points, point),
                        (products, product),
                        vectors,
                    );
                    for o in first..last {
                        let transform = ToOutputs {
                            plane,
                            points: products[(o - first) * count..].as_ptr(),
                            point: product,
                            vectors,
                            outputs: sums[8 * o * count..].as_mut_ptr(),
                        };
                        // SAFETY: `products` has `count` floats per output channel of the block
                        // and point, `sums` 8 times as many per output channel.
                        unsafe { machine.arch.dispatch(transform) };
                    }
                }
            }
            for (o, sums) in sums.chunks_exact(8 * count).enumerate() {
                let moments = self.store(task, &lanes, o, (sums, line), epilogue, output);
                if let Some(found) = found {
                    // SAFETY: each task has its own entries, one per channel.
                    unsafe { found.set(index * outputs + o, &moments) };
                }
            }
        });
    }

    /// Products of one block of outputs at all points of a plane: `points` and `products` with
    /// their floats from one point to the next.
    fn multiply(
        &self,
        block: usize,
        weights: &[f32],
        (points, point): (&[f32], usize),
        (products, product): (&mut [f32], usize),
        vectors: usize,
    ) {
        let (machine, inputs) = (&self.machine, self.winograd.inputs);
        let count = vectors * machine.lanes;
        for p in 0..POINTS {
            let weights = &weights[p * filter::point(inputs, block)..][..inputs * block];
            let tile = Tile {
                input: points[p * point..].as_ptr(),
                input_stride: count,
                inputs,
                taps: &[Tap {
                    input: 0,
                    weight: 0,
                }],
                weights: weights.as_ptr(),
                weight_stride: block,
                output: products[p * product..].as_mut_ptr(),
                output_stride: count,
                accumulate: false,
            };
            // SAFETY: at each point there are `count` floats per input and output channel.
            unsafe { machine.run(block, vectors, tile) };
        }
    }

    /// Puts the outputs of one channel in their rows, and finds their moments if wanted.
    fn store(
        &self,
        task: &Task,
        lanes: &Lanes,
        channel: usize,
        (sums, line): (&[f32], &mut [f32]),
        epilogue: &Epilogue<'_>,
        output: Shared<'_>,
    ) -> Moments {
        let [depth, height, width] = self.winograd.out_size;
        let [dilation_d, dilation_h, dilation_w] = self.grid.dilation;
        let base = (task.sample * self.winograd.outputs + channel) * depth;
        let [planes, rows] = task.tiles();
        let places = self.grid.width();
        let parity = sums.len() / 8;
        let mut moments = Moments::default();
        for plane in 0..2 * planes {
            let z = task.base[0] + dilation_d * (2 * task.depth[0] + plane);
            for row in 0..2 * rows {
                let y = task.base[1] + dilation_h * (2 * task.height[0] + row);
                if z >= depth || y >= height {
                    continue;
                }
                let from = ((plane % 2) * 2 + row % 2) * 2 * parity + lanes.row(plane / 2, row / 2);
                let [left, right] = [from, from + parity].map(|at| &sums[at..at + places]);
                merge(left, right, line, dilation_w);
                let at = ((base + z) * height + y) * width;
                let values = &mut line[..width];
                epilogue.row(channel, values, at, 1);
                if epilogue.moments {
                    moments.merge(Moments::of(values));
                }
                // SAFETY: tasks and their tiles partition the outputs.
                unsafe { output.write(at, 1, values) };
            }
        }
        moments
    }

    /// Moments of each channel of each sample, in the order of the tasks.
    fn merge(&self, packed: &[f32]) -> Vec<Moments> {
        let Winograd { batch, outputs, .. } = *self.winograd;
        let mut all = vec![Moments::default(); batch * outputs];
        for (task, packed) in self.tasks.iter().zip(packed.chunks_exact(outputs * PACKED)) {
            let sample = &mut all[task.sample * outputs..][..outputs];
            for (all, packed) in sample.iter_mut().zip(packed.chunks_exact(PACKED)) {
                all.merge(Moments::unpack(packed));
            }
        }
        all
    }
}
