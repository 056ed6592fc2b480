//! From a native volume to what a network was trained on, and back.

mod error;
mod plan;

pub use self::error::PlanError;
pub use self::plan::{Interpolation, Normalization, Plan, Step};
