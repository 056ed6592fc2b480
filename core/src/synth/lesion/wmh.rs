//! White-matter hyperintensities: caps and bands about the ventricles, and points in the deep
//! white matter.

use super::super::lattice::Layer;
use super::super::region::{Region, RegionMap, Regions};
use super::super::shape::length;
use super::super::tissue::Tissue;
use super::super::waves::Waves;
use super::{Lesion, LesionPart, log_normal};
use crate::augment::Random;

/// How far from the ventricles caps reach, mm.
const REACH: f32 = 26.0;
/// mm that one unit of the caps' field stands for.
const SLOPE: f32 = 7.0;

pub(super) fn draw(random: &mut Random, map: &RegionMap, age: f64) -> Option<Lesion> {
    let white = map.nodes(Regions::WHITE, 0);
    if white.is_empty() {
        return None;
    }
    let old = ((age - 40.0) / 40.0).clamp(-0.5, 1.2);
    // mL; the load doubles about every ten years.
    let load = log_normal(random, 5.0 * 2f64.powf(2.4 * old), 0.9).clamp(0.3, 90.0);
    let about = load * random.between([0.5, 0.85]);
    let mut level = caps(random, map, &white, about);
    let mut left = load - about;
    let mut count = 0;
    while left > 0.0 && count < 220 {
        let radius = log_normal(random, 1.9, 0.42).clamp(1.1, 7.5);
        left -= 4.19e-3 * radius.powi(3);
        // At a node, so that the smallest do not fall between them.
        let centre = map.position(white[random.whole(0, white.len() - 1)]);
        point(random, map, &mut level, centre, radius as f32);
        count += 1;
    }
    let layer = Layer::cropped(&map.lattice, &level, 6.0);
    Some(Lesion {
        parts: vec![LesionPart {
            tissue: Tissue::Hyperintensity,
            label: 1,
            within: Regions::WHITE,
            side: 0,
            layer,
        }],
    })
}

/// What lies near the ventricles and is raised by a random field, as much as is asked for (mL).
fn caps(random: &mut Random, map: &RegionMap, white: &[usize], volume: f64) -> Vec<f32> {
    let distance = map.distance(Region::Ventricle, REACH);
    // Not about the third ventricle.
    let middle = map.distance(Region::Hind, 10.0);
    let coarse = Waves::draw(random, 50, [9.0, 26.0]).on(&map.lattice);
    let wide = Waves::draw(random, 20, [40.0, 90.0]).on(&map.lattice);
    let field: Vec<f32> = (0..distance.len())
        .map(|i| {
            let near = 2.4 * (-distance[i] / 5.5).exp();
            match distance[i] < REACH && middle[i] > 7.0 && !between(map, i) {
                true => near * (1.0 + 0.45 * wide[i]) + 0.42 * coarse[i],
                false => f32::MIN,
            }
        })
        .collect();
    let mut values: Vec<f32> = white.iter().map(|&i| field[i]).collect();
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    let wanted = (volume / map.cell()) as usize;
    let threshold = values[wanted.min(values.len() - 1)].max(0.25);
    field
        .iter()
        .map(|v| SLOPE * (threshold - v).min(1.0))
        .collect()
}

/// Whether a node lies between the halves: in the middle of the callosum, the septum or fornix.
fn between(map: &RegionMap, node: usize) -> bool {
    let here = map.sides[node];
    let around = node.saturating_sub(2)..(node + 3).min(map.sides.len());
    here != 0 && map.sides[around].contains(&-here)
}

/// A small ellipsoid.
fn point(random: &mut Random, map: &RegionMap, level: &mut [f32], centre: [f32; 3], radius: f32) {
    let stretch = [(); 3].map(|()| random.between([0.75, 1.35]) as f32);
    let [nx, ny, _] = map.lattice.shape;
    let span = 2.0 * radius + 6.0;
    let range = [0, 1, 2].map(|a| {
        let from = map.lattice.locate(a, centre[a] - span).0;
        from..map.lattice.locate(a, centre[a] + span).0 + 1
    });
    for k in range[2].clone() {
        for j in range[1].clone() {
            for i in range[0].clone() {
                let node = i + nx * (j + ny * k);
                let p = map.position(node);
                let d = [0, 1, 2].map(|a| (p[a] - centre[a]) / stretch[a]);
                level[node] = level[node].min(length(d) - radius);
            }
        }
    }
}
