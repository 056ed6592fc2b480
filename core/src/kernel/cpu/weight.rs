//! Gradient of the dense convolution with respect to its weights.
//!
//! Each weight's gradient is a dot product of the output's gradient with the shifted input. Tiles
//! of both are copied so that a shift is an offset, as in the forward pass; registers hold a block
//! of output channels times a few shifts, each a vector of partial sums along the voxels.

use macerator::{Scalar, Simd, WithSimd, vload_unaligned};

use super::copy::Copy;
use super::dense::{blocks, volume};
use super::lattice::{Axis, Window};
use super::memory::{self, Lent};
use super::parallel::{Shared, for_each, with_scratch};
use super::source::Channel;
use super::tile::{Machine, SLACK};

/// Shifts held at once, with a block of channels and with one channel.
const SHIFTS: usize = 3;
const MOST_SHIFTS: usize = 9;
/// Input channels per task. Strided ones have so many rows in their copies that fewer channels make
/// for longer sums.
const INPUT_GROUP: usize = 32;
const STRIDED_GROUP: usize = 8;
/// Floats of input that a task copies at once.
const TILE_FLOATS: usize = 160 * 1024;
/// Voxels of the output's gradient that stay near the processor for all shifts.
const VOXELS: usize = 2048;
/// Floats in all partial sums together, and tasks aimed at.
const PARTIAL_FLOATS: usize = 4 << 20;
const TASKS: usize = 8;

/// `sums[o][s] += sum over voxels of gradient[o][p] * input[p + shifts[s]]`.
struct Dots<'a, const O: usize, const T: usize> {
    gradient: *const f32,
    gradient_stride: usize,
    input: *const f32,
    shifts: [usize; T],
    planes: usize,
    rows: usize,
    vectors: usize,
    /// From one plane to the next: gradient, input.
    plane: [usize; 2],
    /// From one row to the next: gradient, input.
    row: [usize; 2],
    sums: &'a mut [[f32; MOST_SHIFTS]; 8],
}

impl<const O: usize, const T: usize> WithSimd for Dots<'_, O, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let lanes = f32::lanes::<S>();
        let mut sums = [[0.0_f32.splat::<S>(); T]; O];
        for plane in 0..self.planes {
            for row in 0..self.rows {
                // SAFETY: `dots` promises that every vector of every row is readable.
                unsafe {
                    let mut gradient = self.gradient.add(plane * self.plane[0] + row * self.row[0]);
                    let mut input = self.input.add(plane * self.plane[1] + row * self.row[1]);
                    for _ in 0..self.vectors {
                        let mut x = [0.0_f32.splat::<S>(); T];
                        for (x, shift) in x.iter_mut().zip(self.shifts) {
                            *x = vload_unaligned(input.add(shift));
                        }
                        for (o, sums) in sums.iter_mut().enumerate() {
                            let g =
                                vload_unaligned::<S, f32>(gradient.add(o * self.gradient_stride));
                            for (sum, x) in sums.iter_mut().zip(x) {
                                *sum = x.mul_add(g, *sum);
                            }
                        }
                        gradient = gradient.wrapping_add(lanes);
                        input = input.wrapping_add(lanes);
                    }
                }
            }
        }
        for (total, sums) in self.sums.iter_mut().zip(sums) {
            for (total, sum) in total.iter_mut().zip(sums) {
                *total = sum.reduce_add();
            }
        }
    }
}

/// Weight gradient of a dense convolution of which `axes` are the forward lattices.
pub(crate) struct WeightGradient {
    pub(crate) batch: usize,
    /// Independent convolutions with their own channels and weights.
    pub(crate) groups: usize,
    /// Channels of a group.
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) in_size: [usize; 3],
    pub(crate) out_size: [usize; 3],
    pub(crate) axes: [Vec<Axis>; 3],
    pub(crate) kernel: [usize; 3],
}

struct Job<'a> {
    sample: usize,
    axes: [&'a Axis; 3],
    windows: usize,
    depth: [usize; 2],
    height: [usize; 2],
}

