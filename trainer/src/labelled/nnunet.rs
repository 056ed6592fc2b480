//! Cases of nnU-Net's raw folder: `imagesTr/CASE_0000.nii.gz` .., `labelsTr/CASE.nii.gz` and
//! `dataset.json`, in the form of version 1 (`modality`, a list `training`) or 2
//! (`channel_names`, `file_ending`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use amaes_core::label::Label;
use serde_json::{Map, Value};

use super::config::DatasetConfig;
use super::error::{LabelledError, Result};
use super::{Found, LabelledCase, require_folder};
use crate::error::WithPath;
use crate::model::json;
use crate::volumes::{extension, stem};

/// A `dataset.json` and its file.
struct Description {
    path: PathBuf,
    json: Map<String, Value>,
}

/// What `labels` says: names of values, and the value of voxels without label.
type Labels = (BTreeMap<Label, String>, Option<Label>);

/// Files of a case before its channels are chosen: of all channels, or the start of their names.
enum Images {
    Listed(Vec<PathBuf>),
    Numbered { base: PathBuf, ending: String },
}

pub(super) fn find(config: &DatasetConfig) -> Result<Found> {
    let root = &config.path;
    require_folder(root, "data.path")?;
    if !config.sites.is_empty() {
        return Err(LabelledError::config(
            "data.sites",
            "an nnU-Net folder says no sites",
        ));
    }
    let path = root.join("dataset.json");
    let description = Description {
        json: json(&path)?,
        path,
    };
    let names = description.channels()?;
    let chosen = match config.channels.is_empty() {
        true => names.clone(),
        false => config.channels.clone(),
    };
    let index = |channel: &String| {
        names.iter().position(|n| n == channel).ok_or_else(|| {
            let message = format!("no channel `{channel}`; there are: {}", names.join(", "));
            LabelledError::field(&description.path, "data.channels", message)
        })
    };
    let indices: Vec<usize> = chosen.iter().map(index).collect::<Result<_>>()?;
    let (labels, ignore) = match config.classes.is_empty() {
        true => description.labels()?,
        false => (BTreeMap::new(), None),
    };

    let mut cases = Vec::new();
    for (id, images, labels) in description.cases(root)? {
        let channels = indices.iter().map(|&n| images.channel(n, names.len(), &id));
        cases.push(LabelledCase {
            subject: id.clone(),
            site: None,
            channels: channels.collect::<Result<_>>()?,
            labels,
            id,
        });
    }
    Ok(Found {
        cases,
        channels: chosen,
        unlabelled: Vec::new(),
        names: labels,
        ignore,
        described_by: description.path,
    })
}

impl Images {
    /// The file of channel `n` of `count`.
    fn channel(&self, n: usize, count: usize, id: &str) -> Result<PathBuf> {
        match self {
            Self::Listed(files) => files.get(n).cloned().ok_or_else(|| {
                let message = format!("case `{id}` has {} files for {count} channels", files.len());
                LabelledError::config("data.channels", message)
            }),
            Self::Numbered { base, ending } => {
                let name = base.file_name().unwrap_or_default().to_string_lossy();
                let numbered = base.with_file_name(format!("{name}_{n:04}{ending}"));
                let plain = base.with_file_name(format!("{name}{ending}"));
                if numbered.is_file() || !plain.is_file() {
                    return Ok(numbered);
                }
                // The Medical Segmentation Decathlon's raw files have no number; those of several
                // channels are 4-D.
                match count {
                    1 => Ok(plain),
                    _ => Err(crate::Error::unsuitable(
                        &plain,
                        format!("{count} channels in one file; a file a channel is read, _0000 .."),
                    )
                    .into()),
                }
            }
        }
    }
}

impl Description {
    fn error(&self, field: &str, message: impl Into<String>) -> LabelledError {
        LabelledError::field(&self.path, field, message)
    }

    /// Channel names by their numbers, which must be without gaps.
    fn channels(&self) -> Result<Vec<String>> {
        let field = match self.json.contains_key("channel_names") {
            true => "channel_names",
            false => "modality",
        };
        let Some(Value::Object(entries)) = self.json.get(field) else {
            return Err(self.error(field, "there must be an object of channel names"));
        };
        let mut names = BTreeMap::new();
        for (number, name) in entries {
            let entry = number.parse::<usize>().ok().zip(name.as_str());
            let (number, name) = entry
                .ok_or_else(|| self.error(field, format!("`{number}`: {name} is no channel")))?;
            names.insert(number, name.to_owned());
        }
        match !names.is_empty() && names.keys().copied().eq(0..names.len()) {
            true => Ok(names.into_values().collect()),
            false => Err(self.error(field, "channels are numbered from 0 without gaps")),
        }
    }

