//! From a native volume to what a network was trained on, and back.
//!
//! A [`Plan`] is a list of [`Step`]s. [`Plan::apply`] runs it on a volume and returns a
//! [`Prepared`]: the volume for the network and the [`Trace`] of what was done, which puts labels
//! back on the native grid. Trainer, command line and browser all go through these two.

mod apply;
mod conform;
mod crop;
mod error;
mod normalize;
mod plan;
mod quantile;
mod resample;
mod sample;
#[cfg(test)]
mod tests;
mod trace;

pub use self::apply::Prepared;
pub use self::conform::ByteScaling;
pub use self::error::PlanError;
pub use self::plan::{Interpolation, Normalization, Plan, Rescale, Step};
pub use self::trace::{Applied, Trace};
