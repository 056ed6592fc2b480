//! Self-attention within windows, with a bias by relative position.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Linear, LinearConfig};
use crate::kernel::{self, Windows};

/// Configuration of a [`WindowAttention`] (MONAI `WindowAttention`, Swin Transformer,
/// arXiv 2103.14030).
#[derive(Config, Debug)]
pub struct WindowAttentionConfig {
    /// Channels in and out.
    pub channels: usize,
    /// Heads, which divide the channels.
    pub heads: usize,
    /// Edge of the cubic window.
    pub window: usize,
}

/// Multi-head self-attention of the voxels of a window.
#[derive(Module, Debug)]
pub struct WindowAttention {
    /// Added to the score of two voxels by their distance along the three axes,
    /// `[(2 window - 1)^3, heads]`.
    pub relative_position_bias_table: Param<Tensor<2>>,
    /// Queries, keys and values.
    pub qkv: Linear,
    /// Of all heads' outputs.
    pub proj: Linear,
    window: usize,
}

/// Standard deviation of the relative position bias at the start.
const DEVIATION: f64 = 0.02;

impl WindowAttentionConfig {
    /// A layer with PyTorch's default initialisation, the relative position bias drawn from a
    /// normal distribution of deviation 0.02. (The published one is cut at 100 deviations.)
    pub fn init(&self, device: &Device) -> WindowAttention {
        let (c, distances) = (self.channels, 2 * self.window - 1);
        let normal = Initializer::Normal {
            mean: 0.0,
            std: DEVIATION,
        };
        WindowAttention {
            relative_position_bias_table: normal.init([distances.pow(3), self.heads], device),
            qkv: LinearConfig::new([c, 3 * c]).init(device),
            proj: LinearConfig::new([c, c]).init(device),
            window: self.window,
        }
    }
}

impl WindowAttention {
    /// Applies the layer: windows of edge `size`, where `shift` moves them, no wider than the
    /// layer's. What the image lacks to whole windows is filled with zeros at its high ends.
    ///
    /// # Shapes
    ///
    /// - input, output: `[batch, channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>, size: [usize; 3], shift: [usize; 3]) -> Tensor<5> {
        let [_, _, image @ ..] = x.dims();
        let missing = [0, 1, 2].map(|a| (0, image[a].next_multiple_of(size[a]) - image[a]));
        let padded = missing != [(0, 0); 3];
        let x = if padded { x.pad(missing, 0.0) } else { x };
        let [_, heads] = self.relative_position_bias_table.dims();
        let windows = Windows { size, shift, heads };
        let bias = self.bias(windows.volume());
        let y = kernel::window_attention(self.qkv.forward(x, None, None), bias, &windows);
        let y = if padded {
            (0..3).fold(y, |y, a| y.slice_dim(a + 2, 0..image[a]))
        } else {
            y
        };
        self.proj.forward(y, None, None)
    }

    /// The bias of the first `n` voxels of a whole window, `[heads, n, n]`. MONAI takes these for
    /// a smaller window too, although their distances are others.
    fn bias(&self, n: usize) -> Tensor<3> {
        let (table, edge) = (self.relative_position_bias_table.val(), self.window);
        let ([_, heads], distances) = (table.dims(), 2 * edge - 1);
        // For positions i and j of an axis, the place of their distance.
        let pairs = (0..edge * edge).map(|ij| (ij / edge + edge - 1 - ij % edge) as i32);
        let pairs = TensorData::new(pairs.collect(), [edge * edge]);
        let pairs = Tensor::<1, Int>::from_data(pairs, &table.device());
        let places: Tensor<4> = table
            .swap_dims(0, 1)
            .reshape([heads, distances, distances, distances]);
        let places = (1..4).fold(places, |places, axis| places.select(axis, pairs.clone()));
        let bias = places
            .reshape([heads, edge, edge, edge, edge, edge, edge])
            .permute([0, 1, 3, 5, 2, 4, 6])
            .reshape([heads, edge.pow(3), edge.pow(3)]);
        if n == edge.pow(3) {
            return bias;
        }
        bias.slice_dim(1, 0..n).slice_dim(2, 0..n)
    }
}
