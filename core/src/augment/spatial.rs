//! Elastic deformation, rotation and scaling in one coordinate map, and the image at its points.
//!
//! A voxel of the patch, counted from the patch's centre, is displaced (elastic), rotated and
//! scaled, in this order; the result, counted from the centre in the source, is where the value is
//! taken: by cubic B-splines for images, from the nearest voxel for labels. What lies beyond the
//! outermost voxel centres is outside. SciPy: `map_coordinates(mode="constant")`.

mod coefficients;
mod displacement;

use self::coefficients::Coefficients;
pub use self::displacement::Displacement;
use super::range::{clipped, limits};
use super::spline::{End, resample};

/// Planes of a patch that are read side by side.
const SLAB: usize = 8;

/// Where each voxel of a patch lies in its source, in voxels.
#[derive(Clone, Debug)]
pub struct CoordinateMap {
    patch: [usize; 3],
    /// Rotation and scale, from patch to source.
    matrix: [[f64; 3]; 3],
    /// Where the patch's centre lies.
    centre: [f64; 3],
    displacement: Option<Displacement>,
}

impl CoordinateMap {
    /// A map of a patch about a centre: `angles` (radians) about x, y and z, and a factor on the
    /// coordinates, which zooms in where it is below 1.
    ///
    /// A displacement of another shape than the patch's is an error of the caller and left out.
    pub fn new(
        patch: [usize; 3],
        centre: [f64; 3],
        angles: [f64; 3],
        scale: f64,
        displacement: Option<Displacement>,
    ) -> Self {
        let rotation = rotation(angles);
        // The reference multiplies row vectors: the transpose.
        let matrix = [0, 1, 2].map(|j| [0, 1, 2].map(|i| scale * rotation[i][j]));
        Self {
            patch,
            matrix,
            centre,
            displacement: displacement.filter(|d| d.shape() == patch),
        }
    }

    /// The first voxel of the patch where the map only moves it by whole voxels.
    pub fn crop(&self) -> Option<[isize; 3]> {
        let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        if self.displacement.is_some() || self.matrix != identity {
            return None;
        }
        let first = [0, 1, 2].map(|a| self.centre[a] - (self.patch[a] as f64 - 1.0) / 2.0);
        let whole = first.iter().all(|f| f.fract() == 0.0);
        whole.then(|| first.map(|f| f as isize))
    }

    /// The image at the map's points, clipped to the image's range; where there is none,
    /// `outside` or the image's minimum. `shape` is the image's, first axis fastest.
    pub fn cubic(&self, image: &[f32], shape: [usize; 3], outside: Option<f32>) -> Vec<f32> {
        if let Some(first) = self.crop() {
            let whole =
                (0..3).all(|a| first[a] >= 0 && first[a] as usize + self.patch[a] <= shape[a]);
            let outside = outside.unwrap_or_else(|| if whole { 0.0 } else { limits(image)[0] });
            return crop(image, shape, self.patch, first, outside);
        }
        let range = limits(image);
        let outside = outside.unwrap_or(range[0]);
        if self.displacement.is_none() && self.is_diagonal() {
            return self.separable(image, shape, outside, range);
        }
        let region = Coefficients::new(image, shape, self.bounds());
        let mut out = vec![0.0; self.patch.iter().product()];
        let nx = self.patch[0];
        self.each_row(region.origin(), |r, positions| {
            region.values(positions, range, outside, &mut out[r * nx..(r + 1) * nx]);
        });
        out
    }

    /// The labels nearest to the map's points; `outside` where there are none.
    pub fn nearest<L: Copy>(&self, labels: &[L], shape: [usize; 3], outside: L) -> Vec<L> {
        if let Some(first) = self.crop() {
            return crop(labels, shape, self.patch, first, outside);
        }
        let end = shape.map(|n| n as f32 - 1.0);
        let mut out = vec![outside; self.patch.iter().product()];
        let nx = self.patch[0];
        self.each_row([0.0; 3], |r, [x, y, z]| {
            let positions = x.iter().zip(y).zip(z);
            for (out, ((&x, &y), &z)) in out[r * nx..].iter_mut().zip(positions) {
                let p = [x, y, z];
                if (0..3).all(|a| p[a] >= 0.0 && p[a] <= end[a]) {
                    let [i, j, k] = p.map(|c| (c + 0.5) as usize);
                    *out = labels[i + shape[0] * (j + shape[1] * k)];
                }
            }
        });
        out
    }

