//! Shape and place of an image that is made.

use super::error::SynthError;
use super::lattice::Lattice;
use crate::volume::{Affine, Grid};

/// Most voxels of a frame: 2^28.
const MAX_VOXELS: usize = 1 << 28;

/// Shape and place of an image: axes along x (to the right), y (to the front) and z (to the top).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Voxels along each axis.
    pub shape: [usize; 3],
    /// Edges of a voxel, mm.
    pub spacing: [f64; 3],
    /// Centre of the first voxel, mm.
    pub origin: [f64; 3],
}

impl Frame {
    /// A frame about a point, mm.
    ///
    /// # Errors
    ///
    /// [`SynthError::Frame`] where an axis has no voxels, there are more than 2^28, or voxels
    /// have no sensible size (0.1 to 20 mm).
    pub fn around(
        centre: [f64; 3],
        shape: [usize; 3],
        spacing: [f64; 3],
    ) -> Result<Self, SynthError> {
        let voxels = shape.iter().try_fold(1usize, |n, &s| n.checked_mul(s));
        let fits = voxels.is_some_and(|n| (1..=MAX_VOXELS).contains(&n));
        if !fits || !spacing.iter().all(|s| (0.1..=20.0).contains(s)) {
            return Err(SynthError::Frame { shape, spacing });
        }
        let half = |a: usize| (shape[a] as f64 - 1.0) / 2.0 * spacing[a];
        Ok(Self {
            shape,
            spacing,
            origin: [0, 1, 2].map(|a| centre[a] - half(a)),
        })
    }

    /// A frame about a head: 176 x 208 x 176 mm where no shape is given.
    ///
    /// # Errors
    ///
    /// As [`Frame::around`].
    pub fn head(shape: Option<[usize; 3]>, spacing: [f64; 3]) -> Result<Self, SynthError> {
        const CENTRE: [f64; 3] = [0.0, -11.0, 1.0];
        const EXTENT: [f64; 3] = [176.0, 208.0, 176.0];
        let fitting = [0, 1, 2].map(|a| (EXTENT[a] / spacing[a]).round().clamp(1.0, 1e6) as usize);
        Self::around(CENTRE, shape.unwrap_or(fitting), spacing)
    }

    /// Voxel indices to mm.
    pub fn grid(&self) -> Grid {
        let mut affine = Affine::IDENTITY;
        for a in 0..3 {
            affine.0[a][a] = self.spacing[a];
            affine.0[a][3] = self.origin[a];
        }
        Grid {
            shape: self.shape,
            affine,
        }
    }

    /// Number of voxels.
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where voxel `i` of an axis is, mm.
    pub(super) fn position(&self, axis: usize, i: usize) -> f32 {
        (self.origin[axis] + self.spacing[axis] * i as f64) as f32
    }

    /// A lattice that covers the frame.
    pub(super) fn lattice(&self, spacing: f32) -> Lattice {
        let low = [0, 1, 2].map(|a| self.position(a, 0));
        let high = [0, 1, 2].map(|a| self.position(a, self.shape[a] - 1));
        Lattice::covering(low, high, spacing)
    }

    /// The nodes of a lattice as a frame.
    pub(super) fn of_lattice(lattice: &Lattice) -> Self {
        Self {
            shape: lattice.shape,
            spacing: [f64::from(lattice.spacing); 3],
            origin: lattice.origin.map(f64::from),
        }
    }

    /// Where each voxel of an axis is on a lattice.
    pub(super) fn located(&self, lattice: &Lattice, axis: usize) -> Vec<(usize, f32)> {
        let at = |i| lattice.locate(axis, self.position(axis, i));
        (0..self.shape[axis]).map(at).collect()
    }
}
