//! Files of meshes.

use std::io::{Result, Write};

use super::Mesh;
use super::mesh::{cross, dot};

/// Writes a binary STL file: triangles with their normals, in mm.
///
/// # Errors
///
/// Those of `writer`.
pub fn write_stl<W: Write>(mut writer: W, mesh: &Mesh) -> Result<()> {
    let mut header = [b' '; 80];
    header[..10].copy_from_slice(b"amaes (mm)");
    writer.write_all(&header)?;
    writer.write_all(&(mesh.triangles.len() as u32).to_le_bytes())?;
    for triangle in &mesh.triangles {
        let [a, b, c] = mesh.corners(triangle);
        let side = |p: [f64; 3]| [0, 1, 2].map(|i| p[i] - a[i]);
        let normal = cross(side(b), side(c));
        let length = dot(normal, normal).sqrt();
        let unit = normal.map(|v| {
            if length > 0.0 {
                (v / length) as f32
            } else {
                0.0
            }
        });
        let places = triangle.map(|v| mesh.vertices[v as usize]);
        for value in unit.into_iter().chain(places.into_iter().flatten()) {
            writer.write_all(&value.to_le_bytes())?;
        }
        writer.write_all(&[0; 2])?;
    }
    writer.flush()
}

/// Writes a binary PLY file: vertices in mm, and triangles.
///
/// # Errors
///
/// Those of `writer`.
pub fn write_ply<W: Write>(mut writer: W, mesh: &Mesh) -> Result<()> {
    write!(
        writer,
        "ply\nformat binary_little_endian 1.0\ncomment amaes (mm)\n\
         element vertex {}\nproperty float x\nproperty float y\nproperty float z\n\
         element face {}\nproperty list uchar int vertex_indices\nend_header\n",
        mesh.vertices.len(),
        mesh.triangles.len(),
    )?;
    for value in mesh.vertices.iter().flatten() {
        writer.write_all(&value.to_le_bytes())?;
    }
    for triangle in &mesh.triangles {
        writer.write_all(&[3])?;
        for index in triangle {
            writer.write_all(&(*index as i32).to_le_bytes())?;
        }
    }
    writer.flush()
}
