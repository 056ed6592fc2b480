//! Convolution of each channel with its own kernel, 3 or 5 taps an axis, stride 1 or 2: forward,
//! data gradient at stride 1, weight gradient.
//!
//! A slab of a channel is copied with its zeros into a [`Frame`] in cache. Registers hold a column
//! of outputs, a vector each, so that an input is loaded once for all the taps along the column.

use macerator::{Scalar, Simd, Vector, WithSimd, vload_unaligned, vstore_unaligned};

use super::dense::volume;
use super::epilogue::{Epilogue, Found, Output};
use super::fma::{Fused, mul_add, with_fma};
use super::frame::{Frame, Grid};
use super::moments::{Moments, PACKED};
use super::parallel::{Shared, filled, for_each, with_scratch};
use super::source::{Channel, Source};
use super::tile::Machine;
use crate::kernel::shape::Conv;

/// Floats of a slab, to stay in the second-level cache.
const SLAB_FLOATS: usize = 96 * 1024;

/// Outputs that are finished at once.
const CHUNK: usize = 4096;

/// Most taps of a kernel.
const MOST_TAPS: usize = 125;

/// A convolution of each channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depthwise {
    batch: usize,
    channels: usize,
    /// Taps along each axis.
    kernel: usize,
    stride: usize,
    /// Zeros before each axis.
    low: [usize; 3],
    in_size: [usize; 3],
    out_size: [usize; 3],
}

/// Runs the function with the kernel's side and its stride as constants.
macro_rules! by_kernel {
    ($machine:expr, $of:expr, $run:ident($argument:expr), $($k:literal $s:literal),*) => {
        match ($of.kernel, $of.stride) {
            // SAFETY: the architecture was detected.
            $(($k, $s) => unsafe { $machine.arch.dispatch($run::<$k, $s>($argument)) },)*
            _ => unreachable!("`of` knows no other kernels"),
        }
    };
}

impl Depthwise {
    /// The convolution, if it is one of these.
    pub(crate) fn of(conv: &Conv) -> Option<Self> {
        let [first, ..] = conv.extent;
        let alike = conv.extent.iter().all(|axis| {
            axis.kernel == first.kernel
                && axis.stride == first.stride
                && axis.dilation == 1
                && axis.low < axis.kernel
                && axis.output > 0
        });
        let known = matches!((first.kernel, first.stride), (3 | 5, 1 | 2));
        (alike && known && conv.inputs == 1 && conv.outputs == 1).then(|| Self {
            batch: conv.batch,
            channels: conv.groups,
            kernel: first.kernel,
            stride: first.stride,
            low: conv.extent.map(|axis| axis.low),
            in_size: conv.in_size(),
            out_size: conv.out_size(),
        })
    }

    /// The convolution that gives the input's gradient from the output's, with the kernel read
    /// from its end; at stride 1.
    pub(crate) fn turned(&self) -> Option<Self> {
        (self.stride == 1).then(|| Self {
            low: self.low.map(|low| self.kernel - 1 - low),
            in_size: self.out_size,
            out_size: self.in_size,
            ..*self
        })
    }

    fn frame(&self, machine: &Machine) -> Frame {
        let (low, lanes) = (self.low, machine.lanes);
        Frame::new(
            self.kernel,
            self.stride,
            low,
            self.in_size,
            self.out_size,
            lanes,
        )
    }

    /// Output planes per task, whose inputs and outputs have these floats a plane.
    fn slab(&self, plane: usize) -> usize {
        let depth = self.out_size[0];
        let most = (SLAB_FLOATS / plane).saturating_sub(self.kernel) / self.stride;
        depth.div_ceil(depth.div_ceil(most.max(1)))
    }

