//! Volumes from and to files, or standard input and output.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use amaes_core::label::Label;
use amaes_core::volume::{
    Header, RawData, ReadOptions, Volume, VolumeReader, WriteOptions, write_labels, write_raw,
    write_volume,
};

use crate::atomic::write_atomic;
use crate::error::{Result, WithPath};

/// The name that stands for standard input or output.
pub const STANDARD: &str = "-";

/// Extensions of the volume formats that are read.
const EXTENSIONS: [&str; 7] = [".nii.gz", ".nii", ".mgz", ".mgh.gz", ".mgh", ".hdr", ".img"];

/// The extension by which a path is known as a volume, or `None`.
pub fn extension(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    EXTENSIONS
        .into_iter()
        .find(|e| name.len() > e.len() && name.ends_with(e))
}

/// The file's name without its volume extension.
pub fn stem(path: &Path) -> String {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let cut = extension(path).map_or(0, str::len);
    name[..name.len() - cut].to_owned()
}

/// Opens a volume: `-` is standard input, `.hdr` and `.img` are one volume in two files.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) and [`Error::Volume`](crate::Error::Volume).
pub fn open(path: &Path, options: &ReadOptions) -> Result<VolumeReader<Box<dyn io::Read>>> {
    let file = |path: &Path| -> Result<Box<dyn io::Read>> {
        Ok(Box::new(File::open(path).with_path(path)?))
    };
    if path == Path::new(STANDARD) {
        let stdin: Box<dyn io::Read> = Box::new(io::stdin().lock());
        return VolumeReader::new(stdin, options).with_path(Path::new("standard input"));
    }
    if let Some((header, data)) = pair(path) {
        return VolumeReader::from_pair(file(&header)?, file(&data)?, options).with_path(path);
    }
    VolumeReader::new(file(path)?, options).with_path(path)
}

/// The two files of a pair, where `path` is one of them.
fn pair(path: &Path) -> Option<(PathBuf, PathBuf)> {
    matches!(extension(path), Some(".hdr" | ".img"))
        .then(|| (path.with_extension("hdr"), path.with_extension("img")))
}

/// Reads a volume as real numbers.
///
/// # Errors
///
/// As [`open`].
pub fn read(path: &Path, options: &ReadOptions) -> Result<(Volume<f32>, Header)> {
    open(path, options)?.read_all().with_path(path)
}

/// Reads a label map exactly.
///
/// # Errors
///
/// As [`open`]; a voxel that is no label.
pub fn read_label_map(path: &Path, options: &ReadOptions) -> Result<(Volume<Label>, Header)> {
    open(path, options)?.read_all().with_path(path)
}

/// Reads a volume in its stored type.
///
/// # Errors
///
/// As [`open`].
pub fn read_stored(path: &Path, options: &ReadOptions) -> Result<(RawData, Header)> {
    open(path, options)?.read_all_raw().with_path(path)
}

/// What can be written as a volume.
#[derive(Clone, Copy, Debug)]
pub enum Voxels<'a> {
    /// Real numbers, as float32.
    Real(&'a Volume<f32>),
    /// Labels, in the smallest type that holds them.
    Labels(&'a Volume<Label>),
    /// Whole numbers that are no labels, in the smallest type that holds them.
    Whole(&'a Volume<Label>),
    /// Values in their stored type.
    Stored(&'a RawData),
}

/// Writes NIfTI, atomically: gzipped unless the name ends in `.nii`; `-` is standard output.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) and [`Error::Volume`](crate::Error::Volume).
pub fn write(path: &Path, header: &Header, voxels: Voxels<'_>) -> Result<()> {
    let options = match extension(path) {
        Some(".nii") => WriteOptions::PLAIN,
        _ => WriteOptions::GZIP,
    };
    if path == Path::new(STANDARD) {
        let path = Path::new("standard output");
        let mut out = io::stdout().lock();
        write_to(&mut out, header, voxels, &options, path)?;
        return out.flush().with_path(path);
    }
    write_atomic(path, |w| write_to(w, header, voxels, &options, path))
}

fn write_to(
    out: &mut impl Write,
    header: &Header,
    voxels: Voxels<'_>,
    options: &WriteOptions,
    path: &Path,
) -> Result<()> {
    match voxels {
        Voxels::Real(volume) => write_volume(out, header, volume, options),
        Voxels::Labels(labels) => write_labels(out, header, labels, options),
        Voxels::Whole(values) => write_labels(
            out,
            header,
            values,
            &WriteOptions {
                label_intent: false,
                ..*options
            },
        ),
        Voxels::Stored(data) => write_raw(out, header, data, options),
    }
    .with_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_known_by_their_whole_extension() {
        assert_eq!(extension(Path::new("a/b.c.NII.GZ")), Some(".nii.gz"));
        assert_eq!(extension(Path::new("b.mgz")), Some(".mgz"));
        assert_eq!(extension(Path::new("b.gz")), None);
        assert_eq!(extension(Path::new(".nii")), None);
        assert_eq!(stem(Path::new("a/sub-01_T1w.nii.gz")), "sub-01_T1w");
        assert_eq!(stem(Path::new("a/other.bin")), "other.bin");
    }
}
