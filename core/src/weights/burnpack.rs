//! burnpack, the container of burn's own records and of `.amaes` model files.

use burn::tensor::{DType, TensorData};
use burn_pack::{Bytes, Reader};

use super::{Format, StateDict, WeightsError};

/// Reads the tensors of a burnpack file, in the order of their names.
pub(super) fn read(bytes: Bytes) -> Result<StateDict, WeightsError> {
    tensors(open(bytes)?)
}

/// Checks the header and the sizes; no tensor is read yet.
pub(super) fn open(bytes: Bytes) -> Result<Reader, WeightsError> {
    Reader::from_bytes(bytes).map_err(|error| pack_error(&error))
}

pub(super) fn tensors(reader: Reader) -> Result<StateDict, WeightsError> {
    let mut state = StateDict::new();
    for tensor in reader.into_tensors().map_err(|error| pack_error(&error))? {
        let (name, dtype, shape, _, bytes) =
            tensor.into_parts().map_err(|error| pack_error(&error))?;
        if matches!(dtype, DType::QFloat(_)) {
            let dtype = "quantised".to_owned();
            return Err(WeightsError::UnsupportedType { name, dtype });
        }
        let data = TensorData::try_from_bytes(bytes, shape, dtype).map_err(|error| {
            WeightsError::malformed(Format::Burnpack, format!("tensor `{name}`: {error}"))
        })?;
        state.insert(name, data)?;
    }
    if state.is_empty() {
        return Err(WeightsError::Empty {
            format: Format::Burnpack,
        });
    }
    Ok(state)
}

pub(super) fn pack_error(error: &burn_pack::Error) -> WeightsError {
    let message = match error {
        burn_pack::Error::InvalidHeader => "it ends within its header".to_owned(),
        burn_pack::Error::InvalidMagicNumber => "it does not begin as one".to_owned(),
        burn_pack::Error::InvalidVersion => {
            format!(
                "written by a newer burn than version {}",
                burn_pack::FORMAT_VERSION
            )
        }
        other => other.to_string(),
    };
    WeightsError::malformed(Format::Burnpack, message)
}
