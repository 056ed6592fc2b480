//! Boxes that are cut out of a patch, and what is put in their place.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::PretextError;
use crate::augment::Random;

/// How much is cut out of a patch, and in what pieces. The default is what SwinUNETR is pretrained
/// with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CutoutConfig {
    /// Largest share of the voxels. The share is drawn between 0 and this, and boxes are cut until
    /// they have as many voxels together, counted twice where they overlap.
    pub share: f64,
    /// Smallest and largest edge of a box, as shares of the patch's edge; the largest is excluded.
    pub edge: [f64; 2],
}

impl Default for CutoutConfig {
    fn default() -> Self {
        Self {
            share: 0.3,
            edge: [0.05, 0.25],
        }
    }
}

/// Draws boxes to cut out of patches of one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Cutout {
    patch: [usize; 3],
    share: f64,
    /// Smallest and largest edge in voxels along each axis, both included.
    edges: [[usize; 2]; 3],
}

/// A box: the voxels of each axis.
pub type Cuboid = [Range<usize>; 3];

impl Cutout {
    /// Boxes for patches of `patch` voxels.
    ///
    /// # Errors
    ///
    /// [`PretextError::Cutout`] when the shares are none, or no edge in voxels lies between them.
    pub fn new(patch: [usize; 3], config: CutoutConfig) -> Result<Self, PretextError> {
        let bad = |message: String| Err(PretextError::Cutout(message));
        let CutoutConfig { share, edge } = config;
        if !(0.0..1.0).contains(&share) {
            return bad(format!("share: {share} is no share below 1"));
        }
        if !(edge[0] >= 0.0 && edge[0] < edge[1] && edge[1] <= 1.0) {
            return bad(format!(
                "edge: {edge:?} are no two shares, the smaller first"
            ));
        }
        let mut edges = [[0; 2]; 3];
        for (of, &voxels) in edges.iter_mut().zip(&patch) {
            let [low, end] = edge.map(|e| (e * voxels as f64) as usize);
            // The reference's smallest edge is 0 in a small patch, where it cuts nothing.
            *of = [low.max(1), end.saturating_sub(1)];
            if of[1] < of[0] {
                return bad(format!(
                    "edge: {edge:?} of a patch of {patch:?} voxels leave no box between them"
                ));
            }
        }
        Ok(Self {
            patch,
            share,
            edges,
        })
    }

    /// Draws boxes: each begins anywhere but at the very end of an axis, and ends at the patch's.
    pub fn draw(&self, random: &mut Random) -> Vec<Cuboid> {
        let voxels = self.patch.iter().product::<usize>() as f64;
        let aim = random.between([0.0, self.share]) * voxels;
        let (mut boxes, mut cut) = (Vec::new(), 0);
        while (cut as f64) < aim {
            let cuboid = [0, 1, 2].map(|a| {
                let [low, high] = self.edges[a];
                let start = random.whole(0, self.patch[a] - low - 1);
                start..(start + random.whole(low, high)).min(self.patch[a])
            });
            cut += cuboid.iter().map(Range::len).product::<usize>();
            boxes.push(cuboid);
        }
        boxes
    }

    /// Puts noise in place of a box of a patch, `[x, y, z]` with the last axis fastest: normal
    /// numbers, brought to 0 to 1 in each box.
    pub fn fill_with_noise(&self, patch: &mut [f32], cuboid: &Cuboid, random: &mut Random) {
        let mut noise = vec![0.0; cuboid.iter().map(Range::len).product()];
        random.normals(&mut noise);
        let [low, high] = noise
            .iter()
            .fold([f32::MAX, f32::MIN], |[l, h], &v| [l.min(v), h.max(v)]);
        // One voxel has no range.
        let range = if high > low { high - low } else { 1.0 };
        let rows = noise.chunks_exact(cuboid[2].len().max(1));
        for (row, noise) in self.rows(cuboid).zip(rows) {
            for (v, n) in patch[row].iter_mut().zip(noise) {
                *v = (n - low) / range;
            }
        }
    }

    /// Puts the same box of another patch in place of a box.
    pub fn fill_from(&self, patch: &mut [f32], cuboid: &Cuboid, other: &[f32]) {
        for row in self.rows(cuboid) {
            patch[row.clone()].copy_from_slice(&other[row]);
        }
    }

