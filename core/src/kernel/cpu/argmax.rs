//! The class of each voxel from a 1x1x1 convolution, whose outputs stay in cache.

use super::dense::blocks;
use super::parallel::{Shared, for_each, with_scratch};
use super::pointwise::vectored;
use super::source::Source;
use super::tile::{Machine, SLACK, Tap, Tile};

/// Floats of inputs and logits that a task holds at once.
const FLOATS: usize = 64 * 1024;

/// Voxels of a task: at most this many, a multiple of the longest vector.
const MOST: usize = 4096;

/// `[batch, voxels]`: the channel of the largest value of the convolution by `weights`
/// `[out, in]`, for a source of `in` channels.
pub(crate) fn argmax(
    source: &Source<'_>,
    batch: usize,
    weights: &[f32],
    bias: Option<&[f32]>,
) -> Vec<i32> {
    let inputs = source.channels();
    let outputs = weights.len() / inputs.max(1);
    let machine = Machine::detect();
    let blocks = blocks(outputs, machine.block());
    let mut packed = Vec::with_capacity(weights.len());
    for &[first, last] in &blocks {
        for i in 0..inputs {
            packed.extend((first..last).map(|o| weights[o * inputs + i]));
        }
    }
    let voxels = source.voxels();
    let chunk = (FLOATS / (inputs + outputs)).clamp(256, MOST) / 64 * 64;
    let chunks = voxels.div_ceil(chunk);
    let mut classes = vec![0_i32; batch * voxels];
    let shared = Shared::new(bytemuck::cast_slice_mut(&mut classes));
    for_each(batch * chunks, |task| {
        let (sample, start) = (task / chunks, task % chunks * chunk);
        let len = chunk.min(voxels - start);
        // SAFETY: each task writes its own voxels.
        let classes = unsafe { shared.row(sample * voxels + start, len) };
        let classes: &mut [i32] = bytemuck::cast_slice_mut(classes);
        with_scratch((inputs + outputs) * chunk + SLACK, |scratch| {
            let (x, logits) = scratch.split_at_mut(inputs * chunk + SLACK);
            for (i, x) in x.chunks_exact_mut(chunk).take(inputs).enumerate() {
                source.channel(sample, i).range(start, &mut x[..len]);
            }
            for &[first, last] in &blocks {
                let block = last - first;
                let tile = Tile {
                    input: x.as_ptr(),
                    input_stride: chunk,
                    inputs,
                    taps: &[Tap {
                        input: 0,
                        weight: 0,
                    }],
                    weights: packed[first * inputs..].as_ptr(),
                    weight_stride: block,
                    output: logits[first * chunk..].as_mut_ptr(),
                    output_stride: chunk,
                    accumulate: false,
                };
                // SAFETY: a chunk is a multiple of every vector, so all vectors end inside it.
                unsafe { machine.run(block, len.div_ceil(machine.lanes), tile) };
            }
            let mut best = [0.0; MOST];
            for (class, logits) in logits.chunks_exact(chunk).take(outputs).enumerate() {
                let bias = bias.map_or(0.0, |bias| bias[class]);
                let logits = &logits[..len];
                if class == 0 {
                    for (best, logit) in best.iter_mut().zip(logits) {
                        *best = logit + bias;
                    }
                } else {
                    better(class as i32, logits, bias, &mut best[..len], classes);
                }
            }
        });
    });
    classes
}

/// Where `logits` and `bias` beat `best`, or are the first that is not a number, `class` is the
/// better one.
fn better(class: i32, logits: &[f32], bias: f32, best: &mut [f32], classes: &mut [i32]) {
    vectored(
        #[inline(always)]
        || {
            for ((logit, best), index) in logits.iter().zip(best).zip(classes) {
                let value = logit + bias;
                let wins = !best.is_nan() && (value > *best || value.is_nan());
                *best = if wins { value } else { *best };
                *index = if wins { class } else { *index };
            }
        },
    );
}
