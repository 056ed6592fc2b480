//! Products of small matrices that are in cache, rows of the second one in vectors.

use macerator::{Scalar, Simd, WithSimd, vload_unaligned, vstore_unaligned};

use super::fma::{Fused, mul_add, with_fma};
use super::tile::Machine;

/// A matrix in row-major order.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    /// From one row to the next.
    pub(crate) pitch: usize,
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(values: &'a [f32], pitch: usize) -> Self {
        Self { values, pitch }
    }
}

/// `out[r][c] = sum over k of a[r][k] * b[k][c]`, or added to what `out` holds.
pub(crate) struct Product<'a> {
    pub(crate) a: Matrix<'a>,
    pub(crate) b: Matrix<'a>,
    /// Rows of `a` and `out`, columns of `a`, columns of `b` and `out`: the latter whole vectors.
    pub(crate) size: [usize; 3],
    pub(crate) out: &'a mut [f32],
    /// From one row of `out` to the next.
    pub(crate) pitch: usize,
    pub(crate) accumulate: bool,
}

impl Product<'_> {
    pub(crate) fn run(self, machine: &Machine) {
        let [rows, inner, columns] = self.size;
        let holds = |values: usize, pitch: usize, rows: usize, columns: usize| {
            rows == 0 || values >= (rows - 1) * pitch + columns
        };
        assert!(columns.is_multiple_of(machine.lanes));
        assert!(holds(self.a.values.len(), self.a.pitch, rows, inner));
        assert!(holds(self.b.values.len(), self.b.pitch, inner, columns));
        assert!(holds(self.out.len(), self.pitch, rows, columns));
        // SAFETY: the architecture was detected.
        unsafe { machine.arch.dispatch(self) }
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        with_fma::<S>(self);
    }
}

impl Fused for Product<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        // Rows whose sums are in registers: as many as there are for two vectors, or for one.
        const ROWS: usize = 6;
        const NARROW: usize = 8;
        let [rows, inner, columns] = self.size;
        let lanes = f32::lanes::<S>();
        let tiles = Tiles {
            inner,
            a_pitch: self.a.pitch,
            b_pitch: self.b.pitch,
            pitch: self.pitch,
            accumulate: self.accumulate,
        };
        let (a, b, out) = (
            self.a.values.as_ptr(),
            self.b.values.as_ptr(),
            self.out.as_mut_ptr(),
        );
        // SAFETY: `run` checked that every row and vector is there.
        unsafe {
            let mut column = 0;
            while column + 2 * lanes <= columns {
                let (b, out) = (b.add(column), out.add(column));
                let mut row = 0;
                while row + ROWS <= rows {
                    tiles.run::<S, ROWS, 2>(a, b, out, row);
                    row += ROWS;
                }
                while row < rows {
                    tiles.run::<S, 1, 2>(a, b, out, row);
                    row += 1;
                }
                column += 2 * lanes;
            }
            if column < columns {
                let (b, out) = (b.add(column), out.add(column));
                let mut row = 0;
                while row + NARROW <= rows {
                    tiles.run::<S, NARROW, 1>(a, b, out, row);
                    row += NARROW;
                }
                while row < rows {
                    tiles.run::<S, 1, 1>(a, b, out, row);
                    row += 1;
                }
            }
        }
    }
}

struct Tiles {
    inner: usize,
    a_pitch: usize,
    b_pitch: usize,
    pitch: usize,
    accumulate: bool,
}

impl Tiles {
    /// # Safety
    /// `R` rows from `row` on and `V` vectors of each are readable and writable.
    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize>(
        &self,
        a: *const f32,
        mut b: *const f32,
        out: *mut f32,
        row: usize,
    ) {
        let lanes = f32::lanes::<S>();
        let mut sums = [[0.0_f32.splat::<S>(); V]; R];
        // SAFETY: the caller's promise.
        unsafe {
            let a = a.add(row * self.a_pitch);
            let out = out.add(row * self.pitch);
            if self.accumulate {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = vload_unaligned(out.add(r * self.pitch + v * lanes));
                    }
                }
            }
            for k in 0..self.inner {
                let mut x = [0.0_f32.splat::<S>(); V];
                for (v, x) in x.iter_mut().enumerate() {
                    *x = vload_unaligned(b.add(v * lanes));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let w = (*a.add(r * self.a_pitch + k)).splat::<S>();
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum = mul_add(x, w, *sum);
                    }
                }
                // Wrapping: after the last row nothing is read.
                b = b.wrapping_add(self.b_pitch);
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (v, sum) in sums.into_iter().enumerate() {
                    vstore_unaligned(out.add(r * self.pitch + v * lanes), sum);
                }
            }
        }
    }
}
