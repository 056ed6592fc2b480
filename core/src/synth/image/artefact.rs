//! What goes wrong: ghosts, ringing, spikes, moves, a bent curve of greys.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use super::super::frame::Frame;
use super::super::site::{Acquisition, Site};
use crate::augment::{Gamma, GibbsRinging, MotionGhosting, Random};

/// Applies what happens at a site, and says what that was.
pub(super) fn apply(
    data: &mut [f32],
    frame: &Frame,
    acquisition: &Acquisition,
    site: &Site,
    random: &mut Random,
) -> Vec<&'static str> {
    let shape = frame.shape;
    // Phase is encoded along the shorter axis of the slice; all draws are made in any case, so
    // that one probability does not change another's draws.
    let across = acquisition.slices.axis();
    let axis = if across == 0 { 1 } else { 0 };
    let mut found = Vec::new();
    let chance = &site.artefacts;
    let seed = random.seed();
    let draws = |n: u64| Random::new(seed, n);
    let mut happens = |p: f64| random.happens(p);
    if happens(chance.motion) {
        moved(data, shape, axis, frame.spacing[axis], &mut draws(0));
        found.push("motion");
    }
    if happens(chance.ghosting) {
        let mut r = draws(1);
        let ghost = MotionGhosting {
            alpha: r.between([0.55, 0.88]),
            every: r.whole(2, 5),
            axis,
            with_mean: false,
        };
        ghost.apply(data, shape);
        found.push("ghosting");
    }
    if happens(chance.ringing) {
        let mut r = draws(2);
        let planes = (r.between([0.45, 0.75]) * shape[axis] as f64) as usize;
        GibbsRinging { planes, axis }.apply(data, shape);
        found.push("ringing");
    }
    if happens(chance.spike) {
        spike(data, shape, &mut draws(3));
        found.push("spike");
    }
    if happens(chance.gamma) {
        let gamma = Gamma {
            gamma: draws(4).between([0.7, 1.4]),
            invert: false,
            reference: false,
        };
        gamma.apply(data);
        found.push("gamma");
    }
    found
}

/// One wrong point of k-space: a plane wave over the image.
fn spike(data: &mut [f32], [nx, ny, nz]: [usize; 3], random: &mut Random) {
    let largest = data.iter().fold(0.0f32, |m, &v| m.max(v));
    let height = random.between([0.04, 0.12]) as f32 * largest;
    let mut turn = |n: usize| {
        let cycles = random.between([-0.35, 0.35]) * n as f64;
        std::f32::consts::TAU * cycles.round() as f32 / n as f32
    };
    let k = [turn(nx), turn(ny), 0.1 * turn(nz)];
    for (r, row) in data.chunks_exact_mut(nx).enumerate() {
        let phase = k[1] * (r % ny) as f32 + k[2] * (r / ny) as f32;
        for (i, v) in row.iter_mut().enumerate() {
            *v = (*v + height * (phase + k[0] * i as f32).cos()).abs();
        }
    }
}

/// The head lies elsewhere along the phase-encoding axis while some lines of k-space are read:
/// those lines get the phase of the shift.
fn moved(data: &mut [f32], shape: [usize; 3], axis: usize, spacing: f64, random: &mut Random) {
    let n = shape[axis];
    // Moves between stretches of k-space, in voxels; the middle of k-space lies at rest.
    let mut shift = vec![0.0f64; n];
    for _ in 0..random.whole(1, 4) {
        let from = random.whole(0, n - 1);
        let to = (from + random.whole(n / 16, n / 4)).min(n);
        let by = random.between([-4.0, 4.0]) / spacing;
        shift[from..to].fill(by);
    }
    let middle = n / 2;
    shift[middle.saturating_sub(n / 24)..(middle + n / 24 + 1).min(n)].fill(0.0);
    // Line m in order of acquisition has frequency m - n / 2.
    let phases: Vec<Complex<f32>> = (0..n)
        .map(|k| {
            let line = (k + n / 2) % n;
            let frequency = line as f64 - (n / 2) as f64;
            let turn = -std::f64::consts::TAU * frequency * shift[line] / n as f64;
            Complex::new(turn.cos() as f32, turn.sin() as f32) / n as f32
        })
        .collect();
    let mut planner = FftPlanner::new();
    let (forward, inverse) = (planner.plan_fft_forward(n), planner.plan_fft_inverse(n));
    let length = forward
        .get_inplace_scratch_len()
        .max(inverse.get_inplace_scratch_len());
    let mut scratch = vec![Complex::default(); length];
    let stride: usize = shape[..axis].iter().product();
    let mut lines = vec![Complex::default(); n * stride];
    for block in data.chunks_exact_mut(n * stride) {
        for (s, line) in lines.chunks_exact_mut(n).enumerate() {
            for (i, z) in line.iter_mut().enumerate() {
                *z = Complex::new(block[s + i * stride], 0.0);
            }
        }
        forward.process_with_scratch(&mut lines, &mut scratch);
        for line in lines.chunks_exact_mut(n) {
            for (z, phase) in line.iter_mut().zip(&phases) {
                *z *= phase;
            }
        }
        inverse.process_with_scratch(&mut lines, &mut scratch);
        for (s, line) in lines.chunks_exact(n).enumerate() {
            for (i, z) in line.iter().enumerate() {
                block[s + i * stride] = z.norm();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_of_all_lines_is_a_shift_of_the_image() {
        // With every line shifted alike the phases are those of the shift theorem.
        let n = 16;
        let mut data: Vec<f32> = (0..n).map(|i| if i == 3 { 1.0 } else { 0.0 }).collect();
        let before: f32 = data.iter().map(|v| v * v).sum();
        moved(&mut data, [1, n, 1], 1, 1.0, &mut Random::new(4, 0));
        // Phases keep the energy of k-space, and so that of the image.
        let after: f32 = data.iter().map(|v| v * v).sum();
        assert!((before - after).abs() < 1e-4, "{before} {after}");
        assert!(data[3] < 1.0);
    }

    #[test]
    fn a_spike_adds_stripes_of_its_height() {
        let mut data = vec![1.0f32; 4096];
        spike(&mut data, [16; 3], &mut Random::new(2, 0));
        let (low, high) = data
            .iter()
            .fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        assert!(
            high > 1.03 && high < 1.13 && low < 0.97 && low > 0.87,
            "{low} {high}"
        );
    }
}