impl WeightGradient {
    /// `[outputs, inputs, kd, kh, kw]` from the input and the output's gradient.
    pub(crate) fn run(&self, input: &[f32], gradient: &[f32]) -> Vec<f32> {
        let samples = self.batch * self.groups;
        assert_eq!(input.len(), samples * self.inputs * volume(self.in_size));
        assert_eq!(
            gradient.len(),
            samples * self.outputs * volume(self.out_size)
        );
        let per_group = self.outputs * self.inputs * volume(self.kernel);
        let total = self.groups * per_group;
        let machine = Machine::detect();
        let output_blocks = blocks(self.outputs, machine.block().min(8));
        let input_groups = blocks(self.inputs, self.input_group());
        if total == 0 {
            return Vec::new();
        }
        let (windows, jobs) = self.jobs();
        // All of this depends on shapes only, so the order of additions does too.
        let wanted = TASKS.div_ceil(self.groups);
        let parts = (PARTIAL_FLOATS / total)
            .clamp(1, wanted)
            .min(jobs.len().max(1));
        let output_groups = wanted
            .div_ceil(parts * input_groups.len())
            .clamp(1, output_blocks.len());
        let mut partial = Lent::new(memory::zeros(parts * total));
        let shared = Shared::new(&mut partial);
        let per_part = output_groups * input_groups.len();
        for_each(parts * self.groups * per_part, |task| {
            let (task, rest) = (task / per_part, task % per_part);
            let (part, channel) = (task / self.groups, task % self.groups);
            let (group, inputs) = (rest / input_groups.len(), rest % input_groups.len());
            let mine = |count: usize, index: usize, of: usize| {
                index * count / of..(index + 1) * count / of
            };
            let channels = input_groups[inputs];
            let first_weight = part * total + channel * per_group;
            let blocks = &output_blocks[mine(output_blocks.len(), group, output_groups)];
            for job in &jobs[mine(jobs.len(), part, parts)] {
                let windows = &windows[job.windows];
                let sample = job.sample * self.groups + channel;
                let add = |weight, value| {
                    // SAFETY: a task owns its channels' weights of its part.
                    let place = unsafe { shared.row(first_weight + weight, 1) };
                    place[0] += value;
                };
                let sides = [input, gradient];
                self.job(&machine, sample, job, windows, channels, blocks, sides, add);
            }
        });
        let mut parts = partial.chunks_exact(total);
        let mut sums = memory::empty(total);
        sums.extend_from_slice(parts.next().unwrap_or_default());
        for part in parts {
            for (sum, value) in sums.iter_mut().zip(part) {
                *sum += value;
            }
        }
        sums
    }

    fn input_group(&self) -> usize {
        let strided = |axes: &Vec<Axis>| axes.iter().any(|axis| axis.in_step > 1);
        if volume(self.kernel) > 1 && self.axes.iter().all(strided) {
            STRIDED_GROUP
        } else {
            INPUT_GROUP
        }
    }

    fn jobs(&self) -> (Vec<[Window; 3]>, Vec<Job<'_>>) {
        let mut all_windows = Vec::new();
        let mut jobs = Vec::new();
        for sample in 0..self.batch {
            for d in &self.axes[0] {
                for h in &self.axes[1] {
                    for w in &self.axes[2] {
                        let axes = [d, h, w];
                        let windows = axes.map(Window::new);
                        let [depth, height] = self.tile(&axes, &windows);
                        for z in (0..d.count).step_by(depth) {
                            for y in (0..h.count).step_by(height) {
                                jobs.push(Job {
                                    sample,
                                    axes,
                                    windows: all_windows.len(),
                                    depth: [z, (z + depth).min(d.count)],
                                    height: [y, (y + height).min(h.count)],
                                });
                            }
                        }
                        all_windows.push(windows);
                    }
                }
            }
        }
        (all_windows, jobs)
    }

