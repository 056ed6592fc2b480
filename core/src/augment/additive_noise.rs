//! Additive noise: normal numbers on top of every voxel.

use super::config::Noise;
use super::random::Random;
use super::range::{clipped, limits};

/// Voxels for which noise is made at once.
const CHUNK: usize = 4096;

/// What is drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdditiveNoise {
    /// Standard deviation, in the image's units.
    pub sigma: f64,
    /// Starts the noise.
    pub seed: u64,
}

impl AdditiveNoise {
    pub(super) fn draw(config: &Noise, random: &mut Random) -> Self {
        Self {
            sigma: random.between(config.sigma),
            seed: random.seed(),
        }
    }

    /// Adds the noise; the image keeps its range.
    pub fn apply(&self, image: &mut [f32]) {
        with_noise(image, self.seed, |part, noise, range| {
            add(part, noise, self.sigma as f32, range);
        });
    }
}

/// Hands out the image in parts, each with as much noise and the range of the whole image.
pub(super) fn with_noise(
    image: &mut [f32],
    seed: u64,
    change: impl Fn(&mut [f32], &[f32], [f32; 2]),
) {
    let range = limits(image);
    let mut random = Random::new(seed, 0);
    let mut noise = [0.0; CHUNK];
    for part in image.chunks_mut(CHUNK) {
        let noise = &mut noise[..part.len()];
        random.normals(noise);
        change(part, noise, range);
    }
}

/// `image + sigma * noise`, clipped to the image's range.
pub fn additive_noise(image: &mut [f32], noise: &[f32], sigma: f32) {
    let range = limits(image);
    add(image, noise, sigma, range);
}

fn add(image: &mut [f32], noise: &[f32], sigma: f32, range: [f32; 2]) {
    for (v, n) in image.iter_mut().zip(noise) {
        *v = clipped(*v + sigma * n, range);
    }
}
