//! Smooth random fields: sums of plane waves of random direction, length and phase, which make a
//! stationary field of about normal values with a known spectrum.

use super::lattice::Lattice;
use crate::augment::Random;

/// A field of standard deviation 1.
#[derive(Clone, Debug)]
pub(super) struct Waves {
    /// Wave vector (radians a mm) and phase.
    waves: Vec<[f32; 4]>,
}

impl Waves {
    /// `count` waves of lengths in `lengths` mm, drawn evenly on the logarithm.
    pub(super) fn draw(random: &mut Random, count: usize, lengths: [f64; 2]) -> Self {
        let one = |_| {
            let z = random.between([-1.0, 1.0]);
            let turn = std::f64::consts::TAU * random.unit();
            let log = random.between(lengths.map(f64::ln));
            let k = std::f64::consts::TAU / log.exp();
            let flat = (1.0 - z * z).max(0.0).sqrt();
            let phase = std::f64::consts::TAU * random.unit();
            [flat * turn.cos() * k, flat * turn.sin() * k, z * k, phase].map(|v| v as f32)
        };
        Self {
            waves: (0..count).map(one).collect(),
        }
    }

    /// The field at the nodes of a lattice.
    pub(super) fn on(&self, lattice: &Lattice) -> Vec<f32> {
        let [nx, ny, nz] = lattice.shape;
        let mut out = vec![0.0f32; nx * ny * nz];
        let gain = (2.0 / self.waves.len().max(1) as f32).sqrt();
        let (mut cosines, mut sines) = (vec![0.0f32; nx], vec![0.0f32; nx]);
        for &[kx, ky, kz, phase] in &self.waves {
            for i in 0..nx {
                let angle = kx * lattice.position(0, i);
                (sines[i], cosines[i]) = angle.sin_cos();
            }
            for k in 0..nz {
                let at_z = kz * lattice.position(2, k) + phase;
                for j in 0..ny {
                    let (s, c) = (ky * lattice.position(1, j) + at_z).sin_cos();
                    let (s, c) = (s * gain, c * gain);
                    let start = nx * (j + ny * k);
                    let row = &mut out[start..start + nx];
                    for ((v, cosine), sine) in row.iter_mut().zip(&cosines).zip(&sines) {
                        *v += c * cosine - s * sine;
                    }
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_spread_and_the_grain_that_is_asked_for() {
        let lattice = Lattice {
            origin: [-60.0; 3],
            spacing: 2.0,
            shape: [60; 3],
        };
        let field = Waves::draw(&mut Random::new(3, 0), 200, [18.0, 22.0]).on(&lattice);
        let n = field.len() as f64;
        let mean = field.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = field.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        assert!(
            mean.abs() < 0.05 && (variance - 1.0).abs() < 0.1,
            "{mean} {variance}"
        );
        // Rice: an isotropic field of wave number k crosses 0 every pi sqrt(3) / k along a line.
        let crossings = field.chunks(60).map(|row| {
            let changes = row.windows(2).filter(|w| w[0] * w[1] < 0.0);
            changes.count()
        });
        let every = 118.0 * 3600.0 / crossings.sum::<usize>() as f64;
        let wanted = 20.0 / 2.0 * 3.0f64.sqrt();
        assert!((every / wanted - 1.0).abs() < 0.08, "{every} for {wanted}");
    }
}
