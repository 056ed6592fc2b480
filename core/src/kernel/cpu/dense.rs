//! Dense convolution: forward, gradient with respect to the input, transposed convolution.
//!
//! Outputs are computed in runs of neighbouring voxels, whatever the channel count: a tile of the
//! input with its zeros is copied into memory that fits the second-level cache, laid out so that
//! every tap is a constant offset, and [`Machine::run`] does the rest.

mod minimal;

use super::copy::Copy;
use super::epilogue::{Epilogue, Found, Output};
use super::lattice::{Axis, Window};
use super::memory::Lent;
use super::moments::{Moments, PACKED};
use super::parallel::{Shared, filled, for_each, with_scratch};
use super::source::Source;
use super::tile::{MAX_BLOCK, Machine, SLACK, Tile};

/// Floats of input that a task copies at once, to stay in the second-level cache.
const TILE_FLOATS: usize = 224 * 1024;

/// The same for a task with one input channel, which needs few to have work.
const CHANNEL_FLOATS: usize = 24 * 1024;

/// Work of copying a row beyond that of its floats, in multiplications of one vector.
const ROW_WORK: f64 = 60.0;

/// Input channels whose weights stay in the first-level cache for all runs of a plane.
const INPUT_BLOCK: usize = 64;

/// A dense convolution.
pub(crate) struct Dense<'a> {
    pub(crate) batch: usize,
    /// Independent convolutions with their own channels and weights.
    pub(crate) groups: usize,
    /// Input channels of a group.
    pub(crate) inputs: usize,
    /// Output channels of a group.
    pub(crate) outputs: usize,
    pub(crate) in_size: [usize; 3],
    pub(crate) out_size: [usize; 3],
    /// Lattices of the outputs per axis: depth, height, width.
    pub(crate) axes: [Vec<Axis>; 3],
    pub(crate) kernel: [usize; 3],
    /// A group's weights follow the previous group's.
    pub(crate) weights: &'a [f32],
    /// From one output channel's weights to the next.
    pub(crate) output_stride: usize,
    /// From one input channel's weights to the next.
    pub(crate) input_stride: usize,
    /// Whether outputs are computed in pairs along depth and height where that saves time.
    pub(crate) minimal: bool,
}

/// Weights of one lattice, in the order in which tiles read them.
struct Packed {
    taps: [Vec<usize>; 3],
    /// Whether they are in points.
    minimal: bool,
    /// First weight of each block of output channels, in the first group.
    starts: Vec<usize>,
    /// From one group to the next.
    group: usize,
    data: Lent,
}

struct Lattice<'a> {
    axes: [&'a Axis; 3],
    windows: [Window; 3],
    packed: usize,
    /// Outputs per tile along depth and height.
    tile: [usize; 2],
}

impl Lattice<'_> {
    fn taps(&self) -> usize {
        self.windows.iter().map(|w| w.taps.len()).product()
    }
}

/// A part of the outputs.
struct Task {
    /// Sample times groups plus group.
    sample: usize,
    lattice: usize,
    depth: [usize; 2],
    height: [usize; 2],
    blocks: [usize; 2],
    /// Moments of earlier tasks.
    moments: usize,
}

/// A convolution cut into tasks.
struct Plan<'a> {
    dense: &'a Dense<'a>,
    machine: Machine,
    /// Output channels of each block.
    blocks: Vec<[usize; 2]>,
    packs: Vec<Packed>,
    lattices: Vec<Lattice<'a>>,
    tasks: Vec<Task>,
}

