//! Folds of cerebrum and cerebellum.
//!
//! Sulci of the cerebrum are sheets that stand on its envelope. Where they meet it, they are the
//! zero lines of a random field with a narrow spectrum, whose lines keep half a wave apart and
//! meander as gyri do; they go down to a depth that changes from place to place. Part of the field
//! is one for all people and both hemispheres, which gives the large sulci their places.

use super::lattice::Lattice;
use super::shape::{Point, length, step};
use super::sketch::{COMMON, FOLD_LENGTHS, FOLDS, LATTICE};
use super::subject::Subject;
use super::waves::Waves;
use crate::augment::Random;

/// Depth (mm) below the envelope at which the pattern is read: the middle of the gyri.
const LEVEL: f32 = 3.0;
/// Share of the direction that sulci stand along: 1 is straight down.
const STRAIGHT: f32 = 0.92;

/// Phase of the folia for each radian about the white matter; fissures lie pi of phase apart.
pub(super) const FOLIA: f32 = 11.0;
/// Share of the folds' field that is one's own, as a factor of its standard deviation.
const OWN: f32 = 0.72;

/// What the folds depend on, at the nodes of the lattice.
pub(super) struct Surroundings<'a> {
    pub(super) cerebrum: &'a [f32],
    pub(super) midline: [&'a [f32]; 2],
    pub(super) bare: &'a [f32],
    pub(super) template: [&'a [f32]; 3],
    pub(super) scale: f32,
}

/// The two fields of the sulci at the nodes: across and beyond, mm.
pub(super) fn sulci(
    subject: &Subject,
    around: &Surroundings<'_>,
    random: &mut Random,
) -> [Vec<f32>; 2] {
    let (nodes, folds) = (LATTICE, FOLDS);
    // One's own share and everyone's, the latter alike on both sides.
    let mixed = |random: &mut Random, stream: u64, count: usize, lengths: [f64; 2]| -> Vec<f32> {
        let own = Waves::draw(random, count, lengths).on(&folds);
        let common = Waves::draw(&mut Random::new(COMMON, stream), count, lengths).on(&folds);
        let nx = folds.shape[0];
        let mirrored = |i: usize| {
            let (row, x) = (i / nx, i % nx);
            common[row * nx + x.max(nx - 1 - x)]
        };
        let both = own.iter().enumerate();
        both.map(|(i, v)| OWN * v + (1.0 - OWN * OWN).sqrt() * mirrored(i))
            .collect()
    };
    let pattern = mixed(random, 0, 110, FOLD_LENGTHS);
    let depth = mixed(random, 1, 40, [24.0, 60.0]);
    // Hemispheres as solids of their own, rounded where the medial wall meets the envelope.
    let hemisphere: Vec<f32> = (0..nodes.nodes())
        .map(|i| {
            let outer = around.cerebrum[i];
            if outer > 4.0 {
                return outer;
            }
            let (across, beyond) = (around.midline[0][i], around.midline[1][i].max(0.0));
            let medial = -((across * across + beyond * beyond).sqrt() - 1.0);
            super::shape::intersection(outer, medial, 8.0)
        })
        .collect();
    let wave = (FOLD_LENGTHS[0] * FOLD_LENGTHS[1]).sqrt() as f32;
    let k = std::f32::consts::TAU / wave;
    let far = 12.0;
    let mut out = [vec![far; nodes.nodes()], vec![far; nodes.nodes()]];
    let reach = subject.cortex as f32;
    for_inner(&nodes, |i, p| {
        let deep = -hemisphere[i];
        if !(-4.0..30.0).contains(&deep) {
            return;
        }
        let g = gradient(&nodes, &hemisphere, i);
        let slope = length(g);
        if slope < 0.2 {
            return;
        }
        let normal = g.map(|v| v / slope);
        let lift = (deep - LEVEL) * STRAIGHT;
        let foot = [0, 1, 2].map(|a| p[a] + normal[a] * lift);
        let foot = [0, 1, 2].map(|a| nodes.sample(around.template[a], foot));
        let value = folds.sample(&pattern, foot);
        // Slope along the envelope, by differences of a millimetre and a half each way.
        let h = 1.5;
        let mut square = 0.0;
        for along in tangents(normal) {
            let at = |h: f32| [0, 1, 2].map(|a| foot[a] + h * along[a]);
            let rise = folds.sample(&pattern, at(h)) - folds.sample(&pattern, at(-h));
            square += (rise / (2.0 * h)).powi(2);
        }
        let phase = (k * value.abs()).atan2(square.sqrt()) / k;
        // Sheets draw nearer to each other on the way down.
        let narrow = (1.0 - (deep - LEVEL).max(0.0) / 85.0).max(0.6);
        out[0][i] = (phase * narrow * around.scale).copysign(value);
        let bottom = (15.0 + 6.5 * folds.sample(&depth, foot)).clamp(2.5, 27.0);
        // Not where directions are uncertain (between two walls), nor where there is no cortex.
        let unsure = 12.0 * step(0.97, 0.7, slope) + 4.0 * around.bare[i];
        out[1][i] = deep - (bottom - reach * 0.3) + unsure;
    });
    out
}

/// The two fields of the cerebellum's folia at the nodes: phase, and mm a radian.
pub(super) fn folia(
    cerebellum: &[f32],
    at: impl Fn(usize) -> Point,
    scale: f32,
    random: &mut Random,
) -> [Vec<f32>; 2] {
    let nodes = LATTICE;
    let mut out = [vec![0.0; nodes.nodes()], vec![1.0; nodes.nodes()]];
    let coarse = Lattice {
        origin: [-64.0, -110.0, -70.0],
        spacing: 5.0,
        shape: [27, 20, 15],
    };
    let wobble = Waves::draw(random, 30, [18.0, 45.0]).on(&coarse);
    // Sheets fan out from the white matter near the fourth ventricle, as the tree of life does.
    let count = FOLIA;
    for (i, &v) in cerebellum.iter().enumerate() {
        if v > 4.0 {
            continue;
        }
        let p = at(i);
        let x = p[0].abs();
        let (y, z) = (-(p[1] + 44.0 + 0.35 * x), p[2] + 37.0 - 0.1 * x);
        let radius = (y * y + z * z).sqrt().max(4.0);
        let angle = z.atan2(y);
        out[0][i] = count * angle + 1.3 * coarse.sample(&wobble, p);
        out[1][i] = scale * radius / count;
    }
    out
}

/// Two directions across another, and across each other.
fn tangents(n: Point) -> [Point; 2] {
    let cross = |a: Point, b: Point| {
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    };
    let axis = match n[0].abs() < 0.7 {
        true => [1.0, 0.0, 0.0],
        false => [0.0, 1.0, 0.0],
    };
    let first = cross(n, axis);
    let first = first.map(|v| v / length(first));
    [first, cross(n, first)]
}

/// Calls with every node that has neighbours on all sides.
fn for_inner(nodes: &Lattice, mut f: impl FnMut(usize, Point)) {
    let [nx, ny, nz] = nodes.shape;
    for k in 1..nz - 1 {
        for j in 1..ny - 1 {
            for i in 1..nx - 1 {
                let p = [
                    nodes.position(0, i),
                    nodes.position(1, j),
                    nodes.position(2, k),
                ];
                f(i + nx * (j + ny * k), p);
            }
        }
    }
}

/// Gradient at an inner node, by central differences.
fn gradient(nodes: &Lattice, field: &[f32], i: usize) -> Point {
    let strides = [1, nodes.shape[0], nodes.shape[0] * nodes.shape[1]];
    strides.map(|s| (field[i + s] - field[i - s]) / (2.0 * nodes.spacing))
}
