//! Weights in 8 bits: whole numbers from -127 to 127, and a factor for each slice across the first
//! axis.
//!
//! Tensors of one axis (biases, norms), of which there are few values, stay float32. The factors
//! of tensor `x` are tensor `x.scale`.

use std::collections::BTreeMap;

use burn::tensor::{DType, TensorData};

use super::entries;
use crate::weights::state_dict::values;
use crate::weights::{StateDict, WeightsError};

/// What follows the name of a tensor in that of its factors.
const SCALE: &str = ".scale";
/// The largest whole number; -128 is left out, so that a factor is the largest value over it.
const LARGEST: f32 = 127.0;

/// Tensors as they are stored.
pub(super) fn stored(
    tensors: Vec<(String, TensorData)>,
) -> Result<Vec<(String, TensorData)>, WeightsError> {
    let mut out = Vec::with_capacity(2 * tensors.len());
    for (name, data) in tensors {
        let shape = data.shape().clone();
        let values = values(&name, &data)?;
        let rows = shape.as_slice().first().copied().unwrap_or(0);
        if shape.len() < 2 || values.is_empty() {
            out.push((name, TensorData::new(values, shape)));
            continue;
        }
        let (mut whole, mut scales) = (Vec::with_capacity(values.len()), Vec::new());
        for row in values.chunks_exact(values.len() / rows) {
            if let Some(&value) = row.iter().find(|v| !v.is_finite()) {
                return Err(WeightsError::Overflow {
                    name,
                    value,
                    precision: "8 bits",
                });
            }
            let largest = row.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let scale = largest / LARGEST;
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let nearest = |v: &f32| (v * inverse).round().clamp(-LARGEST, LARGEST) as i8;
            whole.extend(row.iter().map(nearest));
            scales.push(scale);
        }
        out.push((format!("{name}{SCALE}"), TensorData::new(scales, [rows])));
        out.push((name, TensorData::new(whole, shape)));
    }
    Ok(out)
}

/// Puts float32 values in the place of whole numbers and their factors.
pub(super) fn restored(state: StateDict) -> Result<StateDict, WeightsError> {
    let whole = |data: &TensorData| data.dtype() == DType::I8;
    if !state.iter().any(|(_, data)| whole(data)) {
        return Ok(state);
    }
    let of = |name: &str| {
        let base = name.strip_suffix(SCALE)?;
        let scaled = state.get(base).is_some_and(whole);
        scaled.then(|| base.to_owned())
    };
    let mut scales = BTreeMap::new();
    for (name, data) in state.iter() {
        if let Some(base) = of(name) {
            scales.insert(base, values(name, data)?);
        }
    }
    let mut out = StateDict::new();
    for (name, data) in state.iter().filter(|(name, _)| of(name).is_none()) {
        if !whole(data) {
            out.insert(name, data.clone())?;
            continue;
        }
        let shape = data.shape().clone();
        let rows = shape.as_slice().first().copied().unwrap_or(0);
        let scales = scales.get(name).filter(|s| s.len() == rows && rows > 0);
        let scales = scales.ok_or_else(|| {
            let message = format!("tensor `{name}` has 8 bits and no `{name}{SCALE}` that fits");
            entries::bad(entries::SPEC, message)
        })?;
        let row = data.num_elements() / rows;
        let bytes = data.as_bytes().iter().enumerate();
        let values: Vec<f32> = bytes
            .map(|(at, &byte)| f32::from(byte.cast_signed()) * scales[at / row])
            .collect();
        out.insert(name, TensorData::new(values, shape))?;
    }
    Ok(out)
}
