//! Dense convolution: forward, gradient with respect to the input, transposed convolution.
//!
//! Outputs are computed in runs of neighbouring voxels, whatever the channel count: a tile of the
//! input with its zeros is copied into memory that fits the second-level cache, laid out so that
//! every tap is a constant offset, and [`Machine::run`] does the rest.

use super::lattice::{Axis, Window};
use super::parallel::{Shared, filled, for_each, with_scratch};
use super::tile::{Machine, SLACK, Tap, Tile};

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
    pub(crate) bias: Option<&'a [f32]>,
}

/// Weights of one lattice, in the order in which tiles read them.
struct Packed {
    taps: [Vec<usize>; 3],
    /// First weight of each block of output channels, in the first group.
    starts: Vec<usize>,
    /// From one group to the next.
    group: usize,
    data: Vec<f32>,
}

struct Lattice<'a> {
    axes: [&'a Axis; 3],
    windows: [Window; 3],
    packed: usize,
    /// Outputs per tile along depth and height.
    tile: [usize; 2],
}

struct Task {
    /// Sample times groups plus group.
    sample: usize,
    lattice: usize,
    depth: [usize; 2],
    height: [usize; 2],
    blocks: [usize; 2],
}

impl Dense<'_> {
    /// The output from `input`, both `[batch, groups * channels, depth, height, width]`. `finish`
    /// is applied to every row.
    pub(crate) fn run(&self, input: &[f32], finish: impl Fn(&mut [f32]) + Send + Sync) -> Vec<f32> {
        let samples = self.batch * self.groups;
        assert_eq!(input.len(), samples * self.inputs * volume(self.in_size));
        let len = samples * self.outputs * volume(self.out_size);
        if len == 0 {
            return Vec::new();
        }
        // SAFETY: lattices partition the outputs, and tiles the lattices.
        unsafe { filled(len, |output| self.write(input, output, finish)) }
    }

    fn write(&self, input: &[f32], output: Shared<'_>, finish: impl Fn(&mut [f32]) + Send + Sync) {
        let machine = Machine::detect();
        let blocks = blocks(self.outputs, machine.block());
        let mut packs: Vec<Packed> = Vec::new();
        let mut lattices = Vec::new();
        for d in &self.axes[0] {
            for h in &self.axes[1] {
                for w in &self.axes[2] {
                    let axes = [d, h, w];
                    let taps = axes.map(|axis| axis.taps.clone());
                    let packed = match packs.iter().position(|pack| pack.taps == taps) {
                        Some(index) => index,
                        None => {
                            packs.push(self.pack(taps, &blocks));
                            packs.len() - 1
                        }
                    };
                    let windows = axes.map(Window::new);
                    let tile = self.tile(&machine, &axes, &windows);
                    lattices.push(Lattice {
                        axes,
                        windows,
                        packed,
                        tile,
                    });
                }
            }
        }
        let tasks = self.tasks(&lattices, blocks.len());
        for_each(tasks.len(), |index| {
            let task = &tasks[index];
            let lattice = &lattices[task.lattice];
            let pack = &packs[lattice.packed];
            self.task(
                &machine, task, lattice, pack, &blocks, input, output, &finish,
            );
        });
    }

    fn pack(&self, taps: [Vec<usize>; 3], blocks: &[[usize; 2]]) -> Packed {
        let per_pair = taps.iter().map(Vec::len).product::<usize>();
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
        let mut data = vec![0.0; self.groups * group];
        let shared = Shared::new(&mut data);
        for_each(self.groups * blocks.len(), |task| {
            let (g, [first, last]) = (task / blocks.len(), blocks[task % blocks.len()]);
            let block = last - first;
            let weights = &self.weights[g * self.outputs * self.inputs * all..];
            let from = g * group + first * self.inputs * per_pair;
            // SAFETY: each task writes its own block.
            let packed = unsafe { shared.row(from, block * self.inputs * per_pair) };
            for o in 0..block {
                for i in 0..self.inputs {
                    let source =
                        &weights[(first + o) * self.output_stride + i * self.input_stride..][..all];
                    let target = packed[i * per_pair * block..]
                        .iter_mut()
                        .skip(o)
                        .step_by(block);
                    for (value, &offset) in target.zip(&offsets) {
                        *value = source[offset];
                    }
                }
            }
        });
        Packed {
            taps,
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

    fn tasks(&self, lattices: &[Lattice<'_>], blocks: usize) -> Vec<Task> {
        let mut tasks = Vec::new();
        let tiles: usize = lattices
            .iter()
            .map(|l| l.axes[0].count.div_ceil(l.tile[0]) * l.axes[1].count.div_ceil(l.tile[1]))
            .sum::<usize>()
            * self.batch
            * self.groups;
        // Few tiles with many channels: several tasks share a tile.
        let groups = 16_usize.div_ceil(tiles.max(1)).min(blocks).max(1);
        for sample in 0..self.batch * self.groups {
            for (index, lattice) in lattices.iter().enumerate() {
                let [depth, height] = lattice.tile;
                for d in (0..lattice.axes[0].count).step_by(depth) {
                    for h in (0..lattice.axes[1].count).step_by(height) {
                        for group in 0..groups {
                            tasks.push(Task {
                                sample,
                                lattice: index,
                                depth: [d, (d + depth).min(lattice.axes[0].count)],
                                height: [h, (h + height).min(lattice.axes[1].count)],
                                blocks: [group * blocks / groups, (group + 1) * blocks / groups],
                            });
                        }
                    }
                }
            }
        }
        tasks
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one caller, which owns all of them"
    )]
    fn task(
        &self,
        machine: &Machine,
        task: &Task,
        lattice: &Lattice<'_>,
        pack: &Packed,
        blocks: &[[usize; 2]],
        input: &[f32],
        output: Shared<'_>,
        finish: &impl Fn(&mut [f32]),
    ) {
        let [axis_d, axis_h, axis_w] = lattice.axes;
        let copy = Copy::new(
            lattice.windows.each_ref(),
            task.depth,
            task.height,
            axis_w.count,
        );
        let planes = task.depth[1] - task.depth[0];
        let rows = task.height[1] - task.height[0];
        let width = axis_w.count;
        let lanes = machine.lanes;
        // Rows one by one when they fill vectors, the plane as one run otherwise.
        let by_row = rows * width.div_ceil(lanes);
        let as_plane = ((rows - 1) * copy.pitch + width).div_ceil(lanes);
        let (runs, run_vectors, pitch) = if by_row <= as_plane {
            (rows, width.div_ceil(lanes), width.div_ceil(lanes) * lanes)
        } else {
            (1, as_plane, copy.pitch)
        };
        let run_pitch = if runs == 1 { 0 } else { pitch };
        let temp_len = if runs == 1 {
            as_plane * lanes
        } else {
            rows * pitch
        };
        let in_len = copy.channel * self.inputs + SLACK;
        let n_taps = lattice
            .windows
            .iter()
            .map(|w| w.taps.len())
            .product::<usize>();
        let out_volume = volume(self.out_size);
        let in_volume = volume(self.in_size);
        let group = task.sample % self.groups;
        let sample = &input[task.sample * self.inputs * in_volume..][..self.inputs * in_volume];

        with_scratch(in_len + temp_len * machine.block(), |scratch| {
            let (tile, temp) = scratch.split_at_mut(in_len);
            for (i, channel) in sample.chunks_exact(in_volume).enumerate() {
                copy.fill(
                    channel,
                    self.in_size,
                    &mut tile[i * copy.channel..][..copy.channel],
                );
            }
            let mut taps = Vec::with_capacity(n_taps);
            for (index, &[first, last]) in blocks
                .iter()
                .enumerate()
                .take(task.blocks[1])
                .skip(task.blocks[0])
            {
                let block = last - first;
                for plane in 0..planes {
                    copy.taps(plane, block, &mut taps);
                    let weights = &pack.data[group * pack.group + pack.starts[index]..];
                    for i in (0..self.inputs.max(1)).step_by(INPUT_BLOCK) {
                        let inputs = INPUT_BLOCK.min(self.inputs - i);
                        for run in 0..runs {
                            let mut done = 0;
                            while done < run_vectors {
                                let vectors = machine.next_run(block, run_vectors - done);
                                let at = run * run_pitch + done * lanes;
                                // Outputs that no tap reaches have no copy to point into.
                                let from = match taps.is_empty() {
                                    true => 0,
                                    false => run * copy.pitch + done * lanes,
                                };
                                let arguments = Tile {
                                    input: tile[i * copy.channel + from..].as_ptr(),
                                    input_stride: copy.channel,
                                    inputs,
                                    taps: &taps,
                                    weights: weights[i * n_taps * block..].as_ptr(),
                                    weight_stride: n_taps * block,
                                    output: temp[at..].as_mut_ptr(),
                                    output_stride: temp_len,
                                    accumulate: i > 0,
                                };
                                // SAFETY: a run ends inside its plane of the copy, rounded up to
                                // a vector, plus a tap's offset: `SLACK` covers the rounding.
                                // `temp` has `temp_len >= at + vectors * lanes` per channel.
                                unsafe { machine.run(block, vectors, arguments) };
                                done += vectors;
                            }
                        }
                    }
                    let z = axis_d.out_base + axis_d.out_step * (task.depth[0] + plane);
                    for (o, channel) in (first..last).zip(temp.chunks_exact_mut(temp_len)) {
                        let bias = self.bias.map_or(0.0, |bias| bias[group * self.outputs + o]);
                        let base = (task.sample * self.outputs + o) * out_volume;
                        for row in 0..rows {
                            let y = axis_h.out_base + axis_h.out_step * (task.height[0] + row);
                            let at = base + (z * self.out_size[1] + y) * self.out_size[2];
                            let values = &mut channel[row * pitch..][..width];
                            for value in values.iter_mut() {
                                *value += bias;
                            }
                            finish(values);
                            // SAFETY: lattices and tiles partition the outputs, so every
                            // element is written once.
                            unsafe {
                                output.write(at + axis_w.out_base, axis_w.out_step, values);
                            }
                        }
                    }
                }
            }
        });
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

/// The copy of a tile's input: `[phases of depth][of height][of width][planes][rows][pitch]`.
pub(crate) struct Copy<'a> {
    windows: [&'a Window; 3],
    first: [usize; 2],
    /// Planes, rows and places in a row.
    extent: [usize; 3],
    /// From one row to the next: rows share the zeros between them.
    pub(crate) pitch: usize,
    /// Floats of one phase.
    phase: usize,
    /// Floats of one channel.
    pub(crate) channel: usize,
}

impl<'a> Copy<'a> {
    pub(crate) fn new(
        windows: [&'a Window; 3],
        depth: [usize; 2],
        height: [usize; 2],
        width: usize,
    ) -> Self {
        let extent = [
            depth[1] - depth[0] + windows[0].span,
            height[1] - height[0] + windows[1].span,
            width + windows[2].span,
        ];
        let shared = (0..windows[2].phases.len())
            .map(|phase| {
                let (before, count, _) = windows[2].row(phase, 0, extent[2]);
                before.min(extent[2] - before - count)
            })
            .min()
            .unwrap_or(0)
            .min(windows[2].span);
        let pitch = extent[2] - shared;
        let phase = extent[0] * extent[1] * pitch + shared;
        let phases: usize = windows.iter().map(|w| w.phases.len()).product();
        let mut channel = phase * phases;
        // Channels a multiple of 4 KiB apart would compete for the same cache sets.
        if channel % 512 < 16 {
            channel += 16;
        }
        Self {
            windows,
            first: [depth[0], height[0]],
            extent,
            pitch,
            phase,
            channel,
        }
    }

    /// From one plane to the next.
    pub(crate) fn plane(&self) -> usize {
        self.extent[1] * self.pitch
    }

    /// All taps for the outputs of the first plane.
    pub(crate) fn all_taps(&self, taps: &mut Vec<Tap>) {
        self.collect(0, 1, taps, |_, _| true);
    }

    /// Taps for the outputs of `plane`, without those that only read zeros there. Weights are
    /// `block` apart.
    pub(crate) fn taps(&self, plane: usize, block: usize, taps: &mut Vec<Tap>) {
        let depth = self.windows[0];
        self.collect(plane, block, taps, |phase, place| {
            depth.input(phase, self.first[0], plane + place).is_some()
        });
    }

    fn collect(
        &self,
        plane: usize,
        block: usize,
        taps: &mut Vec<Tap>,
        keep: impl Fn(usize, usize) -> bool,
    ) {
        taps.clear();
        let [windows_d, windows_h, windows_w] = self.windows;
        let per_plane = windows_h.taps.len() * windows_w.taps.len();
        for (d, &(phase_d, place_d)) in windows_d.taps.iter().enumerate() {
            if !keep(phase_d, place_d) {
                continue;
            }
            let mut weight = d * per_plane * block;
            for &(phase_h, place_h) in &windows_h.taps {
                for &(phase_w, place_w) in &windows_w.taps {
                    let phase = (phase_d * windows_h.phases.len() + phase_h)
                        * windows_w.phases.len()
                        + phase_w;
                    let row = (plane + place_d) * self.extent[1] + place_h;
                    let input = phase * self.phase + row * self.pitch + place_w;
                    taps.push(Tap { input, weight });
                    weight += block;
                }
            }
        }
    }

    /// Copies one channel of the input.
    pub(crate) fn fill(&self, input: &[f32], size: [usize; 3], copy: &mut [f32]) {
        let [wd, wh, ww] = self.windows;
        let mut at = 0;
        for phase_d in 0..wd.phases.len() {
            for phase_h in 0..wh.phases.len() {
                for phase_w in 0..ww.phases.len() {
                    let (before, count, start) = ww.row(phase_w, 0, self.extent[2]);
                    let before = before.min(self.pitch);
                    for plane in 0..self.extent[0] {
                        let z = wd.input(phase_d, self.first[0], plane);
                        for row in 0..self.extent[1] {
                            let y = wh.input(phase_h, self.first[1], row);
                            let out = &mut copy[at..at + self.pitch];
                            at += self.pitch;
                            let (Some(z), Some(y)) = (z, y) else {
                                out.fill(0.0);
                                continue;
                            };
                            out[..before].fill(0.0);
                            out[before + count..].fill(0.0);
                            let row = (z * size[1] + y) * size[2] + start;
                            let step = ww.step();
                            let middle = &mut out[before..before + count];
                            if step == 1 {
                                middle.copy_from_slice(&input[row..row + count]);
                            } else if count > 0 {
                                let source = &input[row..row + (count - 1) * step + 1];
                                for (value, from) in
                                    middle.iter_mut().zip(source.iter().step_by(step))
                                {
                                    *value = *from;
                                }
                            }
                        }
                    }
                    let shared = self.phase - self.extent[0] * self.extent[1] * self.pitch;
                    copy[at..at + shared].fill(0.0);
                    at += shared;
                }
            }
        }
        copy[at..].fill(0.0);
    }
}
