//! Pointwise activations.

use serde::{Deserialize, Serialize};

/// A pointwise activation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x` above zero, `slope * x` below (`torch.nn.LeakyReLU`).
    LeakyRelu {
        /// Slope below zero.
        slope: f32,
    },
    /// `x` above zero, `exp(x) - 1` below (`torch.nn.ELU`).
    Elu,
    /// `x * Phi(x)` with the error function (`torch.nn.GELU`).
    Gelu,
    /// `GELU` by its tanh approximation (`torch.nn.GELU(approximate="tanh")`).
    GeluTanh,
    /// `x * sigmoid(x)` (`torch.nn.SiLU`).
    Silu,
}

impl Activation {
    /// The slope below zero of one that is two straight lines and keeps the sign.
    pub fn slope(self) -> Option<f32> {
        match self {
            Self::Relu => Some(0.0),
            Self::LeakyRelu { slope } if slope >= 0.0 => Some(slope),
            _ => None,
        }
    }
}
