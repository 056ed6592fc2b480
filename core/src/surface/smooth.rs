//! Rounding off the steps of voxels.

use super::Mesh;

/// Taubin's pair of factors: towards the mean of the neighbours, then a little further back, so
/// that the mesh does not shrink.
const FACTORS: [f32; 2] = [0.5, -0.53];

/// Filters the vertices `rounds` times; triangles stay as they are.
pub(super) fn smooth(mesh: &mut Mesh, rounds: usize) {
    if rounds == 0 {
        return;
    }
    let count = mesh.vertices.len();
    // Each vertex is followed once by each neighbour, since the mesh is closed.
    let mut degree = vec![0u32; count];
    for triangle in &mesh.triangles {
        for &v in triangle {
            degree[v as usize] += 1;
        }
    }
    let mut sums = vec![[0.0; 3]; count];
    for factor in FACTORS.into_iter().cycle().take(2 * rounds) {
        sums.fill([0.0; 3]);
        for &[a, b, c] in &mesh.triangles {
            for (v, next) in [(a, b), (b, c), (c, a)] {
                let from = mesh.vertices[next as usize];
                let sum = &mut sums[v as usize];
                *sum = [0, 1, 2].map(|i| sum[i] + from[i]);
            }
        }
        for ((v, sum), &n) in mesh.vertices.iter_mut().zip(&sums).zip(&degree) {
            *v = [0, 1, 2].map(|i| v[i] + factor * (sum[i] / n as f32 - v[i]));
        }
    }
}
