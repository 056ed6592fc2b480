//! A triangle mesh.

use std::collections::HashSet;

/// Triangles that share vertices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mesh {
    /// Places in world mm (RAS+).
    pub vertices: Vec<[f32; 3]>,
    /// Indices of vertices, counter-clockwise seen from outside.
    pub triangles: Vec<[u32; 3]>,
}

impl Mesh {
    /// The corners of a triangle in mm.
    pub(super) fn corners(&self, triangle: &[u32; 3]) -> [[f64; 3]; 3] {
        triangle.map(|v| self.vertices[v as usize].map(f64::from))
    }

    /// Volume enclosed in mm^3: positive where triangles face outwards.
    pub fn volume_mm3(&self) -> f64 {
        // About a vertex of the mesh, so that a far origin costs no digits.
        let origin = self.vertices.first().map_or([0.0; 3], |v| v.map(f64::from));
        let six: f64 = self
            .triangles
            .iter()
            .map(|t| {
                let [a, b, c] = self.corners(t).map(|p| [0, 1, 2].map(|i| p[i] - origin[i]));
                dot(a, cross(b, c))
            })
            .sum();
        six / 6.0
    }

    /// Whether every edge belongs to exactly two triangles, which run along it in opposite
    /// directions: the mesh has no border and one inside.
    pub fn is_closed(&self) -> bool {
        let mut edges = HashSet::new();
        for [a, b, c] in &self.triangles {
            for edge in [(a, b), (b, c), (c, a)] {
                if edge.0 == edge.1 || !edges.insert(edge) {
                    return false;
                }
            }
        }
        edges.iter().all(|&(a, b)| edges.contains(&(b, a)))
    }
}

pub(super) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
