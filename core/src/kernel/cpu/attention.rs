//! Attention within windows, forward and backward.
//!
//! A task is a head of a window: its queries, keys and values are gathered, and its scores exist
//! for a few queries at a time, in cache. Of the scores the forward pass keeps one number a query,
//! the logarithm of its sum, from which the backward pass makes them again.

use super::parallel::{Shared, filled, for_each, with_scratch};
use super::product::{Matrix, Product};
use super::softmax;
use super::tile::Machine;
use crate::kernel::attention::{APART, Windows};

/// Queries whose scores are made at once.
const ROWS: usize = 48;

/// Tasks aimed at where each sums gradients of its own.
const TASKS: usize = 16;

/// Self-attention of an image `[batch, 3 heads depth, ..]`.
pub(crate) struct Attention<'a> {
    pub(crate) batch: usize,
    /// Channels of a head.
    pub(crate) depth: usize,
    pub(crate) image: [usize; 3],
    pub(crate) windows: Windows,
    /// `[heads, n, n]`.
    pub(crate) bias: &'a [f32],
}

/// Gradients of queries, keys and values, and of the bias.
pub(crate) struct Gradients {
    pub(crate) data: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// What all tasks use.
struct Job<'a> {
    attention: &'a Attention<'a>,
    machine: Machine,
    /// The region of every voxel of every window, where the windows are moved.
    regions: Option<Vec<u8>>,
    /// Voxels of a window, and of a row of them in whole vectors.
    n: usize,
    pitch: usize,
    /// Channels of a head in whole vectors.
    wide: usize,
    scale: f32,
}

/// A head of a window of a sample.
#[derive(Clone, Copy)]
struct Place {
    sample: usize,
    window: usize,
    head: usize,
}

impl Attention<'_> {
    fn job(&self) -> Job<'_> {
        let machine = Machine::detect();
        let n = self.windows.volume();
        Job {
            attention: self,
            machine,
            regions: self.windows.regions(self.image),
            n,
            pitch: n.next_multiple_of(machine.lanes),
            wide: self.depth.next_multiple_of(machine.lanes),
            scale: 1.0 / (self.depth as f32).sqrt(),
        }
    }

    fn per_image(&self) -> usize {
        self.windows.counts(self.image).iter().product()
    }

    fn voxels(&self) -> usize {
        self.image.iter().product()
    }

    /// The output `[batch, heads depth, ..]`, and of every query the logarithm of the sum of its
    /// scores' exponentials, `[batch, windows, heads, n]`.
    pub(crate) fn forward(&self, qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (heads, count) = (self.windows.heads, self.per_image());
        let job = self.job();
        let mut sums = vec![0.0; self.batch * count * heads * job.n];
        let logs = Shared::new(&mut sums);
        let write = |out: Shared<'_>| {
            for_each(self.batch * count * heads, |task| {
                let place = Place {
                    sample: task / heads / count,
                    window: task / heads % count,
                    head: task % heads,
                };
                // SAFETY: each task writes its own row, and the voxels and channels of its place.
                unsafe { job.forward(qkv, place, logs.row(task * job.n, job.n), out) };
            });
        };
        // SAFETY: windows and heads partition the voxels and channels.
        let out = unsafe { filled(self.batch * heads * self.depth * self.voxels(), write) };
        (out, sums)
    }

    /// Gradients from the output's, `dy`, with the `logs` of the forward pass.
    pub(crate) fn backward(&self, qkv: &[f32], logs: &[f32], dy: &[f32]) -> Gradients {
        let (heads, count) = (self.windows.heads, self.batch * self.per_image());
        let job = self.job();
        // Each part of the windows adds up the bias' gradient of one head.
        let parts = TASKS.div_ceil(heads).min(count).max(1);
        let square = job.n * job.pitch;
        let mut sums = vec![0.0; heads * parts * square];
        let shared = Shared::new(&mut sums);
        let write = |out: Shared<'_>| {
            for_each(heads * parts, |task| {
                let (head, part) = (task / parts, task % parts);
                // SAFETY: each task has its own sum.
                let sum = unsafe { shared.row(task * square, square) };
                for index in part * count / parts..(part + 1) * count / parts {
                    let place = Place {
                        sample: index / self.per_image(),
                        window: index % self.per_image(),
                        head,
                    };
                    let logs = &logs[(index * heads + head) * job.n..][..job.n];
                    // SAFETY: no other task has the place.
                    unsafe { job.backward([qkv, dy], place, logs, sum, out) };
                }
            });
        };
        // SAFETY: windows and heads partition the voxels and channels.
        let data = unsafe { filled(qkv.len(), write) };
        let bias = sums
            .chunks_exact(parts * square)
            .flat_map(|parts| (0..job.n * job.n).map(move |at| (parts, at)))
            .map(|(parts, at)| {
                let at = at / job.n * job.pitch + at % job.n;
                parts[at..].iter().step_by(square).sum()
            })
            .collect();
        Gradients { data, bias }
    }
}

