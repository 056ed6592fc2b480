//! Gradient of the weights by minimal filtering F(3, 2): 64 multiplications for 27 gradients of a
//! tile of 8 outputs instead of 216.
//!
//! Vectors run along input channels here, so that the sums over tiles stay in place: for each point
//! a matrix product of the output's gradient and the input, both transformed, by [`Machine::run`].

use super::super::dense::{blocks, volume};
use super::super::memory::Lent;
use super::super::parallel::{Shared, filled, for_each, with_scratch};
use super::super::pointwise::vectored;
use super::super::tile::{Machine, Tap, Tile};
use super::APART;
use super::filter::{Lanes, WIDE};
use super::gather::{Combination, Gather, Line, Slab, TOGETHER};
use super::plan::{Grid, Task};
use super::transform::{POINTS, Reads, ToPoints};

/// Planes of a pair for each plane of points.
const PAIR: [Combination; 4] = [
    [(0, 1.0), (0, 0.0)],
    [(0, 0.5), (1, 0.5)],
    [(0, 0.5), (1, -0.5)],
    [(1, 1.0), (0, 0.0)],
];

/// Floats of transformed channels that a task holds.
const TASK_FLOATS: usize = 160 * 1024;

/// Fewest tiles that are multiplied at once.
const LEAST_TILES: usize = 48;

/// Floats in all partial sums together, and parts aimed at.
const PARTIAL_FLOATS: usize = 8 << 20;
const PARTS: usize = 4;

/// Weight gradient of a convolution of kernel 3 and stride 1.
pub(crate) struct WeightGradient {
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// What the outputs read along each axis.
    pub(crate) lines: [Line; 3],
    pub(crate) out_size: [usize; 3],
}

/// A side of the product: the input or the output's gradient.
struct Side<'a> {
    sample: &'a [f32],
    channels: usize,
    padded: usize,
    gather: Gather,
    reads: Reads,
    planes: Combination,
}

impl WeightGradient {
    fn grid(&self) -> Grid {
        Grid {
            outputs: self.out_size,
            dilation: self.lines.map(|line| line.dilation),
        }
    }