    /// The output from `source`, both `[batch, channels, ..]`. With `flip`, kernels are read from
    /// their ends.
    pub(crate) fn forward(
        &self,
        source: &Source<'_>,
        weights: &[f32],
        epilogue: &Epilogue<'_>,
        flip: bool,
    ) -> Output {
        let out_volume = volume(self.out_size);
        let samples = self.batch * self.channels;
        let taps = self.kernel.pow(3);
        assert_eq!(source.channels(), self.channels);
        assert_eq!(source.len(), samples * volume(self.in_size));
        assert_eq!(weights.len(), self.channels * taps);
        let machine = Machine::detect();
        let frame = self.frame(&machine);
        let [depth, height, width] = self.out_size;
        let slab = self.slab(frame.plane());
        let slabs = depth.div_ceil(slab);
        let entries = if epilogue.moments { samples * slabs } else { 0 };
        let mut packed = vec![0.0; entries * PACKED];
        let found = epilogue.moments.then(|| Found::new(&mut packed));
        let write = |output: Shared<'_>| {
            for_each(samples * slabs, |task| {
                let (sample, first) = (task / slabs, task % slabs * slab);
                let planes = slab.min(depth - first);
                let channel = sample % self.channels;
                let kernel = &weights[channel * taps..][..taps];
                let mut ordered = [0.0; MOST_TAPS];
                frame.order(|tap, place| {
                    ordered[place] = kernel[if flip { taps - 1 - tap } else { tap }];
                });
                let frame_len = frame.len(planes);
                let temp_len = frame.flat_plane().map_or(0, |plane| planes * plane);
                let input = source.channel(sample / self.channels, channel);
                let stage_len = input.prologue.map_or(0, |_| frame.stage());
                let from = sample * out_volume + first * height * width;
                // SAFETY: each task writes its own slab.
                let outputs = unsafe { output.row(from, planes * height * width) };
                with_scratch(frame_len + temp_len + stage_len, |scratch| {
                    let (copy, temp) = scratch.split_at_mut(frame_len);
                    let (temp, stage) = temp.split_at_mut(temp_len);
                    let forward = Forward {
                        frame: &frame,
                        input,
                        first,
                        planes,
                        weights: &ordered[..taps],
                        copy,
                        stage,
                        temp,
                        output: &mut *outputs,
                    };
                    by_kernel!(machine, self, forwards(forward), 3 1, 3 2, 5 1, 5 2);
                });
                let mut moments = Moments::default();
                for (chunk, values) in outputs.chunks_mut(CHUNK).enumerate() {
                    epilogue.row(channel, values, from + chunk * CHUNK, 1);
                    if epilogue.moments {
                        moments.merge(Moments::of(values));
                    }
                }
                if let Some(found) = found {
                    // SAFETY: each task has its own entry.
                    unsafe { found.set(task, &moments) };
                }
            });
        };
        // SAFETY: the slabs of the channels are all elements, and `Forward` writes every one.
        let values = unsafe { filled(samples * out_volume, write) };
        let moments = epilogue.moments.then(|| {
            let merged = packed.chunks_exact(slabs * PACKED).map(|slabs| {
                let mut all = Moments::default();
                for slab in slabs.chunks_exact(PACKED) {
                    all.merge(Moments::unpack(slab));
                }
                all
            });
            merged.collect()
        });
        Output { values, moments }
    }

    /// `[channels, 1, k, k, k]` from the input and the output's gradient.
    pub(crate) fn weight_gradient(&self, input: &[f32], gradient: &[f32]) -> Vec<f32> {
        let (in_volume, out_volume) = (volume(self.in_size), volume(self.out_size));
        let samples = self.batch * self.channels;
        let taps = self.kernel.pow(3);
        assert_eq!(input.len(), samples * in_volume);
        assert_eq!(gradient.len(), samples * out_volume);
        let machine = Machine::detect();
        let frame = self.frame(&machine);
        let [depth, height, width] = self.out_size;
        let slab = self.slab(frame.plane() + frame.spread_plane());
        let slabs = depth.div_ceil(slab);
        let mut partial = vec![0.0; samples * slabs * taps];
        let shared = Shared::new(&mut partial);
        for_each(samples * slabs, |task| {
            let (sample, first) = (task / slabs, task % slabs * slab);
            let planes = slab.min(depth - first);
            let frame_len = frame.len(planes);
            with_scratch(frame_len + frame.spread_len(planes), |scratch| {
                let (copy, spread) = scratch.split_at_mut(frame_len);
                let from = sample * out_volume + first * height * width;
                let mut sums = [0.0; MOST_TAPS];
                let weight = Weight {
                    frame: &frame,
                    input: Channel::plain(&input[sample * in_volume..][..in_volume], self.in_size),
                    gradient: &gradient[from..][..planes * height * width],
                    first,
                    planes,
                    wide: machine.registers == 32,
                    copy,
                    spread,
                    sums: &mut sums[..taps],
                };
                by_kernel!(machine, self, weights(weight), 3 1, 3 2, 5 1, 5 2);
                // SAFETY: each task writes its own sums.
                let out = unsafe { shared.row(task * taps, taps) };
                frame.order(|tap, place| out[tap] = sums[place]);
            });
        });
        let mut result = vec![0.0; self.channels * taps];
        for (index, result) in result.iter_mut().enumerate() {
            let (channel, tap) = (index / taps, index % taps);
            let mut sum = 0.0;
            for sample in (channel..samples).step_by(self.channels) {
                for slab in 0..slabs {
                    sum += f64::from(partial[(sample * slabs + slab) * taps + tap]);
                }
            }
            *result = sum as f32;
        }
        result
    }
}

