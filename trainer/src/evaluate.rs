//! How good predictions are: scores a case, what they say about all, and a comparison of two
//! models.
//!
//! [`score()`] compares a prediction with its reference; [`Evaluation`] gathers cases and describes
//! them; [`Comparison`] tests two evaluations of the same cases against each other. Files are found
//! by [`find_pairs`] and read one case at a time.

mod comparison;
mod evaluation;
mod metric;
mod overlay;
mod pairs;
mod plot;
mod predict;
mod report;
mod run;
mod score;
pub mod statistics;
mod table;

pub use self::comparison::{Comparison, ComparisonRow};
pub use self::evaluation::{CaseScores, Evaluation, FILE, MEAN, Settings, Summary};
pub use self::metric::Metric;
pub use self::overlay::{Overlay, Rank, overlay};
pub use self::pairs::{CaseFiles, PairOptions, find_pairs};
pub use self::predict::{PREDICTIONS, predict};
pub use self::report::{COMPARISON_FILE, REPORT_FILE, write};
pub use self::run::{evaluate, overlays};
pub use self::score::{Region, ScoreConfig, Scores, Targets, read_prediction, score};
