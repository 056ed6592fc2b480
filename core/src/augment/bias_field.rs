//! Bias field: the image is darker with the square of the distance from a point.

use super::random::Random;
use super::range::{clipped, limits};

/// What is drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BiasField {
    /// The voxel at which the field is 1.
    pub centre: [usize; 3],
}

impl BiasField {
    pub(super) fn draw(shape: [usize; 3], random: &mut Random) -> Self {
        Self {
            centre: shape.map(|n| random.whole(0, n.saturating_sub(1))),
        }
    }

    /// Multiplies by `1 - sum(((x - centre) / size)^2)` over the axes; the image keeps its range.
    pub fn apply(&self, image: &mut [f32], shape: [usize; 3]) {
        let range = limits(image);
        let losses = [0, 1, 2].map(|a| -> Vec<f32> {
            let loss = |i: usize| {
                let distance = (i as f64 - self.centre[a] as f64) / shape[a] as f64;
                (distance * distance) as f32
            };
            (0..shape[a]).map(loss).collect()
        });
        for (r, row) in image.chunks_exact_mut(shape[0].max(1)).enumerate() {
            let (y, z) = (r % shape[1], r / shape[1]);
            let gain = 1.0 - losses[1][y] - losses[2][z];
            for (v, loss) in row.iter_mut().zip(&losses[0]) {
                *v = clipped(*v * (gain - loss), range);
            }
        }
    }
}
