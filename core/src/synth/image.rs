//! Images of a scene: the signal of every class, bias field, slices, noise, artefacts.

mod artefact;
mod deface;
mod look;
mod sampling;

use super::contrast::Contrast;
use super::error::SynthError;
use super::frame::Frame;
use super::lattice::Layer;
use super::region::Region;
use super::scene::Scene;
use super::site::{Acquisition, Plane, Site};
use super::waves::Waves;
use crate::augment::{Random, blur};
use look::Look;

/// Grain of the spread within a tissue, mm.
const GRAIN: f32 = 2.5;
/// Softening of boundaries that are sharp, voxels.
const SOFT: f64 = 0.55;
/// Voxels for which noise is made at once.
const CHUNK: usize = 4096;

/// An image, and how it came about.
#[derive(Clone, Debug)]
pub struct Image {
    /// The voxels, first axis fastest, 0 or more.
    pub data: Vec<f32>,
    /// How it was acquired.
    pub acquisition: Acquisition,
    /// Standard deviation of the noise in each of the two channels, in units of the voxels.
    pub noise: f64,
    /// Whether the face was cut away.
    pub defaced: bool,
    /// What went wrong.
    pub artefacts: Vec<&'static str>,
}

impl Scene {
    /// An image of the scene as a site takes it. `seed` is that of the subject at this contrast.
    ///
    /// # Errors
    ///
    /// [`SynthError::Contrast`] where the site does not take such images;
    /// [`SynthError::Tissue`] where a label's tissue is not known.
    pub fn image(&self, contrast: Contrast, site: &Site, seed: u64) -> Result<Image, SynthError> {
        let stream = |purpose: u64| Random::new(seed, 100 * (contrast as u64 + 1) + purpose);
        let acquisition = match (contrast, site.contrasts.get(&contrast)) {
            (_, Some(acquisition)) => *acquisition,
            (Contrast::Random, None) => random_acquisition(&mut stream(0), &self.frame),
            (_, None) => {
                return Err(SynthError::Contrast {
                    contrast: contrast.name(),
                });
            }
        };
        let look = match contrast {
            Contrast::Random => Look::random(&self.classes, &mut stream(1)),
            _ => Look::of(
                &self.classes,
                &acquisition.sequence,
                site,
                contrast == Contrast::T1ce,
            )?,
        };
        let mut data = self.clean(&look, &mut stream(2));
        if self.sharp {
            blur(&mut data, self.frame.shape, SOFT);
        }
        // One scan is a little better than another.
        let random = &mut stream(3);
        let noise = site.noise * random.between([0.8, 1.25]) * f64::from(look.reference);
        let strength = site.bias * random.between([0.6, 1.4]);
        self.shade(&mut data, strength, random);
        sampling::acquire(&mut data, &self.frame, &acquisition, noise, &mut stream(4));
        let artefacts = artefact::apply(&mut data, &self.frame, &acquisition, site, &mut stream(5));
        if site.skull_stripped {
            self.strip(&mut data);
        }
        // That the face is missing is a matter of the subject, not of the contrast, and so is where
        // the field of view ends.
        let mut subject = Random::new(seed, 7);
        let defaced = subject.happens(site.defaced);
        if defaced {
            self.deface(&mut data, &mut subject);
        }
        crop(
            &mut data,
            &self.frame,
            site.cropped,
            &mut Random::new(seed, 6),
        );
        let gain = site.gain * random.between([0.85, 1.18]) / f64::from(look.reference);
        for v in &mut data {
            *v = (*v * gain as f32).max(0.0);
        }
        Ok(Image {
            data,
            acquisition,
            noise: noise * gain,
            defaced,
            artefacts,
        })
    }

    /// The signal of every voxel, with the spread within tissues.
    fn clean(&self, look: &Look, random: &mut Random) -> Vec<f32> {
        let frame = &self.frame;
        let [nx, ny, nz] = frame.shape;
        let lattice = frame.lattice(GRAIN);
        let mut grain = vec![0.0f32; lattice.nodes()];
        random.normals(&mut grain);
        let whole = [0, 1, 2].map(|a| 0..lattice.shape[a]);
        let layer = Layer::of_box(&lattice, &whole, 0.0, |i| grain[i]);
        let places = [0, 1, 2].map(|a| frame.located(&lattice, a));
        let mut out = Vec::with_capacity(self.voxels.len());
        let (mut nodes, mut row) = (Vec::new(), vec![0.0f32; nx]);
        // Fine spread that random contrasts have.
        let mut fine = vec![0.0f32; nx];
        for k in 0..nz {
            for j in 0..ny {
                layer.line(&places[0], places[1][j], places[2][k], &mut nodes, &mut row);
                if look.fine {
                    random.normals(&mut fine);
                }
                let start = nx * (j + ny * k);
                let voxels = &self.voxels[start..start + nx];
                out.extend(
                    voxels
                        .iter()
                        .zip(&row)
                        .zip(&fine)
                        .map(|((v, coarse), fine)| {
                            let (a, b) = (usize::from(v.first.0), usize::from(v.second.0));
                            let share = f32::from(v.share) * (1.0 / 255.0);
                            let mean = look.mean[a] + share * (look.mean[b] - look.mean[a]);
                            let spread = look.texture[a] * coarse + look.grain[a] * fine;
                            (mean + spread).max(0.0)
                        }),
                );
            }
        }
        out
    }

