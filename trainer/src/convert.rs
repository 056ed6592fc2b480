//! Volumes from one format, orientation or grid to another.

use std::path::Path;

use amaes_core::label::Label;
use amaes_core::preprocess::{Plan, Step};
use amaes_core::volume::{Grid, Orientation, RawData, ReadOptions, Volume};

use crate::error::{Result, WithPath};
use crate::volumes::{self, Voxels};

/// What changes on the way from file to file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conversion {
    /// Permute and flip axes to this orientation.
    pub orientation: Option<Orientation>,
    /// Apply the scaling and store float32; otherwise voxels keep their stored type.
    pub float: bool,
}

/// Converts a volume to NIfTI.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) and [`Error::Volume`](crate::Error::Volume); a singular affine where an orientation is asked for.
pub fn convert(input: &Path, output: &Path, options: &ReadOptions, how: &Conversion) -> Result<()> {
    if how.float {
        let (volume, header) = volumes::read(input, options)?;
        let (volume, header) = match how.orientation {
            Some(to) => {
                let volume = volume.reoriented(to).with_path(input)?;
                let header = header.with_grid(volume.grid());
                (volume, header)
            }
            None => (volume, header),
        };
        return volumes::write(output, &header, Voxels::Real(&volume));
    }
    let (data, header) = volumes::read_stored(input, options)?;
    match how.orientation {
        None => volumes::write(output, &header, Voxels::Stored(&data)),
        Some(to) => {
            let (data, grid) = reorient_stored(data, header.grid(), to).with_path(input)?;
            let moved = header.with_grid(&grid).with_scaling(header.scaling());
            volumes::write(output, &moved, Voxels::Stored(&data))
        }
    }
}

macro_rules! reorient_each {
    ($data:expr, $grid:expr, $to:expr; $($variant:ident),*) => {
        match $data {
            $(RawData::$variant(values) => {
                let volume = Volume::new($grid, values)?.reoriented($to)?;
                let (grid, values) = volume.into_parts();
                Ok((RawData::$variant(values), grid))
            })*
            other => Ok((other, $grid)),
        }
    };
}

fn reorient_stored(
    data: RawData,
    grid: Grid,
    to: Orientation,
) -> std::result::Result<(RawData, Grid), amaes_core::volume::VolumeError> {
    reorient_each!(data, grid, to; U8, I8, U16, I16, U32, I32, U64, I64, F32, F64)
}

/// Conforms a volume as FreeSurfer does: 256^3 voxels of 1 mm, LIA, 0..255.
///
/// # Errors
///
/// As [`convert`], and [`Error::Plan`](crate::Error::Plan).
pub fn conform(input: &Path, output: &Path, options: &ReadOptions) -> Result<()> {
    let (volume, header) = volumes::read(input, options)?;
    let plan = Plan {
        steps: vec![Step::conform()],
    };
    let conformed = plan.apply(volume).with_path(input)?.volume;
    let header = header.on_grid(conformed.grid());
    // Conformed values are whole numbers in 0..=255.
    let whole = conformed.map(|&v| v as Label);
    volumes::write(output, &header, Voxels::Whole(&whole))
}
