//! The innermost loop of the dense convolution: a block of output channels times a row of voxels, a
//! few vectors of which are held in registers while all input channels and taps are added.

use macerator::Arch;
use macerator::{Scalar, Simd, Vector, WithSimd, vload_unaligned, vstore_unaligned};

use super::fma::{Fused, mul_add, with_fma};

/// Most output channels in one tile.
pub(crate) const MAX_BLOCK: usize = 8;

/// Floats that a tile may read past its last voxel.
pub(crate) const SLACK: usize = 128;

/// One tap of the kernel: where it reads, relative to the voxel, and where its weights are,
/// relative to those of the input channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tap {
    pub(crate) input: usize,
    pub(crate) weight: usize,
}

/// A row of tiles: `out[o][p] (+)= sum over i, t of weights[i][t][o] * input[i][p + t]`.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// First voxel of the row in the first input channel.
    pub(crate) input: *const f32,
    /// From one input channel to the next.
    pub(crate) input_stride: usize,
    pub(crate) inputs: usize,
    pub(crate) taps: &'a [Tap],
    /// A row of `block` values per input channel and tap.
    pub(crate) weights: *const f32,
    /// From one input channel to the next.
    pub(crate) weight_stride: usize,
    /// First voxel of the row in the first output channel.
    pub(crate) output: *mut f32,
    /// From one output channel to the next.
    pub(crate) output_stride: usize,
    /// Add to what `output` holds.
    pub(crate) accumulate: bool,
}

/// A row of tiles of `O` channels: of `V` vectors, and fewer in the last ones.
struct Row<'a, const O: usize, const V: usize> {
    tile: Tile<'a>,
    vectors: usize,
}

impl<const O: usize, const V: usize> WithSimd for Row<'_, O, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        with_fma::<S>(self);
    }
}

impl<const O: usize, const V: usize> Fused for Row<'_, O, V> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { tile, vectors } = self;
        let lanes = f32::lanes::<S>();
        // SAFETY: the caller of `Machine::run` promises that the pointers cover the row.
        unsafe {
            let mut done = 0;
            while vectors - done >= V {
                tile.run::<S, O, V>(done * lanes);
                done += V;
            }
            if V > 4 && vectors - done >= 4 {
                tile.run::<S, O, 4>(done * lanes);
                done += 4;
            }
            match vectors - done {
                3 if V > 3 => tile.run::<S, O, 3>(done * lanes),
                2 if V > 2 => tile.run::<S, O, 2>(done * lanes),
                1 => tile.run::<S, O, 1>(done * lanes),
                _ => {}
            }
        }
    }
}

impl Tile<'_> {
    /// The tile of `V` vectors that begins `at` floats into the row.
    ///
    /// # Safety
    /// As of [`Machine::run`], for that part of the row.
    #[inline(always)]
    unsafe fn run<S: Simd, const O: usize, const V: usize>(&self, at: usize) {
        let lanes = f32::lanes::<S>();
        let mut sums = [[0.0_f32.splat::<S>(); V]; O];
        // SAFETY: by the caller's promise.
        unsafe {
            let output = self.output.add(at);
            if self.accumulate {
                for (o, row) in sums.iter_mut().enumerate() {
                    for (v, sum) in row.iter_mut().enumerate() {
                        *sum = vload_unaligned(output.add(o * self.output_stride + v * lanes));
                    }
                }
            }
            let mut weights = self.weights;
            let mut input = self.input.add(at);
            for _ in 0..self.inputs {
                for tap in self.taps {
                    let start = input.add(tap.input);
                    let row = weights.add(tap.weight);
                    let mut x = [0.0_f32.splat::<S>(); V];
                    for (v, x) in x.iter_mut().enumerate() {
                        *x = vload_unaligned(start.add(v * lanes));
                    }
                    for (o, sums) in sums.iter_mut().enumerate() {
                        let w: Vector<S, f32> = (*row.add(o)).splat();
                        for (sum, x) in sums.iter_mut().zip(x) {
                            *sum = mul_add(x, w, *sum);
                        }
                    }
                }
                // Wrapping: after the last channel nothing is read.
                input = input.wrapping_add(self.input_stride);
                weights = weights.wrapping_add(self.weight_stride);
            }
            for (o, row) in sums.into_iter().enumerate() {
                for (v, sum) in row.into_iter().enumerate() {
                    vstore_unaligned(output.add(o * self.output_stride + v * lanes), sum);
                }
            }
        }
    }
}

