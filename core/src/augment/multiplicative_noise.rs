//! Multiplicative noise: every voxel times a normal number about 1.

use super::additive_noise::with_noise;
use super::config::Noise;
use super::random::Random;
use super::range::{clipped, limits};

/// What is drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MultiplicativeNoise {
    /// Standard deviation of the factor.
    pub sigma: f64,
    /// Starts the noise.
    pub seed: u64,
}

impl MultiplicativeNoise {
    pub(super) fn draw(config: &Noise, random: &mut Random) -> Self {
        Self {
            sigma: random.between(config.sigma),
            seed: random.seed(),
        }
    }

    /// Multiplies by the noise; the image keeps its range.
    pub fn apply(&self, image: &mut [f32]) {
        with_noise(image, self.seed, |part, noise, range| {
            multiply(part, noise, self.sigma as f32, range);
        });
    }
}

/// `image + image * sigma * noise`, clipped to the image's range.
pub fn multiplicative_noise(image: &mut [f32], noise: &[f32], sigma: f32) {
    let range = limits(image);
    multiply(image, noise, sigma, range);
}

fn multiply(image: &mut [f32], noise: &[f32], sigma: f32, range: [f32; 2]) {
    for (v, n) in image.iter_mut().zip(noise) {
        *v = clipped(*v + *v * sigma * n, range);
    }
}