/// The forward pass of one slab.
struct Forward<'a> {
    frame: &'a Frame,
    input: Channel<'a>,
    /// First plane of the slab's outputs.
    first: usize,
    planes: usize,
    /// In the frame's order.
    weights: &'a [f32],
    copy: &'a mut [f32],
    stage: &'a mut [f32],
    /// Outputs first lie here if their rows are shorter than a vector.
    temp: &'a mut [f32],
    output: &'a mut [f32],
}

/// [`Forward`] with taps an axis and stride.
struct ForwardRun<'a, const K: usize, const STEP: usize>(Forward<'a>);

fn forwards<const K: usize, const STEP: usize>(forward: Forward<'_>) -> ForwardRun<'_, K, STEP> {
    ForwardRun(forward)
}

impl<const K: usize, const STEP: usize> WithSimd for ForwardRun<'_, K, STEP> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        with_fma::<S>(self);
    }
}

impl<const K: usize, const STEP: usize> Fused for ForwardRun<'_, K, STEP> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Forward {
            frame,
            input,
            first,
            planes,
            weights,
            copy,
            stage,
            temp,
            output,
        } = self.0;
        let flat = frame.flat_plane();
        let grid = frame.grid(planes, frame.width());
        assert!(weights.len() == K * K * K && flat.is_none_or(|flat| temp.len() >= planes * flat));
        frame.fill::<S>(&input, first, planes, copy, stage);
        let columns = Columns {
            input: copy.as_ptr(),
            weights: weights.as_ptr(),
            output: match flat {
                Some(_) => temp.as_mut_ptr(),
                None => output.as_mut_ptr(),
            },
            frame,
            grid,
        };
        for outer in 0..grid.outer {
            let mut done = 0;
            while done < grid.column {
                // SAFETY: the frame has all inputs of the grid, and the target all outputs.
                done += unsafe {
                    match grid.column - done {
                        8.. => columns.run::<S, K, STEP, 8>(outer, done),
                        6 | 7 => columns.run::<S, K, STEP, 6>(outer, done),
                        4 | 5 => columns.run::<S, K, STEP, 4>(outer, done),
                        3 => columns.run::<S, K, STEP, 3>(outer, done),
                        2 => columns.run::<S, K, STEP, 2>(outer, done),
                        _ => columns.run::<S, K, STEP, 1>(outer, done),
                    }
                };
            }
        }
        if flat.is_some() {
            frame.gather::<S>(temp, output);
        }
    }
}

struct Columns<'a> {
    input: *const f32,
    weights: *const f32,
    output: *mut f32,
    frame: &'a Frame,
    grid: Grid,
}

impl Columns<'_> {
    /// All vectors of `R` outputs of the columns from `done` on; returns `R`.
    ///
    /// # Safety
    /// The frame, its `K`^3 weights and the outputs are there.
    #[inline(always)]
    unsafe fn run<S: Simd, const K: usize, const STEP: usize, const R: usize>(
        &self,
        outer: usize,
        done: usize,
    ) -> usize {
        let Self { frame, grid, .. } = self;
        let lanes = f32::lanes::<S>();
        let [next_in, next_out] = grid.column_steps;
        let zero = 0.0_f32.splat::<S>();
        // SAFETY: by the caller's promise.
        unsafe {
            let input = self
                .input
                .add(outer * grid.outer_steps[0] + done * STEP * next_in);
            let output = self
                .output
                .add(outer * grid.outer_steps[1] + done * next_out);
            for run in 0..frame.runs {
                // The last vector ends with the row: some outputs are computed twice, alike.
                let start = (run * lanes).min(frame.last);
                let mut sums = [zero; R];
                let mut weights = self.weights;
                // Not unrolled, since its length is not known: all of it would be loaded first.
                for offset in &frame.offsets {
                    let x = input.add(start + offset);
                    let mut taps = [zero; K];
                    for (tap, weight) in taps.iter_mut().enumerate() {
                        *weight = (*weights.add(tap)).splat();
                    }
                    weights = weights.add(K);
                    for place in 0..STEP * (R - 1) + K {
                        let x: Vector<S, f32> = vload_unaligned(x.add(place * next_in));
                        for (tap, weight) in taps.into_iter().enumerate() {
                            if place >= tap && (place - tap).is_multiple_of(STEP) {
                                let r = (place - tap) / STEP;
                                if r < R {
                                    sums[r] = mul_add(x, weight, sums[r]);
                                }
                            }
                        }
                    }
                }
                for (r, sum) in sums.into_iter().enumerate() {
                    vstore_unaligned(output.add(start + r * next_out), sum);
                }
            }
        }
        R
    }
}

