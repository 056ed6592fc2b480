//! From strided views of storages to contiguous tensors.

use std::collections::HashMap;
use std::rc::Rc;

use burn::tensor::TensorData;
use burn_pack::Bytes;

use crate::weights::pickle::{Storage, Strided};
use crate::weights::state_dict::reserve;
use crate::weights::{Format, StateDict, WeightsError};

/// Builds the state dict. `file` is the size of the file: tensors may share values, but not so
/// that they become many times larger than what was read.
pub(super) fn assemble(
    tensors: &[(String, &Strided)],
    format: Format,
    file: usize,
    mut storage: impl FnMut(&Storage) -> Result<Bytes, WeightsError>,
) -> Result<StateDict, WeightsError> {
    if tensors.is_empty() {
        return Err(WeightsError::Empty { format });
    }
    let mut storages: HashMap<Rc<str>, Bytes> = HashMap::new();
    let mut state = StateDict::new();
    let limit = file.saturating_mul(4).saturating_add(1 << 20);
    let mut total = 0usize;
    for (name, tensor) in tensors {
        let refuse = |message: String| {
            WeightsError::malformed(format, format!("tensor `{name}`: {message}"))
        };
        let span = Span::of(tensor).map_err(&refuse)?;
        total = total.saturating_add(span.bytes);
        if total > limit {
            return Err(WeightsError::TooLarge {
                what: "the sum of all tensors".to_owned(),
                size: total as u64,
                limit: limit as u64,
            });
        }
        let key = &tensor.storage.key;
        if !storages.contains_key(key) {
            storages.insert(key.clone(), storage(&tensor.storage)?);
        }
        let bytes = &storages[key];
        let width = tensor.storage.dtype.map_or(1, |dtype| dtype.size());
        if tensor.storage.len.checked_mul(width) != Some(bytes.len()) {
            let claimed = tensor.storage.len;
            return Err(refuse(format!(
                "storage `{key}` has {} bytes, not {claimed} elements of {width}",
                bytes.len()
            )));
        }
        if span.end > bytes.len() {
            return Err(refuse(format!(
                "it ends {} bytes behind its storage",
                span.end - bytes.len()
            )));
        }
        let data = if span.contiguous {
            bytes
                .view(span.start, span.end)
                .map_err(|_| refuse("it cannot be viewed".to_owned()))?
        } else {
            Bytes::from_elems(gather(name, bytes, tensor, span.bytes)?)
        };
        let data = TensorData::try_from_bytes(data, tensor.shape.clone(), tensor.dtype)
            .map_err(|error| refuse(error.to_string()))?;
        state.insert(name.clone(), data)?;
    }
    Ok(state)
}

/// Which bytes of its storage a tensor touches.
struct Span {
    start: usize,
    end: usize,
    /// Bytes of the contiguous tensor.
    bytes: usize,
    contiguous: bool,
}

impl Span {
    fn of(tensor: &Strided) -> Result<Self, String> {
        let (shape, strides) = (&tensor.shape, &tensor.strides);
        if shape.len() != strides.len() {
            return Err(format!(
                "{} strides for {} dimensions",
                strides.len(),
                shape.len()
            ));
        }
        let overflow = || format!("shape {shape:?} with strides {strides:?} overflows");
        let width = tensor.dtype.size();
        let count = shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d))
            .ok_or_else(overflow)?;
        let bytes = count.checked_mul(width).ok_or_else(overflow)?;
        let mut extent = usize::from(count > 0);
        let mut contiguous = true;
        let mut expected = 1usize;
        if count > 0 {
            for (&size, &stride) in shape.iter().zip(strides).rev() {
                let reach = (size - 1).checked_mul(stride).ok_or_else(overflow)?;
                extent = extent.checked_add(reach).ok_or_else(overflow)?;
                contiguous &= size == 1 || stride == expected;
                expected *= size;
            }
        }
        // An `expand`ed tensor repeats its values; a state dict has no reason to.
        if count > extent {
            return Err(format!("{count} values from {extent} stored ones"));
        }
        let start = tensor.offset.checked_mul(width).ok_or_else(overflow)?;
        let length = extent.checked_mul(width).ok_or_else(overflow)?;
        let end = start.checked_add(length).ok_or_else(overflow)?;
        Ok(Self {
            start,
            end,
            bytes,
            contiguous,
        })
    }
}

/// The values in row-major order; [`Span`] has checked that all lie in `bytes`.
fn gather(
    name: &str,
    bytes: &Bytes,
    tensor: &Strided,
    size: usize,
) -> Result<Vec<u8>, WeightsError> {
    let bytes: &[u8] = bytes;
    let width = tensor.dtype.size();
    let mut out = reserve::<u8>(size, name)?;
    let mut index = vec![0usize; tensor.shape.len()];
    let mut at = tensor.offset;
    for _ in 0..size / width {
        out.extend_from_slice(&bytes[at * width..(at + 1) * width]);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            at += tensor.strides[axis];
            if index[axis] < tensor.shape[axis] {
                break;
            }
            at -= tensor.strides[axis] * index[axis];
            index[axis] = 0;
        }
    }
    Ok(out)
}
