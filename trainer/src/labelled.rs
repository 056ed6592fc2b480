//! Labelled images: datasets in the layouts that they are published in, and how they are divided.
//!
//! A [`Dataset`] lists cases: the files of an image's channels and of its labels, whose it is and
//! where it was taken. Files are found when it is opened and read one at a time later;
//! [`Dataset::read_labels`] checks a label file against its image and turns the file's values into
//! classes. [`split()`] divides the cases by subject.

mod bids;
mod classes;
mod config;
mod csv;
mod error;
mod nnunet;
mod split;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amaes_core::label::Label;
use amaes_core::volume::{Grid, Header, ReadOptions, Volume};

pub(crate) use self::bids::sites;
pub use self::config::{DatasetConfig, LabelsConfig, Layout};
pub use self::error::LabelledError;
pub use self::split::{Scheme, Split, SplitConfig, split};

use self::classes::Classes;
use self::error::Result;
use crate::volumes;

/// What [`Dataset::read_labels`] puts where a file says that a voxel has no label.
pub const UNLABELLED: Label = Label::MAX;

/// One labelled image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledCase {
    /// Its name, which no other case of the dataset has.
    pub id: String,
    /// Whom it shows. One subject may have several cases.
    pub subject: String,
    /// Where it was taken, as far as the dataset says.
    pub site: Option<String>,
    /// A file for each of the dataset's channels.
    pub channels: Vec<PathBuf>,
    /// The label file.
    pub labels: PathBuf,
}

/// Labelled images with the same channels and classes.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The cases, in the order of their names.
    pub cases: Vec<LabelledCase>,
    /// Names of the channels.
    pub channels: Vec<String>,
    /// Names of the classes; the first is the background.
    pub classes: Vec<String>,
    /// Images that have no labels, which are left out: their names.
    pub unlabelled: Vec<String>,
    values: BTreeMap<Label, Label>,
    ignore: Option<Label>,
}

/// What a layout finds.
struct Found {
    cases: Vec<LabelledCase>,
    channels: Vec<String>,
    unlabelled: Vec<String>,
    /// What values of the label files mean, where the dataset says it.
    names: BTreeMap<Label, String>,
    /// The value of voxels without label, where the dataset says it.
    ignore: Option<Label>,
    /// The file that says so.
    described_by: PathBuf,
}

impl Dataset {
    /// Finds the cases of a dataset. Only tables and descriptions are read.
    ///
    /// # Errors
    ///
    /// [`LabelledError`] names the file and the field: there is no such dataset, a channel or label
    /// file is missing or there are several that fit, classes have no names, no case is left.
    pub fn open(config: &DatasetConfig) -> Result<Self> {
        if config.path.as_os_str().is_empty() {
            return Err(LabelledError::config("data.path", "no dataset is given"));
        }
        let mut found = match config.layout {
            Layout::Bids => bids::find(config)?,
            Layout::Nnunet => nnunet::find(config)?,
            Layout::Csv => csv::find(config)?,
        };
        let mut cases = std::mem::take(&mut found.cases);
        if !config.sites.is_empty() {
            let sites: Vec<&String> = cases.iter().filter_map(|c| c.site.as_ref()).collect();
            if let Some(site) = config.sites.iter().find(|s| !sites.contains(s)) {
                return Err(LabelledError::config(
                    "data.sites",
                    format!("no case of {} is of `{site}`", config.path.display()),
                ));
            }
            cases.retain(|c| c.site.as_ref().is_some_and(|s| config.sites.contains(s)));
        }
        if cases.is_empty() {
            return Err(LabelledError::field(
                &config.path,
                "data.path",
                "no labelled case is there",
            ));
        }
        let classes = Classes::new(config, &found)?;
        cases.sort_by(|a, b| a.id.cmp(&b.id));
        if let Some(twice) = cases.windows(2).find(|pair| pair[0].id == pair[1].id) {
            let message = format!("two cases are called `{}`", twice[0].id);
            return Err(LabelledError::field(&config.path, "id", message));
        }
        for case in &cases {
            for path in case.channels.iter().chain([&case.labels]) {
                if !path.is_file() {
                    let message = format!("case `{}` names it, but there is no such file", case.id);
                    return Err(crate::Error::unsuitable(path, message).into());
                }
            }
        }
        Ok(Self {
            cases,
            channels: found.channels,
            classes: classes.names,
            unlabelled: found.unlabelled,
            values: classes.values,
            ignore: classes.ignore,
        })
    }

    /// The case of that name.
    pub fn case(&self, id: &str) -> Option<&LabelledCase> {
        let at = self.cases.binary_search_by(|c| c.id.as_str().cmp(id));
        at.ok().map(|n| &self.cases[n])
    }

    /// The class of every voxel of a case, on the grid of its image; [`UNLABELLED`] where the file
    /// says that a voxel has no label.
    ///
    /// # Errors
    ///
    /// [`LabelledError`] with the file: it or the image cannot be read, it lies on another grid
    /// than the image, or a value is not whole or stands for no class.
    pub fn read_labels(&self, case: &LabelledCase) -> Result<(Volume<Label>, Header)> {
        let options = ReadOptions::default();
        let path = &case.labels;
        let (mut labels, header) = volumes::read_label_map(path, &options)?;
        for image in &case.channels {
            let grid = volumes::open(image, &options)?.grid();
            if !labels.grid().coincides(&grid) {
                let message = format!(
                    "lies on another grid than its image {}: {}",
                    image.display(),
                    difference(labels.grid(), &grid)
                );
                return Err(crate::Error::unsuitable(path, message).into());
            }
        }
        let classes = self.classes.len();
        let class = |value: Label| match self.values.get(&value) {
            _ if self.ignore == Some(value) => Some(UNLABELLED),
            Some(&class) => Some(class),
            None => (usize::from(value) < classes).then_some(value),
        };
        let classes_of: Vec<Option<Label>> = (0..=Label::MAX).map(class).collect();
        for voxel in labels.data_mut() {
            *voxel = classes_of[usize::from(*voxel)].ok_or_else(|| {
                let message = format!(
                    "the value {voxel} stands for none of the {classes} classes ({}); say which \
                     in `map`",
                    self.classes.join(", ")
                );
                LabelledError::field(path, "data.map", message)
            })?;
        }
        Ok((labels, header))
    }
}

/// How two grids that do not coincide differ.
pub(crate) fn difference(a: &Grid, b: &Grid) -> String {
    match (a.shape, b.shape) {
        (a, b) if a == b => "the same voxels at other places (affine)".to_owned(),
        (a, b) => format!("{a:?} voxels, not {b:?}"),
    }
}

/// Whether a folder is there, or an error that names the field.
fn require_folder(path: &Path, field: &'static str) -> Result<()> {
    match path.is_dir() {
        true => Ok(()),
        false => Err(LabelledError::field(path, field, "there is no such folder")),
    }
}
