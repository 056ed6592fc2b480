//! Anatomical orientation of voxel axes, and moving volumes between the 48 of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::permute::Permutation;
use super::rotation::nearest_rotation;
use super::{Affine, Grid, Volume, VolumeError};

/// Letters of the world axes: towards smaller, towards larger coordinates.
const LETTERS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['I', 'S']];

/// The anatomical direction in which each voxel axis runs: `RAS` says that the first axis runs to
/// the right, the second to the front (anterior), the third to the top (superior).
///
/// In serde it is its three letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Orientation {
    /// World axis of each voxel axis; a permutation of 0, 1, 2.
    world: [u8; 3],
    /// Whether the voxel axis runs to larger world coordinates.
    positive: [bool; 3],
}

impl Orientation {
    /// Right, anterior, superior: the world axes of NIfTI themselves.
    pub const RAS: Self = Self {
        world: [0, 1, 2],
        positive: [true; 3],
    };
    /// Left, posterior, superior: the world axes of DICOM and ITK.
    pub const LPS: Self = Self {
        world: [0, 1, 2],
        positive: [false, false, true],
    };
    /// Left, inferior, anterior: FreeSurfer's conformed volumes.
    pub const LIA: Self = Self {
        world: [0, 2, 1],
        positive: [false, false, true],
    };

    /// The orientation nearest to the axes of `affine`, as nibabel's `io_orientation` finds it.
    ///
    /// The columns are scaled to unit length and replaced by the nearest rotation (polar
    /// decomposition); then voxel axes, the most axis-aligned first, each take the world axis
    /// along which they change most and that is still free. Equal ones go by index.
    ///
    /// # Errors
    ///
    /// [`VolumeError::SingularAffine`] when the affine has no inverse or is not finite.
    pub fn of(affine: &Affine) -> Result<Self, VolumeError> {
        let mut r = nearest_rotation(affine).ok_or(VolumeError::SingularAffine)?;
        let strength = [0, 1, 2].map(|c| r.iter().map(|row| row[c] * row[c]).fold(0.0, f64::max));
        let mut order = [0, 1, 2];
        order.sort_by(|&a: &usize, &b: &usize| strength[b].total_cmp(&strength[a]));
        let mut out = Self::RAS;
        let mut free = [true; 3];
        for c in order {
            let mut best: Option<usize> = None;
            for w in (0..3).filter(|&w| free[w]) {
                if best.is_none_or(|b| r[w][c].abs() > r[b][c].abs()) {
                    best = Some(w);
                }
            }
            let w = best.ok_or(VolumeError::SingularAffine)?;
            out.world[c] = w as u8;
            out.positive[c] = r[w][c] > 0.0;
            free[w] = false;
            r[w] = [0.0; 3];
        }
        Ok(out)
    }

    /// All 48 orientations.
    pub fn all() -> impl Iterator<Item = Self> {
        const ORDERS: [[u8; 3]; 6] = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        ORDERS.into_iter().flat_map(|world| {
            (0..8u8).map(move |bits| Self {
                world,
                positive: [0, 1, 2].map(|a| bits >> a & 1 == 0),
            })
        })
    }

    /// The world axis (0 right-left, 1 front-back, 2 top-bottom) of each voxel axis.
    pub fn world_axes(&self) -> [usize; 3] {
        self.world.map(usize::from)
    }

    /// Whether each voxel axis runs to larger world coordinates (right, front, top).
    pub fn positive(&self) -> [bool; 3] {
        self.positive
    }

    /// How axes of this orientation become axes of the orientation `target`.
    pub fn to(self, target: Self) -> Reorientation {
        let mut axes = [0; 3];
        let mut flip = [false; 3];
        for j in 0..3 {
            for i in 0..3 {
                if self.world[i] == target.world[j] {
                    axes[j] = i;
                    flip[j] = self.positive[i] != target.positive[j];
                }
            }
        }
        Reorientation(Permutation { axes, flip })
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (w, p) in self.world.iter().zip(self.positive) {
            write!(f, "{}", LETTERS[usize::from(*w)][usize::from(p)])?;
        }
        Ok(())
    }
}

impl FromStr for Orientation {
    type Err = VolumeError;