impl Dense<'_> {
    /// The output `[batch, groups * outputs, depth, height, width]` from `source`, which has
    /// `groups * inputs` channels.
    pub(crate) fn run(&self, source: &Source<'_>, epilogue: &Epilogue<'_>) -> Output {
        assert_eq!(source.channels(), self.groups * self.inputs);
        let samples = self.batch * self.groups;
        assert_eq!(source.len(), samples * self.inputs * volume(self.in_size));
        let len = samples * self.outputs * volume(self.out_size);
        if len == 0 {
            return Output {
                values: Vec::new(),
                moments: epilogue
                    .moments
                    .then(|| vec![Moments::default(); samples * self.outputs]),
            };
        }
        let plan = self.plan();
        let count = match (epilogue.moments, plan.tasks.last()) {
            (true, Some(last)) => last.moments + plan.channels(last),
            _ => 0,
        };
        let mut packed = vec![0.0; count * PACKED];
        let found = epilogue.moments.then(|| Found::new(&mut packed));
        let write = |output: Shared<'_>| {
            for_each(plan.tasks.len(), |index| {
                plan.run(&plan.tasks[index], source, epilogue, output, found);
            });
        };
        // SAFETY: lattices partition the outputs, and tiles the lattices.
        let values = unsafe { filled(len, write) };
        let moments = epilogue.moments.then(|| plan.merge(&packed));
        Output { values, moments }
    }

    fn plan(&self) -> Plan<'_> {
        let machine = Machine::detect();
        let blocks = blocks(self.outputs, machine.block());
        let mut packs: Vec<Packed> = Vec::new();
        let mut lattices = Vec::new();
        for d in &self.axes[0] {
            for h in &self.axes[1] {
                for w in &self.axes[2] {
                    let axes = [d, h, w];
                    let taps = axes.map(|axis| axis.taps.clone());
                    let windows = axes.map(Window::new);
                    let minimal = self.minimal
                        && windows[..2].iter().all(minimal::fits)
                        && !w.taps.is_empty()
                        && minimal::is_worth([d.count, h.count]);
                    let same = |pack: &Packed| pack.minimal == minimal && pack.taps == taps;
                    let packed = match packs.iter().position(same) {
                        Some(index) => index,
                        None => {
                            packs.push(self.pack(taps, minimal, &blocks));
                            packs.len() - 1
                        }
                    };
                    let mut tile = self.tile(&machine, &axes, &windows);
                    if minimal {
                        tile = tile.map(|outputs| outputs.next_multiple_of(2));
                    }
                    lattices.push(Lattice {
                        axes,
                        windows,
                        packed,
                        tile,
                    });
                }
            }
        }
        let tasks = self.tasks(&lattices, &blocks);
        Plan {
            dense: self,
            machine,
            blocks,
            packs,
            lattices,
            tasks,
        }
    }

    fn pack(&self, taps: [Vec<usize>; 3], minimal: bool, blocks: &[[usize; 2]]) -> Packed {
        let width = taps[2].len();
        let per_pair = match minimal {
            true => minimal::POINTS * width,
            false => taps.iter().map(Vec::len).product::<usize>(),
        };
        let group = self.outputs * self.inputs * per_pair;
        let all = volume(self.kernel);
        let offsets: Vec<usize> = taps[0]
            .iter()
            .flat_map(|d| taps[1].iter().map(move |h| d * self.kernel[1] + h))
            .flat_map(|dh| taps[2].iter().map(move |w| dh * self.kernel[2] + w))
            .collect();
        let starts = blocks
            .iter()
            .map(|[first, _]| first * self.inputs * per_pair)
            .collect();
        let write = |data: Shared<'_>| {
            for_each(self.groups * blocks.len(), |task| {
                let (g, [first, last]) = (task / blocks.len(), blocks[task % blocks.len()]);
                let block = last - first;
                let weights = &self.weights[g * self.outputs * self.inputs * all..];
                let from = g * group + first * self.inputs * per_pair;
                // SAFETY: each task writes its own block.
                let packed = unsafe { data.row(from, block * self.inputs * per_pair) };
                let direct = offsets.len() * block;
                let gather = |target: &mut [f32]| {
                    for o in 0..block {
                        for i in 0..self.inputs {
                            let source = (first + o) * self.output_stride + i * self.input_stride;
                            let source = &weights[source..][..all];
                            let target = target[i * direct..].iter_mut().skip(o).step_by(block);
                            for (value, &offset) in target.zip(&offsets) {
                                *value = source[offset];
                            }
                        }
                    }
                };
                if minimal {
                    let mut taps = vec![0.0; self.inputs * direct];
                    gather(&mut taps);
                    minimal::to_points(&taps, self.inputs, width * block, packed);
                } else {
                    gather(packed);
                }
            });
        };
        // SAFETY: the blocks of the groups are all weights.
        let data = Lent::new(unsafe { filled(self.groups * group, write) });
        Packed {
            taps,
            minimal,
            starts,
            group,
            data,
        }
    }

    /// Planes and rows per tile: the least work per output among the tiles whose copy of the input
    /// stays in the cache. Work is counted in multiplications of one vector.
    fn tile(&self, machine: &Machine, axes: &[&Axis; 3], windows: &[Window; 3]) -> [usize; 2] {
        let phases: usize = windows.iter().map(|w| w.phases.len().max(1)).product();
        let taps: usize = windows.iter().map(|w| w.taps.len()).product();
        let width = axes[2].count;
        let most = if self.inputs == 1 {
            CHANNEL_FLOATS
        } else {
            TILE_FLOATS
        };
        let (depth, height) = (axes[0].count, axes[1].count);
        let block = blocks(self.outputs, machine.block())[0][1];
        let mut best = [1, 1];
        let mut best_work = f64::MAX;
        for d in 1..=depth.min(8) {
            for parts in 1..=height {
                let h = height.div_ceil(parts);
                if parts > 1 && h == height.div_ceil(parts - 1) {
                    continue;
                }
                let rows = (d + windows[0].span) * (h + windows[1].span) * phases * self.inputs;
                if rows * (width + windows[2].span) > most && h > 1 {
                    continue;
                }
                let by_row = h * width.div_ceil(machine.lanes);
                // Neighbouring rows share about half of the zeros around them.
                let pitch = width + windows[2].span.div_ceil(2);
                let as_plane = ((h - 1) * pitch + width).div_ceil(machine.lanes);
                let vectors = by_row.min(as_plane);
                // A last run of few vectors waits for its loads.
                let idle =
                    f64::from(u8::from(!vectors.is_multiple_of(machine.vectors(block)))) * 0.5;
                let multiply =
                    (vectors as f64 + idle) * (d * taps * self.inputs * self.outputs) as f64;
                let copy = rows as f64 * (ROW_WORK + width as f64 / 4.0);
                let work = (multiply + copy) / (d * h) as f64;
                if work < best_work * 0.999 {
                    best = [d, h];
                    best_work = work;
                }
                if rows * (width + windows[2].span) <= most && h <= height.div_ceil(8) {
                    break;
                }
            }
            if (d + windows[0].span) * (1 + windows[1].span) * phases * self.inputs * width > most {
                break;
            }
        }
        best
    }

    fn tasks(&self, lattices: &[Lattice<'_>], blocks: &[[usize; 2]]) -> Vec<Task> {
        let mut tasks = Vec::new();
        let mut moments = 0;
        let tiles: usize = lattices
            .iter()
            .map(|l| l.axes[0].count.div_ceil(l.tile[0]) * l.axes[1].count.div_ceil(l.tile[1]))
            .sum::<usize>()
            * self.batch
            * self.groups;
        // Few tiles with many channels: several tasks share a tile.
        let count = blocks.len();
        let groups = 16_usize.div_ceil(tiles.max(1)).min(count).max(1);
        for sample in 0..self.batch * self.groups {
            for (index, lattice) in lattices.iter().enumerate() {
                let [depth, height] = lattice.tile;
                for d in (0..lattice.axes[0].count).step_by(depth) {
                    for h in (0..lattice.axes[1].count).step_by(height) {
                        for group in 0..groups {
                            let part = [group * count / groups, (group + 1) * count / groups];
                            tasks.push(Task {
                                sample,
                                lattice: index,
                                depth: [d, (d + depth).min(lattice.axes[0].count)],
                                height: [h, (h + height).min(lattice.axes[1].count)],
                                blocks: part,
                                moments,
                            });
                            moments += blocks[part[1] - 1][1] - blocks[part[0]][0];
                        }
                    }
                }
            }
        }
        tasks
    }
}

