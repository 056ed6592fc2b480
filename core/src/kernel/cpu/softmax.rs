//! Exponentials of rows of scores, and what becomes of them in the gradients.

use macerator::{Scalar, Simd, WithSimd, vload_unaligned, vstore_unaligned};

use super::curve::exp;
use super::tile::Machine;

/// `row = exp(row - max)`; the maximum and the sum of the exponentials of the first `count`. What
/// follows them, up to whole vectors, becomes zero.
pub(crate) fn exponentials(machine: &Machine, row: &mut [f32], count: usize) -> [f32; 2] {
    assert!(row.len().is_multiple_of(machine.lanes) && (1..=row.len()).contains(&count));
    // Padding takes no part in the maximum.
    row[count..].fill(f32::MIN);
    // SAFETY: the architecture was detected.
    unsafe {
        let max = machine.arch.dispatch(Max(row));
        let sum = machine.arch.dispatch(Exp { row, origin: max });
        row[count..].fill(0.0);
        [max, sum]
    }
}

/// `row = exp(row - origin)` of the first `count`, and zeros after them.
pub(crate) fn shifted(machine: &Machine, row: &mut [f32], count: usize, origin: f32) {
    assert!(row.len().is_multiple_of(machine.lanes));
    // SAFETY: the architecture was detected.
    unsafe { machine.arch.dispatch(Exp { row, origin }) };
    row[count..].fill(0.0);
}

/// From the probabilities of a row and their gradients to the scores' gradients, which replace
/// these and are added to `sum`: `p * (g - sum(p * g))`.
pub(crate) fn gradient(machine: &Machine, p: &[f32], g: &mut [f32], sum: &mut [f32]) {
    assert!(p.len() == g.len() && p.len() == sum.len());
    assert!(p.len().is_multiple_of(machine.lanes));
    // SAFETY: the architecture was detected.
    unsafe { machine.arch.dispatch(Gradient { p, g, sum }) };
}

struct Max<'a>(&'a [f32]);

impl WithSimd for Max<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self) -> f32 {
        let lanes = f32::lanes::<S>();
        let mut max = f32::MIN.splat::<S>();
        for chunk in self.0.chunks_exact(lanes) {
            // SAFETY: the chunk is a vector.
            max = max.max(unsafe { vload_unaligned(chunk.as_ptr()) });
        }
        max.reduce_max()
    }
}

struct Exp<'a> {
    row: &'a mut [f32],
    origin: f32,
}

impl WithSimd for Exp<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self) -> f32 {
        let lanes = f32::lanes::<S>();
        let origin = self.origin.splat::<S>();
        let low = (-87.0_f32).splat::<S>();
        let zero = 0.0_f32.splat::<S>();
        let mut sum = zero;
        for chunk in self.row.chunks_exact_mut(lanes) {
            // SAFETY: the chunk is a vector.
            unsafe {
                let x = vload_unaligned::<S, f32>(chunk.as_ptr()) - origin;
                let (power, fraction) = exp(x);
                let y = x.lt(low).select(zero, power.mul_add(fraction, power));
                sum += y;
                vstore_unaligned(chunk.as_mut_ptr(), y);
            }
        }
        sum.reduce_add()
    }
}

struct Gradient<'a> {
    p: &'a [f32],
    g: &'a mut [f32],
    sum: &'a mut [f32],
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let lanes = f32::lanes::<S>();
        let Self { p, g, sum } = self;
        let mut product = 0.0_f32.splat::<S>();
        // SAFETY: the chunks are vectors.
        unsafe {
            for (p, g) in p.chunks_exact(lanes).zip(g.chunks_exact(lanes)) {
                let p = vload_unaligned::<S, f32>(p.as_ptr());
                product = p.mul_add(vload_unaligned(g.as_ptr()), product);
            }
            let mean = product.reduce_add().splat::<S>();
            let sums = sum.chunks_exact_mut(lanes);
            let lines = p.chunks_exact(lanes).zip(g.chunks_exact_mut(lanes));
            for ((p, g), sum) in lines.zip(sums) {
                let p = vload_unaligned::<S, f32>(p.as_ptr());
                let y = p * (vload_unaligned::<S, f32>(g.as_ptr()) - mean);
                vstore_unaligned(g.as_mut_ptr(), y);
                let total = vload_unaligned::<S, f32>(sum.as_ptr()) + y;
                vstore_unaligned(sum.as_mut_ptr(), total);
            }
        }
    }
}
