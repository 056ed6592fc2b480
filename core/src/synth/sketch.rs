//! A head as smooth functions on a coarse lattice, from which any grid is painted.

use super::envelope::{Envelope, Sheet};
use super::lattice::{Lattice, Layer};
use super::lesion::MassEffect;
use super::part::Part;
use super::shape::{Point, intersection, step, union};
use super::solid::{Solid, cavities, deep, face, vessels};
use super::subject::Subject;
use super::waves::Waves;
use crate::augment::Random;

/// Where a head can be: mm in the scanner.
pub(super) const LATTICE: Lattice = Lattice {
    origin: [-95.0, -127.5, -105.0],
    spacing: 2.5,
    shape: [77, 97, 84],
};
/// Deformations are so smooth that fewer nodes do.
const SMOOTH: Lattice = Lattice {
    origin: [-95.0, -127.5, -105.0],
    spacing: 6.0,
    shape: [33, 41, 36],
};
/// The pattern of folds, in the template.
pub(super) const FOLDS: Lattice = Lattice {
    origin: [-83.75, -118.0, -60.0],
    spacing: 2.5,
    shape: [68, 80, 62],
};
/// Size of the template beside an average brain.
const TEMPLATE: f64 = 0.93;
/// What stands for far from a thing, and as much as deformations move, mm.
const FAR: f32 = 9.0;
/// Length of the folds' waves, mm: sulci lie half of it apart.
pub(super) const FOLD_LENGTHS: [f64; 2] = [17.0, 24.0];
/// Everyone's share of the folds.
pub(super) const COMMON: u64 = 0x0000_c0de_f01d;

/// The fields that are painted from. Distances are mm, negative inside.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    pub(super) lattice: Lattice,
    /// The skin.
    pub(super) head: Layer,
    /// What the dura encloses.
    pub(super) cranium: Layer,
    /// Thickness of the skull, mm.
    pub(super) skull: Layer,
    /// A random field: fat lies where it is about 0, marrow where it is low.
    pub(super) muscle: Layer,
    /// Side: negative on the left.
    pub(super) side: Layer,
    /// The cerebrum without fissures.
    pub(super) cerebrum: Layer,
    /// Fissures: across and beyond of the midline, the lateral fissure, the insula's cleft.
    pub(super) fissures: [[Layer; 2]; 3],
    /// Sulci: across and beyond.
    pub(super) sulci: [Layer; 2],
    /// Nearness to what has no cortex: thickness that is taken off.
    pub(super) bare: Layer,
    pub(super) cerebellum: Layer,
    /// Folia: their phase, and mm for each radian of it.
    pub(super) folia: [Layer; 2],
    pub(super) brainstem: Layer,
    pub(super) face: Vec<(Part, Layer)>,
    pub(super) cavities: Vec<(Part, Layer)>,
    pub(super) deep: Vec<(Part, Layer)>,
    pub(super) vessels: Vec<(Part, Layer)>,
}

/// The map from the scanner to the template.
struct Placement {
    /// Rows of the inverse rotation, divided by the scale.
    rows: [[f32; 3]; 3],
    shift: [f32; 3],
    /// mm of the scanner for one of the template.
    scale: f32,
}

impl Placement {
    fn new(subject: &Subject) -> Self {
        let [a, b, c] = subject.rotation.map(f64::to_radians);
        let (sa, ca) = a.sin_cos();
        let (sb, cb) = b.sin_cos();
        let (sc, cc) = c.sin_cos();
        // R = Rz Ry Rx.
        let r = [
            [cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa],
            [sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa],
            [-sb, cb * sa, cb * ca],
        ];
        let size = subject.scale.map(|s| s * TEMPLATE);
        Self {
            rows: [0, 1, 2].map(|i| [0, 1, 2].map(|j| (r[j][i] / size[i]) as f32)),
            shift: subject.shift.map(|s| s as f32),
            scale: (size.iter().product::<f64>()).cbrt() as f32,
        }
    }

