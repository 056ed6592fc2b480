//! What can go wrong in synthesis.

use thiserror::Error;

use super::lesion::LesionKind;
use crate::label::Label;

/// An error of what is asked for.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum SynthError {
    /// No sensible image has this shape.
    #[error(
        "an image of {shape:?} voxels of {spacing:?} mm: edges are 1 voxel or more, 2^28 voxels at most, of 0.1 to 20 mm"
    )]
    Frame {
        /// Voxels along each axis.
        shape: [usize; 3],
        /// Edges of a voxel, mm.
        spacing: [f64; 3],
    },
    /// There is no place for a lesion.
    #[error("no place for a lesion of the kind `{}`: no white matter (2, 41) and cortex (3, 42) of the cerebrum", kind.name())]
    NoRoom {
        /// The kind.
        kind: LesionKind,
    },
    /// A site's field is out of range.
    #[error("site `{site}`: {field} is {value}, but must be in {} to {}", range[0], range[1])]
    Site {
        /// The site.
        site: String,
        /// The field.
        field: String,
        /// Its value.
        value: f64,
        /// Smallest and largest.
        range: [f64; 2],
    },
    /// A site's protocol has no such contrast.
    #[error("contrast `{contrast}`: not in the protocol of the site")]
    Contrast {
        /// The contrast.
        contrast: &'static str,
    },
    /// A label map has too many labels.
    #[error("{found} different labels: at most {most} can be imaged")]
    Labels {
        /// How many it has.
        found: usize,
        /// How many it may have.
        most: usize,
    },
    /// It is not known what tissue a label is.
    #[error(
        "label {label} is none of FreeSurfer's: say in [labels.tissues] what it is, or ask for the contrast `random`"
    )]
    Tissue {
        /// The label.
        label: Label,
    },
    /// A label map's axes have no direction.
    #[error("{0}")]
    Orientation(String),
}
