//! The JSON documents of a store: Zarr v3 groups with OME-Zarr 0.5 and amaes attributes.

use amaes_core::preprocess::Plan;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::entry::Entry;
use super::error::{Result, StoreError};
use super::layout::{ARRAY, Codec, Dtype, FORMAT, StoreOptions};

/// `attributes.amaes` of the root group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootAttributes {
    /// Version of the format.
    pub format: u32,
    /// What was done to the volumes.
    pub plan: Plan,
    /// Stored type.
    pub dtype: Dtype,
    /// Bits that are used of it.
    pub bits: u32,
    /// Compression.
    pub codec: Codec,
    /// Edge that chunks come near to.
    pub chunk: usize,
    /// Longest edge of a volume that is one shard.
    pub shard: usize,
    /// Program that made the store.
    pub created_by: String,
}

impl RootAttributes {
    pub(crate) fn of(options: &StoreOptions) -> Self {
        Self {
            format: FORMAT,
            plan: options.plan.clone(),
            dtype: options.dtype,
            bits: options.bits,
            codec: options.codec,
            chunk: options.chunk,
            shard: options.shard,
            created_by: concat!("amaes ", env!("CARGO_PKG_VERSION")).into(),
        }
    }

    /// Reads the metadata of a root group; `location` names the file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Metadata`] names the field.
    pub fn parse(bytes: &[u8], location: &str) -> Result<Self> {
        let refuse =
            |field: &str, problem: String| Err(StoreError::metadata(location, field, problem));
        let mut root: Value = match serde_json::from_slice(bytes) {
            Ok(root) => root,
            Err(e) => return refuse("JSON", e.to_string()),
        };
        if root["zarr_format"] != 3 || root["node_type"] != "group" {
            return refuse("zarr_format", "this is no Zarr v3 group".into());
        }
        let attributes = root["attributes"]["amaes"].take();
        if attributes.is_null() {
            return refuse("attributes.amaes", "it is missing: no amaes store".into());
        }
        let format = &attributes["format"];
        if *format != FORMAT {
            let problem = format!("version {format} is unknown, {FORMAT} is read");
            return refuse("attributes.amaes.format", problem);
        }
        serde_json::from_value(attributes).or_else(|e| refuse("attributes.amaes", e.to_string()))
    }
}

/// A group with these attributes.
pub(crate) fn group(attributes: &Value) -> Vec<u8> {
    pretty(&json!({
        "zarr_format": 3,
        "node_type": "group",
        "attributes": attributes,
    }))
}

/// Attributes of a volume's group: OME-Zarr 0.5 and what amaes knows of the volume.
pub(crate) fn volume_attributes(entry: &Entry, details: &Value) -> Value {
    let axis = |name: &str| json!({"name": name, "type": "space", "unit": "millimeter"});
    let [x, y, z] = entry.spacing;
    let mut amaes = json!({"entry": entry});
    if let (Value::Object(amaes), Value::Object(details)) = (&mut amaes, details) {
        amaes.extend(details.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    json!({
        "ome": {
            "version": "0.5",
            "multiscales": [{
                "name": entry.id,
                "axes": [axis("z"), axis("y"), axis("x")],
                "datasets": [{
                    "path": ARRAY,
                    "coordinateTransformations": [{"type": "scale", "scale": [z, y, x]}],
                }],
            }],
        },
        "amaes": amaes,
    })
}

/// The entry that a volume's group carries.
pub(crate) fn entry_of(bytes: &[u8], location: &str) -> Result<Entry> {
    let mut group: Value = serde_json::from_slice(bytes)
        .map_err(|e| StoreError::metadata(location, "JSON", e.to_string()))?;
    let field = "attributes.amaes.entry";
    let entry: Entry = serde_json::from_value(group["attributes"]["amaes"]["entry"].take())
        .map_err(|e| StoreError::metadata(location, field, e.to_string()))?;
    entry.validate(location)?;
    Ok(entry)
}

/// JSON that people can read; a value always has one.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
