//! Gibbs ringing: the high frequencies along an axis are cut off, so that edges ring.

use super::config::Ringing;
use super::random::Random;
use super::spectrum::weigh_planes;

/// What is drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GibbsRinging {
    /// Planes of k-space that stay.
    pub planes: usize,
    /// The axis that the planes lie across: 0, 1 or 2.
    pub axis: usize,
}

impl GibbsRinging {
    pub(super) fn draw(config: &Ringing, shape: [usize; 3], random: &mut Random) -> Self {
        let axis = random.whole(0, 2);
        let [low, high] = config.kept.map(|kept| kept * shape[axis] as f64);
        let low = low.ceil() as usize;
        Self {
            planes: random.whole(low, (high.floor() as usize).max(low)),
            axis,
        }
    }

    /// Cuts the frequencies off; the image keeps its range.
    ///
    /// Of an axis of `n` planes with the frequencies in ascending order, those from
    /// `ceil(n / 2) - ceil(planes / 2)` to before `ceil(n / 2) + ceil(planes / 2)` stay, and the
    /// result is a magnitude: so the reference does it.
    pub fn apply(&self, image: &mut [f32], shape: [usize; 3]) {
        let Some(&n) = shape.get(self.axis) else {
            return;
        };
        let (middle, half) = (n.div_ceil(2), self.planes.div_ceil(2));
        let band = middle.saturating_sub(half)..middle.saturating_add(half);
        if band.start == 0 && band.end >= n {
            return;
        }
        // Ascending, frequency 0 is number n / 2.
        let weight = |k: usize| band.contains(&((k + n / 2) % n));
        let weights: Vec<f32> = (0..n).map(|k| f32::from(u8::from(weight(k)))).collect();
        weigh_planes(image, shape, self.axis, &weights);
    }
}
