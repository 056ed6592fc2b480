//! What the `amaes` command does, as a library: files in, files out.
//!
//! Everything that knows a file system is here; arithmetic is in [`amaes_core`].

pub mod allocator;
pub mod atomic;
pub mod convert;
pub mod corpus;
pub mod dashboard;
pub mod device;
mod digits;
mod error;
pub mod evaluate;
pub mod experiment;
pub mod import;
pub mod inputs;
pub mod labelled;
pub mod loader;
pub mod model;
pub mod picture;
pub mod segment;
pub mod serve;
pub mod shipped;
pub mod store;
pub mod synth;
pub mod tensorboard;
#[cfg(feature = "wgpu")]
pub mod tiles;
pub mod train;
#[cfg(feature = "wgpu")]
pub mod tune;
pub mod volumes;

pub use self::error::{Error, Result};
