//! What is imaged: the classes of tissue in every voxel, the labels and the lesions.
//!
//! Voxels at a boundary hold two classes, with the share that each has of the voxel: its partial
//! volume. The label is that of the larger share.

use super::error::SynthError;
use super::frame::Frame;
use super::lattice::Layer;
use super::lesion::{self, Lesion, LesionKind, Tumour};
use super::part::{self, Part};
use super::phantom::{Mixer, paint};
use super::region::{Region, RegionMap, region_of, side_of};
use super::sketch::{Sketch, place_in_depth};
use super::subject::Subject;
use super::tissue::Tissue;
use crate::augment::Random;
use crate::label::Label;
use crate::volume::Grid;

/// A class of tissue in a scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Class {
    /// Its label.
    pub label: Label,
    /// Its tissue, where that is known.
    pub tissue: Option<Tissue>,
    pub(super) region: Region,
    pub(super) side: i8,
}

impl Class {
    pub(super) fn new(label: Label, tissue: Option<Tissue>) -> Self {
        Self {
            label,
            tissue,
            region: region_of(label),
            side: side_of(label),
        }
    }
}

/// What one voxel holds: two classes, and the share that the second has, 0 to 127 of 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Voxel {
    pub(super) first: Part,
    pub(super) second: Part,
    pub(super) share: u8,
}

/// Something to take images of.
#[derive(Clone, Debug)]
pub struct Scene {
    pub(super) frame: Frame,
    pub(super) grid: Grid,
    pub(super) classes: Vec<Class>,
    pub(super) voxels: Vec<Voxel>,
    pub(super) labels: Vec<Label>,
    pub(super) lesion: Vec<u8>,
    /// Whether boundaries are sharp and have to be softened.
    pub(super) sharp: bool,
}

impl Scene {
    /// A subject's head, with a lesion or without.
    ///
    /// # Errors
    ///
    /// [`SynthError::NoRoom`] where no place for the lesion is found.
    pub fn phantom(
        subject: &Subject,
        frame: &Frame,
        lesion: Option<LesionKind>,
    ) -> Result<Self, SynthError> {
        let seed = subject.seed;
        let tumour = match lesion {
            Some(kind @ LesionKind::Tumour) => {
                let random = &mut Random::new(seed, 2);
                let place = |random: &mut Random| place_in_depth(subject, random);
                Some(Tumour::draw(random, place).ok_or(SynthError::NoRoom { kind })?)
            }
            _ => None,
        };
        let sketch = Sketch::new(subject, tumour.as_ref().map(Tumour::mass));
        let voxels = paint(subject, &sketch, frame);
        let classes: Vec<Class> = part::all()
            .map(|p| Class::new(p.label(), Some(p.tissue())))
            .collect();
        let mut scene = Self::new(*frame, frame.grid(), classes, voxels, false);
        let Some(kind) = lesion else {
            return Ok(scene);
        };
        let lattice = sketch.cerebrum.lattice(&sketch.lattice);
        let coarse = paint(subject, &sketch, &Frame::of_lattice(&lattice));
        let class = |v: &Voxel| &scene.classes[usize::from(v.first.0)];
        let map = RegionMap {
            regions: coarse.iter().map(|v| class(v).region).collect(),
            sides: coarse.iter().map(|v| class(v).side).collect(),
            lattice,
        };
        let drawn = match &tumour {
            Some(tumour) => Some(tumour.lesion(&map)),
            None => lesion::draw(kind, &map, subject.age, seed),
        };
        scene.add(&drawn.ok_or(SynthError::NoRoom { kind })?, &map);
        Ok(scene)
    }

    pub(super) fn new(
        frame: Frame,
        grid: Grid,
        classes: Vec<Class>,
        voxels: Vec<Voxel>,
        sharp: bool,
    ) -> Self {
        let label = |v: &Voxel| classes[usize::from(v.first.0)].label;
        Self {
            labels: voxels.iter().map(label).collect(),
            lesion: vec![0; voxels.len()],
            frame,
            grid,
            classes,
            voxels,
            sharp,
        }
    }

    /// The voxels' place in space.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The label of every voxel; lesions leave it as it was.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The lesion's label in every voxel, from 1 in the order of [`LesionKind::labels`]; 0 where
    /// there is none.
    pub fn lesion(&self) -> &[u8] {
        &self.lesion
    }

    /// Puts a lesion's tissues over those that it may replace.
    pub(super) fn add(&mut self, lesion: &Lesion, map: &RegionMap) {
        let frame = self.frame;
        let width = frame.spacing.iter().product::<f64>().cbrt() as f32;
        let [nx, ny, nz] = frame.shape;
        let places = [0, 1, 2].map(|a| frame.located(&map.lattice, a));
        let within = |a: usize, i: usize| {
            let (low, high) = (
                map.lattice.origin[a],
                map.lattice.position(a, map.lattice.shape[a] - 1),
            );
            (low..=high).contains(&frame.position(a, i))
        };
        let (mut nodes, mut row) = (Vec::new(), vec![0.0; nx]);
        for part in &lesion.parts {
            let class = Part(self.classes.len() as u8);
            self.classes.push(Class {
                label: 0,
                tissue: Some(part.tissue),
                region: Region::White,
                side: 0,
            });
            let layer: &Layer = &part.layer;
            for k in (0..nz).filter(|&k| within(2, k)) {
                for j in (0..ny).filter(|&j| within(1, j)) {
                    let (y, z) = (places[1][j], places[2][k]);
                    if !layer.line(&places[0], y, z, &mut nodes, &mut row) {
                        continue;
                    }
                    let start = nx * (j + ny * k);
                    for (i, &d) in row.iter().enumerate() {
                        let cover = 0.5 - d / width;
                        if cover <= 0.0 || !within(0, i) {
                            continue;
                        }
                        self.cover(start + i, class, part, cover);
                    }
                }
            }
        }
    }

    fn cover(&mut self, at: usize, class: Part, part: &lesion::LesionPart, cover: f32) {
        let voxel = self.voxels[at];
        // The head as it was says what may be replaced.
        let under = self.labels[at];
        let region = region_of(under);
        let other = part.side != 0 && side_of(under) == -part.side;
        if !part.within.has(region) || other {
            return;
        }
        // Of a voxel that is partly something else, that part stays.
        let second = &self.classes[usize::from(voxel.second.0)];
        let keeps = second.region == Region::Outside || !part.within.has(second.region);
        let share = f32::from(voxel.share) / 255.0;
        let cover = if keeps {
            cover.min(1.0) * (1.0 - share)
        } else {
            cover
        };
        let mut mixer = Mixer::of(voxel);
        mixer.paint(class, cover);
        self.voxels[at] = mixer.voxel();
        if self.voxels[at].first == class {
            self.lesion[at] = part.label;
        }
    }
}
