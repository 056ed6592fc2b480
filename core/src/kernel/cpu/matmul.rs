//! Convolutions of kernel 1: products of a matrix of weights with the matrix of voxels.
//!
//! Channels lie so far apart, often by a multiple of 4 KiB, that a panel of voxels is first copied
//! into cache, rows close to each other. Registers hold a block of output channels times a run of
//! voxels, and what they hold at the end goes straight to the output.

use macerator::{Scalar, Simd, Vector, WithSimd, vload_unaligned, vstore_unaligned};

use super::dense::{blocks, volume};
use super::epilogue::{Epilogue, Found, Output};
use super::fma::{Fused, mul_add, with_fma};
use super::memory::Lent;
use super::moments::{Moments, PACKED};
use super::parallel::{Shared, filled, for_each, with_scratch};
use super::source::{Channel, Source};
use super::tile::{MAX_BLOCK, Machine};
use crate::kernel::shape::Conv;

/// Floats of a panel, to stay in the second-level cache with some of the outputs.
const PANEL_FLOATS: usize = 96 * 1024;

/// Most voxels of a panel, so that moments are those of a few thousand values.
const MOST_VOXELS: usize = 1536;

/// Tasks aimed at.
const TASKS: usize = 16;

/// A convolution of kernel 1 whose outputs have an input each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pointwise<'a> {
    batch: usize,
    inputs: usize,
    outputs: usize,
    in_size: [usize; 3],
    out_size: [usize; 3],
    stride: [usize; 3],
    weights: &'a [f32],
    /// From one output channel's weights to the next, and from one input channel's.
    strides: [usize; 2],
}

impl<'a> Pointwise<'a> {
    /// The convolution with weights `[outputs, inputs, 1, 1, 1]`, if it is one of these.
    pub(crate) fn of(conv: &Conv, weights: &'a [f32]) -> Option<Self> {
        let inside = conv.extent.iter().all(|axis| {
            let last = axis.output.checked_sub(1).map(|last| last * axis.stride);
            axis.kernel == 1 && axis.low == 0 && last.is_some_and(|last| last < axis.input)
        });
        (inside && conv.groups == 1).then(|| Self {
            batch: conv.batch,
            inputs: conv.inputs,
            outputs: conv.outputs,
            in_size: conv.in_size(),
            out_size: conv.out_size(),
            stride: conv.extent.map(|axis| axis.stride),
            weights,
            strides: [conv.inputs, 1],
        })
    }

    /// The convolution that gives the input's gradient from the output's, if every input has one.
    pub(crate) fn turned(self) -> Option<Self> {
        (self.in_size == self.out_size).then_some(Self {
            inputs: self.outputs,
            outputs: self.inputs,
            strides: [1, self.inputs],
            ..self
        })
    }

