//! From the voxels of a label to triangles.

use super::cases::{Edge, Polygon, cases};
use super::smooth::smooth;
use super::{Mesh, SurfaceError};
use crate::label::Label;
use crate::volume::{Affine, Volume};

/// No vertex yet.
const NONE: u32 = u32::MAX;

/// The surface about the voxels of `label`, halfway between the centres of voxels inside and
/// outside; closed where the label meets the border of the volume too. `smoothing` rounds of
/// Taubin's filter (1995) then round the steps off, which moves vertices by less than a voxel and
/// keeps the volume.
///
/// # Errors
///
/// [`SurfaceError::Absent`] when no voxel has the label, [`SurfaceError::OutOfMemory`] when the
/// mesh does not fit.
pub fn surface(
    labels: &Volume<Label>,
    label: Label,
    smoothing: usize,
) -> Result<Mesh, SurfaceError> {
    let region = Region::of(labels, label).ok_or(SurfaceError::Absent { label })?;
    let vertices = region.crossings();
    let failed = |_| SurfaceError::OutOfMemory { vertices };
    if vertices >= NONE as usize / 2 {
        return Err(SurfaceError::OutOfMemory { vertices });
    }
    let mut mesh = Mesh::default();
    mesh.vertices.try_reserve(vertices).map_err(failed)?;
    mesh.triangles.try_reserve(2 * vertices).map_err(failed)?;
    march(&region, &labels.grid().affine, &mut mesh);
    smooth(&mut mesh, smoothing);
    Ok(mesh)
}

/// The box about a label, one voxel wider on all sides.
struct Region<'a> {
    labels: &'a Volume<Label>,
    label: Label,
    /// The voxel before the first, along each axis.
    origin: [isize; 3],
    size: [usize; 3],
}

impl<'a> Region<'a> {
    fn of(labels: &'a Volume<Label>, label: Label) -> Option<Self> {
        let [nx, ny, _] = labels.grid().shape;
        let (mut first, mut last) = ([usize::MAX; 3], [0; 3]);
        for (row, line) in labels.data().chunks_exact(nx.max(1)).enumerate() {
            let found = line.iter().position(|&v| v == label);
            let end = line.iter().rposition(|&v| v == label);
            if let (Some(start), Some(end)) = (found, end) {
                for p in [start, end].map(|x| [x, row % ny, row / ny]) {
                    for axis in 0..3 {
                        first[axis] = first[axis].min(p[axis]);
                        last[axis] = last[axis].max(p[axis]);
                    }
                }
            }
        }
        (first[0] != usize::MAX).then(|| Self {
            labels,
            label,
            origin: first.map(|p| p as isize - 1),
            size: [0, 1, 2].map(|axis| last[axis] - first[axis] + 3),
        })
    }

    /// Whether a voxel of the region has the label.
    fn has(&self, p: [usize; 3]) -> bool {
        let shape = self.labels.grid().shape;
        let mut at = 0;
        for axis in [2, 1, 0] {
            match p[axis].checked_add_signed(self.origin[axis]) {
                Some(q) if q < shape[axis] => at = at * shape[axis] + q,
                _ => return false,
            }
        }
        self.labels.data()[at] == self.label
    }

    /// Pairs of neighbours of which one has the label.
    fn crossings(&self) -> usize {
        let [nx, ny, nz] = self.size;
        let mut count = 0;
        for z in 0..nz {
            for y in 0..ny {
                for x in 0..nx {
                    let here = self.has([x, y, z]);
                    count += usize::from(x + 1 < nx && here != self.has([x + 1, y, z]))
                        + usize::from(y + 1 < ny && here != self.has([x, y + 1, z]))
                        + usize::from(z + 1 < nz && here != self.has([x, y, z + 1]));
                }
            }
        }
        count
    }
}

/// Adds the triangles of all cubes of the region.
fn march(region: &Region<'_>, affine: &Affine, mesh: &mut Mesh) {
    let table = cases();
    let [nx, ny, nz] = region.size;
    let layer = 3 * nx * ny;
    // Vertices on the three edges from each voxel of two layers.
    let mut known = vec![NONE; 2 * layer];
    // A mirrored grid turns triangles inside out.
    let mirrored = affine.determinant() < 0.0;
    let world = |p: [f64; 3]| {
        let p = [0, 1, 2].map(|axis| p[axis] + region.origin[axis] as f64);
        affine.apply(p).map(|v| v as f32)
    };
    for z in 0..nz - 1 {
        known[(z + 1) % 2 * layer..][..layer].fill(NONE);
        for y in 0..ny - 1 {
            for x in 0..nx - 1 {
                let inside = (0..8).fold(0, |bits, c| {
                    let p = [x + (c & 1), y + (c >> 1 & 1), z + (c >> 2)];
                    bits | usize::from(region.has(p)) << c
                });
                for polygon in &table[inside] {
                    let mut vertex = |edge: &Edge| {
                        let c = edge.corner;
                        let p = [x + (c & 1), y + (c >> 1 & 1), z + (c >> 2)];
                        let slot = p[2] % 2 * layer + (p[1] * nx + p[0]) * 3 + edge.axis;
                        if known[slot] == NONE {
                            known[slot] = mesh.vertices.len() as u32;
                            let mut middle = p.map(|v| v as f64);
                            middle[edge.axis] += 0.5;
                            mesh.vertices.push(world(middle));
                        }
                        known[slot]
                    };
                    let ring: Vec<u32> = polygon.edges.iter().map(&mut vertex).collect();
                    add(polygon, &ring, mirrored, mesh);
                }
            }
        }
    }
}

/// Adds a polygon's triangles.
fn add(polygon: &Polygon, ring: &[u32], mirrored: bool, mesh: &mut Mesh) {
    let n = ring.len();
    let mut push = |[a, b, c]: [u32; 3]| {
        let triangle = if mirrored { [a, c, b] } else { [a, b, c] };
        mesh.triangles.push(triangle);
    };
    if let Some(fan) = polygon.fan {
        for step in 1..n - 1 {
            push([fan, fan + step, fan + step + 1].map(|i| ring[i % n]));
        }
        return;
    }
    let centre = mesh.vertices.len() as u32;
    for i in 0..n {
        push([centre, ring[i], ring[(i + 1) % n]]);
    }
    let mean = [0, 1, 2].map(|axis| {
        let sum: f32 = ring.iter().map(|&v| mesh.vertices[v as usize][axis]).sum();
        sum / n as f32
    });
    mesh.vertices.push(mean);
}
