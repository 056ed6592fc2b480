//! amaes in the browser.
//!
//! [`model`], [`session`] and [`labels`] are plain Rust over `amaes-core`, tested on any machine; the bindings
//! to JavaScript are compiled for WebAssembly alone. A module is built for one device: with the
//! feature `cpu` or `webgpu`.

#[cfg(target_family = "wasm")]
mod bindings;
pub mod error;
pub mod labels;
pub mod model;
pub mod session;
