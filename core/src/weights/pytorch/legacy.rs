//! The stream that `torch.save` wrote before 1.6: pickles of a magic number, a protocol version,
//! the system, the object and the storages' keys, then each storage as a count and its values.

use std::collections::HashMap;
use std::rc::Rc;

use burn_pack::Bytes;

use crate::weights::pickle::{Node, Pickle, Storage, Storages, Value, unpickle};
use crate::weights::{Format, WeightsError};

/// 0x1950a86a20f9469cfc6c as protocol 2 writes it.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Whether the bytes begin with the magic number.
pub(in crate::weights) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x80)
        && bytes[..bytes.len().min(32)]
            .windows(MAGIC.len())
            .any(|window| window == MAGIC)
}

/// Whether the bytes are a tar archive.
pub(in crate::weights) fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

pub(super) struct File {
    pickle: Pickle,
    storages: HashMap<Rc<str>, Bytes>,
}

impl File {
    pub(super) fn open(bytes: &Bytes, extra: &[String]) -> Result<Self, WeightsError> {
        let mut at = 0;
        let mut next = |storages| {
            let pickle = unpickle(&bytes[at..], Format::PytorchLegacy, storages, extra).inspect(
                |pickle| {
                    at += pickle.len;
                },
            )?;
            Ok::<_, WeightsError>(pickle)
        };
        next(Storages::None)?;
        let version = next(Storages::None)?;
        if !matches!(version.root, Value::Int(1001)) {
            return Err(error("a protocol version other than 1001"));
        }
        check_little_endian(&next(Storages::None)?)?;
        let pickle = next(Storages::Torch)?;
        let keys = next(Storages::None)?;
        let storages = place(bytes, at, &pickle, &keys)?;
        Ok(Self { pickle, storages })
    }

    pub(super) fn pickle(&self) -> &Pickle {
        &self.pickle
    }

    pub(super) fn storage(&self, storage: &Storage) -> Result<Bytes, WeightsError> {
        let bytes = self.storages.get(&storage.key);
        bytes
            .cloned()
            .ok_or_else(|| error(format!("no storage `{}`", storage.key)))
    }
}

fn check_little_endian(system: &Pickle) -> Result<(), WeightsError> {
    let Some(Node::Dict(pairs)) = system.node(&system.root) else {
        return Err(error("system information that is not a dict"));
    };
    let little = pairs.iter().any(|(key, value)| {
        matches!(key, Value::Text(key) if &**key == "little_endian")
            && matches!(value, Value::Bool(true))
    });
    if little {
        Ok(())
    } else {
        Err(error("big-endian tensors"))
    }
}

/// Where each storage lies. Their sizes are known only from the object's pickle.
fn place(
    bytes: &Bytes,
    mut at: usize,
    pickle: &Pickle,
    keys: &Pickle,
) -> Result<HashMap<Rc<str>, Bytes>, WeightsError> {
    let mut sizes: HashMap<Rc<str>, (usize, usize)> = HashMap::new();
    for node in &pickle.arena {
        if let Node::Storage(storage) = node {
            let width = storage.dtype.map_or(1, |dtype| dtype.size());
            let known = sizes.insert(storage.key.clone(), (storage.len, width));
            if known.is_some_and(|known| known != (storage.len, width)) {
                return Err(error(format!("storage `{}` of two sizes", storage.key)));
            }
        }
    }
    let Some(Node::List(keys)) = keys.node(&keys.root) else {
        return Err(error("storage keys that are not a list"));
    };
    let mut storages = HashMap::new();
    for key in keys {
        let key: Rc<str> = match key {
            Value::Text(key) => key.clone(),
            Value::Int(key) => key.to_string().into(),
            _ => return Err(error("a storage key that is not text")),
        };
        let Some(&(len, width)) = sizes.get(&key) else {
            return Err(error(format!("storage `{key}` is not used by any tensor")));
        };
        let count = bytes
            .get(at..at.saturating_add(8))
            .and_then(|count| count.try_into().ok());
        let count = count.map(u64::from_le_bytes);
        if count != Some(len as u64) {
            return Err(error(format!(
                "storage `{key}` has not the {len} values announced"
            )));
        }
        let start = at + 8;
        let end = len
            .checked_mul(width)
            .and_then(|size| start.checked_add(size));
        let view = end.and_then(|end| bytes.view(start, end).ok());
        let Some((view, end)) = view.zip(end) else {
            return Err(error(format!("storage `{key}` ends behind the file")));
        };
        at = end;
        storages.insert(key, view);
    }
    Ok(storages)
}

fn error(message: impl Into<String>) -> WeightsError {
    WeightsError::malformed(Format::PytorchLegacy, message)
}