    /// Parses three letters such as `RAS` or `lia`: the directions in which the axes run.
    fn from_str(s: &str) -> Result<Self, VolumeError> {
        let bad = || VolumeError::Orientation {
            text: s.chars().take(16).collect(),
        };
        let mut out = Self::RAS;
        let mut seen = [false; 3];
        let mut letters = s.chars();
        for axis in 0..3 {
            let c = letters.next().ok_or_else(bad)?.to_ascii_uppercase();
            let w = LETTERS
                .iter()
                .position(|pair| pair.contains(&c))
                .ok_or_else(bad)?;
            if std::mem::replace(&mut seen[w], true) {
                return Err(bad());
            }
            out.world[axis] = w as u8;
            out.positive[axis] = LETTERS[w][1] == c;
        }
        if letters.next().is_some() {
            Err(bad())
        } else {
            Ok(out)
        }
    }
}

impl TryFrom<String> for Orientation {
    type Error = VolumeError;

    fn try_from(s: String) -> Result<Self, VolumeError> {
        s.parse()
    }
}

impl From<Orientation> for String {
    fn from(o: Orientation) -> Self {
        o.to_string()
    }
}

/// A change of orientation: axes permuted, some of them reversed, no voxel value changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reorientation(Permutation);

impl Reorientation {
    /// The axis of the source that becomes each axis of the result.
    pub fn axes(&self) -> [usize; 3] {
        self.0.axes
    }

    /// Whether each axis of the *result* runs against the source axis it comes from.
    pub fn flip(&self) -> [bool; 3] {
        self.0.flip
    }

    /// Whether nothing changes.
    pub fn is_identity(&self) -> bool {
        self.0.axes == [0, 1, 2] && self.0.flip == [false; 3]
    }

    /// The change that undoes this one.
    pub fn inverse(&self) -> Self {
        let mut axes = [0; 3];
        let mut flip = [false; 3];
        for j in 0..3 {
            axes[self.0.axes[j]] = j;
            flip[self.0.axes[j]] = self.0.flip[j];
        }
        Self(Permutation { axes, flip })
    }

    /// Shape (voxels) of the result for a source of shape `shape`.
    pub fn shape(&self, shape: [usize; 3]) -> [usize; 3] {
        self.0.shape(shape)
    }

    /// Voxel positions of the result to voxel positions of a source of shape `shape`.
    pub fn to_source(&self, shape: [usize; 3]) -> Affine {
        let mut m = [[0.0; 4]; 3];
        for j in 0..3 {
            let a = self.0.axes[j];
            if self.0.flip[j] {
                m[a][j] = -1.0;
                m[a][3] = shape[a] as f64 - 1.0;
            } else {
                m[a][j] = 1.0;
            }
        }
        Affine(m)
    }

    /// The grid whose voxels are those of `grid` in the new order, at the same world positions.
    pub fn grid(&self, grid: &Grid) -> Grid {
        if self.is_identity() {
            return grid.clone();
        }
        Grid {
            shape: self.shape(grid.shape),
            affine: grid.affine.after(&self.to_source(grid.shape)),
        }
    }

    /// A copy of `volume` in the new order; every value keeps its world position.
    pub fn apply<T: Copy>(&self, volume: &Volume<T>) -> Volume<T> {
        Volume {
            grid: self.grid(&volume.grid),
            data: self.0.copy(&volume.data, volume.grid.shape),
        }
    }
}

impl Grid {
    /// The orientation nearest to the voxel axes.
    ///
    /// # Errors
    ///
    /// [`VolumeError::SingularAffine`], see [`Orientation::of`].
    pub fn orientation(&self) -> Result<Orientation, VolumeError> {
        Orientation::of(&self.affine)
    }
}

