//! Loops over slices, a vector at a time.

use macerator::{Scalar, Simd, Vector, WithSimd, vload_unaligned, vstore_unaligned};

use super::tile::Machine;

/// Floats of the widest vector.
pub(crate) const MOST_LANES: usize = 64;

/// A function of `N` values.
pub(crate) trait Each<const N: usize> {
    fn each<S: Simd>(&self, x: [Vector<S, f32>; N]) -> Vector<S, f32>;
}

/// Slices of the same length.
#[derive(Clone, Copy)]
pub(crate) struct Streams<const N: usize> {
    from: [*const f32; N],
    to: *mut f32,
    len: usize,
}

impl Streams<1> {
    /// From a slice to itself.
    pub(crate) fn within(values: &mut [f32]) -> Self {
        let to = values.as_mut_ptr();
        Self {
            from: [to],
            to,
            len: values.len(),
        }
    }
}

impl<const N: usize> Streams<N> {
    /// # Safety
    /// `to` has room for as many floats as each slice has, and may be where one of them begins.
    pub(crate) unsafe fn new(from: [&[f32]; N], to: *mut f32) -> Self {
        let len = from.first().map_or(0, |slice| slice.len());
        assert!(from.iter().all(|slice| slice.len() == len));
        Self {
            from: from.map(<[f32]>::as_ptr),
            to,
            len,
        }
    }

    /// `to = each(from)`.
    pub(crate) fn map(self, machine: &Machine, each: &impl Each<N>) {
        // SAFETY: the architecture was detected.
        unsafe {
            machine.arch.dispatch(Map {
                streams: self,
                each,
            });
        }
    }

    /// Inside code that is compiled for `S`.
    #[inline(always)]
    pub(crate) fn map_in<S: Simd>(self, each: &impl Each<N>) {
        let lanes = f32::lanes::<S>();
        let whole = self.len / lanes * lanes;
        // SAFETY: `new` and the slices promise `len` floats everywhere; the rest is of that many.
        unsafe {
            for at in (0..whole).step_by(lanes) {
                let x = self.from.map(|from| vload_unaligned(from.add(at)));
                vstore_unaligned(self.to.add(at), each.each::<S>(x));
            }
            let left = self.len - whole;
            if left > 0 {
                let x = self.from.map(|from| rest(from.add(whole), left));
                let mut values = [0.0; MOST_LANES];
                vstore_unaligned(values.as_mut_ptr(), each.each::<S>(x));
                std::ptr::copy_nonoverlapping(values.as_ptr(), self.to.add(whole), left);
            }
        }
    }
}

/// `left` floats, less than a vector, and zeros.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub(crate) unsafe fn rest<S: Simd>(from: *const f32, left: usize) -> Vector<S, f32> {
    let mut values = [0.0; MOST_LANES];
    // SAFETY: no vector is longer than the array.
    unsafe {
        std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), left);
        vload_unaligned(values.as_ptr())
    }
}

struct Map<'a, E, const N: usize> {
    streams: Streams<N>,
    each: &'a E,
}

impl<E: Each<N>, const N: usize> WithSimd for Map<'_, E, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        self.streams.map_in::<S>(self.each);
    }
}
