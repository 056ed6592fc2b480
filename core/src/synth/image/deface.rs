//! Anonymised images: the face is cut away, and what lies below the brain may be.

use super::super::frame::Frame;
use super::super::region::Region;
use super::super::scene::{Scene, Voxel};
use crate::augment::Random;
use crate::surface::dot;

/// How far cuts stay away from the brain, mm.
const MARGIN: [f64; 2] = [2.0, 16.0];
/// The same of a cut below the head, where a field of view ends.
const BELOW: [f64; 2] = [1.0, 45.0];

/// What is cut away, in millimetres: beyond all of its planes.
struct Cut(Vec<Plane>);

/// A plane that looks along its normal, of length 1.
#[derive(Clone, Copy)]
struct Plane {
    normal: [f64; 3],
    offset: f64,
}

impl Plane {
    fn beyond(&self, p: [f64; 3]) -> f64 {
        dot(self.normal, p) - self.offset
    }
}

impl Scene {
    /// Sets the face, or most of it, to 0: by a plane or by a box in front of and below the brain,
    /// as programs do that make images anonymous; half of the time also what lies below a plane
    /// under the brain, as where such a program brought the image to a template. The brain is never
    /// touched.
    pub(super) fn deface(&self, data: &mut [f32], random: &mut Random) {
        let brain = self.surface();
        if brain.is_empty() {
            return;
        }
        // The head's tilt in the template that the cuts are made in.
        let (nod, roll) = (random.between([-20.0, 20.0]), random.between([-5.0, 5.0]));
        let down = |degrees: f64| normal(nod + degrees, roll);
        let face = match random.happens(0.4) {
            true => {
                let plane = down(random.between([25.0, 65.0]));
                vec![beside(&brain, plane, random.between(MARGIN))]
            }
            false => {
                let level = down(90.0);
                let height = |p: &[f64; 3]| -dot(level, *p);
                let low = brain.iter().map(height).fold(f64::MAX, f64::min);
                let high = brain.iter().map(height).fold(f64::MIN, f64::max);
                let top = low + random.between([0.15, 0.55]) * (high - low);
                let below: Vec<_> = brain.iter().filter(|p| height(p) < top).copied().collect();
                // Without roll, all of a row is as far in front as its ends are.
                let front = beside(&below, normal(nod, 0.0), random.between(MARGIN));
                let lid = Plane {
                    normal: level,
                    offset: -top,
                };
                vec![front, lid]
            }
        };
        let mut cuts = vec![Cut(face)];
        if random.happens(0.5) {
            let plane = down(random.between([60.0, 120.0]));
            cuts.push(Cut(vec![beside(&brain, plane, random.between(BELOW))]));
        }
        cut(data, &self.frame, &cuts);
    }

    /// The ends of the brain's rows, mm: no plane touches the brain that does not touch these.
    fn surface(&self) -> Vec<[f64; 3]> {
        let frame = &self.frame;
        let [nx, ny, _] = frame.shape;
        let inside: Vec<bool> = self
            .classes
            .iter()
            .map(|c| c.region != Region::Outside)
            .collect();
        let mut out = Vec::new();
        for (row, voxels) in self.voxels.chunks_exact(nx).enumerate() {
            let is_brain = |v: &Voxel| inside[usize::from(v.first.0)];
            let Some(first) = voxels.iter().position(is_brain) else {
                continue;
            };
            let last = voxels.iter().rposition(is_brain).unwrap_or(first);
            let at = |i: usize| place(frame, [i, row % ny, row / ny]);
            out.extend([at(first), at(last)]);
        }
        out
    }
}

/// The direction `degrees` below the front, `roll` degrees to a side.
fn normal(degrees: f64, roll: f64) -> [f64; 3] {
    let (pitch, roll) = (degrees.to_radians(), roll.to_radians());
    [
        roll.sin(),
        roll.cos() * pitch.cos(),
        -roll.cos() * pitch.sin(),
    ]
}

/// The plane that looks along `normal`, `margin` mm beyond all points.
fn beside(points: &[[f64; 3]], normal: [f64; 3], margin: f64) -> Plane {
    let furthest = points
        .iter()
        .map(|p| dot(normal, *p))
        .fold(f64::MIN, f64::max);
    Plane {
        normal,
        offset: furthest + margin,
    }
}

fn place(frame: &Frame, voxel: [usize; 3]) -> [f64; 3] {
    [0, 1, 2].map(|a| f64::from(frame.position(a, voxel[a])))
}

fn cut(data: &mut [f32], frame: &Frame, cuts: &[Cut]) {
    let [nx, ny, _] = frame.shape;
    for (row, values) in data.chunks_exact_mut(nx).enumerate() {
        for (i, value) in values.iter_mut().enumerate() {
            let p = place(frame, [i, row % ny, row / ny]);
            if cuts
                .iter()
                .any(|c| c.0.iter().all(|plane| plane.beyond(p) > 0.0))
            {
                *value = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::augment::Random;
    use crate::synth::region::Region;
    use crate::synth::{Frame, Scene, Subject};

    #[test]
    fn faces_are_cut_away_and_brains_are_not() {
        let frame = Frame::head(None, [3.0; 3]).expect("a frame");
        let mut chins = 0;
        for seed in 0..12 {
            let scene = Scene::phantom(&Subject::draw(seed), &frame, None).expect("a head");
            let mut data = vec![1.0; scene.voxels.len()];
            scene.deface(&mut data, &mut Random::new(seed, 0));
            let region = |i: usize| scene.classes[usize::from(scene.voxels[i].first.0)].region;
            let cut: Vec<usize> = (0..data.len()).filter(|&i| data[i] == 0.0).collect();
            assert!(cut.iter().all(|&i| region(i) == Region::Outside), "{seed}");
            let share = cut.len() as f64 / data.len() as f64;
            assert!((0.005..0.5).contains(&share), "{seed}: {share}");
            // The lowest row in front is below the chin; a box that is tilted up may leave it.
            let chin = frame.shape[0] / 2 + frame.shape[0] * (frame.shape[1] - 1);
            chins += usize::from(data[chin] == 0.0);
            // The top of the head behind.
            assert_eq!(
                data[data.len() - 1 - frame.shape[0] * (frame.shape[1] - 1)],
                1.0,
                "{seed}"
            );
        }
        assert!(chins >= 9, "{chins}");
    }

    #[test]
    fn a_scene_without_a_brain_stays_as_it_is() {
        let frame = Frame::head(Some([8; 3]), [20.0; 3]).expect("a frame");
        let mut scene = Scene::phantom(&Subject::draw(1), &frame, None).expect("a head");
        for class in &mut scene.classes {
            class.region = Region::Outside;
        }
        let mut data = vec![1.0; scene.voxels.len()];
        scene.deface(&mut data, &mut Random::new(1, 0));
        assert!(data.iter().all(|v| *v == 1.0));
    }
}
