//! Cases of a BIDS tree: images of subjects and sessions, labels in a derivative.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use amaes_core::label::Label;
use walkdir::{DirEntry, WalkDir};

use super::config::DatasetConfig;
use super::error::{LabelledError, Result};
use super::table::{Table, known};
use super::{Found, LabelledCase, require_folder};
use crate::volumes::{extension, stem};

/// Suffixes of label files where none is configured.
const LABEL_SUFFIXES: [&str; 2] = ["dseg", "mask"];

/// Parts of a name: `sub-01_ce-gad_T1w` has two entities and a suffix.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    entities: Vec<String>,
    suffix: String,
}

impl Name {
    fn parse(stem: &str) -> Self {
        let mut entities: Vec<String> = stem.split('_').map(str::to_owned).collect();
        let suffix = entities.pop().unwrap_or_default();
        Self { entities, suffix }
    }

    /// The entity of that key, with the key: `sub-01`.
    fn entity(&self, key: &str) -> Option<&str> {
        let is = |e: &&String| {
            e.split_once('-')
                .is_some_and(|(k, v)| k == key && !v.is_empty())
        };
        self.entities.iter().find(is).map(String::as_str)
    }

    /// Whether it is of this suffix and has these entities.
    fn fits(&self, wanted: &Self) -> bool {
        let all = wanted.entities.iter().all(|e| self.entities.contains(e));
        self.suffix == wanted.suffix && all
    }
}

/// A volume of the tree.
struct File {
    path: PathBuf,
    name: Name,
}

/// Subject and session, with their keys.
type Visit = (String, Option<String>);

pub(super) fn find(config: &DatasetConfig) -> Result<Found> {
    let root = &config.path;
    require_folder(root, "data.path")?;
    let derivative = root.join(&config.labels.derivatives);
    require_folder(&derivative, "data.labels.derivatives")?;
    let images = volumes(root, |e| e.depth() != 1 || name(e).starts_with("sub-"))?;
    let labels = volumes(&derivative, |_| true)?;
    let channels = channels(config, &images)?;
    let sites = sites(root)?;

    let mut found = Found {
        cases: Vec::new(),
        channels: channels.clone(),
        unlabelled: Vec::new(),
        names: BTreeMap::new(),
        ignore: None,
        described_by: derivative.clone(),
    };
    for (visit, images) in &images {
        let site = sites.get(&visit.0);
        if !config.sites.is_empty() && !site.is_some_and(|s| config.sites.contains(s)) {
            continue;
        }
        let id = match &visit.1 {
            Some(session) => format!("{}_{session}", visit.0),
            None => visit.0.clone(),
        };
        let Some(labels) = label_file(config, labels.get(visit).map_or(&[], Vec::as_slice))? else {
            found.unlabelled.push(id);
            continue;
        };
        if found.names.is_empty()
            && let Some((names, path)) = label_names(&derivative, labels)?
        {
            (found.names, found.described_by) = (names, path);
        }
        let mut paths = Vec::with_capacity(channels.len());
        for channel in &channels {
            let file = choose(images, &Name::parse(channel), "data.channels")?;
            let file = file.ok_or_else(|| {
                let message = format!("`{id}` has labels, but no image `{channel}`");
                LabelledError::field(root, "data.channels", message)
            })?;
            paths.push(file.path.clone());
        }
        found.cases.push(LabelledCase {
            id,
            subject: visit.0.clone(),
            site: site.cloned(),
            channels: paths,
            labels: labels.path.clone(),
        });
    }
    Ok(found)
}

fn name(entry: &DirEntry) -> &str {
    entry.file_name().to_str().unwrap_or_default()
}

/// The volumes below a folder by subject and session.
fn volumes(
    folder: &Path,
    wanted: impl Fn(&DirEntry) -> bool,
) -> Result<BTreeMap<Visit, Vec<File>>> {
    let mut files: BTreeMap<Visit, Vec<File>> = BTreeMap::new();
    let walk = WalkDir::new(folder).sort_by_file_name().into_iter();
    let seen = |e: &DirEntry| e.depth() == 0 || (!name(e).starts_with('.') && wanted(e));
    for entry in walk.filter_entry(seen) {
        let entry = entry.map_err(|e| crate::Error::unsuitable(folder, e.to_string()))?;
        let path = entry.path();
        if entry.file_type().is_dir() || !matches!(extension(path), Some(e) if e != ".img") {
            continue;
        }
        let name = Name::parse(&stem(path));
        let Some(subject) = name.entity("sub") else {
            continue;
        };
        let visit = (subject.to_owned(), name.entity("ses").map(str::to_owned));
        files.entry(visit).or_default().push(File {
            path: path.to_owned(),
            name,
        });
    }
    Ok(files)
}

