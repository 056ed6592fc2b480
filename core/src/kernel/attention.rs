//! Self-attention within the windows of an image.

use burn::Tensor;
use burn::tensor::{Device, TensorData, activation, s};

use super::in_single;
#[cfg(feature = "flex")]
use super::{extension, op::Op};

/// The windows of an image, and who attends to whom (Swin Transformer, arXiv 2103.14030).
///
/// The image is moved by `shift` voxels towards its origin, around its ends, before it is cut into
/// windows. Voxels that were not neighbours before do not see each other then: their score is
/// lowered by 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Edges of a window, which divide those of the image.
    pub size: [usize; 3],
    /// Voxels that the image is moved by, less than a window's edge.
    pub shift: [usize; 3],
    /// Heads, which divide the channels.
    pub heads: usize,
}

/// What the scores of voxels are lowered by that are neighbours only because of the shift.
pub(super) const APART: f32 = -100.0;

/// Scores that are in memory at once, where they must be: 64 MiB.
const MOST_SCORES: usize = 1 << 24;

impl Windows {
    /// Voxels of a window.
    #[must_use]
    pub fn volume(&self) -> usize {
        self.size.iter().product()
    }

    /// Windows along each axis of an image.
    pub(super) fn counts(&self, image: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|a| image[a] / self.size[a])
    }

    /// Which of an axis' regions the position `i` of a moved image of edge `n` is in: the windows
    /// before the last one, the last one's own voxels, and those that came around the end.
    fn region(&self, axis: usize, n: usize, i: usize) -> usize {
        match self.shift[axis] {
            0 => 0,
            shift => usize::from(i >= n - self.size[axis]) + usize::from(i >= n - shift),
        }
    }

    /// The region of every voxel of every window of a moved image, `[windows, volume]`; `None`
    /// without a shift.
    pub(super) fn regions(&self, image: [usize; 3]) -> Option<Vec<u8>> {
        if self.shift == [0; 3] {
            return None;
        }
        let axes = [0, 1, 2].map(|a| -> Vec<usize> {
            (0..image[a]).map(|i| self.region(a, image[a], i)).collect()
        });
        let counts = self.counts(image);
        let mut regions = Vec::with_capacity(image.iter().product());
        for window in each(counts) {
            for voxel in each(self.size) {
                let [a, b, c] =
                    [0, 1, 2].map(|axis| axes[axis][window[axis] * self.size[axis] + voxel[axis]]);
                regions.push((9 * a + 3 * b + c) as u8);
            }
        }
        Some(regions)
    }

    fn check(&self, qkv: &Tensor<5>, bias: &Tensor<3>) {
        let [_, channels, image @ ..] = qkv.dims();
        assert!(
            self.heads > 0 && channels > 0 && channels.is_multiple_of(3 * self.heads),
            "{channels} channels are not queries, keys and values of {} heads",
            self.heads
        );
        for ((n, size), shift) in image.into_iter().zip(self.size).zip(self.shift) {
            assert!(
                size > 0 && n > 0 && n.is_multiple_of(size) && shift < size,
                "windows of {size} voxels, moved by {shift}, do not fit an edge of {n}"
            );
        }
        let volume = self.volume();
        assert_eq!(
            bias.dims(),
            [self.heads, volume, volume],
            "the shape of the relative position bias"
        );
    }
}

/// Every place of a box, the last axis fastest.
fn each([a, b, c]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..a * b * c).map(move |n| [n / (b * c), n / c % b, n % c])
}

/// Multi-head self-attention of the voxels of each window:
/// `softmax(q k^T / sqrt(channels / heads) + bias) v`.
///
/// # Shapes
/// - `qkv`: `[batch, 3 channels, depth, height, width]`: queries, keys and values, each of them
///   head after head
/// - `bias`: `[heads, n, n]` with the voxels n of a window, added to the scores of a query (second
///   axis) and a key (third)
/// - output: `[batch, channels, depth, height, width]`
///
/// # Panics
/// If the shapes do not fit together.
#[must_use]
pub fn window_attention(qkv: Tensor<5>, bias: Tensor<3>, windows: &Windows) -> Tensor<5> {
    windows.check(&qkv, &bias);
    #[cfg(feature = "flex")]
    {
        let n = windows.volume();
        let bias: Tensor<5> = bias.clone().reshape([1, 1, windows.heads, n, n]);
        let op = Op::Attention(*windows);
        if let Some(op) = extension::accept(op, &qkv, Some(&bias), [None, None]) {
            return extension::run(qkv, Some(bias), None, op);
        }
    }
    in_single(qkv, |qkv| portable(qkv, bias, windows))
}

