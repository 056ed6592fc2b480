//! Low resolution: fewer voxels along some axes, then as many as before.

use super::config::LowRes;
use super::random::Random;
use super::range::{clip, limits};
use super::spline::{End, resample};

/// What is drawn for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowResolution {
    /// Voxels along each axis in between.
    pub shape: [usize; 3],
}

impl LowResolution {
    pub(super) fn draw(config: &LowRes, shape: [usize; 3], random: &mut Random) -> Self {
        let zoom = random.between(config.zoom);
        // All are drawn, so that one axis does not change another's.
        let fewer = [(); 3].map(|()| random.happens(config.p_axis));
        let zoomed = |n: usize| ((n as f64 * zoom).round_ties_even() as usize).max(1);
        Self {
            shape: [0, 1, 2].map(|a| if fewer[a] { zoomed(shape[a]) } else { shape[a] }),
        }
    }

    /// Lowers the resolution; the image keeps its range.
    pub fn apply(&self, image: &mut [f32], shape: [usize; 3]) {
        low_resolution(image, shape, self.shape);
    }
}

/// The image at `target` voxels (each the nearest old one), then back at its own by cubic
/// B-splines; both grids have one field of view. scikit-image: `resize` with `order=0`, then with
/// `order=3`, `mode="edge"` and no anti-aliasing.
pub fn low_resolution(image: &mut [f32], shape: [usize; 3], target: [usize; 3]) {
    if shape == target || target.contains(&0) || image.is_empty() {
        return;
    }
    // Voxel i of n lies at (i + 1/2) m / n - 1/2 of m.
    let at = |i: usize, n: usize, m: usize| (i as f64 + 0.5) * (m as f64 / n as f64) - 0.5;
    let nearest = [0, 1, 2].map(|a| -> Vec<usize> {
        let pick = |i| (at(i, target[a], shape[a]) + 0.5).floor() as usize;
        (0..target[a]).map(|i| pick(i).min(shape[a] - 1)).collect()
    });
    let mut data = Vec::with_capacity(target.iter().product());
    for &z in &nearest[2] {
        for &y in &nearest[1] {
            let row = shape[0] * (y + shape[1] * z);
            data.extend(nearest[0].iter().map(|x| image[row + x]));
        }
    }
    let range = limits(&data);
    let mut size = target;
    for a in (0..3).rev().filter(|&a| target[a] != shape[a]) {
        let positions: Vec<f64> = (0..shape[a]).map(|i| at(i, shape[a], target[a])).collect();
        data = resample(&data, size, a, &positions, End::Continued);
        size[a] = shape[a];
    }
    clip(&mut data, range);
    image.copy_from_slice(&data);
}
