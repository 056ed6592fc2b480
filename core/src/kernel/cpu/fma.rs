//! Multiplication and addition in one instruction where vectors of [`macerator`] have none: in
//! WebAssembly, by relaxed SIMD, in modules built with the feature `relaxed-simd`.
//!
//! `macerator` has it for whole programs that are compiled for relaxed SIMD; here the kernels alone
//! are, and the rest of the module is that of every engine.

use macerator::{Simd, Vector};

/// A loop that calls [`mul_add`].
pub(super) trait Fused {
    /// Runs it; to be inlined always.
    fn run<S: Simd>(self);
}

/// Runs a loop with the instructions that [`mul_add`] takes.
#[inline(always)]
pub(super) fn with_fma<S: Simd>(body: impl Fused) {
    #[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
    // SAFETY: an engine without the instructions has refused the module.
    unsafe {
        relaxed::run::<S>(body);
    }
    #[cfg(not(all(target_arch = "wasm32", feature = "relaxed-simd")))]
    body.run::<S>();
}

/// `x * y + sum`, rounded once or twice.
#[inline(always)]
pub(super) fn mul_add<S: Simd>(
    x: Vector<S, f32>,
    y: Vector<S, f32>,
    sum: Vector<S, f32>,
) -> Vector<S, f32> {
    #[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
    if size_of::<Vector<S, f32>>() == size_of::<core::arch::wasm32::v128>() {
        // SAFETY: a vector of 16 bytes is a `v128` here; the instruction is that of `with_fma`.
        return unsafe { relaxed::mul_add(x, y, sum) };
    }
    x.mul_add(y, sum)
}

#[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
mod relaxed {
    use core::arch::wasm32::{f32x4_relaxed_madd, v128};
    use core::mem::transmute_copy;

    use macerator::{Simd, Vector};

    use super::Fused;

    /// # Safety
    /// The engine has relaxed SIMD.
    #[target_feature(enable = "relaxed-simd")]
    pub(super) unsafe fn run<S: Simd>(body: impl Fused) {
        body.run::<S>();
    }

    /// # Safety
    /// The engine has relaxed SIMD, and vectors are as large as a `v128`.
    #[inline(always)]
    pub(super) unsafe fn mul_add<S: Simd>(
        x: Vector<S, f32>,
        y: Vector<S, f32>,
        sum: Vector<S, f32>,
    ) -> Vector<S, f32> {
        // SAFETY: by the caller's promise; a vector has nothing but its register.
        unsafe {
            let register = |vector: &Vector<S, f32>| transmute_copy::<_, v128>(vector);
            let sum = f32x4_relaxed_madd(register(&x), register(&y), register(&sum));
            transmute_copy(&sum)
        }
    }
}
