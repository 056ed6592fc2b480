//! The models that a page offers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use amaes_core::segment::Keep;
use amaes_core::weights::Format;
use serde::{Deserialize, Serialize};

use crate::error::{Result, WithPath};
use crate::model::{Beside, Opened, json, open};

/// A model as the page lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// A name without spaces, unique in the list.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it segments.
    pub description: String,
    /// Licence of the weights, where the file says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Bytes of its files; 0 where a list does not say.
    #[serde(default)]
    pub bytes: u64,
    /// SHA-256 of its file, for one that comes with the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its file, relative to the list.
    pub url: String,
    /// An image to try it with, relative to the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// Which connected components to keep, unless the visitor chooses others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
}

/// The models that come with the page, and others by the folders that they are in.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    own: Vec<Listed>,
    added: Vec<Added>,
}

#[derive(Clone, Debug)]
struct Added {
    listed: Listed,
    folder: PathBuf,
    /// The only file of the folder that is served; all of a TensorFlow.js model's.
    file: Option<String>,
}

impl Catalogue {
    /// The models that a built page comes with: none where it has no `models/index.json`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::Json`](crate::Error::Json), with the list.
    pub fn of_page(page: &Path) -> Result<Self> {
        let list = page.join("models/index.json");
        let own = match list.is_file() {
            true => json(&list)?,
            false => Vec::new(),
        };
        Ok(Self {
            own,
            added: Vec::new(),
        })
    }

    /// Adds a model, an `.amaes` file or the folder of a TensorFlow.js model, or those of a folder.
    /// Gives the reasons why others that look like models are left out.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when the folder cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<Vec<String>> {
        let paths = match is_model(path) {
            true => vec![path.to_owned()],
            false => {
                let entries = fs::read_dir(path).with_path(path)?;
                let paths = entries.map(|entry| Ok(entry?.path()));
                paths.collect::<io::Result<Vec<_>>>().with_path(path)?
            }
        };
        let mut paths: Vec<_> = paths.into_iter().filter(|path| is_model(path)).collect();
        paths.sort();
        let mut left_out = Vec::new();
        for path in paths {
            match open(&path, &Beside::default()) {
                Ok(opened) => self.push(&path, &opened)?,
                Err(error) => left_out.push(error.to_string()),
            }
        }
        Ok(left_out)
    }

    fn push(&mut self, path: &Path, opened: &Opened) -> Result<()> {
        let id = format!("{}", self.added.len());
        let (folder, file) = match opened.format {
            Format::Tfjs => (path, None),
            _ => (
                path.parent()
                    .filter(|p| *p != Path::new(""))
                    .unwrap_or(Path::new(".")),
                path.file_name()
                    .map(|name| name.to_string_lossy().into_owned()),
            ),
        };
        let names: Vec<&str> = opened
            .file
            .labels
            .0
            .iter()
            .skip(1)
            .map(|e| e.name.as_str())
            .collect();
        let listed = Listed {
            url: format!("{id}/{}", encoded(file.as_deref().unwrap_or("model.json"))),
            sample: None,
            keep: None,
            id,
            name: path
                .file_stem()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            description: describe(&names),
            licence: opened.file.provenance.licence.clone(),
            bytes: size(path)?,
            sha256: None,
        };
        let folder = folder.canonicalize().with_path(folder)?;
        self.added.push(Added {
            listed,
            folder,
            file,
        });
        Ok(())
    }

    /// The models, as JSON.
    pub(super) fn index(&self) -> String {
        let added = self.added.iter().map(|added| &added.listed);
        let listed: Vec<_> = self.own.iter().chain(added).collect();
        serde_json::to_string(&listed).unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.own.len() + self.added.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The folder of an added model, where `parts` name a file of the model.
    pub(super) fn folder(&self, id: &str, parts: &[&str]) -> Option<&Path> {
        let added = self.added.iter().find(|added| added.listed.id == id)?;
        let served = added.file.as_deref().is_none_or(|file| parts == [file]);
        served.then_some(added.folder.as_path())
    }
}

/// Whether a path looks like a model: an `.amaes` file, or a folder with a `model.json`.
fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "amaes") || path.join("model.json").is_file()
}

/// Bytes of a model: a file, or a folder with its shards.
fn size(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        return Ok(fs::metadata(path).with_path(path)?.len());
    }
    let entries = fs::read_dir(path).with_path(path)?;
    let sizes = entries.map(|entry| Ok(entry?.metadata()?.len()));
    sizes.sum::<io::Result<u64>>().with_path(path)
}

/// What a network segments: its labels, or how many.
fn describe(names: &[&str]) -> String {
    match names {
        names if names.len() <= 4 => names.join(", "),
        names => format!("{} structures: {}, …", names.len(), names[..3].join(", ")),
    }
}

/// A file name as part of an address.
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_labels_are_named_and_many_counted() {
        assert_eq!(describe(&["a", "b"]), "a, b");
        assert_eq!(
            describe(&["a", "b", "c", "d", "e"]),
            "5 structures: a, b, c, …"
        );
        assert_eq!(encoded("my model.amaes"), "my%20model.amaes");
    }
}
