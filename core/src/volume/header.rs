//! The header of a volume file: one type for NIfTI-1, NIfTI-2 and MGH, which keeps the NIfTI
//! bytes so that the geometry can be written back to the bit.

mod fields;
mod geometry;
mod parse;

pub use self::fields::NiftiVersion;
use self::fields::{
    AUX_FILE, BITPIX, CAL_MAX, CAL_MIN, DATATYPE, DESCRIP, INTENT_CODE, INTENT_NAME, INTENT_P,
    PIXDIM, QFORM_CODE, Raw, SCL_INTER, SCL_SLOPE, SFORM_CODE,
};
pub use self::geometry::AffineSource;
pub(super) use self::parse::{has_magic_v1, shape, version_of, volumes};
use super::datatype::{DataType, Scaling};
use super::{Affine, Grid, VolumeError};

/// NIfTI's intent code of label maps, `NIFTI_INTENT_LABEL`.
const INTENT_LABEL: i16 = 1002;
/// Spatial units of mm in `xyzt_units`.
const UNITS_MM: u8 = 2;
/// `NIFTI_XFORM_SCANNER_ANAT`.
const XFORM_SCANNER: i16 = 1;
/// `NIFTI_XFORM_ALIGNED_ANAT`: world space of another file or of unknown origin.
const XFORM_ALIGNED: i16 = 2;

/// File format of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// NIfTI-1.
    Nifti1,
    /// NIfTI-2.
    Nifti2,
    /// FreeSurfer's MGH.
    Mgh,
}

/// What a volume file says about its voxels.
///
/// All bytes of a NIfTI header are kept: a volume written with the header of its source has the
/// same sform, qform, `pixdim`, units and codes, bit for bit. An MGH header is kept as the NIfTI-1
/// header (NIfTI-2 for extents above 32767) with the same meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    format: Format,
    big_endian: bool,
    pair: bool,
    raw: Raw,
    dims: Vec<u64>,
    shape: [usize; 3],
    volumes: u64,
    datatype: DataType,
    scaling: Scaling,
    affine: Affine,
    affine_source: AffineSource,
    data_offset: u64,
}

impl Header {
    /// A NIfTI-1 header (NIfTI-2 where an axis has more than 32767 voxels) for float values on
    /// `grid`: sform and qform hold its affine, in single precision in NIfTI-1, with code 2
    /// (aligned); a sheared affine fits the sform only. Units are mm.
    pub fn new(grid: &Grid) -> Self {
        Self::build(grid, XFORM_ALIGNED)
    }

    fn build(grid: &Grid, code: i16) -> Self {
        let mut raw = Raw::new(version_for(grid.shape));
        geometry::set_affine(&mut raw, &grid.affine, code);
        for i in 4..8 {
            raw.set_real(PIXDIM, i, 1.0);
        }
        raw.set_units(UNITS_MM);
        Self::from_raw(raw, grid, code)
    }

    /// Joins bytes whose geometry has just been set from `grid` with what they mean.
    fn from_raw(mut raw: Raw, grid: &Grid, code: i16) -> Self {
        set_dims(&mut raw, grid.shape, 3);
        raw.set_single_magic();
        raw.set_short(DATATYPE, DataType::F32.nifti_code());
        raw.set_short(BITPIX, 32);
        let data_offset = raw.version().size() as u16 + 4;
        raw.set_vox_offset(data_offset);
        raw.set_real(SCL_SLOPE, 0, 1.0);
        raw.set_real(SCL_INTER, 0, 0.0);
        Self {
            format: match raw.version() {
                NiftiVersion::One => Format::Nifti1,
                NiftiVersion::Two => Format::Nifti2,
            },
            big_endian: false,
            pair: false,
            raw,
            dims: grid.shape.map(|n| n as u64).to_vec(),
            shape: grid.shape,
            volumes: 1,
            datatype: DataType::F32,
            scaling: Scaling::NONE,
            affine: grid.affine,
            affine_source: AffineSource::Sform(code.into()),
            data_offset: data_offset.into(),
        }
    }