/// How tiles are cut on this machine.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    pub(crate) arch: Arch,
    /// Floats in a vector.
    pub(crate) lanes: usize,
    /// Vector registers.
    pub(crate) registers: usize,
}

impl Machine {
    pub(crate) fn detect() -> Self {
        struct Lanes;
        impl WithSimd for Lanes {
            type Output = usize;

            #[inline(always)]
            fn with_simd<S: Simd>(self) -> usize {
                f32::lanes::<S>()
            }
        }
        #[cfg(test)]
        let arch = FORCED.get().unwrap_or_else(Arch::detect);
        #[cfg(not(test))]
        let arch = Arch::detect();
        // SAFETY: `detect` only names what the processor has.
        let lanes = unsafe { arch.dispatch(Lanes) };
        let registers = if lanes == 16 || cfg!(target_arch = "aarch64") {
            32
        } else {
            16
        };
        Self {
            arch,
            lanes,
            registers,
        }
    }

    /// Output channels in a tile, at most.
    pub(crate) fn block(&self) -> usize {
        if self.registers == 32 { MAX_BLOCK } else { 6 }
    }

    /// Vectors in a run for a block of this many channels.
    pub(crate) fn vectors(&self, block: usize) -> usize {
        match (self.registers, block) {
            (32, 7 | 8) => 3,
            (32, 5 | 6) => 4,
            (32, 4) => 6,
            (32, _) => 8,
            (_, 5 | 6) => 2,
            (_, 4) => 3,
            (_, 3) => 4,
            _ => 6,
        }
    }

    /// Computes a row of tiles: `block` channels times `vectors` vectors.
    ///
    /// # Safety
    /// For every input channel and tap, `vectors * lanes` floats are readable; the weights are as
    /// [`Tile`] says; and `block` rows of as many floats are writable at the output.
    pub(crate) unsafe fn run(&self, block: usize, vectors: usize, tile: Tile<'_>) {
        macro_rules! pick {
            ($($o:literal $v:literal),*) => {
                match (block, self.vectors(block)) {
                    // SAFETY: the architecture was detected; the rest is the caller's promise.
                    $(($o, $v) => unsafe {
                        self.arch.dispatch(Row::<$o, $v> { tile, vectors });
                    },)*
                    (_, full) => unreachable!("no tile of {block} channels by {full} vectors"),
                }
            };
        }
        pick!(
            1 6, 1 8, 2 6, 2 8, 3 4, 3 8, 4 3, 4 6, 5 2, 5 4, 6 2, 6 4, 7 3, 8 3
        );
    }
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<Arch>> = const { std::cell::Cell::new(None) };
}

/// Runs `body` on one thread with every set of instructions that this processor has.
#[cfg(test)]
pub(crate) fn with_each_arch(body: impl Fn(Arch) + Send + Sync) {
    let mut all = vec![Arch::detect()];
    #[cfg(target_arch = "x86_64")]
    {
        all.push(Arch::Scalar);
        if std::is_x86_feature_detected!("sse4.2") {
            all.push(Arch::V2);
        }
        if std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("fma")
            && std::is_x86_feature_detected!("f16c")
            && std::is_x86_feature_detected!("bmi2")
        {
            all.push(Arch::V3);
        }
    }
    let run = || {
        for arch in all {
            FORCED.set(Some(arch));
            body(arch);
            FORCED.set(None);
        }
    };
    #[cfg(feature = "rayon")]
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a thread")
        .install(run);
    #[cfg(not(feature = "rayon"))]
    run();
}
