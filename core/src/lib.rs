//! 3-D brain-MRI networks and everything around them, on [burn](https://burn.dev).
//!
//! Data flows one way: bytes -> [`volume`] -> [`preprocess`] -> tensor -> [`model`] -> labels ->
//! [`volume`]. The crate knows no file system, network, thread pool or default backend: callers
//! hand it readers, writers and a burn `Device`. Two features, `flex` and `cube`, say which
//! implementations of the 3-D kernels are compiled.

pub mod augment;
pub mod infer;
pub mod kernel;
pub mod label;
pub mod loss;
pub mod metric;
pub mod model;
pub mod nn;
pub mod preprocess;
pub mod pretext;
pub mod segment;
pub mod surface;
pub mod synth;
pub mod volume;
pub mod weights;