impl Job<'_> {
    /// # Safety
    /// No other task writes the voxels and channels of the place.
    unsafe fn forward(&self, qkv: &[f32], place: Place, logs: &mut [f32], out: Shared<'_>) {
        let (n, pitch, wide) = (self.n, self.pitch, self.wide);
        let (across, along) = (n * wide, self.depth() * pitch);
        let lens = [across, along, across, ROWS * pitch, across, along];
        with_scratch(lens.iter().sum(), |scratch| {
            let [q, k, v, scores, outputs, line] = parts(scratch, lens);
            let (size, runs) = ([self.depth(), n, pitch], self.runs(place.window));
            self.gather(qkv, self.channel(place, 0), &runs, line);
            turn(line, size, q, wide, self.scale);
            self.gather(qkv, self.channel(place, 2), &runs, line);
            turn(line, size, v, wide, 1.0);
            self.gather(qkv, self.channel(place, 1), &runs, k);
            for first in (0..n).step_by(ROWS) {
                let rows = ROWS.min(n - first);
                self.scores(place, first, rows, q, k, scores);
                let outputs = &mut outputs[first * wide..][..rows * wide];
                let mut scales = [0.0; ROWS];
                let lines = scores.chunks_exact_mut(pitch).zip(&mut scales);
                for ((line, scale), log) in lines.zip(&mut logs[first..][..rows]) {
                    let [max, sum] = softmax::exponentials(&self.machine, line, n);
                    *log = max + sum.ln();
                    *scale = 1.0 / sum;
                }
                let (scores, v) = (Matrix::new(scores, pitch), Matrix::new(v, wide));
                self.product(scores, v, [rows, n, wide], outputs, false);
                for (row, scale) in outputs.chunks_exact_mut(wide).zip(scales) {
                    row.iter_mut().for_each(|value| *value *= scale);
                }
            }
            back(outputs, wide, line, size, 1.0);
            let channel = (place.sample * self.heads() + place.head) * self.depth();
            // SAFETY: the caller's promise.
            unsafe { self.scatter(line, channel, &runs, out) };
        });
    }

    /// Adds the bias' gradient to `bias`.
    ///
    /// # Safety
    /// No other task writes the voxels and channels of the place.
    unsafe fn backward(
        &self,
        [qkv, dy]: [&[f32]; 2],
        place: Place,
        logs: &[f32],
        bias: &mut [f32],
        out: Shared<'_>,
    ) {
        let (n, pitch, wide, depth) = (self.n, self.pitch, self.wide, self.depth());
        let (across, along, block) = (n * wide, depth * pitch, ROWS * pitch);
        let lens = [
            across, across, across, across, along, along, along, along, along, along, block, block,
        ];
        with_scratch(lens.iter().sum(), |scratch| {
            // Queries, keys and the output's gradient (`o`) are used in both orders.
            let [qt, kt, ot, dqt, q, k, v, o, dk, dv, p, g] = parts(scratch, lens);
            let (size, runs) = ([depth, n, pitch], self.runs(place.window));
            for (index, line) in [&mut *q, &mut *k, &mut *v].into_iter().enumerate() {
                self.gather(qkv, self.channel(place, index), &runs, line);
            }
            let channel = (place.sample * self.heads() + place.head) * depth;
            self.gather(dy, channel, &runs, o);
            turn(q, size, qt, wide, self.scale);
            turn(k, size, kt, wide, 1.0);
            turn(o, size, ot, wide, 1.0);
            dk.fill(0.0);
            dv.fill(0.0);
            for first in (0..n).step_by(ROWS) {
                let rows = ROWS.min(n - first);
                let (across, along) = ([rows, depth, pitch], [depth, rows, pitch]);
                self.scores(place, first, rows, qt, k, p);
                for (line, log) in p.chunks_exact_mut(pitch).zip(&logs[first..][..rows]) {
                    softmax::shifted(&self.machine, line, n, *log);
                }
                let ot = Matrix::new(&ot[first * wide..], wide);
                self.product(ot, Matrix::new(v, pitch), across, g, false);
                let o = Matrix::new(&o[first..], pitch);
                self.product(o, Matrix::new(p, pitch), along, dv, true);
                let lines = p.chunks_exact(pitch).zip(g.chunks_exact_mut(pitch));
                let sums = bias[first * pitch..].chunks_exact_mut(pitch);
                for ((p, g), sum) in lines.zip(sums).take(rows) {
                    softmax::gradient(&self.machine, p, g, sum);
                }
                let (q, g) = (Matrix::new(&q[first..], pitch), Matrix::new(g, pitch));
                self.product(q, g, along, dk, true);
                let dqt = &mut dqt[first * wide..];
                self.product(g, Matrix::new(kt, wide), [rows, n, wide], dqt, false);
            }
            dk.iter_mut().for_each(|value| *value *= self.scale);
            back(dqt, wide, q, size, self.scale);
            for (index, line) in [&*q, &*dk, &*dv].into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { self.scatter(line, self.channel(place, index), &runs, out) };
            }
        });
    }

    fn depth(&self) -> usize {
        self.attention.depth
    }

    fn heads(&self) -> usize {
        self.attention.windows.heads
    }

    /// The first channel of a place's queries (0), keys (1) or values (2).
    fn channel(&self, place: Place, index: usize) -> usize {
        ((place.sample * 3 + index) * self.heads() + place.head) * self.depth()
    }

    /// The product of `a` and `b`, whose rows are as far apart as those of `out`.
    fn product(
        &self,
        a: Matrix<'_>,
        b: Matrix<'_>,
        size: [usize; 3],
        out: &mut [f32],
        accumulate: bool,
    ) {
        let product = Product {
            a,
            b,
            size,
            pitch: b.pitch,
            out,
            accumulate,
        };
        product.run(&self.machine);
    }

    /// Scores of `rows` queries from `first` on: bias, what sets regions apart, and `q k^T`.
    fn scores(
        &self,
        place: Place,
        first: usize,
        rows: usize,
        q: &[f32],
        k: &[f32],
        scores: &mut [f32],
    ) {
        let (n, pitch) = (self.n, self.pitch);
        let bias = &self.attention.bias[(place.head * n + first) * n..][..rows * n];
        let regions = self.regions.as_ref();
        let regions = regions.map(|regions| &regions[place.window * n..][..n]);
        let regions = regions.filter(|regions| regions.iter().any(|r| *r != regions[0]));
        let lines = scores.chunks_exact_mut(pitch).zip(bias.chunks_exact(n));
        for (row, (line, bias)) in lines.enumerate() {
            let (line, padding) = line.split_at_mut(n);
            padding.fill(0.0);
            let Some(regions) = regions else {
                line.copy_from_slice(bias);
                continue;
            };
            let own = regions[first + row];
            for ((score, bias), region) in line.iter_mut().zip(bias).zip(regions) {
                *score = if *region == own { *bias } else { bias + APART };
            }
        }
        let q = Matrix::new(&q[first * self.wide..], self.wide);
        let size = [rows, self.depth(), pitch];
        self.product(q, Matrix::new(k, pitch), size, scores, true);
    }

    /// Where a window's voxels are in a channel, in their order: first voxel and length of each run.
    fn runs(&self, window: usize) -> Vec<[usize; 2]> {
        let (image, Windows { size, shift, .. }) = (self.attention.image, self.attention.windows);
        let [_, b, c] = self.attention.windows.counts(image);
        let corner = [window / (b * c), window / c % b, window % c];
        let start = [0, 1, 2].map(|a| corner[a] * size[a] + shift[a]);
        let mut runs = Vec::with_capacity(2 * size[0] * size[1]);
        for line in 0..size[0] * size[1] {
            let z = (start[0] + line / size[1]) % image[0];
            let y = (start[1] + line % size[1]) % image[1];
            let (row, x) = ((z * image[1] + y) * image[2], start[2] % image[2]);
            let near = size[2].min(image[2] - x);
            runs.push([row + x, near]);
            if near < size[2] {
                runs.push([row, size[2] - near]);
            }
        }
        runs
    }

    /// A place's channels from `channel` on, one a line, with zeros up to whole vectors.
    fn gather(&self, from: &[f32], channel: usize, runs: &[[usize; 2]], lines: &mut [f32]) {
        let voxels = self.attention.voxels();
        for (c, line) in lines.chunks_exact_mut(self.pitch).enumerate() {
            let from = &from[(channel + c) * voxels..][..voxels];
            let (mut line, padding) = line.split_at_mut(self.n);
            padding.fill(0.0);
            for &[start, len] in runs {
                let (now, later) = line.split_at_mut(len);
                now.copy_from_slice(&from[start..start + len]);
                line = later;
            }
        }
    }

    /// The reverse of [`gather`](Self::gather).
    ///
    /// # Safety
    /// Nobody else writes or reads the place's channels meanwhile.
    unsafe fn scatter(&self, lines: &[f32], channel: usize, runs: &[[usize; 2]], to: Shared<'_>) {
        let voxels = self.attention.voxels();
        for (c, line) in lines.chunks_exact(self.pitch).enumerate() {
            let mut line = line;
            for &[start, len] in runs {
                let (now, later) = line.split_at(len);
                // SAFETY: the caller's promise.
                unsafe { to.row((channel + c) * voxels + start, len) }.copy_from_slice(now);
                line = later;
            }
        }
    }
}

