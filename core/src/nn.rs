//! Layers of the networks, named and shaped as in PyTorch.

pub mod activation;
pub use self::activation::Activation;
