//! The models that a page offers.

use std::fs;
use std::path::{Path, PathBuf};

use amaes_core::weights::Format;
use serde::Serialize;

use crate::error::{Result, WithPath};
use crate::model::{Beside, Opened, open};

/// A model as the page lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// Bytes of its parameters.
    pub bytes: u64,
    /// Its file, relative to the list.
    pub url: String,
}

/// Models by the folders that they are in.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    models: Vec<(Listed, PathBuf)>,
}

impl Catalogue {
    /// Lists the models in a folder: `.amaes` files, and folders of TensorFlow.js models. Gives
    /// the reasons why others that look like models are left out.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) when the folder cannot be read.
    pub fn add(&mut self, folder: &Path) -> Result<Vec<String>> {
        let mut entries = fs::read_dir(folder)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .with_path(folder)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut left_out = Vec::new();
        for path in entries.iter().map(fs::DirEntry::path) {
            let amaes = path.extension().is_some_and(|e| e == "amaes");
            if !amaes && !path.join("model.json").is_file() {
                continue;
            }
            match open(&path, &Beside::default()) {
                Ok(opened) => self.push(&path, &opened)?,
                Err(error) => left_out.push(error.to_string()),
            }
        }
        Ok(left_out)
    }

    fn push(&mut self, path: &Path, opened: &Opened) -> Result<()> {
        let id = format!("{}", self.models.len());
        let folder = match opened.format {
            Format::Tfjs => path,
            _ => path.parent().unwrap_or(path),
        };
        let file = match opened.format {
            Format::Tfjs => "model.json".to_owned(),
            _ => path
                .file_name()
                .map(|n| encoded(&n.to_string_lossy()))
                .unwrap_or_default(),
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
            url: format!("{id}/{file}"),
            id,
            name: path
                .file_stem()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            description: describe(&names),
            licence: opened.file.provenance.licence.clone(),
            bytes: 4 * opened.file.state.num_values() as u64,
        };
        let folder = folder.canonicalize().with_path(folder)?;
        self.models.push((listed, folder));
        Ok(())
    }

    /// The models, as JSON.
    pub(super) fn index(&self) -> String {
        let listed: Vec<_> = self.models.iter().map(|(listed, _)| listed).collect();
        serde_json::to_string(&listed).unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// The folder of a model.
    pub(super) fn folder(&self, id: &str) -> Option<&Path> {
        let found = self.models.iter().find(|(listed, _)| listed.id == id);
        found.map(|(_, folder)| folder.as_path())
    }
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
