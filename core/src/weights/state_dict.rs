//! Named tensors in order: what every weights format is read into.

use burn::tensor::{DType, TensorData, bf16, f16};
use burn_pack::Bytes;
use indexmap::IndexMap;

use super::WeightsError;

// Every format read here is little-endian and `TensorData` is in the machine's order.
const _: () = assert!(cfg!(target_endian = "little"), "weights are read in place");

/// Named tensors in the order of their file.
///
/// The bytes are views of the file's buffer where the format allows, so that a checkpoint is in
/// memory once. [`f32`](Self::f32) converts one tensor at a time.
#[derive(Clone, Debug, Default)]
pub struct StateDict {
    tensors: IndexMap<String, TensorData>,
}

impl StateDict {
    /// No tensors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor at the end.
    ///
    /// # Errors
    /// If there is one of that name already.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        data: TensorData,
    ) -> Result<(), WeightsError> {
        let name = name.into();
        match self.tensors.entry(name) {
            indexmap::map::Entry::Vacant(entry) => {
                entry.insert(sharing(data));
                Ok(())
            }
            indexmap::map::Entry::Occupied(entry) => {
                Err(WeightsError::DuplicateName(entry.key().clone()))
            }
        }
    }

    /// Puts a tensor in the place of the one of that name, or at the end.
    pub fn replace(&mut self, name: impl Into<String>, data: TensorData) {
        self.tensors.insert(name.into(), sharing(data));
    }

    /// The tensor as it is stored.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TensorData> {
        self.tensors.get(name)
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<TensorData> {
        self.tensors.shift_remove(name)
    }

    /// The shape of a tensor.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|data| data.shape().as_slice())
    }

    /// The values of a tensor as float32, whatever it is stored as.
    ///
    /// # Errors
    /// If there is no such tensor, it is not of a float type, or memory is short.
    pub fn f32(&self, name: &str) -> Result<TensorData, WeightsError> {
        let data = self
            .tensors
            .get(name)
            .ok_or_else(|| WeightsError::MissingTensor(name.to_owned()))?;
        Ok(TensorData::new(values(name, data)?, data.shape().clone()))
    }

    /// Number of tensors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Names and stored tensors in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorData)> {
        self.tensors
            .iter()
            .map(|(name, data)| (name.as_str(), data))
    }

    /// Names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Number of values in all tensors.
    #[must_use]
    pub fn num_values(&self) -> usize {
        self.tensors.values().map(TensorData::num_elements).sum()
    }

    /// Keeps the tensors for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.tensors.retain(|name, _| keep(name));
    }

    /// Renames every tensor; order stays.
    ///
    /// # Errors
    /// If two get one name. The tensors are gone then.
    pub fn rename(&mut self, mut rename: impl FnMut(&str) -> String) -> Result<(), WeightsError> {
        for (name, data) in std::mem::take(&mut self.tensors) {
            self.insert(rename(&name), data)?;
        }
        Ok(())
    }

    /// Strips what wrappers put before names: Lightning's `model.`, `torch.compile`'s
    /// `_orig_mod.` (wherever it stands) and `DataParallel`'s `module.`.
    ///
    /// # Errors
    /// If two names become one.
    pub fn strip_prefixes(&mut self) -> Result<(), WeightsError> {
        self.rename(|name| {
            let name = name.replace("_orig_mod.", "");
            let mut rest = name.as_str();
            while let Some(shorter) = rest
                .strip_prefix("model.")
                .or_else(|| rest.strip_prefix("module."))
            {
                rest = shorter;
            }
            rest.to_owned()
        })
    }

    /// The first few names with their shapes, for messages.
    #[must_use]
    pub fn preview(&self) -> String {
        let mut text: Vec<String> = self
            .iter()
            .take(4)
            .map(|(name, data)| format!("`{name}` {:?}", data.shape().as_slice()))
            .collect();
        if self.len() > text.len() {
            text.push(format!("and {} more", self.len() - text.len()));
        }
        if text.is_empty() {
            "nothing".to_owned()
        } else {
            text.join(", ")
        }
    }
}

impl IntoIterator for StateDict {
    type Item = (String, TensorData);
    type IntoIter = indexmap::map::IntoIter<String, TensorData>;

    fn into_iter(self) -> Self::IntoIter {
        self.tensors.into_iter()
    }
}

