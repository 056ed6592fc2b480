//! One person: what differs from head to head.

use serde::Serialize;

use crate::augment::Random;

/// Sex, as participants' tables have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Sex {
    /// Female.
    F,
    /// Male.
    M,
}

/// The measures of one head. Everything is drawn from a seed; age widens ventricles and sulci and
/// thins the cortex as it does in adults.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Subject {
    /// Starts everything else that is drawn for this person.
    pub seed: u64,
    /// Years, 18 to 90.
    pub age: f64,
    /// Sex.
    pub sex: Sex,
    /// Size along x, y and z, as factors of the template.
    pub scale: [f64; 3],
    /// Rotation of the head about x, y and z in the scanner, degrees.
    pub rotation: [f64; 3],
    /// Place of the head in the scanner, mm.
    pub shift: [f64; 3],
    /// Radius of the ventricles, as a factor of the template's.
    pub ventricles: f64,
    /// Half width of the sulci, mm.
    pub sulcus: f64,
    /// Thickness of the cortex, mm.
    pub cortex: f64,
    /// Fluid between brain and dura, mm.
    pub subarachnoid: f64,
    /// Thickness of the skull, mm.
    pub skull: f64,
    /// Thickness of the scalp, mm.
    pub scalp: f64,
    /// Strength of the smooth deformation, as a factor of the usual one.
    pub deformation: f64,
}

impl Subject {
    /// A person whose every measure depends on `seed` alone.
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed, 0);
        let random = &mut random;
        let age = random.between([18.0, 90.0]);
        let sex = match random.happens(0.5) {
            true => Sex::F,
            false => Sex::M,
        };
        // 0 at 20 years, 1 at 90, slow first.
        let old = ((age - 20.0).max(0.0) / 70.0).powf(1.5);
        let size = normal(random, 1.0, 0.022) * if sex == Sex::M { 1.02 } else { 0.985 };
        let scale = [(); 3].map(|()| size * normal(random, 1.0, 0.015));
        let tilt = [(); 3].map(|()| normal(random, 0.0, 3.0));
        Self {
            seed: random.seed(),
            age,
            sex,
            scale,
            rotation: [tilt[0] * 1.3, tilt[1] * 0.7, tilt[2]],
            shift: [(); 3].map(|()| normal(random, 0.0, 2.0)),
            ventricles: normal(random, 0.92, 0.09).max(0.7) + 0.75 * old,
            sulcus: normal(random, 0.42, 0.06).max(0.28) + 0.42 * old,
            cortex: normal(random, 2.6, 0.1) - 0.22 * old,
            subarachnoid: normal(random, 2.2, 0.3).max(1.4) + 2.0 * old,
            skull: normal(random, 6.3, 0.7).max(4.5),
            scalp: normal(random, 6.0, 1.0).max(3.8),
            deformation: random.between([0.6, 1.1]),
        }
    }
}

/// A normal number, within 2.5 standard deviations.
pub(super) fn normal(random: &mut Random, mean: f64, spread: f64) -> f64 {
    let mut value = [0.0f32];
    random.normals(&mut value);
    mean + spread * f64::from(value[0]).clamp(-2.5, 2.5)
}