/// Scratch memory in parts.
fn parts<const N: usize>(scratch: &mut [f32], lens: [usize; N]) -> [&mut [f32]; N] {
    let mut rest = scratch;
    lens.map(|len| {
        let (part, later) = std::mem::take(&mut rest).split_at_mut(len);
        rest = later;
        part
    })
}

/// Lines of `n` voxels, `pitch` apart, as rows of `channels`, `wide` apart, times `scale`.
fn turn(
    lines: &[f32],
    [channels, n, pitch]: [usize; 3],
    rows: &mut [f32],
    wide: usize,
    scale: f32,
) {
    for (i, row) in rows.chunks_exact_mut(wide).take(n).enumerate() {
        let (row, padding) = row.split_at_mut(channels);
        padding.fill(0.0);
        for (value, line) in row.iter_mut().zip(lines.chunks_exact(pitch)) {
            *value = scale * line[i];
        }
    }
}

/// The reverse of [`turn`].
fn back(
    rows: &[f32],
    wide: usize,
    lines: &mut [f32],
    [channels, n, pitch]: [usize; 3],
    scale: f32,
) {
    for (c, line) in lines.chunks_exact_mut(pitch).take(channels).enumerate() {
        for (value, row) in line[..n].iter_mut().zip(rows.chunks_exact(wide)) {
            *value = scale * row[c];
        }
    }
}