    fn tile(&self, axes: &[&Axis; 3], windows: &[Window; 3]) -> [usize; 2] {
        let phases: usize = windows.iter().map(|w| w.phases.len().max(1)).product();
        let width = axes[2].count + windows[2].span;
        let channels = self.inputs.min(self.input_group());
        let fits = |d: usize, h: usize| {
            let copied = (d + windows[0].span) * (h + windows[1].span) * width * phases * channels;
            copied <= TILE_FLOATS && d * h * width <= VOXELS
        };
        let mut height = axes[1].count;
        while height > 1 && !fits(1, height) {
            let parts = axes[1].count.div_ceil(height) + 1;
            height = axes[1].count.div_ceil(parts).min(height - 1);
        }
        let mut depth = 1;
        while depth < axes[0].count && fits(depth + 1, height) {
            depth += 1;
        }
        [depth, height]
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one caller, which owns all of them"
    )]
    fn job(
        &self,
        machine: &Machine,
        sample: usize,
        job: &Job<'_>,
        windows: &[Window; 3],
        channels: [usize; 2],
        output_blocks: &[[usize; 2]],
        [input, gradient]: [&[f32]; 2],
        add: impl Fn(usize, f32),
    ) {
        let taps: Vec<usize> = job.axes[0]
            .taps
            .iter()
            .flat_map(|d| job.axes[1].taps.iter().map(move |h| d * self.kernel[1] + h))
            .flat_map(|dh| {
                job.axes[2]
                    .taps
                    .iter()
                    .map(move |w| dh * self.kernel[2] + w)
            })
            .collect();
        if taps.is_empty() {
            return;
        }
        let width = job.axes[2].count;
        let copy = Copy::new(windows.each_ref(), job.depth, job.height, width);
        let planes = job.depth[1] - job.depth[0];
        let rows = job.height[1] - job.height[0];
        let lanes = machine.lanes;
        let by_row = rows * width.div_ceil(lanes);
        let as_plane = ((rows - 1) * copy.pitch + width).div_ceil(lanes);
        let (runs, vectors, pitch) = if by_row <= as_plane {
            (rows, width.div_ceil(lanes), width.div_ceil(lanes) * lanes)
        } else {
            (1, as_plane, copy.pitch)
        };
        let plane = if runs == 1 {
            as_plane * lanes
        } else {
            rows * pitch
        };
        let block_len = planes * plane;
        let in_volume = volume(self.in_size);
        let out_volume = volume(self.out_size);
        let count = channels[1] - channels[0];
        let in_len = copy.channel * count + SLACK;
        let most = output_blocks.iter().map(|[a, b]| b - a).max().unwrap_or(0);

        with_scratch(in_len + most * block_len, |scratch| {
            let (tile, near) = scratch.split_at_mut(in_len);
            for i in 0..count {
                let from = (sample * self.inputs + channels[0] + i) * in_volume;
                copy.fill(
                    Channel::plain(&input[from..from + in_volume], self.in_size),
                    &mut tile[i * copy.channel..][..copy.channel],
                );
            }
            // Read past the last row, times zero.
            tile[copy.channel * count..].fill(0.0);
            let mut offsets = Vec::with_capacity(taps.len());
            copy.all_taps(&mut offsets);
            let shifts: Vec<(usize, usize)> = (0..count)
                .flat_map(|i| {
                    let at = (channels[0] + i) * volume(self.kernel);
                    offsets
                        .iter()
                        .zip(&taps)
                        .map(move |(tap, kernel)| (i * copy.channel + tap.input, at + kernel))
                })
                .collect();
            for &[first, last] in output_blocks {
                for (o, near) in (first..last).zip(near.chunks_exact_mut(block_len)) {
                    let from = (sample * self.outputs + o) * out_volume;
                    let channel = &gradient[from..from + out_volume];
                    self.gather(job, channel, near, [plane, pitch], [rows, width]);
                }
                let most = if last - first == 1 {
                    MOST_SHIFTS
                } else {
                    SHIFTS
                };
                for group in shifts.chunks(most) {
                    let mut sums = [[0.0; MOST_SHIFTS]; 8];
                    let mut at = [0; MOST_SHIFTS];
                    for (at, shift) in at.iter_mut().zip(group) {
                        *at = shift.0;
                    }
                    let step = Step {
                        gradient: near.as_ptr(),
                        gradient_stride: block_len,
                        input: tile.as_ptr(),
                        planes,
                        rows: runs,
                        vectors,
                        plane: [plane, copy.plane()],
                        row: [pitch, copy.pitch],
                    };
                    // SAFETY: both copies hold every vector of every row, with `SLACK` for the
                    // last one's rounding.
                    unsafe { step.run(machine, last - first, group.len(), at, &mut sums) };
                    for (o, sums) in (first..last).zip(&sums) {
                        let base = o * self.inputs * volume(self.kernel);
                        for (sum, (_, weight)) in sums.iter().zip(group) {
                            add(base + weight, *sum);
                        }
                    }
                }
            }
        });
    }

    /// Copies a tile of one channel of the output's gradient, zeros between and after its rows.
    fn gather(
        &self,
        job: &Job<'_>,
        channel: &[f32],
        near: &mut [f32],
        [plane, pitch]: [usize; 2],
        [rows, width]: [usize; 2],
    ) {
        let [d, h, w] = job.axes;
        for (z, near) in near.chunks_exact_mut(plane).enumerate() {
            let z = d.out_base + d.out_step * (job.depth[0] + z);
            for row in 0..rows {
                let y = h.out_base + h.out_step * (job.height[0] + row);
                let from = (z * self.out_size[1] + y) * self.out_size[2] + w.out_base;
                let end = if row + 1 == rows {
                    plane
                } else {
                    (row + 1) * pitch
                };
                let out = &mut near[row * pitch..end];
                out[..width].copy_from_slice(&channel[from..from + width]);
                out[width..].fill(0.0);
            }
        }
    }
}