    fn to_template(&self, p: Point) -> Point {
        let d = [0, 1, 2].map(|a| p[a] - self.shift[a]);
        self.rows.map(|r| r[0] * d[0] + r[1] * d[1] + r[2] * d[2])
    }

    /// The way back, without the deformation.
    fn to_scanner(&self, q: Point) -> Point {
        // Rows are orthogonal: the inverse is the transpose over the squared lengths.
        let mut p = self.shift;
        for (row, v) in self.rows.iter().zip(q) {
            let square: f32 = row.iter().map(|r| r * r).sum();
            for (p, r) in p.iter_mut().zip(row) {
                *p += r * v / square;
            }
        }
        p
    }
}

/// Everything at the nodes of the lattice while layers are made.
struct Nodes {
    template: [Vec<f32>; 3],
    scale: f32,
}

impl Nodes {
    fn new(
        subject: &Subject,
        placement: &Placement,
        mass: Option<MassEffect>,
        random: &mut Random,
    ) -> Self {
        let warp = [(); 3].map(|()| {
            let (wide, narrow) = (
                Waves::draw(random, 20, [75.0, 160.0]).on(&SMOOTH),
                Waves::draw(random, 24, [38.0, 65.0]).on(&SMOOTH),
            );
            let strength = subject.deformation as f32;
            let both = wide.iter().zip(&narrow);
            both.map(|(w, n)| strength * (2.1 * w + 0.8 * n))
                .collect::<Vec<_>>()
        });
        let mut template = [(); 3].map(|()| Vec::with_capacity(LATTICE.nodes()));
        for_nodes(|p| {
            let p = mass.map_or(p, |m| m.before(p));
            let q = placement.to_template(p);
            for a in 0..3 {
                template[a].push(q[a] + SMOOTH.sample(&warp[a], p));
            }
        });
        Self {
            template,
            scale: placement.scale,
        }
    }

    #[inline]
    fn at(&self, i: usize) -> Point {
        [0, 1, 2].map(|a| self.template[a][i])
    }

    /// A function of the template, in mm of the scanner.
    fn distances(&self, f: impl Fn(Point) -> f32) -> Vec<f32> {
        (0..LATTICE.nodes())
            .map(|i| self.scale * f(self.at(i)))
            .collect()
    }

    /// Layers of a solid, one for each side that it has.
    fn solid(&self, placement: &Placement, solid: &Solid) -> Vec<(Part, Layer)> {
        let sides: &[f32] = if solid.paired { &[-1.0, 1.0] } else { &[1.0] };
        let layer = |&side: &f32| {
            let outside = 4.0;
            let corners = (0..8).map(|c| {
                let pick = |a: usize| solid.bounds[(c >> a) & 1][a];
                placement.to_scanner([side * pick(0), pick(1), pick(2)])
            });
            let (mut low, mut high) = ([f32::MAX; 3], [f32::MIN; 3]);
            for p in corners {
                for a in 0..3 {
                    low[a] = low[a].min(p[a]);
                    high[a] = high[a].max(p[a]);
                }
            }
            // What deformation and the distance outside may add.
            let margin = FAR + outside;
            let range = [0, 1, 2].map(|a| {
                let first = LATTICE.locate(a, low[a] - margin).0;
                let last = LATTICE.locate(a, high[a] + margin).0 + 1;
                first..last + 1
            });
            let layer = Layer::of_box(&LATTICE, &range, outside, |i| {
                let [x, y, z] = self.at(i);
                self.scale * solid.distance([side * x, y, z])
            });
            let part = match solid.sided {
                true => solid.part.side(side > 0.0),
                false => solid.part,
            };
            (part, layer)
        };
        sides.iter().map(layer).collect()
    }

    fn solids(&self, placement: &Placement, solids: &[Solid]) -> Vec<(Part, Layer)> {
        let each = |s| self.solid(placement, s);
        solids.iter().flat_map(each).collect()
    }
}

