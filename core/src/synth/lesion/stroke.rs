//! Ischaemic stroke: a wedge with its base on the cortex, or a lacune in the depth, within one
//! hemisphere.

use super::super::lattice::Layer;
use super::super::region::{Region, RegionMap, Regions};
use super::super::shape::{Point, length};
use super::super::tissue::Tissue;
use super::super::waves::Waves;
use super::{Lesion, LesionPart, log_normal};
use crate::augment::Random;

pub(super) fn draw(random: &mut Random, map: &RegionMap) -> Option<Lesion> {
    let side = if random.happens(0.5) { -1 } else { 1 };
    let nodes = map.nodes(Regions::CEREBRUM, side);
    let inner = map.nodes(Regions::INNER, side);
    if nodes.is_empty() || inner.is_empty() {
        return None;
    }
    // mL.
    let volume = log_normal(random, 14.0, 1.15).clamp(0.4, 0.45 * nodes.len() as f64 * map.cell());
    let ragged = Waves::draw(random, 50, [9.0, 34.0]).on(&map.lattice);
    let lacune = volume < 3.0 && random.happens(0.6);
    let level = match lacune {
        true => {
            let centre = map.position(inner[random.whole(0, inner.len() - 1)]);
            let radius = (volume / 4.19e-3).cbrt() as f32;
            let node = |i: usize| {
                let p = map.position(i);
                length([0, 1, 2].map(|a| p[a] - centre[a])) - radius * (1.0 + 0.12 * ragged[i])
            };
            (0..ragged.len()).map(node).collect()
        }
        false => wedge(random, map, &nodes, volume, &ragged)?,
    };
    let layer = |offset: f32| {
        let moved: Vec<f32> = level.iter().map(|v: &f32| v + offset).collect();
        Layer::cropped(&map.lattice, &moved, 6.0)
    };
    let part = |tissue, offset| LesionPart {
        tissue,
        label: 1,
        within: Regions::CEREBRUM,
        side,
        layer: layer(offset),
    };
    // An old one is a cavity within a scar.
    let parts = match random.happens(0.6) {
        true => vec![part(Tissue::AcuteStroke, 0.0)],
        false => {
            let rim = random.between([1.5, 5.0]) as f32;
            vec![part(Tissue::Gliosis, 0.0), part(Tissue::Cavity, rim)]
        }
    };
    Some(Lesion { parts })
}

/// A cone from within to a place on the cortex, as wide as the volume asks for.
fn wedge(
    random: &mut Random,
    map: &RegionMap,
    nodes: &[usize],
    volume: f64,
    ragged: &[f32],
) -> Option<Vec<f32>> {
    let cortex: Vec<usize> = nodes
        .iter()
        .copied()
        .filter(|&i| map.regions[i] == Region::Cortex)
        .collect();
    if cortex.is_empty() {
        return None;
    }
    let mut middle = [0.0f32; 3];
    for &i in nodes {
        for (m, v) in middle.iter_mut().zip(map.position(i)) {
            *m += v / nodes.len() as f32;
        }
    }
    // A base on the outer surface: of a few places, that farthest from the middle.
    let away = |p: Point| length([0, 1, 2].map(|a| p[a] - middle[a]));
    let picks = [(); 6].map(|()| map.position(cortex[random.whole(0, cortex.len() - 1)]));
    let base = picks
        .into_iter()
        .max_by(|a, b| away(*a).total_cmp(&away(*b)))?;
    let out = {
        let d = [0, 1, 2].map(|a| base[a] - middle[a]);
        d.map(|v| v / length(d).max(1e-3))
    };
    let depth = (2.2 * (volume * 1000.0).cbrt()).clamp(14.0, 62.0) as f32;
    let apex = [0, 1, 2].map(|a| base[a] - out[a] * depth);
    let level = |i: usize, slope: f32| {
        let p = map.position(i);
        let d = [0, 1, 2].map(|a| p[a] - apex[a]);
        let along: f32 = (0..3).map(|a| d[a] * out[a]).sum();
        let off = length([0, 1, 2].map(|a| d[a] - along * out[a]));
        let cosine = 1.0 / (1.0 + slope * slope).sqrt();
        (off - along * slope) * cosine + 1.6 * ragged[i]
    };
    // The half angle that gives the volume, by bisection.
    let (mut low, mut high) = (0.05f32, 1.6f32);
    for _ in 0..14 {
        let slope = 0.5 * (low + high);
        let count = nodes.iter().filter(|&&i| level(i, slope) < 0.0).count();
        match count as f64 * map.cell() < volume {
            true => low = slope,
            false => high = slope,
        }
    }
    Some((0..ragged.len()).map(|i| level(i, high)).collect())
}