    /// The output `[batch, outputs, ..]`.
    pub(crate) fn run(&self, source: &Source<'_>, epilogue: &Epilogue<'_>) -> Output {
        assert_eq!(source.channels(), self.inputs);
        assert_eq!(
            source.len(),
            self.batch * self.inputs * volume(self.in_size)
        );
        let machine = Machine::detect();
        let blocks = blocks(self.outputs, machine.block());
        let voxels = volume(self.out_size);
        let panel = self.panel(&machine, voxels);
        let panels = voxels.div_ceil(panel);
        // Few panels with many channels: several tasks share a panel.
        let groups = TASKS.div_ceil((self.batch * panels).max(1));
        let groups = groups.min(blocks.len()).max(1);
        let packed = Lent::new(self.pack(&blocks));
        let entries = if epilogue.moments {
            self.batch * self.outputs * panels
        } else {
            0
        };
        let mut found = vec![0.0; entries * PACKED];
        let moments = epilogue.moments.then(|| Found::new(&mut found));
        let write = |output: Shared<'_>| {
            for_each(self.batch * panels * groups, |task| {
                let (task, group) = (task / groups, task % groups);
                let (sample, index) = (task / panels, task % panels);
                let first = index * panel;
                let count = panel.min(voxels - first);
                let pitch = count.next_multiple_of(machine.lanes);
                let temp_len = MAX_BLOCK * machine.lanes;
                with_scratch(self.inputs * pitch + temp_len, |scratch| {
                    let (copy, temp) = scratch.split_at_mut(self.inputs * pitch);
                    for (i, copy) in copy.chunks_exact_mut(pitch).enumerate() {
                        let (copy, after) = copy.split_at_mut(count);
                        self.gather(source.channel(sample, i), first, copy);
                        after.fill(0.0);
                    }
                    let mine = group * blocks.len() / groups..(group + 1) * blocks.len() / groups;
                    for &[from, to] in &blocks[mine] {
                        let at = (sample * self.outputs + from) * voxels + first;
                        let product = Product {
                            panel: copy,
                            pitch,
                            count,
                            weights: &packed[from * self.inputs..to * self.inputs],
                            block: to - from,
                            temp,
                            output: output.target(at, (to - from - 1) * voxels + count),
                            output_stride: voxels,
                        };
                        product.run(&machine);
                        for o in from..to {
                            let at = (sample * self.outputs + o) * voxels + first;
                            // SAFETY: written above, and by no other task.
                            let values = unsafe { output.row(at, count) };
                            epilogue.row(o, values, at, 1);
                            if let Some(moments) = moments {
                                let entry = (sample * self.outputs + o) * panels + index;
                                // SAFETY: each channel of each panel is one task's.
                                unsafe { moments.set(entry, &Moments::of(values)) };
                            }
                        }
                    }
                });
            });
        };
        // SAFETY: the panels and the blocks of channels are all outputs.
        let values = unsafe { filled(self.batch * self.outputs * voxels, write) };
        let moments = epilogue.moments.then(|| {
            let merged = found.chunks_exact(panels * PACKED).map(|panels| {
                let mut all = Moments::default();
                for panel in panels.chunks_exact(PACKED) {
                    all.merge(Moments::unpack(panel));
                }
                all
            });
            merged.collect()
        });
        Output { values, moments }
    }

    /// Voxels of a panel: whole runs.
    fn panel(&self, machine: &Machine, voxels: usize) -> usize {
        let run = machine.vectors(machine.block()) * machine.lanes;
        let most = (PANEL_FLOATS / self.inputs.max(1)).clamp(run, MOST_VOXELS);
        let parts = voxels.div_ceil(most / run * run).max(1);
        voxels.div_ceil(parts).next_multiple_of(run)
    }

    /// A row of a block's weights for every input channel, block after block.
    fn pack(&self, blocks: &[[usize; 2]]) -> Vec<f32> {
        let write = |packed: Shared<'_>| {
            for_each(blocks.len(), |index| {
                let [from, to] = blocks[index];
                let block = to - from;
                // SAFETY: each task writes its own block.
                let packed = unsafe { packed.row(from * self.inputs, block * self.inputs) };
                let [next_output, next_input] = self.strides;
                for (i, row) in packed.chunks_exact_mut(block).enumerate() {
                    let start = from * next_output + i * next_input;
                    for (o, weight) in row.iter_mut().enumerate() {
                        *weight = self.weights[start + o * next_output];
                    }
                }
            });
        };
        // SAFETY: the blocks are all output channels.
        unsafe { filled(self.outputs * self.inputs, write) }
    }

    /// The inputs of the outputs from `first` on.
    fn gather(&self, channel: Channel<'_>, first: usize, out: &mut [f32]) {
        if self.stride == [1; 3] {
            channel.range(first, out);
            return;
        }
        let [_, height, width] = self.out_size;
        let (mut at, mut out) = (first, out);
        while !out.is_empty() {
            let (row, x) = (at / width, at % width);
            let (now, later) = out.split_at_mut((width - x).min(out.len()));
            let place = [row / height * self.stride[0], row % height * self.stride[1]];
            channel.read(place, x * self.stride[2], self.stride[2], now);
            at += now.len();
            out = later;
        }
    }
}

/// `output[o][p] = sum over i of weights[i][o] * panel[i][p]` for one block of output channels.
struct Product<'a> {
    /// Rows `pitch` apart, a multiple of a vector.
    panel: &'a [f32],
    pitch: usize,
    /// Voxels.
    count: usize,
    weights: &'a [f32],
    block: usize,
    /// [`MAX_BLOCK`] vectors.
    temp: &'a mut [f32],
    output: *mut f32,
    output_stride: usize,
}

