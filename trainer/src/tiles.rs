//! Tile sizes that were measured on this machine's graphics adapters, kept in a file of the user's.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use amaes_core::kernel::{GpuTiles, adapter_name, set_gpu_tiles};
use burn::tensor::Device;

use crate::atomic::write_atomic;
use crate::error::{Error, Result, WithPath};

/// Names another file than the user's own; where it is empty, none is read.
pub const VARIABLE: &str = "AMAES_GPU_TILES";

/// Tile sizes by the adapter's name.
pub type Tiles = BTreeMap<String, GpuTiles>;

/// The file: what [`VARIABLE`] says, or `amaes/gpu-tiles.json` in the user's folder for
/// configurations. `None` where there is neither.
#[must_use]
pub fn path() -> Option<PathBuf> {
    match env::var_os(VARIABLE) {
        Some(path) => (!path.is_empty()).then(|| path.into()),
        None => dirs::config_dir().map(|folder| folder.join("amaes/gpu-tiles.json")),
    }
}

/// What a file holds; nothing where there is no file.
///
/// # Errors
///
/// [`Error::Io`]; [`Error::Json`] and [`Error::Unsuitable`] name the field.
pub fn read(path: &Path) -> Result<Tiles> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Tiles::new()),
        text => text.with_path(path)?,
    };
    let tiles: Tiles = serde_json::from_str(&text).with_path(path)?;
    for (adapter, tiles) in &tiles {
        tiles
            .validate()
            .map_err(|error| Error::unsuitable(path, format!("`{adapter}`: {error}")))?;
    }
    Ok(tiles)
}

/// Keeps the tile sizes of an adapter beside those of others; without any, forgets them.
///
/// # Errors
///
/// Those of [`read`] and [`write_atomic`].
pub fn keep(path: &Path, adapter: &str, tiles: Option<GpuTiles>) -> Result<()> {
    let mut all = read(path)?;
    match tiles {
        Some(tiles) => all.insert(adapter.to_owned(), tiles),
        None => all.remove(adapter),
    };
    write_atomic(path, |out| {
        serde_json::to_writer_pretty(&mut *out, &all).with_path(path)?;
        writeln!(out).with_path(path)
    })
}

/// From now on the device's kernels have the sizes that were measured on its adapter, if any were.
///
/// # Errors
///
/// Those of [`read`].
pub(crate) fn apply(device: &Device) -> Result<()> {
    let (Some(path), Some(adapter)) = (path(), adapter_name(device)) else {
        return Ok(());
    };
    if let Some(tiles) = read(&path)?.get(&adapter) {
        set_gpu_tiles(Some(*tiles));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use amaes_core::kernel::AdapterClass;

    use super::*;

    #[test]
    fn sizes_are_kept_by_adapter_and_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deeper/gpu-tiles.json");
        assert_eq!(read(&path).expect("no file"), Tiles::new());
        let [one, other] = [AdapterClass::Discrete, AdapterClass::Integrated].map(GpuTiles::of);
        keep(&path, "one", Some(other)).expect("a new file");
        keep(&path, "other", Some(other)).expect("a second adapter");
        keep(&path, "one", Some(one)).expect("again");
        let both = Tiles::from([("one".into(), one), ("other".into(), other)]);
        assert_eq!(read(&path).expect("two adapters"), both);
        keep(&path, "one", None).expect("one less");
        keep(&path, "unknown", None).expect("nothing to forget");
        assert_eq!(
            read(&path).expect("one adapter"),
            Tiles::from([("other".into(), other)])
        );
    }

    #[test]
    fn a_broken_file_is_an_error_with_its_name_and_the_field() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gpu-tiles.json");
        let tiles = serde_json::to_value(GpuTiles::of(AdapterClass::Discrete)).expect("plain");
        let with = |field: &str, value: serde_json::Value| {
            let mut tiles = tiles.clone();
            tiles[field] = value;
            serde_json::json!({ "card": tiles }).to_string()
        };
        for (text, said) in [
            ("{".to_owned(), "EOF"),
            (with("quads", 5.into()), "`card`: `quads` is 5"),
            (with("workgroup", (-1).into()), "-1"),
            (with("tile", 1.into()), "`tile`"),
        ] {
            fs::write(&path, &text).expect("a file");
            let error = read(&path).expect_err(&text).to_string();
            assert!(error.contains("gpu-tiles.json"), "{error}");
            assert!(error.contains(said), "{error}");
            // What is there is not written over.
            keep(&path, "card", None).expect_err("still broken");
            assert_eq!(fs::read_to_string(&path).expect("there"), text);
        }
    }
}
