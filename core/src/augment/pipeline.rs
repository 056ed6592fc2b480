//! From a source to the input and target of a network.

mod draw;

use super::config::{
    AugmentConfig, BiasFields, Blurring, Effect, Elastic, GammaCurve, Ghosting, LowRes, Mirroring,
    Noise, Ringing, Rotation, Scale, Transform,
};
use super::draws::{ChannelChange, Draws};
use super::error::{AugmentError, voxels};
use super::random::Random;
use super::range::limits;
use super::spatial::{CoordinateMap, Displacement};

/// Voxels by which elastic deformation and interpolation may reach beyond a patch.
const REACH: usize = 4;

/// A pretraining sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmented {
    /// What the network sees, before it is masked.
    pub input: Vec<f32>,
    /// What it is to give back.
    pub target: Vec<f32>,
}

/// A labelled sample.
#[derive(Clone, Debug, PartialEq)]
pub struct AugmentedLabelled<L> {
    /// The image, channels one after the other.
    pub image: Vec<f32>,
    /// A label for every voxel.
    pub labels: Vec<L>,
}

/// Everything that is done to samples: made once, applied to any number of them by any number of
/// threads.
#[derive(Clone, Debug)]
pub struct Pipeline {
    config: AugmentConfig,
    elastic: Option<Elastic>,
    rotation: Option<Rotation>,
    scale: Option<Scale>,
    mirror: Option<Mirroring>,
    additive_noise: Option<Noise>,
    blur: Option<Blurring>,
    multiplicative_noise: Option<Noise>,
    motion_ghosting: Option<Ghosting>,
    gibbs_ringing: Option<Ringing>,
    low_resolution: Option<LowRes>,
    bias_field: Option<BiasFields>,
    gamma: Option<GammaCurve>,
}