    /// The rows of voxels of a box.
    fn rows(&self, [x, y, z]: &Cuboid) -> impl Iterator<Item = Range<usize>> {
        let [_, width, depth] = self.patch;
        let (y, z) = (y.clone(), z.clone());
        x.clone().flat_map(move |i| {
            let z = z.clone();
            y.clone().map(move |j| {
                let row = (i * width + j) * depth;
                row + z.start..row + z.end
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: [usize; 3] = [96, 64, 32];

    fn cutout() -> Cutout {
        Cutout::new(PATCH, CutoutConfig::default()).expect("fits")
    }

    #[test]
    fn boxes_are_as_large_and_as_many_as_in_the_reference() {
        let cutout = cutout();
        // randint(int(0.05 e), int(0.25 e)) has its upper end excluded.
        assert_eq!(cutout.edges, [[4, 23], [3, 15], [1, 7]]);
        let mut shares = Vec::new();
        let mut ends = 0;
        for seed in 0..400 {
            let boxes = cutout.draw(&mut Random::new(seed, 0));
            let mut cut = 0.0;
            for (n, cuboid) in boxes.iter().enumerate() {
                for (a, range) in cuboid.iter().enumerate() {
                    let [low, high] = cutout.edges[a];
                    assert!(range.end <= PATCH[a] && range.len() <= high);
                    // Shorter ones were cut off by the patch's end.
                    assert!(range.len() >= low || range.end == PATCH[a], "{range:?}");
                    ends += usize::from(range.end == PATCH[a]);
                }
                // The last box alone may go beyond the aim.
                let share = cut / (96.0 * 64.0 * 32.0);
                assert!(share < 0.3, "box {n} was not needed");
                cut += cuboid.iter().map(|r| r.len() as f64).product::<f64>();
            }
            shares.push(cut / (96.0 * 64.0 * 32.0));
        }
        // Uniform in 0..0.3: the mean is 0.15 with a standard error of 0.0043, and half a box more.
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!((0.135..0.17).contains(&mean), "{mean}");
        assert!(ends > 100, "boxes reach the end: {ends}");
    }

    #[test]
    fn a_box_and_nothing_else_is_filled() {
        let cutout = cutout();
        let voxels = PATCH.iter().product();
        let other: Vec<f32> = (0..voxels).map(|v| v as f32 + 10.0).collect();
        for seed in 0..20 {
            let random = &mut Random::new(seed, 1);
            for cuboid in cutout.draw(random) {
                let inside = |v: usize| {
                    let place = [v / (64 * 32), v / 32 % 64, v % 32];
                    place.iter().zip(&cuboid).all(|(p, r)| r.contains(p))
                };
                let mut patch = vec![-1.0; voxels];
                cutout.fill_with_noise(&mut patch, &cuboid, random);
                for (v, &value) in patch.iter().enumerate() {
                    match inside(v) {
                        true => assert!((0.0..=1.0).contains(&value)),
                        false => assert_eq!(value, -1.0),
                    }
                }
                let one = cuboid.iter().all(|r| r.len() == 1);
                assert!(one || patch.contains(&1.0) && patch.contains(&0.0));
                cutout.fill_from(&mut patch, &cuboid, &other);
                for (v, &value) in patch.iter().enumerate() {
                    assert_eq!(value, if inside(v) { other[v] } else { -1.0 });
                }
            }
        }
    }

    #[test]
    fn impossible_cuts_are_refused() {
        let config = |share, edge| CutoutConfig { share, edge };
        for (patch, config) in [
            ([96; 3], config(1.0, [0.05, 0.25])),
            ([96; 3], config(f64::NAN, [0.05, 0.25])),
            ([96; 3], config(0.3, [0.25, 0.25])),
            ([96; 3], config(0.3, [-0.1, 0.25])),
            ([96; 3], config(0.3, [0.05, 1.5])),
            ([96, 96, 4], config(0.3, [0.05, 0.25])),
            ([0; 3], config(0.3, [0.05, 0.25])),
        ] {
            assert!(Cutout::new(patch, config).is_err(), "{patch:?} {config:?}");
        }
        let none = Cutout::new([96; 3], config(0.0, [0.05, 0.25])).expect("nothing is cut");
        assert!(none.draw(&mut Random::new(1, 0)).is_empty());
    }
}
