//! What can go wrong while a network runs.

use thiserror::Error;

use crate::model::SpecError;

/// An error of inference.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InferError {
    /// The image has other channels than the network reads.
    #[error("the network reads {expected} channel(s), the image has {found}")]
    Channels {
        /// Channels that the network reads.
        expected: usize,
        /// Channels of the image.
        found: usize,
    },
    /// The values do not fill the shape.
    #[error("an image of shape {shape:?} with {channels} channel(s) cannot hold {values} values")]
    Values {
        /// Shape of the image.
        shape: [usize; 3],
        /// Channels of the image.
        channels: usize,
        /// Values given.
        values: usize,
    },
    /// A setting is outside its range.
    #[error("`{field}` is {value}; {must}")]
    Option {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        must: &'static str,
    },
    /// Not even the smallest tile fits the memory limit.
    #[error("the network needs at least {needed} bytes; `memory_limit` is {limit}")]
    Memory {
        /// Bytes that the smallest tile needs.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// The largest tensor exceeds what the device takes at once.
    #[error("the network needs a tensor of {needed} bytes; the device takes at most {limit}")]
    Tensor {
        /// Bytes of the largest tensor.
        needed: u64,
        /// The most that the device takes.
        limit: u64,
    },
    /// The network cannot be built.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The device gave no result.
    #[error("the device failed: {0}")]
    Device(String),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}