    /// The header of an MGH file, as NIfTI.
    pub(super) fn from_mgh(grid: &Grid, datatype: DataType, frames: u64, data_offset: u64) -> Self {
        let mut out = Self::build(grid, XFORM_SCANNER);
        out.format = Format::Mgh;
        out.big_endian = true;
        out.datatype = datatype;
        out.affine_source = AffineSource::Mgh;
        out.data_offset = data_offset;
        out.volumes = frames;
        if frames > 1 {
            out.dims.push(frames);
        }
        out
    }

    /// A header for voxels on `grid`: this one where the grid is its own, so that its geometry
    /// stays to the bit, else [`with_grid`](Self::with_grid).
    #[must_use]
    pub fn on_grid(&self, grid: &Grid) -> Self {
        match self.grid() == *grid {
            true => self.clone(),
            false => self.with_grid(grid),
        }
    }

    /// This header with its text and the codes of its world space, for voxels on another grid
    /// in the same world space (resampled or reoriented). Values are float, without scaling.
    pub fn with_grid(&self, grid: &Grid) -> Self {
        let code = match self.affine_source {
            AffineSource::Sform(c) | AffineSource::Qform(c) => c as i16,
            AffineSource::Mgh => XFORM_SCANNER,
            AffineSource::Pixdim => XFORM_ALIGNED,
        };
        let mut raw = if self.raw.version() == NiftiVersion::One
            && version_for(grid.shape) == NiftiVersion::Two
        {
            let mut raw = Raw::new(NiftiVersion::Two);
            raw.set_units(self.raw.units());
            raw.set_text(DESCRIP, 80, &self.raw.text(DESCRIP, 80));
            raw
        } else {
            self.raw.clone()
        };
        geometry::set_affine(&mut raw, &grid.affine, code);
        Self::from_raw(raw, grid, code)
    }

    /// This header with the scaling of voxels that keep their stored type.
    pub fn with_scaling(self, scaling: Scaling) -> Self {
        Self { scaling, ..self }
    }

    /// The format that was read.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the file's numbers are big-endian.
    pub fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    /// Whether the voxels are in a separate .img file.
    pub fn is_pair(&self) -> bool {
        self.pair
    }

    /// All dimensions that the file has, 1 to 7 of them.
    pub fn dims(&self) -> &[u64] {
        &self.dims
    }

    /// Voxels along the first three axes; 1 along those that the file does not have.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Number of 3-D volumes: the product of the dimensions after the third.
    pub fn volumes(&self) -> u64 {
        self.volumes
    }

    /// How voxels are stored.
    pub fn datatype(&self) -> DataType {
        self.datatype
    }

    /// What turns stored into real values; [`Scaling::NONE`] where the file has none.
    pub fn scaling(&self) -> Scaling {
        self.scaling
    }

    /// Voxel indices to world mm.
    pub fn affine(&self) -> Affine {
        self.affine
    }

    /// Where the affine was found.
    pub fn affine_source(&self) -> AffineSource {
        self.affine_source
    }

    /// Shape and place of one volume.
    pub fn grid(&self) -> Grid {
        Grid {
            shape: self.shape,
            affine: self.affine,
        }
    }

    /// Byte at which the voxels start, in the decompressed file.
    pub fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// The code `sform_code` as stored.
    pub fn sform_code(&self) -> i32 {
        self.raw.code(SFORM_CODE)
    }

    /// The code `qform_code` as stored.
    pub fn qform_code(&self) -> i32 {
        self.raw.code(QFORM_CODE)
    }

    /// `pixdim[1..=3]` as stored: voxel edges in the units of `xyzt_units`.
    pub fn pixdim(&self) -> [f64; 3] {
        [1, 2, 3].map(|i| self.raw.real(PIXDIM, i))
    }

    /// The code of the units of space and time, `xyzt_units`.
    pub fn xyzt_units(&self) -> u8 {
        self.raw.units()
    }

    /// The code `intent_code`; 1002 marks label maps.
    pub fn intent_code(&self) -> i32 {
        self.raw.code(INTENT_CODE)
    }

    /// Free text, `descrip`.
    pub fn description(&self) -> String {
        self.raw.text(DESCRIP, 80)
    }

    /// Sets the free text `descrip`, cut to 79 bytes.
    pub fn set_description(&mut self, text: &str) {
        self.raw.set_text(DESCRIP, 80, text);
    }