/// Where rows of sums belong: of a sample's channels, a lattice's planes and rows.
struct Place {
    channel: usize,
    plane: usize,
    /// The first, and that after the last.
    rows: [usize; 2],
}

/// How the outputs of one plane of a tile are computed: row by row where rows fill vectors, the
/// plane as one run otherwise.
struct Runs {
    count: usize,
    /// Vectors of a run.
    vectors: usize,
    /// From one run to the next, in the copy and in the sums.
    pitch: [usize; 2],
    /// From one row to the next in the sums.
    row: usize,
    /// Floats of a channel's sums.
    len: usize,
}

impl Runs {
    fn new(rows: usize, width: usize, copy: &Copy<'_>, lanes: usize) -> Self {
        let by_row = width.div_ceil(lanes);
        let as_plane = ((rows - 1) * copy.pitch + width).div_ceil(lanes);
        if rows * by_row <= as_plane {
            let row = by_row * lanes;
            Self {
                count: rows,
                vectors: by_row,
                pitch: [copy.pitch, row],
                row,
                len: rows * row,
            }
        } else {
            Self {
                count: 1,
                vectors: as_plane,
                pitch: [0, 0],
                row: copy.pitch,
                len: as_plane * lanes,
            }
        }
    }
}

impl Plan<'_> {
    /// Output channels of a task.
    fn channels(&self, task: &Task) -> usize {
        self.blocks[task.blocks[1] - 1][1] - self.blocks[task.blocks[0]][0]
    }

    fn run(
        &self,
        task: &Task,
        source: &Source<'_>,
        epilogue: &Epilogue<'_>,
        output: Shared<'_>,
        found: Option<Found<'_>>,
    ) {
        let dense = self.dense;
        let lattice = &self.lattices[task.lattice];
        let pack = &self.packs[lattice.packed];
        if pack.minimal {
            return self.run_minimal(task, source, epilogue, output, found);
        }
        let copy = Copy::new(
            lattice.windows.each_ref(),
            task.depth,
            task.height,
            lattice.axes[2].count,
        );
        let planes = task.depth[1] - task.depth[0];
        let rows = task.height[1] - task.height[0];
        let runs = Runs::new(rows, lattice.axes[2].count, &copy, self.machine.lanes);
        let n_taps = lattice.taps();
        // Outputs that no tap reaches have no copy.
        let inputs = if n_taps == 0 { 0 } else { dense.inputs };
        let in_len = copy.channel * inputs + SLACK;
        let (sample, group) = (task.sample / dense.groups, task.sample % dense.groups);

        with_scratch(in_len + runs.len * self.machine.block(), |scratch| {
            let (tile, sums) = scratch.split_at_mut(in_len);
            for i in 0..inputs {
                copy.fill(
                    source.channel(sample, group * dense.inputs + i),
                    &mut tile[i * copy.channel..][..copy.channel],
                );
            }
            let mut taps = Vec::with_capacity(n_taps);
            let first_channel = self.blocks[task.blocks[0]][0];
            for index in task.blocks[0]..task.blocks[1] {
                let [first, last] = self.blocks[index];
                let block = last - first;
                let mut moments = [Moments::default(); MAX_BLOCK];
                for plane in 0..planes {
                    let weights = &pack.data[group * pack.group + pack.starts[index]..];
                    if inputs == 0 {
                        sums[..runs.len * block].fill(0.0);
                    }
                    copy.taps(plane, block, &mut taps);
                    for i in (0..inputs).step_by(INPUT_BLOCK) {
                        let block_inputs = INPUT_BLOCK.min(inputs - i);
                        for run in 0..runs.count {
                            let [from, to] = runs.pitch.map(|pitch| run * pitch);
                            let arguments = Tile {
                                input: tile[i * copy.channel + from..].as_ptr(),
                                input_stride: copy.channel,
                                inputs: block_inputs,
                                taps: &taps,
                                weights: weights[i * n_taps * block..].as_ptr(),
                                weight_stride: n_taps * block,
                                output: sums[to..].as_mut_ptr(),
                                output_stride: runs.len,
                                accumulate: i > 0,
                            };
                            // SAFETY: a run ends inside its plane of the copy, rounded up to a
                            // vector, plus a tap's offset: `SLACK` covers the rounding. The sums
                            // have `runs.len >= to + runs.vectors * lanes` floats per channel.
                            unsafe { self.machine.run(block, runs.vectors, arguments) };
                        }
                    }
                    let sums = sums.chunks_exact_mut(runs.len);
                    for ((o, sums), moments) in (first..last).zip(sums).zip(&mut moments) {
                        let place = Place {
                            channel: group * dense.outputs + o,
                            plane: task.depth[0] + plane,
                            rows: task.height,
                        };
                        self.store(task, place, (sums, moments), runs.row, epilogue, output);
                    }
                }
                if let Some(found) = found {
                    for (o, moments) in (first..last).zip(&moments) {
                        // SAFETY: each task has its own entries, one per channel.
                        unsafe { found.set(task.moments + o - first_channel, moments) };
                    }
                }
            }
        });
    }

    /// Finishes and writes the sums of some rows, `pitch` apart, and adds to their moments where
    /// those are wanted.
    fn store(
        &self,
        task: &Task,
        Place {
            channel,
            plane,
            rows: [first, last],
        }: Place,
        (sums, moments): (&mut [f32], &mut Moments),
        pitch: usize,
        epilogue: &Epilogue<'_>,
        output: Shared<'_>,
    ) {
        let dense = self.dense;
        let [depth, height, width] = self.lattices[task.lattice].axes;
        let sample = task.sample / dense.groups;
        let index = sample * dense.groups * dense.outputs + channel;
        let z = depth.out_base + depth.out_step * plane;
        let [size_d, size_h, size_w] = dense.out_size;
        for (row, h) in (first..last).enumerate() {
            let y = height.out_base + height.out_step * h;
            let at = ((index * size_d + z) * size_h + y) * size_w + width.out_base;
            let values = &mut sums[row * pitch..][..width.count];
            epilogue.row(channel, values, at, width.out_step);
            // SAFETY: lattices and tiles partition the outputs, so every element is written once.
            unsafe { output.write(at, width.out_step, values) };
        }
        if epilogue.moments {
            moments.merge(Moments::of_rows(sums, [last - first, pitch, width.count]));
        }
    }

    /// Moments of each channel of each sample, in the order of the tasks.
    fn merge(&self, packed: &[f32]) -> Vec<Moments> {
        let outputs = self.dense.outputs;
        let mut all = vec![Moments::default(); self.dense.batch * self.dense.groups * outputs];
        for task in &self.tasks {
            let first = task.sample * outputs + self.blocks[task.blocks[0]][0];
            let found = packed[task.moments * PACKED..].chunks_exact(PACKED);
            for (sum, found) in all[first..].iter_mut().zip(found).take(self.channels(task)) {
                sum.merge(Moments::unpack(found));
            }
        }
        all
    }
}

/// Output channels `[first, last)` of each block: as few blocks as possible, of nearly equal size.
pub(crate) fn blocks(channels: usize, most: usize) -> Vec<[usize; 2]> {
    let count = channels.div_ceil(most);
    (0..count)
        .map(|b| [b * channels / count, (b + 1) * channels / count])
        .collect()
}

pub(crate) fn volume(size: [usize; 3]) -> usize {
    size[0] * size[1] * size[2]
}
