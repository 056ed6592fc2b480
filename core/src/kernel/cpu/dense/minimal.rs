//! Minimal filtering F(2, 3) along depth and height: 16 multiplications for each tap of the width
//! and 4 outputs, instead of 36.
//!
//! For few channels. The width stays a plain convolution, so that its taps times the input channels
//! are summed in registers; by [`Winograd`](super::super::winograd) that would be the channels alone.

use macerator::{Scalar, Simd, Vector, WithSimd, vload_unaligned, vstore_unaligned};

use super::super::conv;
use super::super::copy::Copy;
use super::super::epilogue::{Epilogue, Found};
use super::super::lattice::Window;
use super::super::moments::Moments;
use super::super::parallel::{Shared, with_scratch};
use super::super::source::Source;
use super::super::tile::{SLACK, Tap, Tile};
use super::super::winograd::{outputs, spread, window};
use super::{Place, Plan, Runs, Task};

/// Points of a tile of four outputs.
pub(super) const POINTS: usize = 16;

/// Voxels along the width from which a row is enough for a pass.
const WIDE: usize = 64;

/// Whether outputs along an axis can be computed in pairs: three taps next to each other.
pub(super) fn fits(window: &Window) -> bool {
    window.phases.len() == 1 && window.taps == [(0, 0), (0, 1), (0, 2)]
}

/// Whether outputs of so many planes and rows are worth computing in pairs.
pub(super) fn is_worth(counts: [usize; 2]) -> bool {
    let computed: usize = counts
        .map(|count| count.next_multiple_of(2))
        .iter()
        .product();
    conv::is_worth(computed, counts.iter().product())
}

/// Writes weights `[input][depth, height][width][output]` of a block as `[point][input][width][output]`,
/// `row` of which are those of a point and input.
pub(super) fn to_points(direct: &[f32], inputs: usize, row: usize, points: &mut [f32]) {
    let spread = |[a, b, c]: [f32; 3]| spread(&[a], &[b], &[c]).map(|[point]| point);
    for (i, direct) in direct.chunks_exact(9 * row).enumerate() {
        for at in 0..row {
            let tap = |d: usize, h: usize| direct[(3 * d + h) * row + at];
            let height = [0, 1, 2].map(|d| spread([tap(d, 0), tap(d, 1), tap(d, 2)]));
            for h in 0..4 {
                let depth = spread([height[0][h], height[1][h], height[2][h]]);
                for (d, value) in depth.into_iter().enumerate() {
                    points[((4 * d + h) * inputs + i) * row + at] = value;
                }
            }
        }
    }
}

/// A window of four rows of four planes as 16 rows of points.
struct ToPoints {
    input: *const f32,
    /// From one plane to the next, from one row to the next.
    step: [usize; 2],
    vectors: usize,
    points: *mut f32,
    /// From one point to the next.
    point: usize,
}

impl WithSimd for ToPoints {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let lanes = f32::lanes::<S>();
        let [plane, row] = self.step;
        for v in 0..self.vectors {
            let mut along = [[0.0_f32.splat::<S>(); 4]; 4];
            // SAFETY: the caller promises that the window can be read and the points be written.
            unsafe {
                let from = self.input.add(v * lanes);
                for d in 0..4 {
                    let mut values = [0.0_f32.splat::<S>(); 4];
                    for (h, value) in values.iter_mut().enumerate() {
                        *value = vload_unaligned(from.add(d * plane + h * row));
                    }
                    for (depth, value) in along.iter_mut().zip(window(values)) {
                        depth[d] = value;
                    }
                }
                for (h, depth) in along.into_iter().enumerate() {
                    for (d, value) in window(depth).into_iter().enumerate() {
                        let to = self.points.add((4 * d + h) * self.point + v * lanes);
                        vstore_unaligned(to, value);
                    }
                }
            }
        }
    }
}

/// 16 rows of points as two rows of two planes.
struct ToOutputs {
    points: *const f32,
    /// From one point to the next.
    point: usize,
    vectors: usize,
    outputs: *mut f32,
    /// From one plane to the next, from one row to the next.
    step: [usize; 2],
}

impl WithSimd for ToOutputs {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let lanes = f32::lanes::<S>();
        let [plane, row] = self.step;
        for v in 0..self.vectors {
            let mut along = [[0.0_f32.splat::<S>(); 4]; 2];
            // SAFETY: the caller promises that the points can be read and the rows be written.
            unsafe {
                for d in 0..4 {
                    let mut points = [0.0_f32.splat::<S>(); 4];
                    for (h, value) in points.iter_mut().enumerate() {
                        let from = self.points.add((4 * d + h) * self.point + v * lanes);
                        *value = vload_unaligned(from);
                    }
                    for (depth, value) in along.iter_mut().zip(outputs(points)) {
                        depth[d] = value;
                    }
                }
                for (h, depth) in along.into_iter().enumerate() {
                    let [front, back]: [Vector<S, f32>; 2] = outputs(depth);
                    let to = self.outputs.add(h * row + v * lanes);
                    vstore_unaligned(to, front);
                    vstore_unaligned(to.add(plane), back);
                }
            }
        }
    }
}

