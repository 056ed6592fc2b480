//! The weights manifest: which values lie where in the shards, and how they are quantised.

use std::collections::HashMap;
use std::io;

use burn::tensor::f16;
use serde::Deserialize;

use super::error;
use crate::weights::WeightsError;
use crate::weights::state_dict::reserve;

/// Files whose concatenation holds the weights one behind the other.
#[derive(Deserialize)]
pub(super) struct Group {
    paths: Vec<String>,
    weights: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    quantization: Option<Quantization>,
}

/// How values are stored in fewer bytes than their type has.
#[derive(Deserialize)]
struct Quantization {
    dtype: String,
    /// Absent for float16, which is converted, not scaled.
    #[serde(default)]
    min: f64,
    #[serde(default = "one")]
    scale: f64,
}

fn one() -> f64 {
    1.0
}

/// A weight as float32.
pub(super) struct Weight {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

pub(super) type Weights = HashMap<String, Weight>;

/// How the values of an entry are stored.
enum Stored {
    F32,
    F16,
    U8(Quantization),
    U16(Quantization),
}

pub(super) fn load(
    groups: &[Group],
    shard: &mut impl FnMut(&str) -> io::Result<Vec<u8>>,
) -> Result<Weights, WeightsError> {
    let mut weights = Weights::new();
    for group in groups {
        let bytes = concatenate(&group.paths, shard)?;
        let mut rest = bytes.as_slice();
        for entry in &group.weights {
            let (weight, tail) = read(entry, rest)?;
            rest = tail;
            if weights.insert(entry.name.clone(), weight).is_some() {
                return Err(WeightsError::DuplicateName(entry.name.clone()));
            }
        }
        if !rest.is_empty() {
            let shards = group.paths.join("`, `");
            return Err(error(format!(
                "{} bytes too many in `{shards}`",
                rest.len()
            )));
        }
    }
    Ok(weights)
}

fn concatenate(
    paths: &[String],
    shard: &mut impl FnMut(&str) -> io::Result<Vec<u8>>,
) -> Result<Vec<u8>, WeightsError> {
    let mut all = Vec::new();
    for path in paths {
        let inside = !path.is_empty()
            && !path.contains(['\\', ':', '\0'])
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !inside {
            return Err(error(format!(
                "weight shard `{path}` is not a file beside it"
            )));
        }
        let bytes = shard(path).map_err(|source| WeightsError::Shard {
            path: path.clone(),
            source,
        })?;
        if all.is_empty() {
            all = bytes;
        } else {
            all.try_reserve_exact(bytes.len())
                .map_err(|_| WeightsError::OutOfMemory {
                    what: format!("shard `{path}`"),
                    bytes: bytes.len(),
                })?;
            all.extend_from_slice(&bytes);
        }
    }
    Ok(all)
}

fn read<'a>(entry: &Entry, bytes: &'a [u8]) -> Result<(Weight, &'a [u8]), WeightsError> {
    let name = &entry.name;
    let unsupported = |dtype: &str| WeightsError::UnsupportedType {
        name: name.clone(),
        dtype: dtype.to_owned(),
    };
    if entry.dtype != "float32" {
        return Err(unsupported(&entry.dtype));
    }
    let (stored, width) = match &entry.quantization {
        None => (Stored::F32, 4),
        Some(Quantization { dtype, min, scale }) => {
            if !min.is_finite() || !scale.is_finite() {
                return Err(error(format!("weight `{name}`: min {min}, scale {scale}")));
            }
            let affine = Quantization {
                dtype: dtype.clone(),
                min: *min,
                scale: *scale,
            };
            match dtype.as_str() {
                "float16" => (Stored::F16, 2),
                "uint8" => (Stored::U8(affine), 1),
                "uint16" => (Stored::U16(affine), 2),
                other => return Err(unsupported(other)),
            }
        }
    };
    let count = entry
        .shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d));
    let size = count.and_then(|count| count.checked_mul(width));
    let Some((bytes, rest)) = size.and_then(|size| bytes.split_at_checked(size)) else {
        return Err(error(format!(
            "weight `{name}` of shape {:?} needs more than the {} bytes left in its shards",
            entry.shape,
            bytes.len()
        )));
    };
    let mut values = reserve::<f32>(bytes.len() / width, name)?;
    match stored {
        Stored::F32 => {
            values.extend(bytes.as_chunks().0.iter().map(|v| f32::from_le_bytes(*v)));
        }
        Stored::F16 => {
            values.extend(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|v| f16::from_le_bytes(*v).to_f32()),
            );
        }
        Stored::U8(q) => values.extend(bytes.iter().map(|v| q.value(f64::from(*v)))),
        Stored::U16(q) => {
            let integers = bytes.as_chunks().0.iter().map(|v| u16::from_le_bytes(*v));
            values.extend(integers.map(|v| q.value(f64::from(v))));
        }
    }
    Ok((
        Weight {
            shape: entry.shape.clone(),
            values,
        },
        rest,
    ))
}

impl Quantization {
    /// JavaScript computes `q * scale + min` in double precision before it stores float32.
    fn value(&self, quantised: f64) -> f32 {
        (quantised * self.scale + self.min) as f32
    }
}
