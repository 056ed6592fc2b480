//! Which transforms there are, how likely and how strong they are.

mod validate;

use serde::{Deserialize, Serialize};

/// A transform, by the name that it has in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transform {
    /// Elastic deformation.
    Elastic,
    /// Rotation.
    Rotation,
    /// Scaling.
    Scale,
    /// Mirroring along axes.
    Mirror,
    /// Additive noise.
    AdditiveNoise,
    /// Gaussian blur.
    Blur,
    /// Multiplicative noise.
    MultiplicativeNoise,
    /// Motion ghosting.
    MotionGhosting,
    /// Gibbs ringing.
    GibbsRinging,
    /// Low resolution.
    LowResolution,
    /// Bias field.
    BiasField,
    /// Gamma.
    Gamma,
}

impl Transform {
    /// All transforms, in the order in which they are applied.
    pub const ALL: [Self; 12] = [
        Self::Elastic,
        Self::Rotation,
        Self::Scale,
        Self::Mirror,
        Self::AdditiveNoise,
        Self::Blur,
        Self::MultiplicativeNoise,
        Self::MotionGhosting,
        Self::GibbsRinging,
        Self::LowResolution,
        Self::BiasField,
        Self::Gamma,
    ];

    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elastic => "elastic",
            Self::Rotation => "rotation",
            Self::Scale => "scale",
            Self::Mirror => "mirror",
            Self::AdditiveNoise => "additive_noise",
            Self::Blur => "blur",
            Self::MultiplicativeNoise => "multiplicative_noise",
            Self::MotionGhosting => "motion_ghosting",
            Self::GibbsRinging => "gibbs_ringing",
            Self::LowResolution => "low_resolution",
            Self::BiasField => "bias_field",
            Self::Gamma => "gamma",
        }
    }

    /// Whether it moves voxels rather than changes their values.
    pub fn is_spatial(self) -> bool {
        matches!(
            self,
            Self::Elastic | Self::Rotation | Self::Scale | Self::Mirror
        )
    }
}

/// What the target of a pretraining sample has of a transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The target has it as the input does.
    Kept,
    /// The target does not have it: the network is to undo it.
    Reversed,
}

/// Which transforms a configuration has before its other fields are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// None: the patch is the middle of the source.
    None,
    /// Rotation and scaling: what the reference finetunes with.
    Basic,
    /// Elastic deformation, rotation and scaling.
    Spatial,
    /// Those and all intensity transforms; mirroring is in no preset.
    #[default]
    All,
}

impl Preset {
    /// Whether a configuration of this preset has a transform, if it says no more.
    pub fn has(self, transform: Transform) -> bool {
        match self {
            Self::None => false,
            Self::Basic => matches!(transform, Transform::Rotation | Transform::Scale),
            Self::Spatial => transform.is_spatial() && transform != Transform::Mirror,
            Self::All => transform != Transform::Mirror,
        }
    }
}

/// What happens to training samples. The default is the AMAES reference's `all`.
///
/// A section for a transform turns it on where the preset does not have it; parameters that a
/// section leaves out have the reference's values. `leave_out` turns transforms off, which makes
/// an ablation one line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Where the configuration starts from.
    pub preset: Preset,
    /// Do what the reference does where that is probably not intended: patches lie half a voxel
    /// off and are interpolated even where nothing was drawn, sources are enlarged for rotations
    /// whatever was configured, ghosting weakens frequency 0 too (the image gets darker), gamma
    /// has the curve of `epsilon = 1` (a strong darkening) over all channels at once, and what
    /// lies outside has the minimum of all channels.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reference_quirks: bool,
    /// Transforms that are off whatever the rest says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leave_out: Vec<Transform>,
    /// Intensity transforms that the target keeps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Transform>,
    /// Spatial transforms that the network must reverse.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reversed: Vec<Transform>,
    /// Elastic deformation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic: Option<Elastic>,
    /// Rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Scaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Mirroring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirroring>,
    /// Additive noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additive_noise: Option<Noise>,
    /// Gaussian blur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blur: Option<Blurring>,
    /// Multiplicative noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplicative_noise: Option<Noise>,
    /// Motion ghosting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub motion_ghosting: Option<Ghosting>,
    /// Gibbs ringing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gibbs_ringing: Option<Ringing>,
    /// Low resolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_resolution: Option<LowRes>,
    /// Bias field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias_field: Option<BiasFields>,
    /// Gamma.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<GammaCurve>,
}

impl AugmentConfig {
    /// A preset as it is.
    pub fn preset(preset: Preset) -> Self {
        Self {
            preset,
            ..Self::default()
        }
    }

    /// Whether the target keeps a transform.
    pub fn effect(&self, transform: Transform) -> Effect {
        let kept = if transform.is_spatial() {
            !self.reversed.contains(&transform)
        } else {
            self.kept.contains(&transform)
        };
        if kept { Effect::Kept } else { Effect::Reversed }
    }

    /// A transform's parameters where it is on.
    pub(super) fn section<T: Clone + Default>(
        &self,
        transform: Transform,
        section: &Option<T>,
    ) -> Option<T> {
        let on = section.is_some() || self.preset.has(transform);
        let off = self.leave_out.contains(&transform);
        (on && !off).then(|| section.clone().unwrap_or_default())
    }
}

/// Parameters of elastic deformation: noise smoothed by a Gaussian displaces voxels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Elastic {
    /// Probability a sample.
    pub p: f64,
    /// Range of the Gaussian's standard deviation, voxels.
    pub sigma: [f64; 2],
    /// Range of the factor of the smoothed noise, voxels.
    pub alpha: [f64; 2],
}

impl Default for Elastic {
    fn default() -> Self {
        Self {
            p: 0.33,
            sigma: [20.0, 30.0],
            alpha: [200.0, 600.0],
        }
    }
}