impl Plan<'_> {
    /// Computes the outputs of a task in pairs of planes and of rows.
    pub(super) fn run_minimal(
        &self,
        task: &Task,
        source: &Source<'_>,
        epilogue: &Epilogue<'_>,
        output: Shared<'_>,
        found: Option<Found<'_>>,
    ) {
        let (inputs, lanes) = (self.dense.inputs, self.machine.lanes);
        let lattice = &self.lattices[task.lattice];
        let pack = &self.packs[lattice.packed];
        let width = lattice.axes[2].count;
        // The last pair may end beyond the lattice: the copy has what is there, or zeros.
        let even = |[first, last]: [usize; 2]| [first, first + (last - first).next_multiple_of(2)];
        let windows = lattice.windows.each_ref();
        let copy = Copy::new(windows, even(task.depth), even(task.height), width);
        let [planes, rows] = [task.depth, task.height].map(|[first, last]| last - first);
        let (reach, pairs) = (width + windows[2].span, rows.div_ceil(2));
        // Short rows are computed together.
        let group = if width >= WIDE { 1 } else { pairs };
        let runs = Runs::new(group, width, &copy, lanes);
        let vectors = width.div_ceil(lanes);
        let most = self.blocks.iter().map(|[a, b]| b - a).max().unwrap_or(0);
        let point = apart((group - 1) * copy.pitch + reach + 2 * lanes);
        let product = apart(most * runs.len);
        let row = vectors * lanes;
        let channel = 2 * group * row;
        let sizes = [
            copy.channel * inputs + SLACK,
            POINTS * point * inputs,
            POINTS * product + SLACK,
            2 * most * channel,
        ];
        let (sample, first) = (
            task.sample / self.dense.groups,
            task.sample % self.dense.groups,
        );
        let first_channel = self.blocks[task.blocks[0]][0];
        let mut moments = vec![Moments::default(); self.channels(task)];
        let mut taps = Vec::new();
        with_scratch(sizes.iter().sum(), |scratch| {
            let mut rest = scratch;
            let [tile, points, products, sums] = sizes.map(|size| {
                let (part, left) = std::mem::take(&mut rest).split_at_mut(size);
                rest = left;
                part
            });
            for i in 0..inputs {
                copy.fill(
                    source.channel(sample, first * inputs + i),
                    &mut tile[i * copy.channel..][..copy.channel],
                );
            }
            let passes = (0..planes).step_by(2);
            let passes = passes.flat_map(|z| (0..pairs).step_by(group).map(move |pair| [z, pair]));
            for [z, pair] in passes {
                for i in 0..inputs {
                    for j in 0..group {
                        let from = z * copy.plane() + 2 * (pair + j) * copy.pitch;
                        let transform = ToPoints {
                            input: tile[i * copy.channel + from..].as_ptr(),
                            step: [copy.plane(), copy.pitch],
                            vectors: reach.div_ceil(lanes),
                            points: points[i * POINTS * point + j * copy.pitch..].as_mut_ptr(),
                            point,
                        };
                        // SAFETY: the copy has two planes and rows beyond those of the pairs, and
                        // `SLACK`; `point` has room for a vector after each row.
                        unsafe { self.machine.arch.dispatch(transform) };
                    }
                }
                for index in task.blocks[0]..task.blocks[1] {
                    let [begin, end] = self.blocks[index];
                    let block = end - begin;
                    let weights = &pack.data[first * pack.group + pack.starts[index]..];
                    copy.taps_of_width(block, &mut taps);
                    self.multiply(
                        &runs,
                        &taps,
                        weights,
                        block,
                        (points, point),
                        (products, product),
                    );
                    for o in 0..block {
                        for j in 0..group {
                            let transform = ToOutputs {
                                points: products[o * runs.len + j * runs.row..].as_ptr(),
                                point: product,
                                vectors,
                                outputs: sums[o * channel + 2 * j * row..].as_mut_ptr(),
                                step: [most * channel, row],
                            };
                            // SAFETY: `products` has `runs.len` floats per channel and point, and
                            // `SLACK`; `sums` two rows of whole vectors per pair.
                            unsafe { self.machine.arch.dispatch(transform) };
                        }
                        for plane in z..planes.min(z + 2) {
                            let from = (plane - z) * most * channel + o * channel;
                            let place = Place {
                                channel: first * self.dense.outputs + begin + o,
                                plane: task.depth[0] + plane,
                                rows: [2 * pair, rows.min(2 * (pair + group))]
                                    .map(|row| task.height[0] + row),
                            };
                            let sums = &mut sums[from..from + channel];
                            let moments = &mut moments[begin + o - first_channel];
                            self.store(task, place, (sums, moments), row, epilogue, output);
                        }
                    }
                }
            }
        });
        if let Some(found) = found {
            for (o, moments) in moments.iter().enumerate() {
                // SAFETY: each task has its own entries, one per channel.
                unsafe { found.set(task.moments + o, moments) };
            }
        }
    }

    /// Products of a block of outputs at all points; both with their floats from one point to the
    /// next.
    fn multiply(
        &self,
        runs: &Runs,
        taps: &[Tap],
        weights: &[f32],
        block: usize,
        (points, point): (&[f32], usize),
        (products, product): (&mut [f32], usize),
    ) {
        let (machine, inputs) = (&self.machine, self.dense.inputs);
        for p in 0..POINTS {
            let weights = &weights[p * inputs * taps.len() * block..];
            for run in 0..runs.count {
                let [from, to] = runs.pitch.map(|pitch| run * pitch);
                let tile = Tile {
                    input: points[p * point + from..].as_ptr(),
                    input_stride: POINTS * point,
                    inputs,
                    taps,
                    weights: weights.as_ptr(),
                    weight_stride: taps.len() * block,
                    output: products[p * product + to..].as_mut_ptr(),
                    output_stride: runs.len,
                    accumulate: false,
                };
                // SAFETY: a point has its rows, the taps' reach and two vectors more; the
                // products `runs.len` floats per channel.
                unsafe { machine.run(block, runs.vectors, tile) };
            }
        }
    }
}

/// Floats from one point to the next, which must not lie a multiple of 4 KiB apart: they would
/// compete for the same cache sets.
fn apart(len: usize) -> usize {
    len.next_multiple_of(512) + 48
}
