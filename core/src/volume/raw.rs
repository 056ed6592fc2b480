//! Voxels in the type in which a file stores them.

use super::datatype::DataType;

/// Stored voxels of a volume, first axis fastest, before scaling.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants are those of DataType")]
pub enum RawData {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Calls an expression with the values of whichever type.
macro_rules! with_raw {
    ($raw:expr, $v:ident => $e:expr) => {
        match $raw {
            RawData::U8($v) => $e,
            RawData::I8($v) => $e,
            RawData::U16($v) => $e,
            RawData::I16($v) => $e,
            RawData::U32($v) => $e,
            RawData::I32($v) => $e,
            RawData::U64($v) => $e,
            RawData::I64($v) => $e,
            RawData::F32($v) => $e,
            RawData::F64($v) => $e,
        }
    };
}
pub(super) use with_raw;

impl RawData {
    /// The type of the voxels.
    pub fn datatype(&self) -> DataType {
        match self {
            Self::U8(_) => DataType::U8,
            Self::I8(_) => DataType::I8,
            Self::U16(_) => DataType::U16,
            Self::I16(_) => DataType::I16,
            Self::U32(_) => DataType::U32,
            Self::I32(_) => DataType::I32,
            Self::U64(_) => DataType::U64,
            Self::I64(_) => DataType::I64,
            Self::F32(_) => DataType::F32,
            Self::F64(_) => DataType::F64,
        }
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        with_raw!(self, v => v.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
