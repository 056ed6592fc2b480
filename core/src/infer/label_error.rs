//! What can go wrong in cleaning and measuring label maps.

use thiserror::Error;

/// An error of cleaning or measuring a label map.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The map has more voxels than components can number.
    #[error("a label map of {voxels} voxels is more than {} voxels", u32::MAX)]
    TooLarge {
        /// Voxels of the map.
        voxels: usize,
    },
    /// The memory for an intermediate map is not there.
    #[error("no memory for {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// The image and the label map have different shapes.
    #[error("the label map has shape {labels:?} but the image {image:?}")]
    Shape {
        /// Shape of the label map (voxels).
        labels: [usize; 3],
        /// Shape of the image (voxels).
        image: [usize; 3],
    },
}
