//! Gamma: the image's range is bent by a power.

use super::config::GammaCurve;
use super::math::pow;
use super::random::Random;
use super::range::{clipped, limits};

/// What the range is enlarged by so that it is never 0.
const EPSILON: f32 = 1e-7;

/// What is drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gamma {
    /// The power.
    pub gamma: f64,
    /// Bend the negative of the image.
    pub invert: bool,
    /// The reference's curve: the range is enlarged by 1 before the power is taken, and not after.
    pub reference: bool,
}

impl Gamma {
    /// Below and above 1 are equally likely where the range has both.
    fn power([low, high]: [f64; 2], random: &mut Random) -> f64 {
        let below = random.happens(0.5);
        if low >= 1.0 || high <= 1.0 {
            random.between([low, high])
        } else if below {
            random.between([low, 1.0])
        } else {
            random.between([1.0, high])
        }
    }

    pub(super) fn draw(
        config: &GammaCurve,
        invert: bool,
        reference: bool,
        random: &mut Random,
    ) -> Self {
        Self {
            gamma: Self::power(config.gamma, random),
            invert,
            reference,
        }
    }

    /// Bends the image; it keeps its range.
    ///
    /// With `x` the image, `m` its minimum and `r` its range: `((x - m) / (r + e))^gamma (r + e) +
    /// m`, `e` 1e-7; for the reference's curve `((x - m) / (r + 1))^gamma r + m`.
    pub fn apply(&self, image: &mut [f32]) {
        let [low, high] = limits(image);
        let (sign, low, high) = if self.invert {
            (-1.0, -high, -low)
        } else {
            (1.0, low, high)
        };
        let range = high - low;
        let (before, after) = if self.reference {
            (range + 1.0, range)
        } else {
            (range + EPSILON, range + EPSILON)
        };
        let (scale, gamma) = (1.0 / before, self.gamma as f32);
        for v in image {
            let bent = pow((sign * *v - low) * scale, gamma) * after + low;
            *v = sign * clipped(bent, [low, high]);
        }
    }
}
