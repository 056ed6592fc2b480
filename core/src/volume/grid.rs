//! Voxel grids: shape, and the affine map from voxel indices to world millimetres.

use serde::{Deserialize, Serialize};

/// The map from voxel indices to world coordinates in mm (RAS+: x to the right, y to the front,
/// z to the top), as three rows of four.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Affine(pub [[f64; 4]; 3]);

impl Affine {
    /// Voxel indices are world coordinates.
    pub const IDENTITY: Self = Self([[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.]]);

    /// The world position (mm) of a voxel position.
    pub fn apply(&self, p: [f64; 3]) -> [f64; 3] {
        self.0
            .map(|r| r[0] * p[0] + r[1] * p[1] + r[2] * p[2] + r[3])
    }

    /// `self` after `first`: maps `p` to `self.apply(first.apply(p))`.
    pub fn after(&self, first: &Self) -> Self {
        let mut out = [[0.0; 4]; 3];
        for (row, r) in out.iter_mut().zip(&self.0) {
            for (c, v) in row.iter_mut().enumerate() {
                *v = (0..3).map(|k| r[k] * first.0[k][c]).sum();
            }
            row[3] += r[3];
        }
        Self(out)
    }

    /// Determinant of the 3x3 part: the signed voxel volume in mm^3.
    pub fn determinant(&self) -> f64 {
        let [a, b, c] = self.0;
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0])
    }

    /// The inverse map, or `None` where the affine is singular or not finite.
    pub fn inverse(&self) -> Option<Self> {
        let det = self.determinant();
        let scale: f64 = self.spacing().iter().product();
        if !det.is_finite() || !scale.is_finite() || det.abs() <= scale * 1e-9 {
            return None;
        }
        let m = &self.0;
        let cofactor = |r: usize, c: usize| {
            let (r1, r2) = ((r + 1) % 3, (r + 2) % 3);
            let (c1, c2) = ((c + 1) % 3, (c + 2) % 3);
            (m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]) / det
        };
        let mut out = [[0.0; 4]; 3];
        for (i, row) in out.iter_mut().enumerate() {
            for (j, v) in row.iter_mut().take(3).enumerate() {
                *v = cofactor(j, i);
            }
            row[3] = -(row[0] * m[0][3] + row[1] * m[1][3] + row[2] * m[2][3]);
        }
        Some(Self(out))
    }

    /// Edge lengths of a voxel in mm: the norms of the three columns.
    pub fn spacing(&self) -> [f64; 3] {
        [0, 1, 2].map(|c| self.0.iter().map(|r| r[c] * r[c]).sum::<f64>().sqrt())
    }
}

/// Shape of a volume in voxels and its place in world space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Voxels along each axis, in file order.
    pub shape: [usize; 3],
    /// Voxel indices to world mm.
    pub affine: Affine,
}

impl Grid {
    /// Number of voxels; saturates, so that no volume can be built on a shape that overflows.
    pub fn voxels(&self) -> usize {
        self.shape.iter().fold(1, |a, n| a.saturating_mul(*n))
    }

    /// Edge lengths of a voxel in mm.
    pub fn spacing(&self) -> [f64; 3] {
        self.affine.spacing()
    }

    /// Whether the same voxels lie at the same places: shapes are equal, and no corner is more than
    /// a tenth of a voxel off, which is more than formats and programs round.
    pub fn coincides(&self, other: &Self) -> bool {
        let tolerance = 0.1 * other.spacing().into_iter().fold(f64::INFINITY, f64::min);
        let near = |corner: usize| {
            let at = [0, 1, 2].map(|axis| match corner >> axis & 1 {
                0 => 0.0,
                _ => self.shape[axis] as f64 - 1.0,
            });
            let (p, q) = (self.affine.apply(at), other.affine.apply(at));
            (0..3).all(|axis| (p[axis] - q[axis]).abs() <= tolerance)
        };
        self.shape == other.shape && (0..8).all(near)
    }

    /// Volume of a voxel in mm^3.
    pub fn voxel_volume(&self) -> f64 {
        self.affine.determinant().abs()
    }
}
