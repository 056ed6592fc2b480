//! What a pulse sequence makes of a tissue: the textbook signal equations (Bernstein, King and
//! Zhou, Handbook of MRI Pulse Sequences, 2004; MPRAGE as inversion recovery in the steady state).

use serde::{Deserialize, Serialize};

use super::tissue::{Magnetic, Tissue};

/// Longitudinal relaxivity of a gadolinium agent, 1/(s mmol/L).
const RELAXIVITY: f64 = 4.5;

/// A pulse sequence; times in ms, angles in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Sequence {
    /// Spin echo: `(1 - exp(-TR/T1)) exp(-TE/T2)`.
    SpinEcho {
        /// Repetition time.
        tr: f64,
        /// Echo time.
        te: f64,
    },
    /// Inversion recovery with spin echoes: `|1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2)`.
    InversionRecovery {
        /// Repetition time.
        tr: f64,
        /// Inversion time.
        ti: f64,
        /// Echo time.
        te: f64,
    },
    /// Magnetisation-prepared rapid gradient echo:
    /// `|1 - 2 exp(-TI/T1) / (1 + exp(-TR/T1))| exp(-TE/T2)`.
    Mprage {
        /// Time between inversions.
        tr: f64,
        /// From inversion to the middle of k-space.
        ti: f64,
        /// Echo time.
        te: f64,
    },
    /// Spoiled gradient echo: `sin a (1 - E) / (1 - cos a E) exp(-TE/T2)`, `E = exp(-TR/T1)`.
    GradientEcho {
        /// Repetition time.
        tr: f64,
        /// Echo time.
        te: f64,
        /// Flip angle.
        flip: f64,
    },
    /// Spin echo with diffusion weighting: that of spin echo times `exp(-b D)`.
    Diffusion {
        /// Repetition time.
        tr: f64,
        /// Echo time.
        te: f64,
        /// b-value, s/mm^2.
        b: f64,
    },
}

impl Sequence {
    /// Signal of a tissue at a field strength, as a share of that of water at equilibrium.
    pub fn signal(&self, tissue: Tissue, tesla: f64, agent: bool) -> f64 {
        let Magnetic {
            t1,
            t2,
            protons,
            diffusion,
            agent: dose,
            ..
        } = tissue.magnetic(tesla);
        let t1 = match agent {
            true => 1.0 / (1.0 / t1 + RELAXIVITY * dose / 1000.0),
            false => t1,
        };
        let decay = |te: f64| (-te / t2).exp();
        let left = |t: f64| (-t / t1).exp();
        protons
            * match *self {
                Self::SpinEcho { tr, te } => (1.0 - left(tr)) * decay(te),
                Self::InversionRecovery { tr, ti, te } => {
                    (1.0 - 2.0 * left(ti) + left(tr)).abs() * decay(te)
                }
                Self::Mprage { tr, ti, te } => {
                    (1.0 - 2.0 * left(ti) / (1.0 + left(tr))).abs() * decay(te)
                }
                Self::GradientEcho { tr, te, flip } => {
                    let (sine, cosine) = flip.to_radians().sin_cos();
                    sine * (1.0 - left(tr)) / (1.0 - cosine * left(tr)) * decay(te)
                }
                Self::Diffusion { tr, te, b } => {
                    (1.0 - left(tr)) * decay(te) * (-b * diffusion / 1000.0).exp()
                }
            }
    }

    /// Times and angles, under the names that BIDS sidecars have for them, seconds and degrees.
    pub fn sidecar(&self) -> Vec<(&'static str, f64)> {
        let s = |ms: f64| ms / 1000.0;
        match *self {
            Self::SpinEcho { tr, te } => vec![("RepetitionTime", s(tr)), ("EchoTime", s(te))],
            Self::InversionRecovery { tr, ti, te } | Self::Mprage { tr, ti, te } => vec![
                ("RepetitionTime", s(tr)),
                ("InversionTime", s(ti)),
                ("EchoTime", s(te)),
            ],
            Self::GradientEcho { tr, te, flip } => vec![
                ("RepetitionTime", s(tr)),
                ("EchoTime", s(te)),
                ("FlipAngle", flip),
            ],
            Self::Diffusion { tr, te, b } => vec![
                ("RepetitionTime", s(tr)),
                ("EchoTime", s(te)),
                ("DiffusionBValue", b),
            ],
        }
    }

    /// The times and angles that must be positive, by name.
    pub(super) fn values(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::SpinEcho { tr, te } => vec![("tr", tr), ("te", te)],
            Self::InversionRecovery { tr, ti, te } | Self::Mprage { tr, ti, te } => {
                vec![("tr", tr), ("ti", ti), ("te", te)]
            }
            Self::GradientEcho { tr, te, flip } => vec![("tr", tr), ("te", te), ("flip", flip)],
            Self::Diffusion { tr, te, b } => vec![("tr", tr), ("te", te), ("b", b)],
        }
    }
}
