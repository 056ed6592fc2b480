//! safetensors: a JSON header and the tensors one behind the other.
//!
//! The `safetensors` crate checks the header: its size, that offsets leave no holes, and that
//! shapes fill the bytes.

use burn::tensor::{BoolStore, DType, TensorData};
use burn_pack::Bytes;
use safetensors::{Dtype, SafeTensors};

use super::{Format, StateDict, WeightsError};

/// Reads a safetensors file. Tensors are in the order of their bytes.
pub(super) fn read(bytes: &Bytes) -> Result<StateDict, WeightsError> {
    let error = |message: String| WeightsError::malformed(Format::Safetensors, message);
    let (header, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|cause| error(cause.to_string()))?;
    // The length of the header, and the header.
    let data = header + 8;
    let mut state = StateDict::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else {
            continue;
        };
        let dtype = dtype(info.dtype).ok_or_else(|| WeightsError::UnsupportedType {
            name: name.clone(),
            dtype: info.dtype.to_string(),
        })?;
        let (start, end) = info.data_offsets;
        let view = bytes
            .view(data + start, data + end)
            .map_err(|_| error(format!("tensor `{name}` ends behind the file")))?;
        let tensor = TensorData::try_from_bytes(view, info.shape.clone(), dtype)
            .map_err(|cause| error(format!("tensor `{name}`: {cause}")))?;
        state.insert(name, tensor)?;
    }
    if state.is_empty() {
        return Err(WeightsError::Empty {
            format: Format::Safetensors,
        });
    }
    Ok(state)
}

fn dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}
