//! Rotations: the one nearest to an affine, and their quaternions as NIfTI stores them.

use super::Affine;

/// A 3x3 matrix in rows.
pub(super) type Matrix3 = [[f64; 3]; 3];

/// The orthogonal matrix nearest to the affine's columns scaled to unit length, or `None` where
/// the affine is singular or not finite.
///
/// Newton's iteration `X <- (X + X^-T) / 2` converges quadratically to the polar factor that a
/// singular value decomposition would give.
pub(super) fn nearest_rotation(affine: &Affine) -> Option<Matrix3> {
    affine.inverse()?;
    let zoom = affine.spacing();
    let mut x = affine
        .0
        .map(|r| [r[0] / zoom[0], r[1] / zoom[1], r[2] / zoom[2]]);
    for _ in 0..60 {
        let inverse_transposed = inverse_transposed(&x)?;
        let mut change: f64 = 0.0;
        for (v, u) in x
            .iter_mut()
            .flatten()
            .zip(inverse_transposed.iter().flatten())
        {
            let mean = 0.5 * (*v + u);
            change = change.max((mean - *v).abs());
            *v = mean;
        }
        if change < 1e-15 {
            break;
        }
    }
    Some(x)
}

/// The transposed inverse: cofactors over the determinant.
fn inverse_transposed(m: &Matrix3) -> Option<Matrix3> {
    let mut out = [[0.0; 3]; 3];
    for (i, row) in out.iter_mut().enumerate() {
        let (r1, r2) = ((i + 1) % 3, (i + 2) % 3);
        for (j, v) in row.iter_mut().enumerate() {
            let (c1, c2) = ((j + 1) % 3, (j + 2) % 3);
            *v = m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1];
        }
    }
    let det: f64 = (0..3).map(|c| m[0][c] * out[0][c]).sum();
    let out = out.map(|r| r.map(|v| v / det));
    out.iter().flatten().all(|v| v.is_finite()).then_some(out)
}

/// The unit quaternion `[a, b, c, d]` with `a >= 0` of a rotation (determinant 1).
pub(super) fn to_quaternion(r: &Matrix3) -> [f64; 4] {
    // Four times the square of each component; the largest one divides.
    let squares = [
        1.0 + r[0][0] + r[1][1] + r[2][2],
        1.0 + r[0][0] - r[1][1] - r[2][2],
        1.0 - r[0][0] + r[1][1] - r[2][2],
        1.0 - r[0][0] - r[1][1] + r[2][2],
    ];
    let mut best = 0;
    for i in 1..4 {
        if squares[i] > squares[best] {
            best = i;
        }
    }
    let (ab, ac, ad) = (r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]);
    let (bc, bd, cd) = (r[1][0] + r[0][1], r[0][2] + r[2][0], r[2][1] + r[1][2]);
    let q = match best {
        0 => [squares[0], ab, ac, ad],
        1 => [ab, squares[1], bc, bd],
        2 => [ac, bc, squares[2], cd],
        _ => [ad, bd, cd, squares[3]],
    };
    let norm = q.iter().map(|v| v * v).sum::<f64>().sqrt();
    let sign = if q[0] < 0.0 { -norm } else { norm };
    q.map(|v| v / sign)
}

/// The rotation of a quaternion `[a, b, c, d]` that need not have unit length; the identity where
/// it is 0.
pub(super) fn from_quaternion([a, b, c, d]: [f64; 4]) -> Matrix3 {
    let norm = a * a + b * b + c * c + d * d;
    if norm < f64::EPSILON {
        return [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]];
    }
    let s = 2.0 / norm;
    [
        [
            1.0 - s * (c * c + d * d),
            s * (b * c - a * d),
            s * (b * d + a * c),
        ],
        [
            s * (b * c + a * d),
            1.0 - s * (b * b + d * d),
            s * (c * d - a * b),
        ],
        [
            s * (b * d - a * c),
            s * (c * d + a * b),
            1.0 - s * (b * b + c * c),
        ],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: &Matrix3, b: &Matrix3, eps: f64) -> bool {
        a.iter()
            .flatten()
            .zip(b.iter().flatten())
            .all(|(x, y)| (x - y).abs() <= eps)
    }

    #[test]
    fn quaternions_round_trip_whichever_component_is_largest() {
        let samples = [
            [1.0, 0.0, 0.0, 0.0],
            [0.9, 0.1, -0.3, 0.2],
            [0.1, 0.9, 0.2, -0.1],
            [0.0, 0.3, -0.9, 0.1],
            [0.05, -0.1, 0.2, -0.95],
            [0.0, 1.0, 0.0, 0.0],
        ];
        for q in samples {
            let r = from_quaternion(q);
            let p = to_quaternion(&r);
            assert!(p[0] >= 0.0);
            assert!((p.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-14);
            assert!(close(&from_quaternion(p), &r, 1e-14), "{q:?} {p:?}");
        }
        assert!(close(
            &from_quaternion([0.0; 4]),
            &from_quaternion([1., 0., 0., 0.]),
            0.0
        ));
    }

    #[test]
    fn the_nearest_rotation_is_orthogonal_and_undoes_shear_symmetrically() {
        let r = from_quaternion([0.9, 0.1, -0.3, 0.2]);
        // A symmetric stretch with equal column norms leaves the polar factor alone.
        let stretch = [[2.0, 0.1, 0.1], [0.1, 2.0, 0.1], [0.1, 0.1, 2.0]];
        let mut m = [[0.0; 4]; 3];
        for i in 0..3 {
            for j in 0..3 {
                m[i][j] = (0..3).map(|k| r[i][k] * stretch[k][j]).sum();
            }
        }
        let found = nearest_rotation(&Affine(m)).expect("not singular");
        assert!(close(&found, &r, 1e-14));
        // A reflection stays one.
        let mirrored = Affine(m.map(|row| [-row[0], row[1], row[2], 5.0]));
        let found = nearest_rotation(&mirrored).expect("not singular");
        let det = Affine(found.map(|row| [row[0], row[1], row[2], 0.0])).determinant();
        assert!((det + 1.0).abs() < 1e-14);
    }
}