    fn is_diagonal(&self) -> bool {
        (0..3).all(|j| (0..3).all(|i| i == j || self.matrix[j][i] == 0.0))
    }

    /// Smallest and largest coordinate of all points along each axis.
    fn bounds(&self) -> [[f64; 2]; 3] {
        let moved = self.displacement.as_ref().map_or([0.0; 3], |d| d.largest());
        let half = [0, 1, 2].map(|i| (self.patch[i] as f64 - 1.0) / 2.0 + f64::from(moved[i]));
        [0, 1, 2].map(|j| {
            let reach: f64 = (0..3).map(|i| self.matrix[j][i].abs() * half[i]).sum();
            [self.centre[j] - reach, self.centre[j] + reach]
        })
    }

    /// Calls `f` with the number and the coordinates, counted from `origin`, of each row of the
    /// patch. Some planes go side by side, so that the part of the source that a map turned away
    /// from the axes reads stays near.
    fn each_row(&self, origin: [f64; 3], mut f: impl FnMut(usize, [&[f32]; 3])) {
        let [nx, ny, nz] = self.patch;
        let m = &self.matrix;
        let half = self.patch.map(|n| (n as f64 - 1.0) / 2.0);
        let mut rows = [(); 3].map(|()| vec![0.0f32; nx]);
        let field = self.displacement.as_ref();
        let mut slab: Vec<_> = (0..SLAB)
            .filter_map(|_| field.map(Displacement::rows))
            .collect();
        for first in (0..nz).step_by(SLAB) {
            let planes = first..nz.min(first + SLAB);
            for (z, moved) in planes.clone().zip(&mut slab) {
                moved.plane(z);
            }
            for (y, z) in (0..ny).flat_map(|y| planes.clone().map(move |z| (y, z))) {
                let [u, v, w] = [-half[0], y as f64 - half[1], z as f64 - half[2]];
                for (j, row) in rows.iter_mut().enumerate() {
                    let base = m[j][0] * u + m[j][1] * v + m[j][2] * w;
                    let base = (base + self.centre[j] - origin[j]) as f32;
                    let step = m[j][0] as f32;
                    for (x, p) in row.iter_mut().enumerate() {
                        *p = base + step * x as f32;
                    }
                }
                if let Some(moved) = slab.get_mut(z - first) {
                    let moved = moved.row(y);
                    for (j, row) in rows.iter_mut().enumerate() {
                        let [a, b, c] = m[j].map(|v| v as f32);
                        for (x, p) in row.iter_mut().enumerate() {
                            *p += a * moved[0][x] + b * moved[1][x] + c * moved[2][x];
                        }
                    }
                }
                f(y + ny * z, [&rows[0], &rows[1], &rows[2]]);
            }
        }
    }

