//! What a reader may take from a file.

/// What is read and how much a file may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Index of the 3-D volume to read from a file that has several, which is otherwise an
    /// error. The fourth dimension runs fastest.
    pub volume: Option<u64>,
    /// The most voxels that a volume may have; default 2^30.
    pub max_voxels: u64,
    /// The most bytes, after decompression, that may have to be read to the end of the volume;
    /// default 16 GiB.
    pub max_bytes: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            volume: None,
            max_voxels: 1 << 30,
            max_bytes: 16 << 30,
        }
    }
}