    /// `[outputs, inputs, 3, 3, 3]` from the input and the output's gradient.
    pub(crate) fn run(&self, input: &[f32], gradient: &[f32]) -> Vec<f32> {
        let in_volume = volume(self.lines.map(|line| line.size));
        let out_volume = volume(self.out_size);
        assert_eq!(input.len(), self.batch * self.inputs * in_volume);
        assert_eq!(gradient.len(), self.batch * self.outputs * out_volume);
        let machine = Machine::detect();
        let grid = self.grid();
        let [inputs, outputs] = self.padded(&machine);
        let most = TASK_FLOATS / (POINTS * (inputs + outputs));
        let tasks = grid.tasks_of_tiles(self.batch, most.max(LEAST_TILES));
        // All of this depends on shapes only, so the order of additions does too.
        let plane = POINTS * self.outputs * inputs;
        let parts = (PARTIAL_FLOATS / (4 * plane).max(1))
            .clamp(1, PARTS)
            .min(tasks.len().max(1));
        let write = |sums: Shared<'_>| {
            for_each(4 * parts, |index| {
                let (part, depth) = (index / 4, index % 4);
                // SAFETY: a task writes its own sums.
                let sums = unsafe { sums.row(index * plane, plane) };
                sums.fill(0.0);
                let mine = part * tasks.len() / parts..(part + 1) * tasks.len() / parts;
                for task in &tasks[mine] {
                    self.task(&machine, &grid, task, depth, input, gradient, sums);
                }
            });
        };
        // SAFETY: the planes of the parts are all sums.
        let mut sums = Lent::new(unsafe { filled(4 * parts * plane, write) });
        let (first, rest) = sums.split_at_mut(4 * plane);
        for part in rest.chunks_exact(4 * plane) {
            for (sum, value) in first.iter_mut().zip(part) {
                *sum += value;
            }
        }
        self.taps(first, inputs)
    }

    /// Channels rounded up to what is copied and computed together.
    fn padded(&self, machine: &Machine) -> [usize; 2] {
        let unit = machine.lanes.max(TOGETHER);
        [self.inputs, self.outputs].map(|channels| channels.next_multiple_of(unit))
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one caller, which owns all of them"
    )]
    fn task(
        &self,
        machine: &Machine,
        grid: &Grid,
        task: &Task,
        depth: usize,
        input: &[f32],
        gradient: &[f32],
        sums: &mut [f32],
    ) {
        let [planes, height] = task.tiles();
        let width = grid.width();
        let tiles = planes * height * width;
        let [inputs, outputs] = self.padded(machine);
        let slab = |rows: usize, pitch: usize| Slab {
            planes,
            rows,
            pitch,
            len: planes * rows * pitch,
        };
        let gather = |lines: [Line; 3], slab: Slab| Gather {
            lines,
            base: task.base,
            first: task.first(),
            slab,
        };
        let out_lines = std::array::from_fn(|axis| Line {
            size: self.out_size[axis],
            low: 0,
            dilation: grid.dilation[axis],
        });
        let in_len = self.inputs * volume(self.lines.map(|line| line.size));
        let out_len = self.outputs * volume(self.out_size);
        let data = Side {
            sample: &input[task.sample * in_len..][..in_len],
            channels: self.inputs,
            padded: inputs,
            gather: gather(self.lines, slab(height + 1, width + grid.dilation[2])),
            reads: Reads::Window,
            planes: super::WINDOW[depth],
        };
        let pull = Side {
            sample: &gradient[task.sample * out_len..][..out_len],
            channels: self.outputs,
            padded: outputs,
            gather: gather(out_lines, slab(height, width)),
            reads: Reads::Pair,
            planes: PAIR[depth],
        };
        let sizes = [
            data.copy_len().max(pull.copy_len()),
            data.points_len(tiles),
            pull.points_len(tiles),
        ];
        with_scratch(sizes.iter().sum(), |scratch| {
            let (copy, points) = scratch.split_at_mut(sizes[0]);
            let (x, g) = points.split_at_mut(sizes[1]);
            data.transform(machine, tiles, copy, x);
            pull.transform(machine, tiles, copy, g);
            let target = sums.as_mut_ptr();
            for point in 0..POINTS {
                for [first, last] in blocks(self.outputs, machine.block()) {
                    let block = last - first;
                    let tile = Tile {
                        input: x[point * data.point(tiles)..].as_ptr(),
                        input_stride: inputs,
                        inputs: tiles,
                        taps: &[Tap {
                            input: 0,
                            weight: 0,
                        }],
                        weights: g[point * pull.point(tiles) + first..].as_ptr(),
                        weight_stride: outputs,
                        output: target.wrapping_add((point * self.outputs + first) * inputs),
                        output_stride: inputs,
                        accumulate: true,
                    };
                    // SAFETY: each point has `tiles` rows of padded channels on both sides, and the
                    // sums a row of padded inputs for every output.
                    unsafe { machine.run(block, inputs / machine.lanes, tile) };
                }
            }
        });
    }

    /// Points to gradients: `sums` is `[plane][point][output][padded input]`.
    fn taps(&self, sums: &[f32], padded: usize) -> Vec<f32> {
        let write = |taps: Shared<'_>| {
            for_each(self.outputs, |o| {
                // SAFETY: a task writes its own output channel.
                let row = unsafe { taps.row(o * self.inputs * 27, self.inputs * 27) };
                vectored(
                    #[inline(always)]
                    || {
                        for (first, taps) in row.chunks_mut(27 * WIDE).enumerate() {
                            let mut points = [[0.0; WIDE]; 64];
                            for (p, point) in points.iter_mut().enumerate() {
                                let at = (p * self.outputs + o) * padded + first * WIDE;
                                point.copy_from_slice(&sums[at..at + WIDE]);
                            }
                            let found = gather_taps(&points);
                            for (lane, taps) in taps.chunks_exact_mut(27).enumerate() {
                                for (tap, value) in taps.iter_mut().zip(&found) {
                                    *tap = value[lane];
                                }
                            }
                        }
                    },
                );
            });
        };
        // SAFETY: the output channels are all taps.
        unsafe { filled(self.outputs * self.inputs * 27, write) }
    }
}