/// [`Dots`] before its sizes are constants.
struct Step {
    gradient: *const f32,
    gradient_stride: usize,
    input: *const f32,
    planes: usize,
    rows: usize,
    vectors: usize,
    plane: [usize; 2],
    row: [usize; 2],
}

impl Step {
    /// # Safety
    /// Every vector of every row is readable, at every shift.
    unsafe fn run(
        &self,
        machine: &Machine,
        block: usize,
        count: usize,
        shifts: [usize; MOST_SHIFTS],
        sums: &mut [[f32; MOST_SHIFTS]; 8],
    ) {
        macro_rules! pick {
            ($($o:literal)*) => {
                match (block, count) {
                    // SAFETY: the architecture was detected; the rest is the caller's promise.
                    (1, 4) => unsafe { machine.arch.dispatch(self.dots::<1, 4>(shifts, sums)) },
                    // SAFETY: as above.
                    (1, 5) => unsafe { machine.arch.dispatch(self.dots::<1, 5>(shifts, sums)) },
                    // SAFETY: as above.
                    (1, 6) => unsafe { machine.arch.dispatch(self.dots::<1, 6>(shifts, sums)) },
                    // SAFETY: as above.
                    (1, 7) => unsafe { machine.arch.dispatch(self.dots::<1, 7>(shifts, sums)) },
                    // SAFETY: as above.
                    (1, 8) => unsafe { machine.arch.dispatch(self.dots::<1, 8>(shifts, sums)) },
                    // SAFETY: as above.
                    (1, 9) => unsafe { machine.arch.dispatch(self.dots::<1, 9>(shifts, sums)) },
                    $(
                        // SAFETY: the architecture was detected; the rest is the caller's promise.
                        ($o, 1) => unsafe { machine.arch.dispatch(self.dots::<$o, 1>(shifts, sums)) },
                        // SAFETY: as above.
                        ($o, 2) => unsafe { machine.arch.dispatch(self.dots::<$o, 2>(shifts, sums)) },
                        // SAFETY: as above.
                        ($o, 3) => unsafe { machine.arch.dispatch(self.dots::<$o, 3>(shifts, sums)) },
                    )*
                    _ => unreachable!("no dot products of {block} channels by {count} shifts"),
                }
            };
        }
        pick!(1 2 3 4 5 6 7 8);
    }

    fn dots<'a, const O: usize, const T: usize>(
        &self,
        shifts: [usize; MOST_SHIFTS],
        sums: &'a mut [[f32; MOST_SHIFTS]; 8],
    ) -> Dots<'a, O, T> {
        Dots {
            gradient: self.gradient,
            gradient_stride: self.gradient_stride,
            input: self.input,
            shifts: std::array::from_fn(|s| shifts[s]),
            planes: self.planes,
            rows: self.rows,
            vectors: self.vectors,
            plane: self.plane,
            row: self.row,
            sums,
        }
    }
}