/// The weight gradient's part of one slab.
struct Weight<'a> {
    frame: &'a Frame,
    input: Channel<'a>,
    /// The slab's.
    gradient: &'a [f32],
    /// First plane of the slab's outputs.
    first: usize,
    planes: usize,
    /// Whether there are 32 registers.
    wide: bool,
    copy: &'a mut [f32],
    spread: &'a mut [f32],
    /// In the frame's order.
    sums: &'a mut [f32],
}

/// [`Weight`] with taps an axis and stride.
struct WeightRun<'a, const K: usize, const STEP: usize>(Weight<'a>);

fn weights<const K: usize, const STEP: usize>(weight: Weight<'_>) -> WeightRun<'_, K, STEP> {
    WeightRun(weight)
}

impl<const K: usize, const STEP: usize> WithSimd for WeightRun<'_, K, STEP> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Weight {
            frame,
            input,
            gradient,
            first,
            planes,
            wide,
            copy,
            spread,
            sums,
        } = self.0;
        frame.fill::<S>(&input, first, planes, copy, &mut []);
        let (gradient, width) = match frame.spread_plane() {
            0 => (gradient, frame.width()),
            plane => {
                assert!(spread.len() > planes * plane);
                frame.spread::<S>(gradient, spread);
                (&*spread, frame.runs * f32::lanes::<S>())
            }
        };
        let grid = frame.grid(planes, width);
        let dots = Dots {
            input: copy.as_ptr(),
            gradient: gradient.as_ptr(),
            frame,
            grid,
        };
        let mut totals = [[[0.0_f32.splat::<S>(); K]; K]; K];
        let totals = totals.as_flattened_mut();
        for outer in 0..grid.outer {
            let mut done = 0;
            while done < grid.column {
                // SAFETY: the frame has all inputs of the grid, and the gradient all outputs.
                done += unsafe {
                    match grid.column - done {
                        8.. if wide => dots.run::<S, K, STEP, 8>(outer, done, totals),
                        4.. => dots.run::<S, K, STEP, 4>(outer, done, totals),
                        2 | 3 => dots.run::<S, K, STEP, 2>(outer, done, totals),
                        _ => dots.run::<S, K, STEP, 1>(outer, done, totals),
                    }
                };
            }
        }
        for (sum, total) in sums.iter_mut().zip(totals.as_flattened()) {
            *sum = total.reduce_add();
        }
    }
}

struct Dots<'a> {
    input: *const f32,
    gradient: *const f32,
    frame: &'a Frame,
    grid: Grid,
}

impl Dots<'_> {
    /// Adds the products of `R` outputs of the columns from `done` on; returns `R`.
    ///
    /// # Safety
    /// The frame and the gradient, with zeros that fill its last vectors, are there.
    #[inline(always)]
    unsafe fn run<S: Simd, const K: usize, const STEP: usize, const R: usize>(
        &self,
        outer: usize,
        done: usize,
        totals: &mut [[Vector<S, f32>; K]],
    ) -> usize {
        let Self { frame, grid, .. } = self;
        let lanes = f32::lanes::<S>();
        let [next_in, next_out] = grid.column_steps;
        // SAFETY: by the caller's promise.
        unsafe {
            let input = self
                .input
                .add(outer * grid.outer_steps[0] + done * STEP * next_in);
            let gradient = self
                .gradient
                .add(outer * grid.outer_steps[1] + done * next_out);
            for (offset, totals) in frame.offsets.iter().zip(totals) {
                let mut sums = *totals;
                for run in 0..frame.runs {
                    let start = run * lanes;
                    let mut dy = [0.0_f32.splat::<S>(); R];
                    for (r, dy) in dy.iter_mut().enumerate() {
                        *dy = vload_unaligned(gradient.add(start + r * next_out));
                    }
                    let x = input.add(start + offset);
                    for place in 0..STEP * (R - 1) + K {
                        let x: Vector<S, f32> = vload_unaligned(x.add(place * next_in));
                        for (tap, sum) in sums.iter_mut().enumerate() {
                            if place >= tap && (place - tap).is_multiple_of(STEP) {
                                let r = (place - tap) / STEP;
                                if r < R {
                                    *sum = x.mul_add(dy[r], *sum);
                                }
                            }
                        }
                    }
                }
                *totals = sums;
            }
        }
        R
    }
}