/// The same tensor in a buffer that clones share, so that a state dict is cheap to clone.
fn sharing(data: TensorData) -> TensorData {
    if data.bytes().view(0, 0).is_ok() {
        return data;
    }
    let (bytes, shape, dtype) = data.into_parts();
    TensorData::from_bytes(bytes.shared(), shape, dtype)
}

/// The values of a tensor as float32.
pub(super) fn values(name: &str, data: &TensorData) -> Result<Vec<f32>, WeightsError> {
    let bytes = data.as_bytes();
    let mut values = reserve(data.num_elements(), name)?;
    match data.dtype() {
        DType::F32 => values.extend(elements(bytes).map(f32::from_le_bytes)),
        DType::F16 => values.extend(elements(bytes).map(|b| f16::from_le_bytes(b).to_f32())),
        DType::BF16 => values.extend(elements(bytes).map(|b| bf16::from_le_bytes(b).to_f32())),
        // A weight saved in double precision keeps what single precision can hold.
        DType::F64 => values.extend(elements(bytes).map(|b| f64::from_le_bytes(b) as f32)),
        other => {
            return Err(WeightsError::UnsupportedType {
                name: name.to_owned(),
                dtype: other.name().to_owned(),
            });
        }
    }
    Ok(values)
}

/// The bytes cut into arrays; a rest is impossible in `TensorData`.
fn elements<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// An empty vector with room for `len` elements.
pub(super) fn reserve<T>(len: usize, what: &str) -> Result<Vec<T>, WeightsError> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len)
        .map_err(|_| WeightsError::OutOfMemory {
            what: what.to_owned(),
            bytes: len.saturating_mul(size_of::<T>()),
        })?;
    Ok(vec)
}

/// A buffer whose parts can be viewed without copying. `Bytes::from_bytes_vec` would copy a
/// buffer that is not aligned; views need no alignment.
pub(super) fn shared(bytes: Vec<u8>) -> Bytes {
    Bytes::from_elems(bytes).shared()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: f32) -> TensorData {
        TensorData::new(vec![value], [1])
    }

    #[test]
    fn prefixes_are_stripped_and_collisions_refused() {
        let mut state = StateDict::new();
        for (i, name) in [
            "model._orig_mod.a.w",
            "_orig_mod.b",
            "module.model.c",
            "d.model.e",
        ]
        .into_iter()
        .enumerate()
        {
            state.insert(name, one(i as f32)).expect("distinct");
        }
        state.strip_prefixes().expect("distinct");
        assert_eq!(
            state.names().collect::<Vec<_>>(),
            ["a.w", "b", "c", "d.model.e"]
        );
        state.insert("model.b", one(9.0)).expect("distinct");
        assert!(matches!(state.strip_prefixes(), Err(WeightsError::DuplicateName(n)) if n == "b"));
    }

    #[test]
    fn every_float_type_becomes_float32() {
        let mut state = StateDict::new();
        let exact = [1.5f32, -0.25, 0.0, 65504.0];
        let mut put = |name: &str, dtype, bytes: Vec<u8>| {
            state
                .insert(name, TensorData::from_bytes_vec(bytes, [4], dtype))
                .expect("distinct");
        };
        put(
            "f32",
            DType::F32,
            exact.iter().flat_map(|v| v.to_le_bytes()).collect(),
        );
        put(
            "f64",
            DType::F64,
            exact
                .iter()
                .flat_map(|v| f64::from(*v).to_le_bytes())
                .collect(),
        );
        put(
            "f16",
            DType::F16,
            exact
                .iter()
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect(),
        );
        put(
            "bf16",
            DType::BF16,
            exact
                .iter()
                .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                .collect(),
        );
        put("i32", DType::I32, vec![0; 16]);
        for name in ["f32", "f64", "f16"] {
            assert_eq!(
                state.f32(name).expect("float").as_slice::<f32>(),
                Ok(exact.as_slice())
            );
        }
        assert_eq!(
            state.f32("bf16").expect("float").as_slice::<f32>(),
            Ok([1.5, -0.25, 0.0, 65536.0].as_slice())
        );
        assert!(matches!(
            state.f32("i32"),
            Err(WeightsError::UnsupportedType { name, dtype }) if name == "i32" && dtype == "i32"
        ));
        assert!(matches!(
            state.f32("none"),
            Err(WeightsError::MissingTensor(_))
        ));
    }
}
