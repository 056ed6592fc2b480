//! A line of the catalogue: one volume, where it is and what is known about it.

use serde::Serialize;

use super::exclude::Reason;
use super::measure::Measured;
use super::sequence::Sequence;

/// Where a volume is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Where {
    /// Its file, relative to the folder that was scanned, with `/`.
    pub path: String,
    /// Its name within the file where that is an archive, else empty.
    pub member: String,
    /// Its index where the file holds several volumes that are used one by one.
    pub frame: Option<u32>,
}

/// What is known about a volume. Fields are `None` where nothing tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Record {
    /// Where it is.
    #[serde(flatten)]
    pub place: Where,
    /// Where a member of an archive starts: its offset in a .tar, its index in a .zip.
    pub position: Option<u64>,
    /// A name that is the same wherever the corpus lies: file name and hash.
    pub name: String,
    /// The data set that it belongs to.
    pub source: String,
    /// Who.
    pub subject: Option<String>,
    /// When.
    pub session: Option<String>,
    /// What kind of image.
    pub sequence: Sequence,
    /// Bytes of the file or member as stored.
    pub bytes: u64,
    /// SHA-256 of these bytes, in hex.
    pub sha256: Option<String>,
    /// Voxels along each axis.
    pub shape: Option<[usize; 3]>,
    /// All dimensions of the file.
    pub dims: Option<Vec<u64>>,
    /// Voxel edges in mm.
    pub spacing: Option<[f64; 3]>,
    /// Three letters, such as `RAS`.
    pub orientation: Option<String>,
    /// NumPy's name of the stored type.
    pub datatype: Option<String>,
    /// Maker of the scanner.
    pub manufacturer: Option<String>,
    /// Model of the scanner.
    pub scanner: Option<String>,
    /// Tesla.
    pub field_strength: Option<f64>,
    /// Place of the scan.
    pub site: Option<String>,
    /// Years.
    pub age: Option<f64>,
    /// `M`, `F` or `O`.
    pub sex: Option<String>,
    /// Statistics of the voxels; `None` where they were not read.
    pub measured: Option<Measured>,
    /// Why it is not used, in the order of [`Reason::ALL`].
    pub reasons: Vec<Reason>,
    /// The error of reading, where there was one.
    pub error: Option<String>,
}
