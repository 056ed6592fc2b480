//! How well two segmentations agree.
//!
//! A [`Pair`] joins a reference and a prediction; [`Masks`] is one structure of it, a label or a
//! union of labels, from which all metrics come: [`Overlap`] counts voxels, [`SurfaceDistances`]
//! measures between surfaces in mm, [`Lesions`] counts connected components. What is not defined
//! is `None`: a caller has to say what that means for an average.

mod dice;
mod distance;
mod error;
mod lesion;
mod masks;
mod overlap;
mod surface;

pub use self::dice::{dice, dice_per_label};
pub use self::distance::squared_distances;
pub use self::error::MetricError;
pub use self::lesion::{LesionConfig, Lesions};
pub use self::masks::{Masks, Pair};
pub use self::overlap::Overlap;
pub use self::surface::SurfaceDistances;
