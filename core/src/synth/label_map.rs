//! Scenes from label maps that others made.

use std::collections::BTreeMap;

use super::error::SynthError;
use super::frame::Frame;
use super::lattice::{Lattice, Layer};
use super::lesion::{self, LesionKind};
use super::part::{Part, tissue_of};
use super::region::{Region, RegionMap};
use super::scene::{Class, Scene, Voxel};
use super::subject::normal;
use super::tissue::Tissue;
use super::waves::Waves;
use crate::augment::Random;
use crate::label::Label;
use crate::volume::{Affine, Grid, Orientation, Volume, VolumeError};

/// Most labels that a map may have.
const MOST: usize = 240;
/// Lattice of lesions and deformations, mm.
const LESIONS: f32 = 2.0;
const SMOOTH: f32 = 8.0;

/// What is made of a label map.
#[derive(Clone, Debug)]
pub struct LabelMapOptions<'a> {
    /// What labels are, beyond what FreeSurfer's numbers say.
    pub tissues: &'a BTreeMap<Label, Tissue>,
    /// Edges of a voxel of the images, mm; those of the map where there are none.
    pub spacing: Option<[f64; 3]>,
    /// Strength of the random deformation, as a factor of the usual one; 0 leaves the map as it
    /// is.
    pub deformation: f64,
    /// A lesion.
    pub lesion: Option<LesionKind>,
    /// Age, which says how many hyperintensities there are; years.
    pub age: f64,
    /// Everything drawn at random depends on it.
    pub seed: u64,
}

impl Scene {
    /// The scene of a label map, in the orientation RAS.
    ///
    /// # Errors
    ///
    /// [`SynthError::Labels`] where there are more than 240 labels, [`SynthError::Frame`] for a
    /// spacing of no sense, [`SynthError::NoRoom`] where a lesion finds no place, and
    /// [`SynthError::Orientation`] for a map whose axes have no direction.
    pub fn from_labels(
        map: &Volume<Label>,
        options: &LabelMapOptions<'_>,
    ) -> Result<Self, SynthError> {
        let ras = "RAS".parse::<Orientation>();
        let map = ras.and_then(|ras| map.reoriented(ras));
        let map = map.map_err(|e: VolumeError| SynthError::Orientation(e.to_string()))?;
        let (classes, parts) = classes(&map, options.tissues)?;
        let grid = map.grid();
        let source = Frame::around([0.0; 3], grid.shape, grid.spacing())?;
        let frame = match options.spacing {
            None => source,
            Some(spacing) => {
                let count = |a: usize| source.shape[a] as f64 * source.spacing[a] / spacing[a];
                let shape = [0, 1, 2].map(|a| count(a).round().clamp(1.0, 1e6) as usize);
                Frame::around([0.0; 3], shape, spacing)?
            }
        };
        let voxels = sampled(&parts, &source, &frame, options);
        let mut scene = Self::new(frame, placed(grid, &source, &frame), classes, voxels, true);
        if let Some(kind) = options.lesion {
            let map = scene.region_map();
            let drawn = lesion::draw(kind, &map, options.age, options.seed);
            scene.add(&drawn.ok_or(SynthError::NoRoom { kind })?, &map);
        }
        Ok(scene)
    }

    /// The regions at the nodes of a lattice about the brain.
    fn region_map(&self) -> RegionMap {
        let (mut low, mut high) = ([f32::MAX; 3], [f32::MIN; 3]);
        let [nx, ny, _] = self.frame.shape;
        for (at, voxel) in self.voxels.iter().enumerate() {
            if self.classes[usize::from(voxel.first.0)].region == Region::Outside {
                continue;
            }
            for (a, i) in [at % nx, at / nx % ny, at / (nx * ny)]
                .into_iter()
                .enumerate()
            {
                let p = self.frame.position(a, i);
                low[a] = low[a].min(p - 2.0 * LESIONS);
                high[a] = high[a].max(p + 2.0 * LESIONS);
            }
        }
        if low[0] > high[0] {
            (low, high) = ([0.0; 3], [0.0; 3]);
        }
        let lattice = Lattice::covering(low, high, LESIONS);
        let (mut regions, mut sides) = (Vec::new(), Vec::new());
        let nearest = |a: usize, i: usize| {
            let step = self.frame.spacing[a] as f32;
            let at = (lattice.position(a, i) - self.frame.position(a, 0)) / step;
            (at.round().max(0.0) as usize).min(self.frame.shape[a] - 1)
        };
        let places = [0, 1, 2]
            .map(|a| -> Vec<usize> { (0..lattice.shape[a]).map(|i| nearest(a, i)).collect() });
        for k in &places[2] {
            for j in &places[1] {
                for i in &places[0] {
                    let voxel = self.voxels[i + nx * (j + ny * k)];
                    let class = &self.classes[usize::from(voxel.first.0)];
                    regions.push(class.region);
                    sides.push(class.side);
                }
            }
        }
        RegionMap {
            lattice,
            regions,
            sides,
        }
    }
}

