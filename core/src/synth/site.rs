//! Scanners: what images of one site have in common.

mod preset;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::preset::{PRESETS, preset};
use super::contrast::Contrast;
use super::error::SynthError;
use super::signal::Sequence;

/// A site: a scanner and its protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Maker of the scanner.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Field strength, tesla.
    pub tesla: f64,
    /// Standard deviation of the noise in each of the two channels, as a share of the white
    /// matter's signal (of the brightest part's for random contrasts).
    pub noise: f64,
    /// Spread of the logarithm of the bias field.
    pub bias: f64,
    /// Whether everything but the brain and its fluid is 0.
    pub skull_stripped: bool,
    /// Probability that the face is cut away, as it is where images are handed out.
    #[serde(default)]
    pub defaced: f64,
    /// Largest part of the field of view that may be missing at the neck, the top, the front or
    /// the back.
    pub cropped: f64,
    /// Factor from signal to stored numbers: the white matter's value, about.
    pub gain: f64,
    /// Fat's signal, as a share of what it would be without suppression.
    pub fat: f64,
    /// What goes wrong, and how often.
    pub artefacts: Artefacts,
    /// The protocol.
    pub contrasts: BTreeMap<Contrast, Acquisition>,
}

/// How a contrast is acquired.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acquisition {
    /// The sequence.
    pub sequence: Sequence,
    /// Direction across the slices.
    #[serde(default)]
    pub slices: Plane,
    /// Edge of a pixel in the plane, mm.
    pub pixel: f64,
    /// Thickness of a slice, mm.
    pub thickness: f64,
    /// Distance of slices, mm; their thickness where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<f64>,
}

impl Acquisition {
    /// Distance of slices, mm.
    pub fn distance(&self) -> f64 {
        self.distance.unwrap_or(self.thickness)
    }
}

/// The plane of slices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// Across z.
    #[default]
    Axial,
    /// Across y.
    Coronal,
    /// Across x.
    Sagittal,
}

impl Plane {
    /// The axis across the slices.
    pub fn axis(self) -> usize {
        match self {
            Self::Sagittal => 0,
            Self::Coronal => 1,
            Self::Axial => 2,
        }
    }
}

/// Probabilities of artefacts in an image, and the largest strength of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Artefacts {
    /// Ghosts along an axis.
    pub ghosting: f64,
    /// Ringing at edges.
    pub ringing: f64,
    /// A spike in k-space: stripes over the image.
    pub spike: f64,
    /// Moves of the head during the scan.
    pub motion: f64,
    /// A bent curve of greys.
    pub gamma: f64,
}

impl Site {
    /// Checks that every value makes sense.
    ///
    /// # Errors
    ///
    /// [`SynthError::Site`] names the site and the field.
    pub fn validate(&self, name: &str) -> Result<(), SynthError> {
        let check =
            |field: &str, value: f64, [low, high]: [f64; 2]| match (low..=high).contains(&value) {
                true => Ok(()),
                false => Err(SynthError::Site {
                    site: name.to_owned(),
                    field: field.to_owned(),
                    value,
                    range: [low, high],
                }),
            };
        check("tesla", self.tesla, [0.01, 20.0])?;
        check("noise", self.noise, [0.0, 2.0])?;
        check("bias", self.bias, [0.0, 2.0])?;
        check("defaced", self.defaced, [0.0, 1.0])?;
        check("cropped", self.cropped, [0.0, 0.5])?;
        check("gain", self.gain, [1.0, 10_000.0])?;
        check("fat", self.fat, [0.0, 1.0])?;
        let a = &self.artefacts;
        for (field, value) in [
            ("ghosting", a.ghosting),
            ("ringing", a.ringing),
            ("spike", a.spike),
            ("motion", a.motion),
            ("gamma", a.gamma),
        ] {
            check(&format!("artefacts.{field}"), value, [0.0, 1.0])?;
        }
        for (contrast, acquisition) in &self.contrasts {
            let at = |field: &str| format!("contrasts.{}.{field}", contrast.name());
            check(&at("pixel"), acquisition.pixel, [0.1, 20.0])?;
            check(&at("thickness"), acquisition.thickness, [0.1, 30.0])?;
            check(&at("distance"), acquisition.distance(), [0.1, 30.0])?;
            for (field, value) in acquisition.sequence.values() {
                check(&at(&format!("sequence.{field}")), value, [1e-3, 1e5])?;
            }
        }
        Ok(())
    }
}