    /// Multiplies by a smooth positive field.
    fn shade(&self, data: &mut [f32], strength: f64, random: &mut Random) {
        let frame = &self.frame;
        let lattice = frame.lattice(12.0);
        let wide = Waves::draw(random, 12, [180.0, 420.0]).on(&lattice);
        let narrow = Waves::draw(random, 12, [90.0, 180.0]).on(&lattice);
        let whole = [0, 1, 2].map(|a| 0..lattice.shape[a]);
        let layer = Layer::of_box(&lattice, &whole, 1.0, |i| {
            (strength as f32 * (0.9 * wide[i] + 0.4 * narrow[i])).exp()
        });
        let places = [0, 1, 2].map(|a| frame.located(&lattice, a));
        let [nx, ny, _] = frame.shape;
        let (mut nodes, mut row) = (Vec::new(), vec![1.0f32; nx]);
        for (r, out) in data.chunks_exact_mut(nx).enumerate() {
            let (j, k) = (r % ny, r / ny);
            layer.line(&places[0], places[1][j], places[2][k], &mut nodes, &mut row);
            for (v, gain) in out.iter_mut().zip(&row) {
                *v *= gain;
            }
        }
    }

    /// Sets what is neither brain nor the fluid in and about it to 0.
    fn strip(&self, data: &mut [f32]) {
        let kept: Vec<bool> = self
            .classes
            .iter()
            .map(|c| c.region != Region::Outside || matches!(c.label, 24 | 30 | 62 | 122 | 257))
            .collect();
        for (v, voxel) in data.iter_mut().zip(&self.voxels) {
            if !kept[usize::from(voxel.first.0)] {
                *v = 0.0;
            }
        }
    }
}

/// The magnitude of a signal with normal noise in both channels (Gudbjartsson 1995).
pub(super) fn rician(data: &mut [f32], sigma: f32, random: &mut Random) {
    if sigma <= 0.0 {
        return;
    }
    let mut noise = [0.0f32; 2 * CHUNK];
    for part in data.chunks_mut(CHUNK) {
        let noise = &mut noise[..2 * part.len()];
        random.normals(noise);
        let (real, imaginary) = noise.split_at(part.len());
        for ((v, r), i) in part.iter_mut().zip(real).zip(imaginary) {
            let (a, b) = (*v + sigma * r, sigma * i);
            *v = (a * a + b * b).sqrt();
        }
    }
}

/// Slices of any thickness across any axis, or voxels of any size.
fn random_acquisition(random: &mut Random, frame: &Frame) -> Acquisition {
    let least = frame.spacing.iter().fold(f64::MAX, |m, &s| m.min(s));
    let slices = [Plane::Sagittal, Plane::Coronal, Plane::Axial][random.whole(0, 2)];
    let flat = random.happens(0.5);
    let wide = random.between([least, 8.0f64.max(least)]);
    let (pixel, thickness) = match flat {
        true => (least * random.between([1.0, 1.3]), wide),
        false => {
            let edge = random.between([least, 3.0f64.max(least)]);
            (edge, edge)
        }
    };
    Acquisition {
        sequence: super::signal::Sequence::SpinEcho {
            tr: 1000.0,
            te: 10.0,
        },
        slices,
        pixel,
        thickness,
        distance: None,
    }
}

/// Sets planes at the ends of the second and third axis to 0: up to `share` of them.
fn crop(data: &mut [f32], frame: &Frame, share: f64, random: &mut Random) {
    let [nx, ny, nz] = frame.shape;
    let mut planes = |n: usize| (share * random.unit() * n as f64) as usize;
    let (front, back) = (planes(ny) / 2, planes(ny) / 2);
    let (bottom, top) = (planes(nz), planes(nz) / 3);
    for k in 0..nz {
        for j in 0..ny {
            if k < bottom || k + top >= nz || j < back || j + front >= ny {
                let start = nx * (j + ny * k);
                data[start..start + nx].fill(0.0);
            }
        }
    }
}