    /// A map without rotation and displacement goes axis by axis.
    fn separable(
        &self,
        image: &[f32],
        shape: [usize; 3],
        outside: f32,
        range: [f32; 2],
    ) -> Vec<f32> {
        let positions = [0, 1, 2].map(|a| -> Vec<f64> {
            let half = (self.patch[a] as f64 - 1.0) / 2.0;
            let at = |i: usize| self.centre[a] + self.matrix[a][a] * (i as f64 - half);
            (0..self.patch[a]).map(at).collect()
        });
        let inside = [0, 1, 2].map(|a| -> Vec<bool> {
            let end = shape[a] as f64 - 1.0;
            let within = |p: &f64| *p >= 0.0 && *p <= end;
            positions[a].iter().map(within).collect()
        });
        // Slices go first: they are what costs least, and less is left for the others.
        let mut data = resample(image, shape, 2, &positions[2], End::Mirror);
        let mut size = [shape[0], shape[1], self.patch[2]];
        for a in [1, 0] {
            data = resample(&data, size, a, &positions[a], End::Mirror);
            size[a] = self.patch[a];
        }
        for (r, row) in data.chunks_exact_mut(self.patch[0]).enumerate() {
            let within = inside[1][r % self.patch[1]] && inside[2][r / self.patch[1]];
            for (v, &x) in row.iter_mut().zip(&inside[0]) {
                *v = if within && x {
                    clipped(*v, range)
                } else {
                    outside
                };
            }
        }
        data
    }
}

/// `Rx Ry Rz`, each a right-handed rotation by an angle in radians.
fn rotation([x, y, z]: [f64; 3]) -> [[f64; 3]; 3] {
    let ((sx, cx), (sy, cy), (sz, cz)) = (x.sin_cos(), y.sin_cos(), z.sin_cos());
    let about_x = [[1.0, 0.0, 0.0], [0.0, cx, -sx], [0.0, sx, cx]];
    let about_y = [[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]];
    let about_z = [[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]];
    product(&product(&about_x, &about_y), &about_z)
}

fn product(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let entry = |i: usize, j: usize| (0..3).map(|k| a[i][k] * b[k][j]).sum();
    [0, 1, 2].map(|i| [0, 1, 2].map(|j| entry(i, j)))
}

/// Voxels of a source from `first` on; `outside` where there are none.
pub(super) fn crop<T: Copy>(
    source: &[T],
    shape: [usize; 3],
    patch: [usize; 3],
    first: [isize; 3],
    outside: T,
) -> Vec<T> {
    // The part of each axis that lies in the source, in voxels of the patch.
    let part = [0, 1, 2].map(|a| {
        let from = first[a].saturating_neg().clamp(0, patch[a] as isize);
        let to = (shape[a] as isize - first[a]).clamp(from, patch[a] as isize);
        from as usize..to as usize
    });
    let at = |a: usize, i: usize| (i as isize + first[a]) as usize;
    let mut out = Vec::with_capacity(patch.iter().product());
    for z in 0..patch[2] {
        for y in 0..patch[1] {
            let end = out.len() + patch[0];
            if part[2].contains(&z) && part[1].contains(&y) && !part[0].is_empty() {
                let row = shape[0] * (at(1, y) + shape[1] * at(2, z));
                let from = row + at(0, part[0].start);
                out.resize(out.len() + part[0].start, outside);
                out.extend_from_slice(&source[from..from + part[0].len()]);
            }
            out.resize(end, outside);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_pad_with_what_is_outside() {
        let source: Vec<i32> = (0..24).collect();
        let out = crop(&source, [4, 3, 2], [2, 2, 2], [3, -1, 1], -1);
        assert_eq!(out, [-1, -1, 15, -1, -1, -1, -1, -1]);
        assert_eq!(crop(&source, [4, 3, 2], [4, 3, 2], [0; 3], -1), source);
        let away = crop(&source, [4, 3, 2], [2, 1, 1], [9, 0, 0], -1);
        assert_eq!(away, [-1, -1]);
    }

    #[test]
    fn a_map_that_moves_nothing_is_a_crop() {
        let map = |centre, angle, scale| {
            CoordinateMap::new([4, 4, 5], centre, [0.0, angle, 0.0], scale, None)
        };
        assert_eq!(map([4.5, 3.5, 5.0], 0.0, 1.0).crop(), Some([3, 2, 3]));
        assert_eq!(map([4.0, 3.5, 5.0], 0.0, 1.0).crop(), None);
        assert_eq!(map([4.5, 3.5, 5.0], 0.1, 1.0).crop(), None);
        assert_eq!(map([4.5, 3.5, 5.0], 0.0, 0.9).crop(), None);
    }
}