/// The configured channels, or the only suffix that there is.
fn channels(config: &DatasetConfig, images: &BTreeMap<Visit, Vec<File>>) -> Result<Vec<String>> {
    if !config.channels.is_empty() {
        return Ok(config.channels.clone());
    }
    let suffixes: BTreeSet<&str> = images
        .values()
        .flatten()
        .map(|f| f.name.suffix.as_str())
        .collect();
    match suffixes.len() {
        1 => Ok(suffixes.into_iter().map(str::to_owned).collect()),
        _ => {
            let message = format!(
                "say which of the images are channels; there are: {}",
                suffixes.into_iter().collect::<Vec<_>>().join(", ")
            );
            Err(LabelledError::field(&config.path, "data.channels", message))
        }
    }
}

/// The file that fits, or the plainest of several: the one with the fewest entities.
fn choose<'a>(files: &'a [File], wanted: &Name, field: &'static str) -> Result<Option<&'a File>> {
    let mut fitting: Vec<&File> = files.iter().filter(|f| f.name.fits(wanted)).collect();
    fitting.sort_by_key(|f| f.name.entities.len());
    if let [first, second, ..] = fitting[..]
        && first.name.entities.len() == second.name.entities.len()
    {
        let message = format!(
            "{} fits as well; say more (`ce-gad_T1w`, `desc-lesion`)",
            second.path.display()
        );
        return Err(LabelledError::field(&first.path, field, message));
    }
    Ok(fitting.first().copied())
}

fn label_file<'a>(config: &DatasetConfig, files: &'a [File]) -> Result<Option<&'a File>> {
    let desc = config.labels.desc.as_deref();
    let suffixes = match &config.labels.suffix {
        Some(suffix) => vec![suffix.as_str()],
        None => LABEL_SUFFIXES.to_vec(),
    };
    for suffix in suffixes {
        let wanted = Name {
            entities: desc.iter().map(|d| format!("desc-{d}")).collect(),
            suffix: suffix.to_owned(),
        };
        if let Some(file) = choose(files, &wanted, "data.labels")? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// What the values of a label file mean, and which table says so: the one beside the file, or one
/// at the derivative's root for all files of its `desc` and suffix, or of its suffix. A mask
/// without table has one class.
fn label_names(
    derivative: &Path,
    file: &File,
) -> Result<Option<(BTreeMap<Label, String>, PathBuf)>> {
    let suffix = &file.name.suffix;
    let mut tables = vec![
        file.path
            .with_file_name(format!("{}.tsv", stem(&file.path))),
    ];
    let desc = file.name.entity("desc");
    tables.extend(desc.map(|d| derivative.join(format!("{d}_{suffix}.tsv"))));
    tables.push(derivative.join(format!("{suffix}.tsv")));
    let Some(path) = tables.into_iter().find(|p| p.is_file()) else {
        let name = desc.and_then(|d| d.split_once('-')).map_or("mask", |d| d.1);
        let mask = BTreeMap::from([(0, "background".to_owned()), (1, name.to_owned())]);
        return Ok((suffix == "mask").then_some((mask, file.path.clone())));
    };
    let table = Table::read(&path, '\t')?;
    let (index, name) = (table.required("index")?, table.required("name")?);
    let mut names = BTreeMap::new();
    for (line, row) in &table.rows {
        let value: Label = row[index].trim().parse().map_err(|_| {
            let message = format!(
                "line {line}: `{}` is no label: 0 to {}",
                row[index],
                Label::MAX
            );
            LabelledError::field(&path, "index", message)
        })?;
        if names.insert(value, row[name].trim().to_owned()).is_some() {
            let message = format!("line {line}: {value} is there twice");
            return Err(LabelledError::field(&path, "index", message));
        }
    }
    Ok(Some((names, path)))
}

/// The site of every subject for which `participants.tsv` has one.
pub(crate) fn sites(root: &Path) -> Result<BTreeMap<String, String>> {
    let path = root.join("participants.tsv");
    let mut sites = BTreeMap::new();
    if !path.is_file() {
        return Ok(sites);
    }
    let table = Table::read(&path, '\t')?;
    let subject = table.required("participant_id")?;
    let Some(site) = table.column("site") else {
        return Ok(sites);
    };
    for (_, row) in table.rows {
        let Some((subject, site)) = known(&row[subject]).zip(known(&row[site])) else {
            continue;
        };
        let subject = match subject.starts_with("sub-") {
            true => subject.to_owned(),
            false => format!("sub-{subject}"),
        };
        sites.insert(subject, site.to_owned());
    }
    Ok(sites)
}
