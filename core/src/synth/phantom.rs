//! A head painted on a voxel grid from its sketch.

use super::cortex::FOLIA;
use super::frame::Frame;
use super::lattice::Layer;
use super::part::Part;
use super::scene::Voxel;
use super::sketch::Sketch;
use super::subject::Subject;

/// What is painted over what in one voxel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mixer {
    first: Part,
    second: Part,
    share: f32,
}

impl Mixer {
    /// One part alone.
    pub(super) fn pure(part: Part) -> Self {
        Self {
            first: part,
            second: part,
            share: 0.0,
        }
    }

    /// Covers a share of the voxel with a part. The two largest shares are kept.
    #[inline]
    pub(super) fn paint(&mut self, part: Part, cover: f32) {
        if cover <= 0.0 {
            return;
        }
        if cover >= 1.0 {
            *self = Self::pure(part);
            return;
        }
        let left = 1.0 - cover;
        let (mut a, mut b) = ((1.0 - self.share) * left, self.share * left);
        if part == self.first {
            a += cover;
        } else if part == self.second {
            b += cover;
        } else if a >= b {
            // The smaller of the two gives way.
            if cover >= b {
                (self.second, b) = (part, cover);
            }
        } else if cover >= a {
            (self.first, a) = (part, cover);
        }
        self.share = b / (a + b);
    }

    /// What a voxel holds.
    pub(super) fn of(voxel: Voxel) -> Self {
        Self {
            first: voxel.first,
            second: voxel.second,
            share: f32::from(voxel.share) / 255.0,
        }
    }

    /// The voxel, the larger share first.
    pub(super) fn voxel(self) -> Voxel {
        let (first, second, share) = match self.share > 0.5 {
            true => (self.second, self.first, 1.0 - self.share),
            false => (self.first, self.second, self.share),
        };
        Voxel {
            first,
            second,
            share: (share * 255.0) as u8,
        }
    }
}

/// Values of all layers along one row of voxels.
struct Row {
    head: Vec<f32>,
    cranium: Vec<f32>,
    skull: Vec<f32>,
    muscle: Vec<f32>,
    side: Vec<f32>,
    cerebrum: Vec<f32>,
    fissures: [[Vec<f32>; 2]; 3],
    sulci: [Vec<f32>; 2],
    bare: Vec<f32>,
    cerebellum: Vec<f32>,
    folia: [Vec<f32>; 2],
    brainstem: Vec<f32>,
    solid: Vec<f32>,
}

impl Row {
    fn new(n: usize) -> Self {
        let row = || vec![0.0; n];
        Self {
            head: row(),
            cranium: row(),
            skull: row(),
            muscle: row(),
            side: row(),
            cerebrum: row(),
            fissures: [(); 3].map(|()| [row(), row()]),
            sulci: [row(), row()],
            bare: row(),
            cerebellum: row(),
            folia: [row(), row()],
            brainstem: row(),
            solid: row(),
        }
    }
}

/// Paints the voxels of a frame.
pub(super) fn paint(subject: &Subject, sketch: &Sketch, frame: &Frame) -> Vec<Voxel> {
    Painter::new(subject, sketch, frame).paint()
}

struct Painter<'a> {
    sketch: &'a Sketch,
    frame: Frame,
    xs: Vec<(usize, f32)>,
    /// Width of a boundary: the edge of a voxel, mm.
    width: f32,
    sulcus: f32,
    cortex: f32,
}

impl<'a> Painter<'a> {
    fn new(subject: &Subject, sketch: &'a Sketch, frame: &Frame) -> Self {
        let at = |i: usize| (frame.origin[0] + frame.spacing[0] * i as f64) as f32;
        Self {
            sketch,
            frame: *frame,
            xs: (0..frame.shape[0])
                .map(|i| sketch.lattice.locate(0, at(i)))
                .collect(),
            width: frame.spacing.iter().product::<f64>().cbrt() as f32,
            sulcus: subject.sulcus as f32,
            cortex: subject.cortex as f32,
        }
    }

