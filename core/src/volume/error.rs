//! What can be wrong with a volume or its file.

use std::io;

use thiserror::Error;

/// An error of reading, writing or building a volume.
///
/// Errors do not know the name of the file; callers add it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The values do not fill the grid.
    #[error("the grid has {voxels} voxels but there are {values} values")]
    DataLength {
        /// Voxels of the grid.
        voxels: usize,
        /// Values given.
        values: usize,
    },
    /// The affine has no inverse, so voxel axes have no direction.
    #[error("the affine is singular or not finite")]
    SingularAffine,
    /// Not three letters, one of each of R/L, A/P and S/I.
    #[error("`{text}` is not an orientation: three letters, one of each of R/L, A/P, S/I")]
    Orientation {
        /// What was given.
        text: String,
    },
    /// The source could not be read.
    #[error("cannot read: {0}")]
    Read(#[source] io::Error),
    /// The destination could not be written.
    #[error("cannot write: {0}")]
    Write(#[source] io::Error),
    /// The gzip stream is damaged: bad code, wrong checksum or length.
    #[error("the gzip stream is damaged: {0}")]
    Gzip(#[source] io::Error),
    /// The file does not start like any format that is read here.
    #[error("not a NIfTI or MGH file: it starts with the bytes {start:02x?}")]
    UnknownFormat {
        /// The first bytes, up to four.
        start: Vec<u8>,
    },
    /// The file ends inside its header.
    #[error("the file ends after {found} of the {expected} bytes of its header")]
    TruncatedHeader {
        /// Bytes of the header.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// The file ends before the voxels that its header promises.
    #[error("the file ends after {found} of {expected} bytes of voxel data")]
    TruncatedData {
        /// Bytes promised, after decompression.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// A header whose voxels are in another file (.hdr and .img) was read as a single file.
    #[error("magic `{magic}` says that the voxels are in a separate .img file")]
    PairHeader {
        /// The field's text.
        magic: &'static str,
    },
    /// A header field holds something impossible.
    #[error("header field {field} is {value}: {problem}")]
    Field {
        /// Name of the field as in the format's definition, with its index.
        field: &'static str,
        /// What it holds.
        value: String,
        /// Why that cannot be.
        problem: &'static str,
    },
    /// The voxels are not single real numbers: colour, complex, bits or an unknown code.
    #[error(
        "header field datatype is {code} ({name}): only real grey values of 8 to 64 bits can be read"
    )]
    Datatype {
        /// Code of the datatype in its format.
        code: i32,
        /// Name of the datatype.
        name: &'static str,
    },
    /// More than one volume where one is needed.
    #[error(
        "the image has {volumes} volumes (dimensions {dims:?}): one 3-D volume is needed, choose one by its index"
    )]
    NotThreeD {
        /// All dimensions of the file.
        dims: Vec<u64>,
        /// Number of 3-D volumes.
        volumes: u64,
    },
    /// The chosen volume does not exist.
    #[error("there is no volume {index}: the image has {volumes}, counted from 0")]
    NoSuchVolume {
        /// Index asked for.
        index: u64,
        /// Number of 3-D volumes.
        volumes: u64,
    },
    /// The header promises more than the reader's limit; nothing was allocated.
    #[error("the header promises {found} {what}, the limit is {limit}")]
    TooLarge {
        /// What is counted: `voxels` or `bytes`.
        what: &'static str,
        /// Promised; saturates at the largest number.
        found: u64,
        /// Allowed.
        limit: u64,
    },
    /// The memory for the values could not be had.
    #[error("no memory for {bytes} bytes of voxels")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// A value of a label map is not a whole number within the range of labels.
    #[error("voxel {voxel:?} holds {value}, which is not a label: a whole number from 0 to {max}")]
    NotALabel {
        /// Position of the voxel along the file's axes.
        voxel: [usize; 3],
        /// Its value, scaled.
        value: f64,
        /// Largest label.
        max: u64,
    },
    /// A slab buffer does not hold whole planes.
    #[error("a slab of {values} values is not a whole number of planes of {plane}")]
    SlabLength {
        /// Values the buffer holds.
        values: usize,
        /// Values of a plane.
        plane: usize,
    },
    /// The volume lies elsewhere than the header that it should be written with says.
    #[error("the volume's {what} differs from the header's")]
    GridMismatch {
        /// `shape` or `affine`.
        what: &'static str,
    },
    /// The writer was given fewer or more planes than the header promises.
    #[error("{written} of {expected} planes were written")]
    PlaneCount {
        /// Planes of the volume.
        expected: usize,
        /// Planes given.
        written: usize,
    },
}