impl Side<'_> {
    fn copy_len(&self) -> usize {
        4 * self.gather.slab.len * self.padded + TOGETHER * self.gather.row_len()
    }

    /// Floats from one point to the next.
    fn point(&self, tiles: usize) -> usize {
        tiles * self.padded + APART
    }

    fn points_len(&self, tiles: usize) -> usize {
        POINTS * self.point(tiles)
    }

    /// Points of all tiles: `[point][tile][padded channel]`.
    fn transform(&self, machine: &Machine, tiles: usize, copy: &mut [f32], points: &mut [f32]) {
        let slab = self.gather.slab;
        let channels = [self.channels, self.padded];
        let (copy, rest) = copy.split_at_mut(4 * slab.len * self.padded);
        let rows = &mut rest[..TOGETHER * self.gather.row_len()];
        self.gather
            .fill_channels(self.sample, channels, self.planes, copy, rows);
        let chunk = self.gather.lines[2].dilation;
        let (height, width) = match self.reads {
            Reads::Window => (slab.rows - 1, slab.pitch - chunk),
            Reads::Pair => (slab.rows, slab.pitch),
        };
        let mut starts = Vec::with_capacity(tiles * self.padded / machine.lanes);
        for plane in 0..slab.planes {
            for row in 0..height {
                let at = (plane * slab.rows + row) * slab.pitch;
                let places = at * self.padded..(at + width) * self.padded;
                starts.extend(places.step_by(machine.lanes));
            }
        }
        let transform = ToPoints {
            reads: self.reads,
            copy: copy.as_ptr(),
            slab: slab.len * self.padded,
            next: [slab.pitch * self.padded, chunk * self.padded],
            starts: &starts,
            points: points.as_mut_ptr(),
            point: self.point(tiles),
        };
        // SAFETY: tiles have their windows inside the slab, and each point room for all of them.
        unsafe { machine.arch.dispatch(transform) };
    }
}

/// Four points to three gradients.
#[inline(always)]
fn three(a: &Lanes, b: &Lanes, c: &Lanes, d: &Lanes) -> [Lanes; 3] {
    let mut three = [[0.0; WIDE]; 3];
    for l in 0..WIDE {
        let sum = b[l] + c[l];
        three[0][l] = a[l] + sum;
        three[1][l] = b[l] - c[l];
        three[2][l] = sum - d[l];
    }
    three
}

#[inline(always)]
fn gather_taps(points: &[Lanes; 64]) -> [Lanes; 27] {
    let mut depth = [[0.0; WIDE]; 48];
    for hw in 0..16 {
        let [a, b, c, d] = [hw, 16 + hw, 32 + hw, 48 + hw];
        let found = three(&points[a], &points[b], &points[c], &points[d]);
        for (d, value) in found.into_iter().enumerate() {
            depth[d * 16 + hw] = value;
        }
    }
    let mut height = [[0.0; WIDE]; 36];
    for d in 0..3 {
        for w in 0..4 {
            let a = d * 16 + w;
            let found = three(&depth[a], &depth[a + 4], &depth[a + 8], &depth[a + 12]);
            for (h, value) in found.into_iter().enumerate() {
                height[(d * 3 + h) * 4 + w] = value;
            }
        }
    }
    let mut taps = [[0.0; WIDE]; 27];
    for row in 0..9 {
        let a = row * 4;
        let found = three(&height[a], &height[a + 1], &height[a + 2], &height[a + 3]);
        for (w, value) in found.into_iter().enumerate() {
            taps[row * 3 + w] = value;
        }
    }
    taps
}