/// Parameters of rotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// Probability a sample.
    pub p: f64,
    /// Probability of each axis in a sample that is rotated.
    pub p_axis: f64,
    /// Range of the angles about x, degrees.
    pub x: [f64; 2],
    /// Range of the angles about y, degrees.
    pub y: [f64; 2],
    /// Range of the angles about z, degrees.
    pub z: [f64; 2],
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            p: 0.2,
            p_axis: 0.66,
            x: [-30.0, 30.0],
            y: [-30.0, 30.0],
            z: [-30.0, 30.0],
        }
    }
}

/// Parameters of scaling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scale {
    /// Probability a sample.
    pub p: f64,
    /// Range of the factor on coordinates: below 1 zooms in.
    pub factor: [f64; 2],
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            p: 0.2,
            factor: [0.9, 1.1],
        }
    }
}

/// Parameters of mirroring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirroring {
    /// Probability of each axis.
    pub p_axis: [f64; 3],
}

impl Default for Mirroring {
    fn default() -> Self {
        Self { p_axis: [0.5; 3] }
    }
}

/// Parameters of additive and multiplicative noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// Probability a channel.
    pub p: f64,
    /// Range of the standard deviation: in the image's units, or of the factor.
    pub sigma: [f64; 2],
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            p: 0.2,
            sigma: [1e-4, 1e-3],
        }
    }
}

/// Parameters of blur.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blurring {
    /// Probability a sample.
    pub p: f64,
    /// Probability of each channel in a sample that is blurred.
    pub p_channel: f64,
    /// Range of the Gaussian's standard deviation, voxels.
    pub sigma: [f64; 2],
}

impl Default for Blurring {
    fn default() -> Self {
        Self {
            p: 0.2,
            p_channel: 0.5,
            sigma: [0.0, 1.0],
        }
    }
}

/// Parameters of motion ghosting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ghosting {
    /// Probability a channel.
    pub p: f64,
    /// Range of the factor of the weakened planes.
    pub alpha: [f64; 2],
    /// Range, both ends included, of how many planes apart those are.
    pub every: [usize; 2],
}

impl Default for Ghosting {
    fn default() -> Self {
        Self {
            p: 0.2,
            alpha: [0.85, 0.95],
            every: [2, 10],
        }
    }
}

/// Parameters of Gibbs ringing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ringing {
    /// Probability a channel.
    pub p: f64,
    /// Range of the part of the planes that stays. The reference's 96 to 128 of 128 planes.
    pub kept: [f64; 2],
}

impl Default for Ringing {
    fn default() -> Self {
        Self {
            p: 0.2,
            kept: [0.75, 1.0],
        }
    }
}

/// Parameters of low resolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LowRes {
    /// Probability a sample.
    pub p: f64,
    /// Probability of each channel in such a sample.
    pub p_channel: f64,
    /// Probability of each axis in such a channel.
    pub p_axis: f64,
    /// Range of the part of the voxels along an axis that stays.
    pub zoom: [f64; 2],
}

impl Default for LowRes {
    fn default() -> Self {
        Self {
            p: 0.2,
            p_channel: 0.5,
            p_axis: 0.33,
            zoom: [0.5, 1.0],
        }
    }
}

/// Parameters of the bias field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BiasFields {
    /// Probability a channel.
    pub p: f64,
}

impl Default for BiasFields {
    fn default() -> Self {
        Self { p: 0.33 }
    }
}

/// Parameters of gamma.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GammaCurve {
    /// Probability a sample.
    pub p: f64,
    /// Probability that the negative is bent.
    pub p_invert: f64,
    /// Range of the power; below and above 1 are equally likely.
    pub gamma: [f64; 2],
}

impl Default for GammaCurve {
    fn default() -> Self {
        Self {
            p: 0.2,
            p_invert: 0.05,
            gamma: [0.5, 2.0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_a_configuration() {
        for t in Transform::ALL {
            let json = serde_json::to_string(&t).expect("JSON");
            assert_eq!(json, format!("\"{}\"", t.name()));
        }
    }

    #[test]
    fn sections_complete_and_override_presets() {
        let config: AugmentConfig = serde_json::from_str(
            r#"{"preset": "spatial", "gamma": {"p": 1.0}, "leave_out": ["scale"]}"#,
        )
        .expect("a configuration");
        let gamma = config.section(Transform::Gamma, &config.gamma).expect("on");
        assert_eq!((gamma.p, gamma.gamma), (1.0, [0.5, 2.0]));
        assert!(config.section(Transform::Scale, &config.scale).is_none());
        assert!(config.section(Transform::Blur, &config.blur).is_none());
        assert_eq!(
            config.section(Transform::Elastic, &config.elastic),
            Some(Elastic::default())
        );
        let text = serde_json::to_string(&config).expect("JSON");
        let back: AugmentConfig = serde_json::from_str(&text).expect("parses back");
        assert_eq!(back, config);
    }

    #[test]
    fn the_basic_preset_rotates_and_scales() {
        let on: Vec<_> = Transform::ALL
            .into_iter()
            .filter(|t| Preset::Basic.has(*t))
            .collect();
        assert_eq!(on, [Transform::Rotation, Transform::Scale]);
    }

    #[test]
    fn unknown_fields_are_refused_by_name() {
        for (text, name) in [
            (r#"{"gama": {}}"#, "gama"),
            (r#"{"gamma": {"power": 1}}"#, "power"),
            (r#"{"leave_out": ["sharpen"]}"#, "sharpen"),
            (r#"{"preset": "some"}"#, "some"),
        ] {
            let error = serde_json::from_str::<AugmentConfig>(text).expect_err("refused");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
