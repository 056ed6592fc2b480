//! The block of the Swin Transformer.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{
    Activation, LayerNorm, LayerNormConfig, Linear, LinearConfig, WindowAttention,
    WindowAttentionConfig,
};

/// Configuration of a [`SwinBlock`] (MONAI `SwinTransformerBlock`).
#[derive(Config, Debug)]
pub struct SwinBlockConfig {
    /// Channels in and out.
    pub channels: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Edge of the cubic window.
    pub window: usize,
}

/// Attention within windows and a perceptron, each after a norm and with its input added.
#[derive(Module, Debug)]
pub struct SwinBlock {
    /// Before the attention.
    pub norm1: LayerNorm,
    /// The attention.
    pub attn: WindowAttention,
    /// Before the perceptron.
    pub norm2: LayerNorm,
    /// The perceptron.
    pub mlp: Mlp,
}

/// Two linear layers with GELU between, four times as wide inside.
#[derive(Module, Debug)]
pub struct Mlp {
    /// To the wide middle.
    pub linear1: Linear,
    /// Back.
    pub linear2: Linear,
}

impl SwinBlockConfig {
    /// A block with the initialisation of [`WindowAttentionConfig::init`].
    pub fn init(&self, device: &Device) -> SwinBlock {
        let c = self.channels;
        SwinBlock {
            norm1: LayerNormConfig::new(c).init(device),
            attn: WindowAttentionConfig::new(c, self.heads, self.window).init(device),
            norm2: LayerNormConfig::new(c).init(device),
            mlp: Mlp {
                linear1: LinearConfig::new([c, 4 * c]).init(device),
                linear2: LinearConfig::new([4 * c, c]).init(device),
            },
        }
    }
}

impl SwinBlock {
    /// Applies the block to windows of edge `size`, moved by `shift`.
    ///
    /// # Shapes
    ///
    /// - input, output: `[batch, channels, depth, height, width]`
    pub fn forward(&self, x: Tensor<5>, size: [usize; 3], shift: [usize; 3]) -> Tensor<5> {
        let y = self.norm1.forward(x.clone());
        let x = x + self.attn.forward(y, size, shift);
        let y = self.norm2.forward(x.clone());
        let y = self.mlp.linear1.forward(y, Some(Activation::Gelu), None);
        self.mlp.linear2.forward(y, None, Some(x))
    }
}
