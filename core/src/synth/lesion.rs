//! Lesions: where they are, how large, and what they are made of.
//!
//! A lesion is a few smooth functions on the lattice, negative inside, each of a tissue and for
//! the regions of the brain that it may replace. Sizes are log-normal: many small lesions, few
//! large ones.

mod stroke;
mod tumour;
mod wmh;

use serde::{Deserialize, Serialize};

use super::lattice::Layer;
use super::region::{RegionMap, Regions};
use super::shape::Point;
use super::subject::normal;
use super::tissue::Tissue;
use crate::augment::Random;

/// A kind of lesion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LesionKind {
    /// A glioma-like tumour: core, enhancing part, oedema.
    Tumour,
    /// An ischaemic stroke.
    Stroke,
    /// White-matter hyperintensities.
    Wmh,
}

impl LesionKind {
    /// All kinds, in the order in which masks number them.
    pub const ALL: [Self; 3] = [Self::Tumour, Self::Stroke, Self::Wmh];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tumour => "tumour",
            Self::Stroke => "stroke",
            Self::Wmh => "wmh",
        }
    }

    /// Names of the labels that its mask has, from 1 on.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Tumour => &["tumour core", "oedema", "enhancing tumour"],
            Self::Stroke => &["stroke"],
            Self::Wmh => &["white-matter hyperintensity"],
        }
    }
}

/// One tissue of a lesion.
#[derive(Clone, Debug)]
pub(super) struct LesionPart {
    pub(super) tissue: Tissue,
    /// Its label among those of the kind, from 1.
    pub(super) label: u8,
    /// What it may replace.
    pub(super) within: Regions,
    /// Side that it is confined to, 0 for both.
    pub(super) side: i8,
    /// Signed distance, about mm.
    pub(super) layer: Layer,
}

/// Tissue that is pushed away from a growing ball.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MassEffect {
    pub(super) centre: Point,
    /// Radius of the ball, mm.
    pub(super) radius: f32,
    /// Share of the ball's volume that has made its room by pushing.
    pub(super) strength: f32,
    /// How far from the centre tissue moves, mm.
    pub(super) reach: f32,
}

impl MassEffect {
    /// Where what is now at `p` was before.
    #[inline]
    pub(super) fn before(&self, p: Point) -> Point {
        let d = [0, 1, 2].map(|a| p[a] - self.centre[a]);
        let r = super::shape::length(d);
        if r >= self.reach || r < 1e-3 {
            return p;
        }
        // Volume is kept: r^3 grows by the same everywhere, but the push fades with distance.
        let cube = r.powi(3) - self.strength * self.radius.powi(3);
        let pushed = r - cube.max(0.0).cbrt();
        let fade = 1.0 - super::shape::step(0.8 * self.radius, self.reach, r);
        let scale = 1.0 - pushed * fade / r;
        [0, 1, 2].map(|a| self.centre[a] + d[a] * scale)
    }
}

/// A lesion, or several of one kind.
#[derive(Clone, Debug)]
pub(super) struct Lesion {
    pub(super) parts: Vec<LesionPart>,
}

/// A tumour that is drawn before the head is made, because it pushes tissue away.
pub(super) use self::tumour::Tumour;

/// Draws a lesion of a kind into the regions; nothing where they have no room for one.
pub(super) fn draw(kind: LesionKind, map: &RegionMap, age: f64, seed: u64) -> Option<Lesion> {
    let mut random = Random::new(seed, 10 + kind as u64);
    match kind {
        LesionKind::Tumour => {
            let tumour = Tumour::draw(&mut random, |random| {
                let nodes = map.nodes(Regions::INNER, 0);
                let place = |i: usize| (map.position(nodes[i]), f32::MAX);
                (!nodes.is_empty()).then(|| place(random.whole(0, nodes.len() - 1)))
            })?;
            Some(tumour.lesion(map))
        }
        LesionKind::Stroke => stroke::draw(&mut random, map),
        LesionKind::Wmh => wmh::draw(&mut random, map, age),
    }
}

/// A log-normal number.
fn log_normal(random: &mut Random, median: f64, sigma: f64) -> f64 {
    median * normal(random, 0.0, sigma).exp()
}
