//! B-spline coefficients of the part of an image that a coordinate map reaches.

use super::super::lines::{LANES, Lines};
use super::super::spline::{End, SETTLED, coefficients, mirrored, weights};

/// Coefficients of a box of voxels.
pub(super) struct Coefficients {
    data: Vec<f32>,
    shape: [usize; 3],
    first: [usize; 3],
    /// The image's outermost voxel centres, counted from the box's first voxel.
    low: [f32; 3],
    high: [f32; 3],
}

impl Coefficients {
    /// Those that values within `bounds` need, in an image that is mirrored about its ends.
    pub(super) fn new(image: &[f32], shape: [usize; 3], bounds: [[f64; 2]; 3]) -> Self {
        let mut ends = [[End::Mirror; 2]; 3];
        let (mut first, mut size) = ([0; 3], [0; 3]);
        for a in 0..3 {
            // A cut end is far enough from what is needed for the filter to have settled.
            let last = shape[a] as f64 - 1.0;
            let low = bounds[a][0].clamp(0.0, last) as usize;
            let high = bounds[a][1].clamp(0.0, last) as usize;
            let from = low.saturating_sub(SETTLED + 1);
            let to = shape[a].min(high + SETTLED + 3);
            if from > 0 {
                ends[a][0] = End::Continued;
            }
            if to < shape[a] {
                ends[a][1] = End::Continued;
            }
            (first[a], size[a]) = (from, to - from);
        }
        let [nx, ny, nz] = size;
        let mut data = Vec::with_capacity(nx * ny * nz);
        for z in 0..nz {
            let plane = data.len();
            for y in 0..ny {
                let row = shape[0] * (first[1] + y + shape[1] * (first[2] + z)) + first[0];
                data.extend_from_slice(&image[row..row + nx]);
            }
            // While the plane is near.
            filter(&mut data[plane..], [nx, ny, 1], 0, ends[0]);
            filter(&mut data[plane..], [nx, ny, 1], 1, ends[1]);
        }
        filter(&mut data, size, 2, ends[2]);
        Self {
            data,
            shape: size,
            first,
            low: first.map(|f| -(f as f32)),
            high: [0, 1, 2].map(|a| (shape[a] - 1 - first[a]) as f32),
        }
    }

    /// The box's first voxel in the image.
    pub(super) fn origin(&self) -> [f64; 3] {
        self.first.map(|f| f as f64)
    }

    /// The value at a position counted from the box's first voxel; `None` beyond the image.
    #[inline]
    pub(super) fn at(&self, p: [f32; 3]) -> Option<f32> {
        if !(0..3).all(|a| p[a] >= self.low[a] && p[a] <= self.high[a]) {
            return None;
        }
        let cell = p.map(|v| v as i32 as usize);
        let [wx, wy, wz] = [0, 1, 2].map(|a| weights(p[a] - cell[a] as f32));
        let [nx, ny, nz] = self.shape;
        let [i, j, k] = cell;
        if i == 0 || j == 0 || k == 0 || i + 2 >= nx || j + 2 >= ny || k + 2 >= nz {
            return Some(self.at_edge(cell, [wx, wy, wz]));
        }
        let plane = nx * ny;
        let reach = 3 * nx + 4;
        let mut sums = [0.0f32; 4];
        for (dz, wz) in wz.into_iter().enumerate() {
            let start = i - 1 + nx * (j - 1) + plane * (k - 1 + dz);
            let rows = &self.data[start..start + reach];
            for (dy, wy) in wy.into_iter().enumerate() {
                let weight = wz * wy;
                if let Some(taps) = rows.get(dy * nx..).and_then(|r| r.first_chunk::<4>()) {
                    for (sum, tap) in sums.iter_mut().zip(taps) {
                        *sum += weight * tap;
                    }
                }
            }
        }
        Some(sums[0] * wx[0] + sums[1] * wx[1] + sums[2] * wx[2] + sums[3] * wx[3])
    }

    /// The value where coefficients beyond the image are needed.
    #[cold]
    fn at_edge(&self, cell: [usize; 3], weights: [[f32; 4]; 3]) -> f32 {
        let index = |a: usize, d: usize| {
            let i = cell[a] as isize + d as isize - 1;
            mirrored(i, self.shape[a])
        };
        let [nx, ny, _] = self.shape;
        let mut sum = 0.0;
        for (dz, wz) in weights[2].into_iter().enumerate() {
            for (dy, wy) in weights[1].into_iter().enumerate() {
                let row = nx * (index(1, dy) + ny * index(2, dz));
                for (dx, wx) in weights[0].into_iter().enumerate() {
                    sum += wz * wy * wx * self.data[row + index(0, dx)];
                }
            }
        }
        sum
    }
}

/// Turns samples into coefficients along one axis.
fn filter(data: &mut [f32], shape: [usize; 3], axis: usize, ends: [End; 2]) {
    let lines = Lines::new(shape, axis);
    let mut rows = vec![[0.0; LANES]; lines.len()];
    for block in lines.blocks() {
        lines.load(data, block, 0, &mut rows);
        coefficients(&mut rows, ends);
        lines.store(data, block, &rows);
    }
}
