//! Surfaces of labels: closed triangle meshes in world mm, for printing and for viewers.
//!
//! Marching cubes (Lorensen and Cline 1987) over the voxel centres of one label, with its 256 cases
//! derived rather than listed: on every face of a cube the corners of the label are kept apart, so
//! that neighbouring cubes agree, and no diagonal of a polygon lies in a face, so that every edge
//! belongs to exactly two triangles.

mod cases;
mod error;
mod extract;
mod mesh;
mod smooth;
mod write;

pub use self::error::SurfaceError;
pub use self::extract::surface;
pub use self::mesh::Mesh;
pub(crate) use self::mesh::dot;
pub use self::write::{write_ply, write_stl};