    fn paint(&self) -> Vec<Voxel> {
        let [nx, ny, nz] = self.frame.shape;
        let mut voxels = Vec::with_capacity(nx * ny * nz);
        let mut row = Row::new(nx);
        let mut mixers = vec![Mixer::pure(Part::AIR); nx];
        for k in 0..nz {
            let z = (self.frame.origin[2] + self.frame.spacing[2] * k as f64) as f32;
            for j in 0..ny {
                let y = (self.frame.origin[1] + self.frame.spacing[1] * j as f64) as f32;
                let lattice = &self.sketch.lattice;
                self.row(
                    &mut row,
                    &mut mixers,
                    lattice.locate(1, y),
                    lattice.locate(2, z),
                );
                voxels.extend(mixers.iter().map(|m| m.voxel()));
            }
        }
        voxels
    }

    /// Share of a voxel inside, from a signed distance.
    #[inline]
    fn cover(&self, distance: f32) -> f32 {
        0.5 - distance / self.width
    }

    fn row(&self, row: &mut Row, mixers: &mut [Mixer], y: (usize, f32), z: (usize, f32)) {
        let mut nodes = Vec::new();
        let s = self.sketch;
        mixers.fill(Mixer::pure(Part::AIR));
        let mut line = |layer: &Layer, out: &mut [f32]| {
            let found = layer.line(&self.xs, y, z, &mut nodes, out);
            if !found {
                out.fill(layer.outside());
            }
            found
        };
        line(&s.head, &mut row.head);
        if row.head.iter().all(|&d| d > self.width) {
            return;
        }
        line(&s.muscle, &mut row.muscle);
        line(&s.skull, &mut row.skull);
        line(&s.side, &mut row.side);
        let cranium = line(&s.cranium, &mut row.cranium);
        let inside = row.cranium.iter().any(|&d| d < self.width);
        for (i, mixer) in mixers.iter_mut().enumerate() {
            let head = row.head[i];
            if row.cranium[i] < -self.width || head > self.width {
                continue;
            }
            mixer.paint(Part::SKIN, self.cover(head));
            mixer.paint(Part::FAT, self.cover(head + 1.8));
            // Sheets of fat lie between the muscles of the face.
            let deep = (head + 4.5)
                .max(2.2 * (0.3 - row.muscle[i].abs()))
                .max(6.0 - row.cranium[i] + row.skull[i]);
            mixer.paint(Part::MUSCLE, self.cover(deep));
        }
        for (part, layer) in &s.face {
            if line(layer, &mut row.solid) {
                for ((mixer, &d), &head) in mixers.iter_mut().zip(&row.solid).zip(&row.head) {
                    mixer.paint(*part, self.cover(d.max(head + 2.5)));
                }
            }
        }
        if cranium {
            for (i, mixer) in mixers.iter_mut().enumerate() {
                let (outer, bone) = (row.cranium[i], row.skull[i]);
                if outer > bone + self.width || outer < -self.width {
                    continue;
                }
                mixer.paint(Part::BONE, self.cover(outer - bone));
                // Marrow between the tables, with trabeculae, where the bone is thick.
                let table = 0.24 * bone + 0.35;
                let marrow = (outer - bone + table)
                    .max(table - outer)
                    .max(0.5 * row.muscle[i] - 0.9);
                if bone > 3.6 {
                    mixer.paint(Part::MARROW, self.cover(marrow));
                }
            }
        }
        for (part, layer) in &s.cavities {
            if line(layer, &mut row.solid) {
                for ((mixer, &d), &cranium) in mixers.iter_mut().zip(&row.solid).zip(&row.cranium) {
                    mixer.paint(*part, self.cover(d.max(1.2 - cranium)));
                }
            }
        }
        if !inside {
            return;
        }
        for (mixer, &d) in mixers.iter_mut().zip(&row.cranium) {
            mixer.paint(Part::DURA, self.cover(d));
            mixer.paint(Part::CSF, self.cover(d + 0.6));
        }
        self.sinus(row, mixers);
        if line(&s.cerebrum, &mut row.cerebrum) {
            for (layers, rows) in s.fissures.iter().zip(&mut row.fissures) {
                line(&layers[0], &mut rows[0]);
                line(&layers[1], &mut rows[1]);
            }
            line(&s.sulci[0], &mut row.sulci[0]);
            line(&s.sulci[1], &mut row.sulci[1]);
            line(&s.bare, &mut row.bare);
            self.cerebrum(row, mixers);
        }
        if line(&s.cerebellum, &mut row.cerebellum) {
            line(&s.folia[0], &mut row.folia[0]);
            line(&s.folia[1], &mut row.folia[1]);
            self.cerebellum(row, mixers);
        }
        if line(&s.brainstem, &mut row.brainstem) {
            for (mixer, &d) in mixers.iter_mut().zip(&row.brainstem) {
                mixer.paint(Part::BRAINSTEM, self.cover(d));
            }
        }
        for (part, layer) in s.deep.iter().chain(&s.vessels) {
            if line(layer, &mut row.solid) {
                for (mixer, &d) in mixers.iter_mut().zip(&row.solid) {
                    mixer.paint(*part, self.cover(d));
                }
            }
        }
    }

