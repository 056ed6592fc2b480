//! Tissues, and what magnetic resonance sees of them: relaxation times, proton density, diffusion
//! and uptake of contrast agent.
//!
//! Values are rounded from published in-vivo measurements (Wansapura 1999, Stanisz 2005,
//! Rooney 2007 and reviews of them); those of lesions lie where such reviews put them.

use serde::{Deserialize, Serialize};

/// A kind of tissue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Tissue {
    /// Air: no signal.
    Air,
    /// Cerebrospinal fluid.
    Csf,
    /// Cortex of the cerebrum and cerebellum.
    Cortex,
    /// White matter.
    White,
    /// Thalamus.
    Thalamus,
    /// Caudate nucleus.
    Caudate,
    /// Putamen.
    Putamen,
    /// Globus pallidus, which iron darkens.
    Pallidum,
    /// Hippocampus and amygdala.
    Hippocampus,
    /// Brainstem: grey and white mixed.
    Brainstem,
    /// Choroid plexus.
    Choroid,
    /// Flowing blood.
    Blood,
    /// Dura.
    Dura,
    /// Fat.
    Fat,
    /// Muscle.
    Muscle,
    /// Skin and mucosa.
    Skin,
    /// Compact bone.
    Bone,
    /// Marrow of the skull.
    Marrow,
    /// Vitreous body.
    Vitreous,
    /// Lens.
    Lens,
    /// White-matter hyperintensity.
    Hyperintensity,
    /// Acute ischaemic stroke.
    AcuteStroke,
    /// Fluid-filled cavity of an old stroke.
    Cavity,
    /// Scar around such a cavity.
    Gliosis,
    /// Tumour that does not enhance.
    TumourCore,
    /// Tumour that takes up contrast agent.
    Enhancing,
    /// Necrosis.
    Necrosis,
    /// Oedema.
    Oedema,
}

/// What magnetic resonance sees of a tissue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Magnetic {
    /// Longitudinal relaxation time, ms.
    pub t1: f64,
    /// Transverse relaxation time, ms.
    pub t2: f64,
    /// Protons, as a share of those in water.
    pub protons: f64,
    /// Apparent diffusion coefficient, 1e-3 mm^2/s.
    pub diffusion: f64,
    /// Concentration of contrast agent some minutes after it was given, mmol/L.
    pub agent: f64,
    /// Spread of the values from place to place, as a share.
    pub texture: f64,
}

impl Tissue {
    /// Every tissue.
    pub const ALL: [Self; 28] = [
        Self::Air,
        Self::Csf,
        Self::Cortex,
        Self::White,
        Self::Thalamus,
        Self::Caudate,
        Self::Putamen,
        Self::Pallidum,
        Self::Hippocampus,
        Self::Brainstem,
        Self::Choroid,
        Self::Blood,
        Self::Dura,
        Self::Fat,
        Self::Muscle,
        Self::Skin,
        Self::Bone,
        Self::Marrow,
        Self::Vitreous,
        Self::Lens,
        Self::Hyperintensity,
        Self::AcuteStroke,
        Self::Cavity,
        Self::Gliosis,
        Self::TumourCore,
        Self::Enhancing,
        Self::Necrosis,
        Self::Oedema,
    ];

    /// Its properties at a field strength in tesla: T1 follows a power of the field between the
    /// values known at 1.5 T and 3 T, and beyond them.
    pub fn magnetic(self, tesla: f64) -> Magnetic {
        // T1 at 1.5 T and 3 T, T2, protons, diffusion, agent, texture.
        let (t1, t2, protons, diffusion, agent, texture) = match self {
            Self::Air => ([1000.0, 1000.0], 1.0, 0.0, 0.0, 0.0, 0.0),
            Self::Csf => ([4000.0, 4000.0], 1800.0, 1.0, 3.0, 0.0, 0.01),
            Self::Cortex => ([1100.0, 1380.0], 99.0, 0.82, 0.85, 0.01, 0.03),
            Self::White => ([650.0, 850.0], 75.0, 0.70, 0.75, 0.0, 0.02),
            Self::Thalamus => ([880.0, 1090.0], 82.0, 0.77, 0.80, 0.01, 0.03),
            Self::Caudate => ([1000.0, 1260.0], 88.0, 0.80, 0.75, 0.01, 0.02),
            Self::Putamen => ([930.0, 1180.0], 80.0, 0.79, 0.72, 0.01, 0.02),
            Self::Pallidum => ([770.0, 960.0], 62.0, 0.74, 0.75, 0.01, 0.02),
            Self::Hippocampus => ([1080.0, 1340.0], 103.0, 0.82, 0.88, 0.01, 0.03),
            Self::Brainstem => ([740.0, 940.0], 80.0, 0.74, 0.75, 0.0, 0.03),
            Self::Choroid => ([1500.0, 1800.0], 160.0, 0.90, 1.6, 0.5, 0.08),
            Self::Blood => ([1440.0, 1650.0], 60.0, 0.30, 1.5, 1.0, 0.10),
            Self::Dura => ([900.0, 1000.0], 35.0, 0.50, 0.8, 0.25, 0.05),
            Self::Fat => ([290.0, 370.0], 110.0, 0.90, 0.1, 0.0, 0.06),
            Self::Muscle => ([950.0, 1250.0], 42.0, 0.75, 1.4, 0.08, 0.08),
            Self::Skin => ([800.0, 950.0], 40.0, 0.65, 1.0, 0.1, 0.06),
            Self::Bone => ([400.0, 400.0], 1.5, 0.20, 0.2, 0.0, 0.10),
            Self::Marrow => ([330.0, 420.0], 75.0, 0.55, 0.3, 0.02, 0.15),
            Self::Vitreous => ([3800.0, 3900.0], 1500.0, 1.0, 2.8, 0.0, 0.01),
            Self::Lens => ([1000.0, 1150.0], 30.0, 0.6, 0.8, 0.0, 0.02),
            Self::Hyperintensity => ([1020.0, 1300.0], 155.0, 0.88, 1.1, 0.0, 0.05),
            Self::AcuteStroke => ([1180.0, 1450.0], 165.0, 0.88, 0.42, 0.02, 0.05),
            Self::Cavity => ([3200.0, 3300.0], 900.0, 0.98, 2.6, 0.0, 0.03),
            Self::Gliosis => ([1150.0, 1400.0], 180.0, 0.88, 1.3, 0.02, 0.05),
            Self::TumourCore => ([1300.0, 1600.0], 150.0, 0.87, 1.2, 0.06, 0.06),
            Self::Enhancing => ([1200.0, 1450.0], 120.0, 0.85, 1.0, 0.55, 0.09),
            Self::Necrosis => ([2100.0, 2500.0], 330.0, 0.95, 2.0, 0.04, 0.08),
            Self::Oedema => ([1150.0, 1430.0], 185.0, 0.88, 1.5, 0.0, 0.04),
        };
        let [low, high]: [f64; 2] = t1;
        // low * (tesla / 1.5)^power, where the power is that between the two.
        let power = (high / low).ln() / 2.0f64.ln();
        Magnetic {
            t1: low * (tesla / 1.5).powf(power),
            t2,
            protons,
            diffusion,
            agent,
            texture,
        }
    }
}