impl<T: Copy> Volume<T> {
    /// The volume with its axes permuted and flipped so that they run as `target` says (nearest,
    /// for oblique volumes); nothing is interpolated.
    ///
    /// # Errors
    ///
    /// [`VolumeError::SingularAffine`], see [`Orientation::of`].
    pub fn reoriented(&self, target: Orientation) -> Result<Self, VolumeError> {
        Ok(self.grid.orientation()?.to(target).apply(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Volume<u32> {
        // An oblique, anisotropic, sheared affine whose nearest orientation is LSP.
        let affine = Affine([
            [-0.9, 0.2, -0.15, 30.0],
            [0.1, 0.3, -2.4, -12.5],
            [0.05, 1.1, 0.4, 7.25],
        ]);
        let shape = [4, 5, 3];
        Volume {
            grid: Grid { shape, affine },
            data: (0..60).collect(),
        }
    }

    #[test]
    fn letters_round_trip() -> Result<(), VolumeError> {
        let all: Vec<_> = Orientation::all().collect();
        assert_eq!(all.len(), 48);
        for o in &all {
            assert_eq!(o.to_string().parse::<Orientation>()?, *o);
            assert_eq!(o.to_string().to_lowercase().parse::<Orientation>()?, *o);
        }
        assert_eq!(
            all.iter().collect::<std::collections::HashSet<_>>().len(),
            48
        );
        assert_eq!("LIA".parse::<Orientation>()?, Orientation::LIA);
        assert_eq!(Orientation::LPS.to_string(), "LPS");
        Ok(())
    }

    #[test]
    fn bad_letters_are_refused() {
        for s in ["", "RA", "RAX", "RRS", "RLS", "RASS", "R S", "ÄÖÜ"] {
            let e = s.parse::<Orientation>().expect_err(s);
            assert!(e.to_string().contains(s), "{e}");
        }
    }

    #[test]
    fn serde_is_three_letters() {
        let json = serde_json::to_string(&Orientation::LIA).expect("serialises");
        assert_eq!(json, "\"LIA\"");
        assert_eq!(
            serde_json::from_str::<Orientation>(&json).expect("parses"),
            Orientation::LIA
        );
        assert!(serde_json::from_str::<Orientation>("\"LIX\"").is_err());
    }

    #[test]
    fn every_axis_aligned_affine_has_its_orientation() -> Result<(), VolumeError> {
        for o in Orientation::all() {
            let mut m = [[0.0; 4]; 3];
            for a in 0..3 {
                m[o.world_axes()[a]][a] =
                    (a as f64 + 0.5) * if o.positive()[a] { 1.0 } else { -1.0 };
            }
            assert_eq!(Orientation::of(&Affine(m))?, o);
        }
        Ok(())
    }

    #[test]
    fn all_48_round_trip_and_keep_world_positions() -> Result<(), VolumeError> {
        let v = sample();
        let own = v.grid().orientation()?;
        assert_eq!(own.to_string(), "LSP");
        for target in Orientation::all() {
            let change = own.to(target);
            let w = change.apply(&v);
            assert_eq!(w.grid().orientation()?, target);
            assert_eq!(w.grid(), &change.grid(v.grid()));
            let back = change.inverse().apply(&w);
            assert_eq!(back.data(), v.data());
            assert_eq!(back.grid().shape, v.grid().shape);
            for (a, b) in back
                .grid()
                .affine
                .0
                .iter()
                .flatten()
                .zip(v.grid().affine.0.iter().flatten())
            {
                assert!((a - b).abs() < 1e-12);
            }
            assert_eq!(change.inverse(), target.to(own));
            let n = w.grid().shape;
            for (at, value) in w.data().iter().enumerate() {
                let p = [at % n[0], at / n[0] % n[1], at / n[0] / n[1]].map(|c| c as f64);
                let s = *value as usize;
                let q = [s % 4, s / 4 % 5, s / 20].map(|c| c as f64);
                let (here, there) = (w.grid().affine.apply(p), v.grid().affine.apply(q));
                assert!(here.iter().zip(there).all(|(a, b)| (a - b).abs() < 1e-9));
            }
        }
        Ok(())
    }

    #[test]
    fn no_change_keeps_the_affine_to_the_bit() -> Result<(), VolumeError> {
        let v = sample();
        assert!(v.grid().orientation()?.to("LSP".parse()?).is_identity());
        assert_eq!(v.reoriented("LSP".parse()?)?, v);
        Ok(())
    }

    #[test]
    fn singular_affines_have_none() {
        let flat = Affine([[1., 0., 1., 0.], [0., 1., 1., 0.], [1., 1., 2., 0.]]);
        let zero = Affine([[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 0., 0.]]);
        let mut nan = Affine::IDENTITY;
        nan.0[1][1] = f64::NAN;
        for a in [flat, zero, nan] {
            assert!(matches!(
                Orientation::of(&a),
                Err(VolumeError::SingularAffine)
            ));
        }
    }
}