/// The classes of a map, and the class of every voxel.
fn classes(
    map: &Volume<Label>,
    tissues: &BTreeMap<Label, Tissue>,
) -> Result<(Vec<Class>, Vec<u8>), SynthError> {
    let mut seen = vec![false; usize::from(Label::MAX) + 1];
    for &label in map.data() {
        seen[usize::from(label)] = true;
    }
    // What lies outside the map is 0.
    seen[0] = true;
    let labels: Vec<Label> = (0..=Label::MAX).filter(|&l| seen[usize::from(l)]).collect();
    if labels.len() > MOST {
        return Err(SynthError::Labels {
            found: labels.len(),
            most: MOST,
        });
    }
    let mut index = vec![0u8; seen.len()];
    let mut classes = Vec::with_capacity(labels.len());
    for (i, &label) in labels.iter().enumerate() {
        index[usize::from(label)] = i as u8;
        let tissue = tissues.get(&label).copied().or_else(|| tissue_of(label));
        classes.push(Class::new(label, tissue));
    }
    let parts = map.data().iter().map(|&l| index[usize::from(l)]).collect();
    Ok((classes, parts))
}

/// The map at the voxels of a frame, deformed.
fn sampled(
    parts: &[u8],
    source: &Frame,
    frame: &Frame,
    options: &LabelMapOptions<'_>,
) -> Vec<Voxel> {
    let random = &mut Random::new(options.seed, 3);
    let strength = options.deformation.clamp(0.0, 3.0);
    let lattice = frame.lattice(SMOOTH);
    let whole = [0, 1, 2].map(|a| 0..lattice.shape[a]);
    // Rotation, scaling and shear, about the middle.
    let mut linear = [[0.0f32; 3]; 3];
    for (i, row) in linear.iter_mut().enumerate() {
        for (j, v) in row.iter_mut().enumerate() {
            let spread = if i == j { 0.05 } else { 0.04 };
            *v = f32::from(u8::from(i == j)) + (strength * normal(random, 0.0, spread)) as f32;
        }
    }
    let shift = [0, 1, 2].map(|axis| {
        let wide = Waves::draw(random, 20, [75.0, 160.0]).on(&lattice);
        let narrow = Waves::draw(random, 24, [38.0, 65.0]).on(&lattice);
        let size = strength as f32;
        let (nx, ny) = (lattice.shape[0], lattice.shape[1]);
        Layer::of_box(&lattice, &whole, 0.0, |i| {
            let p = [
                lattice.position(0, i % nx),
                lattice.position(1, i / nx % ny),
                lattice.position(2, i / (nx * ny)),
            ];
            let turned: f32 = (0..3).map(|a| linear[axis][a] * p[a]).sum();
            turned - p[axis] + size * (2.6 * wide[i] + 0.8 * narrow[i])
        })
    });
    let places = [0, 1, 2].map(|a| frame.located(&lattice, a));
    let [nx, ny, nz] = frame.shape;
    let mut nodes = Vec::new();
    let mut rows = [(); 3].map(|()| vec![0.0f32; nx]);
    let mut out = Vec::with_capacity(frame.voxels());
    for k in 0..nz {
        for j in 0..ny {
            for (layer, row) in shift.iter().zip(&mut rows) {
                layer.line(&places[0], places[1][j], places[2][k], &mut nodes, row);
            }
            let [by_x, by_y, by_z] = &rows;
            for (i, ((x, y), z)) in by_x.iter().zip(by_y).zip(by_z).enumerate() {
                let (at, by) = ([i, j, k], [x, y, z]);
                let index = [0, 1, 2].map(|a| {
                    let p = frame.position(a, at[a]) + by[a];
                    ((p - source.position(a, 0)) / source.spacing[a] as f32).round()
                });
                let inside = (0..3).all(|a| index[a] >= 0.0 && index[a] < source.shape[a] as f32);
                let [x, y, z] = index.map(|v| v as usize);
                let part = match inside {
                    true => parts[x + source.shape[0] * (y + source.shape[1] * z)],
                    false => 0,
                };
                out.push(Voxel {
                    first: Part(part),
                    second: Part(part),
                    share: 0,
                });
            }
        }
    }
    out
}

/// The grid of a frame that lies about the middle of a map as `source` does.
fn placed(grid: &Grid, source: &Frame, frame: &Frame) -> Grid {
    if source == frame {
        return grid.clone();
    }
    // Voxels of the frame to those of the map.
    let mut inner = Affine::IDENTITY;
    for a in 0..3 {
        inner.0[a][a] = frame.spacing[a] / source.spacing[a];
        inner.0[a][3] = (frame.origin[a] - source.origin[a]) / source.spacing[a];
    }
    Grid {
        shape: frame.shape,
        affine: grid.affine.after(&inner),
    }
}
