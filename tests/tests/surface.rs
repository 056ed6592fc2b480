//! Surfaces: closed whatever the voxels, of the right volume, in the right place.

use amaes_core::label::Label;
use amaes_core::surface::{Mesh, surface, write_ply, write_stl};
use amaes_core::volume::{Affine, Grid, Volume};

fn volume(shape: [usize; 3], affine: Affine, label: impl Fn([usize; 3]) -> Label) -> Volume<Label> {
    let [nx, ny, nz] = shape;
    let voxels = (0..nx * ny * nz).map(|i| label([i % nx, i / nx % ny, i / (nx * ny)]));
    Volume::new(Grid { shape, affine }, voxels.collect()).expect("as many values")
}

const OBLIQUE: Affine = Affine([
    [0.8, -0.6, 0.0, -20.0],
    [0.6, 0.8, 0.0, 11.0],
    [0.0, 0.0, 2.5, 300.0],
]);
const MIRRORED: Affine = Affine([
    [-1.0, 0.0, 0.0, 90.0],
    [0.0, 1.0, 0.0, -126.0],
    [0.0, 0.0, 1.0, -72.0],
]);

/// A linear congruential generator, the same every time.
fn noise(seed: u32) -> impl Fn([usize; 3]) -> Label {
    move |[x, y, z]| {
        let mut state = seed ^ (x + 37 * y + 1369 * z) as u32;
        for _ in 0..4 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state ^= state >> 13;
        }
        u16::from(state >> 16 & 1 == 1) * 2
    }
}

#[test]
fn noise_gives_closed_surfaces() {
    for (seed, affine) in [(1, OBLIQUE), (2, MIRRORED), (3, Affine::IDENTITY)] {
        let labels = volume([13, 11, 12], affine, noise(seed));
        for smoothing in [0, 4] {
            let mesh = surface(&labels, 2, smoothing).expect("a surface");
            assert!(mesh.is_closed(), "seed {seed}");
            assert!(mesh.volume_mm3() > 0.0, "seed {seed}");
        }
        // Each vertex's triangles form one ring: as many corners as different neighbours.
        let mesh = surface(&labels, 2, 0).expect("a surface");
        assert!(rings(&mesh), "seed {seed}");
    }
}

/// Whether the triangles about every vertex are one ring.
fn rings(mesh: &Mesh) -> bool {
    let mut next = vec![std::collections::HashMap::new(); mesh.vertices.len()];
    for [a, b, c] in &mesh.triangles {
        for (v, from, to) in [(a, b, c), (b, c, a), (c, a, b)] {
            next[*v as usize].insert(*from, *to);
        }
    }
    next.iter().all(|next| {
        let Some((&start, &first)) = next.iter().next() else {
            return false;
        };
        let (mut at, mut steps) = (first, 1);
        while at != start && steps <= next.len() {
            at = next[&at];
            steps += 1;
        }
        steps == next.len()
    })
}

#[test]
fn volumes_are_those_of_the_voxels() {
    // A ball of 20 voxels, of 2 mm^3 each.
    let inside = |p: [usize; 3]| {
        let r2: f64 = p.iter().map(|&v| (v as f64 - 22.0).powi(2)).sum();
        u16::from(r2 <= 400.0) * 7
    };
    for affine in [OBLIQUE, MIRRORED] {
        let labels = volume([45; 3], affine, inside);
        let voxels = labels.data().iter().filter(|&&v| v == 7).count() as f64;
        let expected = voxels * affine.determinant().abs();
        for smoothing in [0, 10] {
            let mesh = surface(&labels, 7, smoothing).expect("a surface");
            let ratio = mesh.volume_mm3() / expected;
            assert!((ratio - 1.0).abs() < 0.01, "{smoothing} rounds: {ratio}");
        }
        // The centre of the ball, and its radius along the first axis.
        let mesh = surface(&labels, 7, 0).expect("a surface");
        let centre = affine.apply([22.0; 3]);
        for (axis, centre) in centre.into_iter().enumerate() {
            let along = || mesh.vertices.iter().map(|v| f64::from(v[axis]));
            let (low, high) = (
                along().fold(f64::MAX, f64::min),
                along().fold(f64::MIN, f64::max),
            );
            assert!((low + high - 2.0 * centre).abs() < 1e-3);
            let reach = 20.5
                * affine.0[axis]
                    .iter()
                    .take(3)
                    .map(|v| v * v)
                    .sum::<f64>()
                    .sqrt();
            assert!(((high - low) / 2.0 / reach - 1.0).abs() < 0.05);
        }
    }
}

#[test]
fn labels_at_the_border_are_closed_and_absent_ones_refused() {
    let labels = volume([3, 4, 5], Affine::IDENTITY, |_| 1);
    let mesh = surface(&labels, 1, 0).expect("a surface");
    assert!(mesh.is_closed());
    // A box less what its cut edges and corners take: 4 mm of edges of 1/8 mm^2 for each voxel
    // along them, and 8 corners.
    let faces = 3.0 * 4.0 * 5.0;
    let edges = 4.0 * (2.0 + 3.0 + 4.0) / 8.0;
    assert!((faces - edges - mesh.volume_mm3()).abs() < 8.0 * 0.25);
    let error = surface(&labels, 9, 0).expect_err("absent").to_string();
    assert!(error.contains('9'), "{error}");
}

#[test]
fn files_hold_the_mesh() {
    let mesh = surface(&volume([3; 3], OBLIQUE, |_| 1), 1, 0).expect("a surface");
    let (mut stl, mut ply) = (Vec::new(), Vec::new());
    write_stl(&mut stl, &mesh).expect("memory");
    write_ply(&mut ply, &mesh).expect("memory");
    assert_eq!(stl.len(), 84 + 50 * mesh.triangles.len());
    let float = |at: usize| f32::from_le_bytes([stl[at], stl[at + 1], stl[at + 2], stl[at + 3]]);
    let corner: [f32; 3] = [0, 1, 2].map(|i| float(84 + 12 + 4 * i));
    assert_eq!(corner, mesh.vertices[mesh.triangles[0][0] as usize]);
    let normal: f32 = [0, 1, 2].map(|i| float(84 + 4 * i).powi(2)).iter().sum();
    assert!((normal - 1.0).abs() < 1e-5);
    let header = format!("element vertex {}\n", mesh.vertices.len());
    let text = String::from_utf8_lossy(&ply[..200]).into_owned();
    assert!(text.contains(&header), "{text}");
    let body = 12 * mesh.vertices.len() + 13 * mesh.triangles.len();
    let start = text.find("end_header\n").expect("a header") + "end_header\n".len();
    assert_eq!(ply.len(), start + body);
}