/// Calls with the position of every node.
fn for_nodes(mut f: impl FnMut(Point)) {
    let [nx, ny, nz] = LATTICE.shape;
    for k in 0..nz {
        for j in 0..ny {
            for i in 0..nx {
                f([
                    LATTICE.position(0, i),
                    LATTICE.position(1, j),
                    LATTICE.position(2, k),
                ]);
            }
        }
    }
}

/// Gradient of a field at a node, central differences within the lattice.
#[inline]
fn gradient(field: &[f32], i: usize) -> Point {
    let strides = [1, LATTICE.shape[0], LATTICE.shape[0] * LATTICE.shape[1]];
    strides.map(|s| {
        let (before, after) = (i.saturating_sub(s), (i + s).min(field.len() - 1));
        (field[after] - field[before]) / (2.0 * LATTICE.spacing)
    })
}

/// Makes a smooth function a distance near its surface: divides it by its slope there.
fn normalised(field: &[f32], reach: f32) -> Vec<f32> {
    let one = |i: usize| {
        let value = field[i];
        let near = step(reach, 0.4 * reach, value.abs());
        if near == 0.0 {
            return value;
        }
        let slope = super::shape::length(gradient(field, i)).clamp(0.92, 1.5);
        value * (1.0 + near * (1.0 / slope - 1.0))
    };
    (0..field.len()).map(one).collect()
}