impl Pipeline {
    /// The transforms that a configuration turns on.
    ///
    /// # Errors
    ///
    /// [`AugmentError::Parameter`] names the field.
    pub fn new(config: AugmentConfig) -> Result<Self, AugmentError> {
        config.validate()?;
        let c = &config;
        Ok(Self {
            elastic: c.section(Transform::Elastic, &c.elastic),
            rotation: c.section(Transform::Rotation, &c.rotation),
            scale: c.section(Transform::Scale, &c.scale),
            mirror: c.section(Transform::Mirror, &c.mirror),
            additive_noise: c.section(Transform::AdditiveNoise, &c.additive_noise),
            blur: c.section(Transform::Blur, &c.blur),
            multiplicative_noise: c
                .section(Transform::MultiplicativeNoise, &c.multiplicative_noise),
            motion_ghosting: c.section(Transform::MotionGhosting, &c.motion_ghosting),
            gibbs_ringing: c.section(Transform::GibbsRinging, &c.gibbs_ringing),
            low_resolution: c.section(Transform::LowResolution, &c.low_resolution),
            bias_field: c.section(Transform::BiasField, &c.bias_field),
            gamma: c.section(Transform::Gamma, &c.gamma),
            config,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &AugmentConfig {
        &self.config
    }

    /// Voxels of the source that a patch should be made of: as much as the coordinate map can
    /// reach, so that corners are seldom outside.
    ///
    /// With rotation this is the reference's size: along each axis the longer diagonal with
    /// another axis (181 for 128), which rotations about one axis stay within.
    pub fn source_size(&self, patch: [usize; 3]) -> [usize; 3] {
        let spatial = self.has_map();
        if spatial && (self.rotation.is_some() || self.config.reference_quirks) {
            let square = |n: usize| (n as f64).powi(2);
            let diagonal = |a: usize, b: usize| (square(patch[a]) + square(patch[b])).sqrt();
            return [0, 1, 2].map(|a| {
                let others = [(a + 1) % 3, (a + 2) % 3];
                let longest = others.map(|b| diagonal(a, b) as usize);
                longest[0].max(longest[1]).max(patch[a])
            });
        }
        let factor = self.scale.as_ref().map_or(1.0, |s| s.factor[1].max(1.0));
        let reach = if self.elastic.is_some() { 2 * REACH } else { 0 };
        patch.map(|n| {
            let scaled = (n.saturating_sub(1) as f64 * factor).ceil() as usize + 1;
            scaled.max(n) + reach
        })
    }

    /// A pretraining sample of one channel: the patch in the middle of a source of `shape` voxels.
    ///
    /// # Errors
    ///
    /// [`AugmentError::Shape`] and [`AugmentError::Length`] when the source is not what `shape`
    /// says, or the patch has no voxels or too many.
    pub fn apply(
        &self,
        image: &[f32],
        shape: [usize; 3],
        patch: [usize; 3],
        seed: u64,
    ) -> Result<Augmented, AugmentError> {
        let (size, _) = self.checked("image", image.len(), Some(1), shape, patch)?;
        let draws = self.draw(patch, 1, seed);
        let mut input = self.placed(image, shape, patch, &draws);
        let kept = self.kept(&draws);
        let mut target = (kept != draws).then(|| self.placed(image, shape, patch, &kept));
        for change in &draws.changes {
            if change.effect == Effect::Reversed {
                target.get_or_insert_with(|| input.clone());
            } else if let Some(target) = &mut target {
                change.apply(target, size, patch);
            }
            change.apply(&mut input, size, patch);
        }
        let target = target.unwrap_or_else(|| input.clone());
        Ok(Augmented { input, target })
    }

    /// A labelled sample: an image of one or several channels, one after the other, and a label
    /// for every voxel. Labels go where the image goes, each from the nearest voxel; where the
    /// source has none they are `background`.
    ///
    /// # Errors
    ///
    /// Those of [`Pipeline::apply`].
    pub fn apply_labelled<L: Copy>(
        &self,
        image: &[f32],
        labels: &[L],
        shape: [usize; 3],
        patch: [usize; 3],
        background: L,
        seed: u64,
    ) -> Result<AugmentedLabelled<L>, AugmentError> {
        let (size, channels) = self.checked("image", image.len(), None, shape, patch)?;
        self.checked("labels", labels.len(), Some(1), shape, patch)?;
        let draws = self.draw(patch, channels, seed);
        let mut image = self.placed(image, shape, patch, &draws);
        for change in &draws.changes {
            change.apply(&mut image, size, patch);
        }
        let map = self.map(shape, patch, &draws);
        let mut labels = map.nearest(labels, shape, background);
        if let Some(mirror) = &draws.mirror {
            mirror.apply(&mut labels, patch);
        }
        Ok(AugmentedLabelled { image, labels })
    }

    fn has_map(&self) -> bool {
        self.elastic.is_some() || self.rotation.is_some() || self.scale.is_some()
    }

    /// The draws whose spatial part the target keeps.
    fn kept(&self, draws: &Draws) -> Draws {
        let kept = |t| self.config.effect(t) == Effect::Kept;
        Draws {
            elastic: draws.elastic.filter(|_| kept(Transform::Elastic)),
            rotation: draws.rotation.filter(|_| kept(Transform::Rotation)),
            scale: draws.scale.filter(|_| kept(Transform::Scale)),
            mirror: draws.mirror.filter(|_| kept(Transform::Mirror)),
            changes: draws.changes.clone(),
        }
    }

    fn map(&self, shape: [usize; 3], patch: [usize; 3], draws: &Draws) -> CoordinateMap {
        let displacement = draws
            .elastic
            .map(|e| Displacement::random(&mut Random::new(e.seed, 0), patch, e.sigma, e.alpha));
        let quirks = self.config.reference_quirks && self.has_map();
        let centre = [0, 1, 2].map(|a| {
            let (source, size) = (shape[a] as f64, patch[a] as f64);
            if quirks {
                source / 2.0 - 0.5
            } else {
                // Such that a map without draws is a crop.
                ((source - size) / 2.0).floor() + (size - 1.0) / 2.0
            }
        });
        let angles = draws.rotation.unwrap_or_default();
        CoordinateMap::new(
            patch,
            centre,
            angles,
            draws.scale.unwrap_or(1.0),
            displacement,
        )
    }

    /// The patch of every channel after the spatial transforms.
    fn placed(
        &self,
        image: &[f32],
        shape: [usize; 3],
        patch: [usize; 3],
        draws: &Draws,
    ) -> Vec<f32> {
        let map = self.map(shape, patch, draws);
        let size: usize = shape.iter().product();
        let outside = self.config.reference_quirks.then(|| limits(image)[0]);
        let mut out = Vec::new();
        for channel in image.chunks_exact(size) {
            let mut placed = map.cubic(channel, shape, outside);
            if let Some(mirror) = &draws.mirror {
                mirror.apply(&mut placed, patch);
            }
            if out.is_empty() {
                out = placed;
            } else {
                out.extend_from_slice(&placed);
            }
        }
        out
    }

    /// Voxels of the patch, and channels of the source.
    fn checked(
        &self,
        what: &'static str,
        found: usize,
        channels: Option<usize>,
        shape: [usize; 3],
        patch: [usize; 3],
    ) -> Result<(usize, usize), AugmentError> {
        let source = voxels("a source", shape)?;
        let size = voxels("a patch", patch)?;
        let wanted = channels.unwrap_or((found / source).max(1));
        if Some(found) != source.checked_mul(wanted) {
            return Err(AugmentError::Length {
                what,
                found,
                channels: wanted,
                shape,
            });
        }
        Ok((size, wanted))
    }
}

impl ChannelChange {
    /// Changes the patch of `size` voxels a channel.
    fn apply(&self, image: &mut [f32], size: usize, patch: [usize; 3]) {
        match self.channel {
            None => self.change.apply(image, patch),
            Some(channel) => {
                if let Some(image) = image.chunks_exact_mut(size).nth(channel) {
                    self.change.apply(image, patch);
                }
            }
        }
    }
}