    /// The superior sagittal sinus: a channel in the dura along the midline.
    fn sinus(&self, row: &Row, mixers: &mut [Mixer]) {
        for (i, mixer) in mixers.iter_mut().enumerate() {
            let (x, y) = (row.side[i], row.cranium[i] + 2.6);
            if x.abs() < 8.0 && y.abs() < 8.0 {
                let d = (x * x + y * y).sqrt() - 3.0;
                mixer.paint(Part::VESSEL.side(x > 0.0), self.cover(d));
            }
        }
    }

    fn cerebrum(&self, row: &Row, mixers: &mut [Mixer]) {
        for (i, mixer) in mixers.iter_mut().enumerate() {
            let outer = row.cerebrum[i];
            if outer > self.width {
                continue;
            }
            let right = row.side[i] > 0.0;
            let sheet = |pair: &[Vec<f32>; 2], half: f32| {
                let (a, b) = (pair[0][i], pair[1][i].max(0.0));
                (a * a + b * b).sqrt() - half
            };
            let mut pia = -outer;
            pia = smooth_least(pia, sheet(&row.fissures[0], self.sulcus + 0.45));
            pia = smooth_least(pia, sheet(&row.fissures[1], self.sulcus + 0.4));
            pia = smooth_least(pia, sheet(&row.fissures[2], self.sulcus + 0.3));
            pia = smooth_least(pia, sheet(&row.sulci, self.sulcus));
            mixer.paint(Part::CORTEX.side(right), self.cover(-pia));
            let white = self.cortex - row.bare[i] - pia;
            mixer.paint(
                Part::WHITE.side(right),
                self.cover(white).min(self.cover(-pia)),
            );
        }
    }

    fn cerebellum(&self, row: &Row, mixers: &mut [Mixer]) {
        for (i, mixer) in mixers.iter_mut().enumerate() {
            let outer = row.cerebellum[i];
            if outer > self.width {
                continue;
            }
            let right = row.side[i] > 0.0;
            let deep = -outer;
            // Nearest fissure, and how far above its bottom; every second one is shallow.
            let turns = row.folia[0][i] / std::f32::consts::PI;
            let whole = turns.round();
            let across = (turns - whole).abs() * std::f32::consts::PI * row.folia[1][i];
            let bottom = if whole.rem_euclid(2.0) < 1.0 {
                14.0
            } else {
                6.5
            };
            let radius = FOLIA * row.folia[1][i];
            let beyond = (deep - bottom).max(11.0 - radius).max(0.0);
            let sheet = (across * across + beyond * beyond).sqrt() - 0.3;
            let pia = smooth_least(deep, sheet);
            mixer.paint(Part::CEREBELLUM.side(right), self.cover(-pia));
            mixer.paint(
                Part::CEREBELLUM_WHITE.side(right),
                self.cover(2.1 - pia).min(self.cover(-pia)),
            );
        }
    }
}

/// The lesser of two distances, rounded where they are equal.
#[inline]
fn smooth_least(a: f32, b: f32) -> f32 {
    super::shape::union(a, b, 1.6)
}