impl Sketch {
    /// The head of a subject, with what pushes its tissue away.
    pub(super) fn new(subject: &Subject, mass: Option<MassEffect>) -> Self {
        let mut random = Random::new(subject.seed, 1);
        let placement = Placement::new(subject);
        let nodes = Nodes::new(subject, &placement, mass, &mut random);
        let envelope = Envelope::new();
        let scale = placement.scale;

        let cerebrum = normalised(&nodes.distances(|p| envelope.cerebrum(p)), 16.0);
        let stem = nodes.distances(|p| envelope.brainstem(p));
        let mut cerebellum = nodes.distances(|p| envelope.cerebellum(p));
        for (v, c) in cerebellum.iter_mut().zip(&cerebrum) {
            // Tentorium and fluid lie between.
            *v = intersection(*v, 2.5 - c, 3.0);
        }
        let fluid = subject.subarachnoid as f32;
        let swell = Waves::draw(&mut random, 24, [35.0, 80.0]).on(&SMOOTH);
        let thick = Waves::draw(&mut random, 24, [30.0, 90.0]).on(&SMOOTH);
        let grain = Waves::draw(&mut random, 60, [9.0, 26.0]).on(&LATTICE);
        let mut cranium: Vec<f32> = (0..LATTICE.nodes())
            .map(|i| {
                let brain = union(cerebrum[i] - fluid, cerebellum[i] - 0.6 * fluid - 1.0, 12.0);
                union(brain, stem[i] - 0.6 * fluid - 2.0, 10.0)
            })
            .collect();
        cranium = normalised(&cranium, 24.0);
        let mut skull = Vec::with_capacity(LATTICE.nodes());
        let mut head = nodes.distances(|p| envelope.face(p));
        let mut at = 0;
        for_nodes(|p| {
            let [_, y, z] = nodes.at(at);
            cranium[at] -= 0.5 * SMOOTH.sample(&swell, p);
            let wave = SMOOTH.sample(&thick, p);
            // Thin at the temples and about the spinal canal.
            let base = step(-50.0, -66.0, z);
            let temple = step(-34.0, -14.0, z) * (1.0 - step(-14.0, 16.0, z)) * step(-50.0, 0.0, y);
            let usual = subject.skull as f32 * (1.0 - 0.55 * base - 0.35 * temple);
            let bone = (usual * (1.0 + 0.13 * wave)).max(2.0);
            skull.push(bone);
            let scalp = cranium[at] - bone - subject.scalp as f32;
            head[at] = union(head[at], scalp, 8.0);
            at += 1;
        });
        let head = normalised(&head, 20.0);

        let side: Vec<f32> = nodes.distances(|p| p[0]);
        let wobble = Waves::draw(&mut random, 30, [18.0, 50.0]).on(&SMOOTH);
        let sheets = |f: &dyn Fn(Point) -> Sheet, bend: f32| -> [Vec<f32>; 2] {
            let mut out = [(); 2].map(|()| vec![FAR; LATTICE.nodes()]);
            let mut i = 0;
            for_nodes(|p| {
                if cerebrum[i] < 4.0 {
                    let sheet = f(nodes.at(i));
                    out[0][i] = scale * sheet.across + bend * SMOOTH.sample(&wobble, p);
                    out[1][i] = scale * sheet.beyond;
                }
                i += 1;
            });
            out
        };
        let midline = sheets(&|p| envelope.midline(p), 0.5);
        let sylvian = sheets(&|p| envelope.sylvian(p)[0], 1.8);
        let insula = sheets(&|p| envelope.sylvian(p)[1], 1.2);
        let bare: Vec<f32> = (0..LATTICE.nodes())
            .map(|i| match cerebrum[i] < 4.0 {
                true => {
                    let central = scale * envelope.central(nodes.at(i));
                    let callosal = -midline[1][i];
                    // Callosum and midbrain carry no cortex.
                    4.0 * step(3.0, -2.0, central)
                        .max(step(3.5, 1.0, callosal) * step(9.0, 4.0, midline[0][i].abs()))
                }
                false => 0.0,
            })
            .collect();
        let sulci = super::cortex::sulci(
            subject,
            &super::cortex::Surroundings {
                cerebrum: &cerebrum,
                midline: [&midline[0], &midline[1]],
                bare: &bare,
                template: [0, 1, 2].map(|a| nodes.template[a].as_slice()),
                scale,
            },
            &mut random,
        );
        let folia = super::cortex::folia(&cerebellum, |i| nodes.at(i), scale, &mut random);

        let crop = |field: &[f32], outside: f32| Layer::cropped(&LATTICE, field, outside);
        let brain = crop(&cerebrum, 4.0);
        let like = |field: &[f32]| brain.like(&LATTICE, field, FAR);
        let cerebellar = crop(&cerebellum, 4.0);
        Self {
            lattice: LATTICE,
            head: crop(&head, f32::MAX),
            cranium: crop(&cranium, 16.0),
            skull: crop(&skull, f32::MAX),
            muscle: crop(&grain, f32::MAX),
            side: crop(&side, f32::MAX),
            fissures: [&midline, &sylvian, &insula].map(|f| [like(&f[0]), like(&f[1])]),
            sulci: [like(&sulci[0]), like(&sulci[1])],
            bare: brain.like(&LATTICE, &bare, 0.0),
            cerebrum: brain,
            folia: [0, 1].map(|c: usize| cerebellar.like(&LATTICE, &folia[c], 1.0)),
            cerebellum: cerebellar,
            brainstem: crop(&stem, 4.0),
            face: nodes.solids(&placement, &face()),
            cavities: nodes.solids(&placement, &cavities()),
            deep: nodes.solids(&placement, &deep(subject)),
            vessels: nodes.solids(&placement, &vessels()),
        }
    }
}

/// A place in the white matter of a subject's cerebrum or near it, mm in the scanner, far from
/// the midline, the surface and the midbrain; and its depth, mm.
pub(super) fn place_in_depth(subject: &Subject, random: &mut Random) -> Option<(Point, f32)> {
    let (envelope, placement) = (Envelope::new(), Placement::new(subject));
    for _ in 0..10_000 {
        let q = [[-64.0, 64.0], [-96.0, 66.0], [-36.0, 74.0]].map(|r| random.between(r) as f32);
        let deep = -envelope.cerebrum(q);
        if (11.0..34.0).contains(&deep) && q[0].abs() > 11.0 && envelope.central(q) > 6.0 {
            return Some((placement.to_scanner(q), placement.scale * deep));
        }
    }
    None
}
