//! The transforms within a plane: a window of 4 x 4 to 16 points, 16 points to 2 x 2 outputs.
//!
//! F(2, 3) with the points 0, 1, -1 and infinity (Lavin and Gray, arXiv 1509.09308). The transform
//! along depth is applied by whole planes, before and after.

use macerator::{Scalar, Simd, Vector, WithSimd, vload_unaligned, vstore_unaligned};

/// Points of a plane of a tile.
pub(crate) const POINTS: usize = 16;

/// Window of four values to four points: the data's transform.
#[inline(always)]
pub(in super::super) fn window<S: Simd>([a, b, c, d]: [Vector<S, f32>; 4]) -> [Vector<S, f32>; 4] {
    [a - c, b + c, c - b, b - d]
}

/// Pair of values to four points: the transform of a gradient in the weight gradient, F(3, 2).
#[inline(always)]
fn pair<S: Simd>(a: Vector<S, f32>, b: Vector<S, f32>) -> [Vector<S, f32>; 4] {
    let half: Vector<S, f32> = 0.5_f32.splat();
    [a, (a + b) * half, (a - b) * half, b]
}

/// Four points to two outputs.
#[inline(always)]
pub(in super::super) fn outputs<S: Simd>([a, b, c, d]: [Vector<S, f32>; 4]) -> [Vector<S, f32>; 2] {
    [a + (b + c), (b - c) - d]
}

/// What a tile's plane reads of a copy (`[row parity][column parity][slab]`).
#[derive(Clone, Copy)]
pub(crate) enum Reads {
    /// 4 x 4 values.
    Window,
    /// 2 x 2 values.
    Pair,
}

/// Points of all tiles of one channel, from its copy.
pub(crate) struct ToPoints<'a> {
    pub(crate) reads: Reads,
    pub(crate) copy: *const f32,
    /// From one parity to the next.
    pub(crate) slab: usize,
    /// From a window's first half to its second: rows, columns.
    pub(crate) next: [usize; 2],
    /// Place of each vector of tiles.
    pub(crate) starts: &'a [usize],
    pub(crate) points: *mut f32,
    /// From one point to the next.
    pub(crate) point: usize,
}

impl WithSimd for ToPoints<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let lanes = f32::lanes::<S>();
        let [next_row, next_column] = self.next;
        for (v, &start) in self.starts.iter().enumerate() {
            let at = |row: usize, column: usize| {
                let parity = (row % 2) * 2 + column % 2;
                parity * self.slab + row / 2 * next_row + column / 2 * next_column + start
            };
            // Loops without closures around vectors: a closure is compiled without this
            // function's instructions.
            let mut rows = [[0.0_f32.splat::<S>(); 4]; 4];
            // SAFETY: the caller promises that every window of every vector lies in the copy.
            unsafe {
                match self.reads {
                    Reads::Window => {
                        for (row, values) in rows.iter_mut().enumerate() {
                            for (column, value) in values.iter_mut().enumerate() {
                                *value = vload_unaligned(self.copy.add(at(row, column)));
                            }
                            *values = window(*values);
                        }
                        for i in 0..4 {
                            let column = window([rows[0][i], rows[1][i], rows[2][i], rows[3][i]]);
                            for (row, value) in rows.iter_mut().zip(column) {
                                row[i] = value;
                            }
                        }
                    }
                    Reads::Pair => {
                        let mut along = [[0.0_f32.splat::<S>(); 4]; 2];
                        for (row, values) in along.iter_mut().enumerate() {
                            let a = vload_unaligned(self.copy.add(at(row, 0)));
                            let b = vload_unaligned(self.copy.add(at(row, 1)));
                            *values = pair(a, b);
                        }
                        for i in 0..4 {
                            let column = pair(along[0][i], along[1][i]);
                            for (row, value) in rows.iter_mut().zip(column) {
                                row[i] = value;
                            }
                        }
                    }
                }
            }
            for (j, row) in rows.into_iter().enumerate() {
                for (i, value) in row.into_iter().enumerate() {
                    let at = (j * 4 + i) * self.point + v * lanes;
                    // SAFETY: the caller promises room for a vector at each point.
                    unsafe { vstore_unaligned(self.points.add(at), value) };
                }
            }
        }
    }
}

/// Outputs of all tiles of one channel, from the points of one plane.
pub(crate) struct ToOutputs {
    /// Which of the four planes of points.
    pub(crate) plane: usize,
    pub(crate) points: *const f32,
    /// From one point to the next.
    pub(crate) point: usize,
    pub(crate) vectors: usize,
    /// `[2][2][2][vectors]`: depth, height, width.
    pub(crate) outputs: *mut f32,
}

impl WithSimd for ToOutputs {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let lanes = f32::lanes::<S>();
        let len = self.vectors * lanes;
        for v in 0..self.vectors {
            // SAFETY: the caller promises a vector at every point and output.
            unsafe {
                let mut along = [[0.0_f32.splat::<S>(); 2]; 4];
                for (j, values) in along.iter_mut().enumerate() {
                    let mut row = [0.0_f32.splat::<S>(); 4];
                    for (i, value) in row.iter_mut().enumerate() {
                        let at = (j * 4 + i) * self.point + v * lanes;
                        *value = vload_unaligned(self.points.add(at));
                    }
                    *values = outputs(row);
                }
                let [a, b, c, d] = along;
                let columns = [[a[0], b[0], c[0], d[0]], [a[1], b[1], c[1], d[1]]];
                for (w, column) in columns.into_iter().enumerate() {
                    let column = outputs(column);
                    for (h, value) in column.into_iter().enumerate() {
                        let front = self.outputs.add((h * 2 + w) * len + v * lanes);
                        let back = front.add(4 * len);
                        // The transform along depth, one plane of points after the other.
                        match self.plane {
                            0 => vstore_unaligned(front, value),
                            1 => {
                                vstore_unaligned(front, vload_unaligned::<S, f32>(front) + value);
                                vstore_unaligned(back, value);
                            }
                            2 => {
                                vstore_unaligned(front, vload_unaligned::<S, f32>(front) + value);
                                vstore_unaligned(back, vload_unaligned::<S, f32>(back) - value);
                            }
                            _ => vstore_unaligned(back, vload_unaligned::<S, f32>(back) - value),
                        }
                    }
                }
            }
        }
    }
}