/// [`Product`] with the block's channels and the run's vectors.
struct Sized<'a, const O: usize, const V: usize>(Product<'a>);

impl Product<'_> {
    fn run(self, machine: &Machine) {
        macro_rules! pick {
            ($($o:literal $v:literal),*) => {
                match (self.block, machine.vectors(self.block)) {
                    // SAFETY: the architecture was detected.
                    $(($o, $v) => unsafe { machine.arch.dispatch(Sized::<$o, $v>(self)) },)*
                    (block, vectors) => unreachable!("no tile of {block} by {vectors}"),
                }
            };
        }
        pick!(
            1 6, 1 8, 2 6, 2 8, 3 4, 3 8, 4 3, 4 6, 5 2, 5 4, 6 2, 6 4, 7 3, 8 3
        );
    }
}

impl<const O: usize, const V: usize> WithSimd for Sized<'_, O, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        with_fma::<S>(self);
    }
}

impl<const O: usize, const V: usize> Fused for Sized<'_, O, V> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let lanes = f32::lanes::<S>();
        let Product {
            panel,
            pitch,
            count,
            weights,
            temp,
            output,
            output_stride,
            ..
        } = self.0;
        let inputs = weights.len() / O;
        assert!(panel.len() >= inputs * pitch && pitch >= count.next_multiple_of(lanes));
        assert!(temp.len() >= O * lanes);
        let tiles = Tiles {
            inputs,
            pitch,
            weights: weights.as_ptr(),
        };
        let whole = count / lanes * lanes;
        let mut at = 0;
        // SAFETY: the panel holds every vector of every row, and the output `count` floats of each.
        unsafe {
            while at + V * lanes <= whole {
                tiles.run::<S, O, V>(panel.as_ptr().add(at), output.add(at), output_stride);
                at += V * lanes;
            }
            while at + 2 * lanes <= whole {
                tiles.run::<S, O, 2>(panel.as_ptr().add(at), output.add(at), output_stride);
                at += 2 * lanes;
            }
            if at < whole {
                tiles.run::<S, O, 1>(panel.as_ptr().add(at), output.add(at), output_stride);
                at += lanes;
            }
            if at < count {
                let near = temp.as_mut_ptr();
                tiles.run::<S, O, 1>(panel.as_ptr().add(at), near, lanes);
                for o in 0..O {
                    let to = output.add(o * output_stride + at);
                    std::ptr::copy_nonoverlapping(near.add(o * lanes), to, count - at);
                }
            }
        }
    }
}

struct Tiles {
    inputs: usize,
    pitch: usize,
    weights: *const f32,
}

impl Tiles {
    /// # Safety
    /// `V` vectors of every row are readable and writable, and all weights are.
    #[inline(always)]
    unsafe fn run<S: Simd, const O: usize, const V: usize>(
        &self,
        mut panel: *const f32,
        output: *mut f32,
        output_stride: usize,
    ) {
        let lanes = f32::lanes::<S>();
        let mut sums = [[0.0_f32.splat::<S>(); V]; O];
        let mut weights = self.weights;
        for _ in 0..self.inputs {
            // SAFETY: the caller's promise.
            unsafe {
                let mut x = [0.0_f32.splat::<S>(); V];
                for (v, x) in x.iter_mut().enumerate() {
                    *x = vload_unaligned(panel.add(v * lanes));
                }
                for (o, sums) in sums.iter_mut().enumerate() {
                    let w: Vector<S, f32> = (*weights.add(o)).splat();
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum = mul_add(x, w, *sum);
                    }
                }
            }
            // Wrapping: after the last channel nothing is read.
            panel = panel.wrapping_add(self.pitch);
            weights = weights.wrapping_add(O);
        }
        for (o, row) in sums.into_iter().enumerate() {
            for (v, sum) in row.into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { vstore_unaligned(output.add(o * output_stride + v * lanes), sum) };
            }
        }
    }
}
