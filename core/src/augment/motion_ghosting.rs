//! Motion ghosting: every so manieth plane of k-space is weaker, which repeats the image along an
//! axis.

use super::config::Ghosting;
use super::random::Random;
use super::spectrum::weigh_planes;

/// What is drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MotionGhosting {
    /// Factor of the planes that are weaker.
    pub alpha: f64,
    /// One plane in so many is.
    pub every: usize,
    /// The axis that the planes lie across: 0, 1 or 2.
    pub axis: usize,
    /// Weaken the plane of frequency 0 too, which scales the whole image.
    pub with_mean: bool,
}

impl MotionGhosting {
    pub(super) fn draw(config: &Ghosting, with_mean: bool, random: &mut Random) -> Self {
        Self {
            alpha: random.between(config.alpha),
            every: random.whole(config.every[0], config.every[1]),
            axis: random.whole(0, 2),
            with_mean,
        }
    }

    /// Adds the ghosts; the image keeps its range.
    ///
    /// Planes are counted as the FFT orders them, from frequency 0 on, without the last, and the
    /// result is a magnitude: so the reference does it.
    pub fn apply(&self, image: &mut [f32], shape: [usize; 3]) {
        let Some(&n) = shape.get(self.axis) else {
            return;
        };
        let mut weights = vec![1.0; n];
        for k in (0..n.saturating_sub(1)).step_by(self.every.max(1)) {
            if k > 0 || self.with_mean {
                weights[k] = self.alpha as f32;
            }
        }
        weigh_planes(image, shape, self.axis, &weights);
    }
}