pub(super) fn portable(qkv: Tensor<5>, bias: Tensor<3>, windows: &Windows) -> Tensor<5> {
    let [batch, channels, image @ ..] = qkv.dims();
    let (n, heads) = (windows.volume(), windows.heads);
    let [count, size] = [windows.counts(image), windows.size];
    let per_image: usize = count.iter().product();
    let device = qkv.device();
    let qkv = roll(qkv, windows.shift, true);
    let parts: Tensor<5> = qkv
        .reshape([
            batch * channels,
            count[0],
            size[0],
            count[1],
            size[1],
            count[2],
            size[2],
        ])
        .permute([0, 1, 3, 5, 2, 4, 6])
        .reshape([batch, 3 * heads, channels / 3 / heads, per_image, n])
        .permute([0, 3, 1, 4, 2]);
    let depth = channels / 3 / heads;
    // [windows, 3 heads, n, depth]
    let parts: Tensor<4> = parts.reshape([batch * per_image, 3 * heads, n, depth]);
    let apart = apart(windows, image, &device);
    let bias = bias.reshape([1, heads, n, n]);
    let scale = 1.0 / (depth as f64).sqrt();
    let step = (MOST_SCORES / (heads * n * n)).clamp(1, per_image);
    let mut outputs = Vec::new();
    for sample in 0..batch {
        for first in (0..per_image).step_by(step) {
            let last = (first + step).min(per_image);
            let base = sample * per_image;
            let part = |index: usize| {
                let heads = index * heads..(index + 1) * heads;
                parts.clone().slice(s![base + first..base + last, heads])
            };
            let mut scores = (part(0) * scale).matmul(part(1).swap_dims(2, 3)) + bias.clone();
            if let Some(apart) = &apart {
                scores = scores + apart.clone().slice(s![first..last]);
            }
            outputs.push(activation::softmax(scores, 3).matmul(part(2)));
        }
    }
    let output = Tensor::cat(outputs, 0);
    let output = output
        .reshape([batch, per_image, heads, n, depth])
        .permute([0, 2, 4, 1, 3])
        .reshape([
            batch * channels / 3,
            count[0],
            count[1],
            count[2],
            size[0],
            size[1],
            size[2],
        ])
        .permute([0, 1, 4, 2, 5, 3, 6])
        .reshape([batch, channels / 3, image[0], image[1], image[2]]);
    roll(output, windows.shift, false)
}

/// What is added to the scores of two voxels, `[windows, 1, n, n]`.
fn apart(windows: &Windows, image: [usize; 3], device: &Device) -> Option<Tensor<4>> {
    let regions = windows.regions(image)?;
    let n = windows.volume();
    let count = regions.len() / n;
    let regions: Vec<f32> = regions.into_iter().map(f32::from).collect();
    let regions = Tensor::<2>::from_data(TensorData::new(regions, [count, n]), device);
    let differ = regions
        .clone()
        .reshape([count, 1, n, 1])
        .not_equal(regions.reshape([count, 1, 1, n]));
    Some(differ.float() * APART)
}

/// Moves an image around its ends, towards its origin or away from it.
fn roll(x: Tensor<5>, shift: [usize; 3], towards: bool) -> Tensor<5> {
    (0..3).fold(x, |x, axis| {
        let n = x.dims()[axis + 2];
        let cut = match (shift[axis], towards) {
            (0, _) => return x,
            (shift, true) => shift,
            (shift, false) => n - shift,
        };
        let part = |x: &Tensor<5>, range| x.clone().slice_dim(axis + 2, range);
        Tensor::cat(vec![part(&x, cut..n), part(&x, 0..cut)], axis + 2)
    })
}
