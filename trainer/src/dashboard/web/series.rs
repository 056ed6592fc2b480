//! The curves of a run, thinned so that a page can draw them.

use serde::Serialize;

use crate::train::log::Step;

/// Points of a curve; a page has hardly more pixels across.
const POINTS: usize = 1000;

/// Columns of equal length; NaN becomes `null`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Series {
    step: Vec<f64>,
    loss: Vec<f64>,
    masked_loss: Vec<f64>,
    visible_loss: Vec<f64>,
    rotation_loss: Vec<f64>,
    contrastive_loss: Vec<f64>,
    inpainting_loss: Vec<f64>,
    dice_loss: Vec<f64>,
    cross_entropy: Vec<f64>,
    lr: Vec<f64>,
    grad_norm: Vec<f64>,
    samples_per_s: Vec<f64>,
    /// Part of the time spent waiting for samples.
    waiting: Vec<f64>,
    memory_mib: Vec<f64>,
    /// Seconds since 1970.
    time: Vec<f64>,
}

/// Means over stretches of steps, so many that there are at most a thousand; steps and times are
/// those of each stretch's last step.
pub(super) fn series(steps: &[Step]) -> Series {
    let mut out = Series::default();
    for part in steps.chunks(steps.len().div_ceil(POINTS).max(1)) {
        let Some(last) = part.last() else { continue };
        let mean = |of: &dyn Fn(&Step) -> Option<f64>| {
            let values: Vec<f64> = part.iter().filter_map(of).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        out.step.push(last.step as f64);
        out.time.push(last.time);
        out.loss.push(mean(&|s| Some(s.loss)));
        out.masked_loss.push(mean(&|s| s.masked_loss));
        out.visible_loss.push(mean(&|s| s.visible_loss));
        out.rotation_loss.push(mean(&|s| s.rotation_loss));
        out.contrastive_loss.push(mean(&|s| s.contrastive_loss));
        out.inpainting_loss.push(mean(&|s| s.inpainting_loss));
        out.dice_loss.push(mean(&|s| s.dice_loss));
        out.cross_entropy.push(mean(&|s| s.cross_entropy));
        out.lr.push(mean(&|s| Some(s.lr)));
        out.grad_norm.push(mean(&|s| Some(s.grad_norm)));
        out.samples_per_s.push(mean(&|s| Some(s.samples_per_s)));
        let waited: f64 = part.iter().map(|s| s.wait_s).sum();
        let all: f64 = part.iter().map(|s| s.step_s).sum();
        out.waiting.push(waited / all);
        out.memory_mib.push(mean(&|s| s.memory_mib));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::history::tests::step;
    use super::*;

    #[test]
    fn stretches_are_means() {
        let mut steps: Vec<Step> = (1..=2500).map(step).collect();
        steps[0].masked_loss = None;
        let series = series(&steps);
        assert_eq!(series.step.len(), 834);
        assert_eq!(series.step[..2], [3.0, 6.0]);
        assert_eq!(series.step[833], 2500.0);
        let mean = (1.5 / 2.0 + 1.5 / 3.0) / 2.0;
        assert!((series.masked_loss[0] - mean).abs() < 1e-12);
        assert_eq!(series.waiting[5], 0.25);
        assert_eq!(super::series(&[]).step.len(), 0);
    }
}
