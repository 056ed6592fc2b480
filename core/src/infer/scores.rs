//! What a network says of every voxel before the largest is chosen.

use burn::tensor::Device;

use super::host::{Blocking, now, report};
use super::network::OnProgress;
use super::sliding_window::Windows;
use super::{InferError, InferOptions, Input};
use crate::kernel::keep_memory;
use crate::model::{Model, Spec};

/// The logits of every voxel, averaged over windows: `[classes, x, y, z]`, last axis fastest.
///
/// The average is weighted as the windows' [`Weighting`](super::sliding_window::Weighting) says
/// (MONAI's `sliding_window_inference`). The logits of the whole volume are held: four bytes for
/// each class of each voxel, beside what [`class_map`](super::class_map) takes.
///
/// # Errors
///
/// As [`class_map`](super::class_map).
pub fn score_map(
    model: &Model,
    spec: &Spec,
    input: Input<'_>,
    options: &InferOptions,
    device: &Device,
    progress: OnProgress<'_>,
) -> Result<Vec<f32>, InferError> {
    input.validate(spec.in_channels())?;
    options.check(device)?;
    let _kept = keep_memory(options.memory_limit);
    let windows = Windows::fit(spec, input.shape, options)?;
    let voxels = input.voxels();
    let mut sums = vec![0.0; spec.out_channels() * voxels];
    let mut weights = vec![0.0; voxels];
    let mut host = Blocking(progress);
    for index in 0..windows.count() {
        let (start, end) = windows.reads(index);
        let window = input.window(start, end, input.outside(end), device);
        let logits = now(windows.predict::<Blocking<'_>>(model, window))?;
        windows.spread(index, &logits, input.shape, &mut sums, &mut weights);
        let (done, total) = (index as u64 + 1, windows.count() as u64);
        now(report(&mut host, done, total))?;
    }
    for sums in sums.chunks_exact_mut(voxels) {
        for (sum, weight) in sums.iter_mut().zip(&weights) {
            *sum /= weight;
        }
    }
    Ok(sums)
}
