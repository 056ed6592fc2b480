//! Experiments: networks pretrained and finetuned in every combination of some settings, and the
//! tables that compare them (AMAES, arXiv 2408.00640, tables 1 and 2).
//!
//! A [`Matrix`] says what is compared. [`Plan::new`] makes a list of [`Cell`]s of it, each with the
//! pretraining and the data that it needs; [`Runner`] does what is not done yet, and [`Report`]
//! compares what is there. Whatever determines a result is in the name of its folder, so that a
//! matrix that changes never takes a result of another configuration for its own.

mod error;
mod identity;
mod matrix;
mod plan;
pub mod report;
mod run;
mod state;
mod variant;

pub use self::error::ExperimentError;
pub use self::matrix::{
    BackboneConfig, CorpusConfig, Grid, GridKind, Matrix, SegmentConfig, SizedBackbone, TaskConfig,
    TestConfig,
};
pub use self::plan::{Axes, Cell, Made, MadeKind, Plan, Pretraining, Start, Test};
pub use self::report::Report;
pub use self::run::{Event, Runner, Summary};
pub use self::state::{DONE, Spent, State, Steps, Unit};
pub use self::variant::{LeaveOut, Variant};
