//! A glioma-like tumour: a core, which may enhance and be necrotic within, oedema that follows the
//! white matter, and tissue pushed away.

use super::super::lattice::Layer;
use super::super::region::{RegionMap, Regions};
use super::super::shape::{Point, length};
use super::super::tissue::Tissue;
use super::super::waves::Waves;
use super::{Lesion, LesionPart, MassEffect, log_normal};
use crate::augment::Random;

/// Label of the core, with necrosis.
const CORE: u8 = 1;
/// Label of the oedema.
const OEDEMA: u8 = 2;
/// Label of what enhances.
const ENHANCING: u8 = 3;

/// How a tumour looks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Grade {
    /// No part enhances.
    Low,
    /// A rim enhances about a necrotic middle.
    High,
    /// All of it enhances.
    Solid,
}

/// A tumour before it is put into a head.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Tumour {
    centre: Point,
    depth: f32,
    radius: f32,
    stretch: Point,
    grade: Grade,
    oedema: f32,
    rim: f32,
    push: f32,
    seed: u64,
}

impl Tumour {
    /// Draws one at a place that `place` finds, if it finds any: a point and its depth below the
    /// surface, mm.
    pub(in super::super) fn draw(
        random: &mut Random,
        place: impl Fn(&mut Random) -> Option<(Point, f32)>,
    ) -> Option<Self> {
        let (centre, depth) = place(random)?;
        let chance = random.unit();
        let grade = match chance {
            c if c < 0.3 => Grade::Low,
            c if c < 0.85 => Grade::High,
            _ => Grade::Solid,
        };
        let median = if grade == Grade::Solid { 10.0 } else { 15.5 };
        let radius = log_normal(random, median, 0.38).clamp(5.0, 30.0) as f32;
        // The skull does not give way.
        let radius = radius.min(0.9 * depth);
        Some(Self {
            centre,
            depth,
            radius,
            stretch: [(); 3].map(|()| random.between([0.8, 1.25]) as f32),
            grade,
            oedema: match grade {
                Grade::Low => random.between([1.0, 5.0]),
                _ => random.between([5.0, 19.0]),
            } as f32,
            rim: (random.between([0.18, 0.42]) as f32 * radius).max(2.2),
            push: random.between([0.35, 0.85]) as f32,
            seed: random.seed(),
        })
    }

    /// How it pushes tissue away.
    pub(in super::super) fn mass(&self) -> MassEffect {
        MassEffect {
            centre: self.centre,
            radius: self.radius,
            strength: self.push,
            reach: (3.2 * self.radius).min(1.1 * self.depth),
        }
    }

    /// Its tissues, on the lattice of the regions.
    pub(in super::super) fn lesion(&self, map: &RegionMap) -> Lesion {
        let mut random = Random::new(self.seed, 0);
        let size = f64::from(self.radius);
        let lumps = Waves::draw(&mut random, 40, [0.7 * size, 2.2 * size]).on(&map.lattice);
        let fingers = Waves::draw(&mut random, 50, [10.0, 34.0]).on(&map.lattice);
        let inner = Waves::draw(&mut random, 40, [0.4 * size + 2.0, 1.4 * size]).on(&map.lattice);
        let reach = self.radius + self.oedema * 2.5 + 10.0;
        let outside = 6.0;
        let core: Vec<f32> = (0..lumps.len())
            .map(|i| {
                let p = map.position(i);
                let d = [0, 1, 2].map(|a| (p[a] - self.centre[a]) / self.stretch[a]);
                let r = length(d);
                match r < 1.4 * reach {
                    true => r - self.radius * (1.0 + 0.14 * lumps[i]),
                    false => f32::MAX,
                }
            })
            .collect();
        // The falx keeps a tumour on its side.
        let [i, j, k] = [0, 1, 2].map(|a| map.lattice.locate(a, self.centre[a]).0);
        let side = map.sides[i + map.lattice.shape[0] * (j + map.lattice.shape[1] * k)];
        let part = |tissue, label, within, f: &dyn Fn(usize) -> f32| {
            let level: Vec<f32> = (0..core.len()).map(f).collect();
            LesionPart {
                tissue,
                label,
                within,
                side,
                layer: Layer::cropped(&map.lattice, &level, outside),
            }
        };
        let swollen = |i: usize| core[i] - self.oedema * (1.0 + 0.6 * fingers[i]).max(0.1);
        let mut parts = vec![part(Tissue::Oedema, OEDEMA, Regions::WHITE, &swollen)];
        let all = Regions::WITH_VENTRICLES;
        let whole = |i: usize| core[i];
        match self.grade {
            Grade::Low => parts.push(part(Tissue::TumourCore, CORE, all, &whole)),
            Grade::High => {
                parts.push(part(Tissue::Enhancing, ENHANCING, all, &whole));
                let hollow = |i: usize| core[i] + self.rim * (1.0 + 0.35 * inner[i]).max(0.25);
                parts.push(part(Tissue::Necrosis, CORE, all, &hollow));
            }
            Grade::Solid => parts.push(part(Tissue::Enhancing, ENHANCING, all, &whole)),
        }
        Lesion { parts }
    }
}