    /// The NIfTI version in which this header is written.
    pub fn nifti_version(&self) -> NiftiVersion {
        self.raw.version()
    }

    /// The NIfTI header bytes, little-endian whatever the source's order: 348 or 540.
    pub fn as_bytes(&self) -> &[u8] {
        self.raw.bytes()
    }

    /// The bytes up to the voxels of a single file that holds one volume of `datatype` in this
    /// header's place: the header with only the fields changed that speak of the values, and no
    /// extensions.
    pub(super) fn output_bytes(
        &self,
        datatype: DataType,
        scaling: Scaling,
        values: Values,
    ) -> Vec<u8> {
        let mut raw = self.raw.clone();
        // A file of fewer than three dimensions keeps their number: without sform and qform it
        // decides which pixdim count.
        set_dims(&mut raw, self.shape, self.dims.len().min(3));
        raw.set_single_magic();
        raw.set_short(DATATYPE, datatype.nifti_code());
        raw.set_short(BITPIX, 8 * datatype.size() as i16);
        let offset = raw.version().size() as u16 + 4;
        raw.set_vox_offset(offset);
        raw.set_real(SCL_SLOPE, 0, scaling.slope);
        raw.set_real(SCL_INTER, 0, scaling.intercept);
        if values != Values::Stored {
            // The display range and intent of other values.
            raw.set_real(CAL_MAX, 0, 0.0);
            raw.set_real(CAL_MIN, 0, 0.0);
            raw.clear_range();
            for i in 0..3 {
                raw.set_real(INTENT_P, i, 0.0);
            }
            raw.set_text(INTENT_NAME, 16, "");
            raw.set_text(AUX_FILE, 24, "");
            raw.set_code(
                INTENT_CODE,
                if values == Values::Labels {
                    INTENT_LABEL
                } else {
                    0
                },
            );
        }
        let mut out = raw.bytes().to_vec();
        out.resize(offset.into(), 0);
        out
    }

    /// Checks that a volume on `grid` can be written in this header's place.
    pub(super) fn check_grid(&self, grid: &Grid) -> Result<(), VolumeError> {
        if grid.shape != self.shape {
            return Err(VolumeError::GridMismatch { what: "shape" });
        }
        let max = self.raw.version().max_dim();
        if let Some(n) = grid.shape.iter().find(|n| **n == 0 || **n as u64 > max) {
            return Err(VolumeError::Field {
                field: "dim",
                value: n.to_string(),
                problem: "not an extent that the header can hold",
            });
        }
        // Single precision moves far voxels by some 1e-7 of their distance.
        let spacing = self.affine.spacing();
        let reach: f64 = (0..3).map(|c| spacing[c] * self.shape[c] as f64).sum();
        let same = self.affine.0.iter().zip(&grid.affine.0).all(|(a, b)| {
            let near = |c: usize, eps: f64| {
                // Also the same infinity or two NaN.
                a[c].to_bits() == b[c].to_bits()
                    || (a[c].is_nan() && b[c].is_nan())
                    || (a[c] - b[c]).abs() <= eps
            };
            (0..3).all(|c| near(c, 1e-5 * spacing[c])) && near(3, 1e-5 * (reach + a[3].abs()))
        });
        if same {
            Ok(())
        } else {
            Err(VolumeError::GridMismatch { what: "affine" })
        }
    }
}

/// What a written file's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// The source's own, as stored.
    Stored,
    /// Other grey values.
    Grey,
    /// Labels, marked as such.
    Labels,
    /// Labels without a mark.
    PlainLabels,
}

/// The oldest version that holds a shape.
fn version_for(shape: [usize; 3]) -> NiftiVersion {
    if shape
        .iter()
        .all(|n| *n as u64 <= NiftiVersion::One.max_dim())
    {
        NiftiVersion::One
    } else {
        NiftiVersion::Two
    }
}

/// Sets `dim` to one volume of `shape` with `count` dimensions.
fn set_dims(raw: &mut Raw, shape: [usize; 3], count: usize) {
    raw.set_dim(0, count as i64);
    for i in 1..8 {
        raw.set_dim(
            i,
            shape
                .get(i - 1)
                .map_or(1, |n| i64::try_from(*n).unwrap_or(i64::MAX)),
        );
    }
}
