//! What comes second at a voxel.

use super::Label;

/// The label that comes second at a voxel, and how near it is to the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunnerUp {
    /// The label.
    pub label: Label,
    /// Its share, in 65,535ths.
    share: u16,
}

impl RunnerUp {
    /// A label whose probability is `share`, 0 to 0.5, of its own and the first's together.
    pub fn new(label: Label, share: f32) -> Self {
        Self {
            label,
            share: (share.clamp(0.0, 0.5) * f32::from(u16::MAX)) as u16,
        }
    }

    /// Its probability, over that of the first two together: 0 to 0.5.
    pub fn share(self) -> f64 {
        f64::from(self.share) / f64::from(u16::MAX)
    }
}
