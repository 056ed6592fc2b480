//! What was drawn for one sample.

use std::fmt;

use super::additive_noise::AdditiveNoise;
use super::bias_field::BiasField;
use super::blur::Blur;
use super::config::{Effect, Transform};
use super::gamma::Gamma;
use super::gibbs_ringing::GibbsRinging;
use super::low_resolution::LowResolution;
use super::mirror::Mirror;
use super::motion_ghosting::MotionGhosting;
use super::multiplicative_noise::MultiplicativeNoise;

/// An elastic deformation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElasticDraw {
    /// Standard deviation of the Gaussian, voxels.
    pub sigma: f64,
    /// Factor of the smoothed noise, voxels.
    pub alpha: f64,
    /// Starts the noise.
    pub seed: u64,
}

/// An intensity transform with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Additive noise.
    AdditiveNoise(AdditiveNoise),
    /// Gaussian blur.
    Blur(Blur),
    /// Multiplicative noise.
    MultiplicativeNoise(MultiplicativeNoise),
    /// Motion ghosting.
    MotionGhosting(MotionGhosting),
    /// Gibbs ringing.
    GibbsRinging(GibbsRinging),
    /// Low resolution.
    LowResolution(LowResolution),
    /// Bias field.
    BiasField(BiasField),
    /// Gamma.
    Gamma(Gamma),
}

impl Change {
    /// Changes an image, first axis fastest.
    pub fn apply(&self, image: &mut [f32], shape: [usize; 3]) {
        match self {
            Self::AdditiveNoise(noise) => noise.apply(image),
            Self::Blur(blur) => blur.apply(image, shape),
            Self::MultiplicativeNoise(noise) => noise.apply(image),
            Self::MotionGhosting(ghosts) => ghosts.apply(image, shape),
            Self::GibbsRinging(ringing) => ringing.apply(image, shape),
            Self::LowResolution(low) => low.apply(image, shape),
            Self::BiasField(field) => field.apply(image, shape),
            Self::Gamma(gamma) => gamma.apply(image),
        }
    }

    /// Which transform it is.
    pub fn transform(&self) -> Transform {
        match self {
            Self::AdditiveNoise(_) => Transform::AdditiveNoise,
            Self::Blur(_) => Transform::Blur,
            Self::MultiplicativeNoise(_) => Transform::MultiplicativeNoise,
            Self::MotionGhosting(_) => Transform::MotionGhosting,
            Self::GibbsRinging(_) => Transform::GibbsRinging,
            Self::LowResolution(_) => Transform::LowResolution,
            Self::BiasField(_) => Transform::BiasField,
            Self::Gamma(_) => Transform::Gamma,
        }
    }
}

/// A change of one channel or of all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelChange {
    /// The channel; `None` where all are changed as one image.
    pub channel: Option<usize>,
    /// What happens to it.
    pub change: Change,
    /// Whether the target has it too.
    pub effect: Effect,
}

/// Everything that was drawn for a sample, in the order in which it is applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draws {
    /// Elastic deformation.
    pub elastic: Option<ElasticDraw>,
    /// Angles about x, y and z in radians.
    pub rotation: Option<[f64; 3]>,
    /// Factor on coordinates.
    pub scale: Option<f64>,
    /// Mirrored axes.
    pub mirror: Option<Mirror>,
    /// Intensity transforms.
    pub changes: Vec<ChannelChange>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axis = |axis: usize| ["x", "y", "z"].get(axis).copied().unwrap_or("?");
        match self {
            Self::AdditiveNoise(noise) => write!(f, "noise {:.1e}", noise.sigma),
            Self::Blur(blur) => write!(f, "blur {:.2}", blur.sigma),
            Self::MultiplicativeNoise(noise) => write!(f, "mult. noise {:.1e}", noise.sigma),
            Self::MotionGhosting(g) => {
                let (axis, every, alpha) = (axis(g.axis), g.every, g.alpha);
                write!(f, "ghosting {axis} 1/{every} x {alpha:.2}")
            }
            Self::GibbsRinging(g) => write!(f, "ringing {} {} planes", axis(g.axis), g.planes),
            Self::LowResolution(low) => {
                let [x, y, z] = low.shape;
                write!(f, "low res. {x}x{y}x{z}")
            }
            Self::BiasField(field) => {
                let [x, y, z] = field.centre;
                write!(f, "bias field {x},{y},{z}")
            }
            Self::Gamma(gamma) => {
                let inverted = if gamma.invert { " inverted" } else { "" };
                write!(f, "gamma {:.2}{inverted}", gamma.gamma)
            }
        }
    }
}

impl fmt::Display for Draws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(e) = &self.elastic {
            parts.push(format!("elastic {:.0}/{:.1}", e.alpha, e.sigma));
        }
        if let Some(angles) = self.rotation {
            let [x, y, z] = angles.map(f64::to_degrees);
            parts.push(format!("rotated {x:.0},{y:.0},{z:.0} deg"));
        }
        if let Some(scale) = self.scale {
            parts.push(format!("scale {scale:.2}"));
        }
        if let Some(mirror) = self.mirror.filter(|m| m.axes.contains(&true)) {
            let axes = ["x", "y", "z"].into_iter().zip(mirror.axes);
            let axes: String = axes.filter_map(|(a, on)| on.then_some(a)).collect();
            parts.push(format!("mirrored {axes}"));
        }
        parts.extend(self.changes.iter().map(|c| c.change.to_string()));
        if parts.is_empty() {
            return f.write_str("nothing drawn");
        }
        f.write_str(&parts.join("; "))
    }
}