    /// Version 1 maps values to names, version 2 names to values.
    fn labels(&self) -> Result<Labels> {
        let field = "labels";
        let Some(Value::Object(entries)) = self.json.get(field) else {
            return Err(self.error(field, "there must be an object of labels"));
        };
        let mut names: BTreeMap<Label, String> = BTreeMap::new();
        for (key, value) in entries {
            let (number, name) = match value {
                Value::String(name) => (key.parse::<Label>().ok(), name),
                Value::Number(n) => (n.as_u64().and_then(|n| n.try_into().ok()), key),
                Value::Array(_) => {
                    let message = format!(
                        "`{key}` is a region of several values: name classes in `classes` and say \
                         in `map` which values they have"
                    );
                    return Err(self.error(field, message));
                }
                _ => (None, key),
            };
            let number =
                number.ok_or_else(|| self.error(field, format!("`{key}`: {value} is no label")))?;
            if names.insert(number, name.clone()).is_some() {
                return Err(self.error(field, format!("{number} is there twice")));
            }
        }
        let ignore = names.iter().find(|(_, n)| *n == "ignore").map(|(v, _)| *v);
        Ok((names, ignore))
    }

    /// Every case with its images and labels.
    fn cases(&self, root: &Path) -> Result<Vec<(String, Images, PathBuf)>> {
        if let Some(Value::Object(cases)) = self.json.get("dataset") {
            let case = |(id, files): (&String, &Value)| self.listed(root, id, files);
            return cases.iter().map(case).collect();
        }
        if let Some(Value::Array(training)) = self.json.get("training") {
            let case = |(n, files): (usize, &Value)| self.training(root, n, files);
            return training.iter().enumerate().map(case).collect();
        }
        self.numbered(root)
    }

    /// An entry of version 2's optional `dataset`.
    fn listed(&self, root: &Path, id: &str, files: &Value) -> Result<(String, Images, PathBuf)> {
        let texts = files["images"]
            .as_array()
            .map(|all| all.iter().map(Value::as_str));
        let images: Option<Vec<&str>> = texts.and_then(Iterator::collect);
        let (images, labels) = images.zip(files["label"].as_str()).ok_or_else(|| {
            self.error(
                "dataset",
                format!("`{id}`: there must be `images` and `label`"),
            )
        })?;
        let images = images.into_iter().map(|file| root.join(file)).collect();
        Ok((id.to_owned(), Images::Listed(images), root.join(labels)))
    }

    /// An entry of version 1's `training`.
    fn training(&self, root: &Path, n: usize, files: &Value) -> Result<(String, Images, PathBuf)> {
        let both = files["image"].as_str().zip(files["label"].as_str());
        let (image, labels) = both.ok_or_else(|| {
            self.error(
                "training",
                format!("entry {n}: there must be `image` and `label`"),
            )
        })?;
        let labels = root.join(labels.trim_start_matches("./"));
        let image = root.join(image.trim_start_matches("./"));
        let ending = extension(&image).ok_or_else(|| {
            self.error(
                "training",
                format!("entry {n}: {} is no volume", image.display()),
            )
        })?;
        let base = image.with_file_name(stem(&image));
        let ending = ending.to_owned();
        Ok((stem(&labels), Images::Numbered { base, ending }, labels))
    }

    /// A case for every file in `labelsTr`.
    fn numbered(&self, root: &Path) -> Result<Vec<(String, Images, PathBuf)>> {
        let Some(ending) = self.json.get("file_ending").and_then(Value::as_str) else {
            return Err(self.error("training", "there must be a list, or `file_ending`"));
        };
        if extension(Path::new(&format!("case{ending}"))).is_none() {
            return Err(self.error("file_ending", format!("`{ending}` files are not read")));
        }
        let folder = root.join("labelsTr");
        require_folder(&folder, "data.path")?;
        let mut cases = Vec::new();
        for entry in fs::read_dir(&folder).with_path(&folder)? {
            let path = entry.with_path(&folder)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let id = name.strip_suffix(ending).filter(|id| !id.starts_with('.'));
            if let Some(id) = id.map(str::to_owned) {
                let images = Images::Numbered {
                    base: root.join("imagesTr").join(&id),
                    ending: ending.to_owned(),
                };
                cases.push((id, images, path));
            }
        }
        Ok(cases)
    }
}
