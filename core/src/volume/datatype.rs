//! The number types that voxels are stored in.

use std::fmt;

/// How a voxel is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
}

impl DataType {
    /// Bytes of a voxel.
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether it is an integer type.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::F32 | Self::F64)
    }

    /// NIfTI's code.
    pub fn nifti_code(self) -> i16 {
        match self {
            Self::U8 => 2,
            Self::I16 => 4,
            Self::I32 => 8,
            Self::F32 => 16,
            Self::F64 => 64,
            Self::I8 => 256,
            Self::U16 => 512,
            Self::U32 => 768,
            Self::I64 => 1024,
            Self::U64 => 1280,
        }
    }

    /// The type with NIfTI's code, or the name of what is not read.
    pub(super) fn from_nifti(code: i16) -> Result<Self, &'static str> {
        Ok(match code {
            2 => Self::U8,
            4 => Self::I16,
            8 => Self::I32,
            16 => Self::F32,
            64 => Self::F64,
            256 => Self::I8,
            512 => Self::U16,
            768 => Self::U32,
            1024 => Self::I64,
            1280 => Self::U64,
            0 => return Err("none"),
            1 => return Err("1 bit"),
            32 => return Err("complex64"),
            128 => return Err("RGB24"),
            1536 => return Err("float128"),
            1792 => return Err("complex128"),
            2048 => return Err("complex256"),
            2304 => return Err("RGBA32"),
            _ => return Err("unknown"),
        })
    }

    /// The type with MGH's code, or the name of what is not read.
    pub(super) fn from_mgh(code: i32) -> Result<Self, &'static str> {
        Ok(match code {
            0 => Self::U8,
            1 => Self::I32,
            3 => Self::F32,
            4 => Self::I16,
            10 => Self::U16,
            2 => return Err("MRI_LONG"),
            5 => return Err("MRI_BITMAP"),
            6 => return Err("MRI_TENSOR"),
            7 => return Err("MRI_FLOAT_COMPLEX"),
            8 => return Err("MRI_DOUBLE_COMPLEX"),
            9 => return Err("MRI_RGB"),
            _ => return Err("unknown"),
        })
    }
}

impl fmt::Display for DataType {
    /// NumPy's name of the type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::U32 => "uint32",
            Self::I32 => "int32",
            Self::U64 => "uint64",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
        })
    }
}

/// What turns stored values into real ones: `value * slope + intercept`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Factor; finite and not 0.
    pub slope: f64,
    /// Added after the factor; finite.
    pub intercept: f64,
}

impl Scaling {
    /// Stored values are real values.
    pub const NONE: Self = Self {
        slope: 1.0,
        intercept: 0.0,
    };

    /// Whether stored values are real values.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}
