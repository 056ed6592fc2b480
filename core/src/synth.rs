//! Labelled heads that never were, and images of them.
//!
//! A [`Scene`] says what tissue each voxel holds: a phantom of a [`Subject`], whose anatomy is
//! painted from smooth functions that differ from head to head, or a label map of one's own,
//! deformed. Lesions of a [`LesionKind`] are put into it. A [`Site`] takes images of it: what a
//! pulse sequence makes of each tissue's relaxation times, or random greys, with partial volume,
//! bias field, thick slices, Rician noise and artefacts (Billot et al. 2023, SynthSeg, for the
//! random ones). One seed gives one result.

mod contrast;
mod cortex;
mod envelope;
mod error;
mod frame;
mod image;
mod label_map;
mod lattice;
mod lesion;
mod part;
mod phantom;
mod region;
mod scene;
mod shape;
mod signal;
mod site;
mod sketch;
mod solid;
mod subject;
#[cfg(test)]
mod tests;
mod tissue;
mod waves;

pub use self::contrast::Contrast;
pub use self::error::SynthError;
pub use self::frame::Frame;
pub use self::image::Image;
pub use self::label_map::LabelMapOptions;
pub use self::lesion::LesionKind;
pub use self::part::{label_table, tissue_of};
pub use self::scene::{Class, Scene};
pub use self::signal::Sequence;
pub use self::site::{Acquisition, Artefacts, PRESETS, Plane, Site, preset};
pub use self::subject::{Sex, Subject};
pub use self::tissue::{Magnetic, Tissue};
