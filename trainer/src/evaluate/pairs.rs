//! Which prediction belongs to which reference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::{Error, Result};
use crate::labelled::sites;
use crate::volumes::{extension, stem};

/// Files that are named in an error about many.
const SHOWN: usize = 5;
/// What names of label maps end in beside the case's name.
const ENDINGS: [&str; 9] = [
    "_seg",
    "_dseg",
    "_mask",
    "_pred",
    "_prediction",
    "_label",
    "_labels",
    "_gt",
    "_0000",
];
/// Entities of BIDS that say what a file shows of an image, not which image it is about.
const NOT_OF_THE_IMAGE: [&str; 6] = ["desc", "label", "seg", "space", "res", "den"];

/// The files of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFiles {
    /// The case's name.
    pub id: String,
    /// Whom it shows: the subject of BIDS, otherwise the case itself.
    pub subject: String,
    /// Where it was taken, where `participants.tsv` says it.
    pub site: Option<String>,
    /// The prediction.
    pub prediction: PathBuf,
    /// The reference.
    pub reference: PathBuf,
    /// The image that they are about.
    pub image: Option<PathBuf>,
}

/// Which files are paired.
#[derive(Clone, Debug, Default)]
pub struct PairOptions {
    /// Only predictions whose path in their folder contains this.
    pub prediction_contains: Option<String>,
    /// Only references whose path in their folder contains this.
    pub reference_contains: Option<String>,
    /// Images to draw under outlines: a file, or a folder that is searched by name.
    pub images: Option<PathBuf>,
    /// Only images whose path in their folder contains this.
    pub image_contains: Option<String>,
    /// Leave out what has no counterpart in place of an error.
    pub common: bool,
}

/// Pairs the predictions of a folder, or one file, with references. Files of the same name belong
/// together; where names differ, those of the same BIDS entities, or of the same name without an
/// ending such as `_seg`; where BIDS entities differ, those of the same subject and session.
///
/// # Errors
///
/// [`Error::Unsuitable`] names the files: a folder has no volumes, two files fit, a prediction or a
/// reference has no counterpart, or there are images and none belongs to a case.
pub fn find_pairs(
    predictions: &Path,
    references: &Path,
    options: &PairOptions,
) -> Result<Vec<CaseFiles>> {
    let found = volumes(predictions, options.prediction_contains.as_deref())?;
    let wanted = volumes(references, options.reference_contains.as_deref())?;
    let images = match &options.images {
        Some(images) => volumes(images, options.image_contains.as_deref())?,
        None => Vec::new(),
    };
    let alone = [predictions, references].iter().all(|p| p.is_file());
    let mut pairs = match alone {
        true => vec![(found[0].clone(), wanted[0].clone())],
        false => {
            let matched = matched(&wanted, &found)?;
            if !options.common {
                all_paired(&wanted, &found, &matched, [predictions, references])?;
            }
            let pairs = matched.into_iter();
            pairs
                .map(|(w, f)| (found[f].clone(), wanted[w].clone()))
                .collect()
        }
    };
    pairs.sort_by(|a, b| a.1.cmp(&b.1));
    if pairs.is_empty() {
        let message = format!("no file belongs to one of {}", references.display());
        return Err(Error::unsuitable(predictions, message));
    }
    let sites = sites_above(references)?;
    let mut ids = BTreeSet::new();
    let wanted: Vec<PathBuf> = pairs.iter().map(|(_, w)| w.clone()).collect();
    let of_image: BTreeMap<usize, usize> = match (alone, images.len()) {
        (true, 1) => BTreeMap::from([(0, 0)]),
        _ => image_of(&wanted, &images),
    };
    if let (Some(path), true) = (&options.images, of_image.is_empty()) {
        let message = format!(
            "no image here belongs to a case of {}",
            references.display()
        );
        return Err(Error::unsuitable(path, message));
    }
    let cases = pairs
        .into_iter()
        .enumerate()
        .map(|(i, (prediction, reference))| {
            let key = Key::of(&reference);
            // Two folders may hold files of one name; then the path is the name.
            let id = match ids.insert(key.case.clone()) {
                true => key.case.clone(),
                false => reference.with_extension("").display().to_string(),
            };
            let subject = key.subject.unwrap_or_else(|| id.clone());
            CaseFiles {
                site: sites.get(&subject).cloned(),
                image: of_image.get(&i).map(|&n| images[n].clone()),
                id,
                subject,
                prediction,
                reference,
            }
        });
    Ok(cases.collect())
}

/// The volumes of a folder in order of their paths, or a file itself.
fn volumes(path: &Path, contains: Option<&str>) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !path.is_dir() {
        return Err(Error::unsuitable(path, "no such file or folder"));
    }
    let shown = |e: &DirEntry| e.depth() == 0 || !e.file_name().to_string_lossy().starts_with('.');
    let mut out = Vec::new();
    for entry in WalkDir::new(path)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(shown)
    {
        let entry = entry.map_err(|e| Error::unsuitable(path, e.to_string()))?;
        let file = entry.path();
        // A pair is found by its header.
        if !entry.file_type().is_file() || !matches!(extension(file), Some(e) if e != ".img") {
            continue;
        }
        let inside = file.strip_prefix(path).unwrap_or(file).to_string_lossy();
        if contains.is_none_or(|text| inside.contains(text)) {
            out.push(file.to_owned());
        }
    }
    if out.is_empty() {
        let message = match contains {
            Some(text) => format!("no volume in this folder has `{text}` in its path"),
            None => "no volumes in this folder".to_owned(),
        };
        return Err(Error::unsuitable(path, message));
    }
    Ok(out)
}

/// What a file's name says about its case, most exact first.
struct Key {
    stem: String,
    /// The name without what differs between maps of one image.
    case: String,
    /// Subject and session of BIDS.
    visit: Option<String>,
    subject: Option<String>,
}

impl Key {
    fn of(path: &Path) -> Self {
        let stem = stem(path);
        if !stem.starts_with("sub-") {
            return Self {
                case: bare(&stem).to_owned(),
                stem,
                visit: None,
                subject: None,
            };
        }
        // The suffix has no dash; a name without suffix has entities only.
        let entities = stem
            .split('_')
            .filter_map(|e| e.split_once('-').map(|(k, _)| (k, e)));
        let kept = |wanted: &dyn Fn(&str) -> bool| {
            let entities = entities.clone().filter(|(k, _)| wanted(k));
            entities.map(|(_, e)| e).collect::<Vec<_>>().join("_")
        };
        Self {
            case: kept(&|k| !NOT_OF_THE_IMAGE.contains(&k)),
            visit: Some(kept(&|k| k == "sub" || k == "ses")),
            subject: Some(kept(&|k| k == "sub")),
            stem,
        }
    }

    /// The name by which files are matched in the `level`th attempt.
    fn at(&self, level: usize) -> Option<&str> {
        match level {
            0 => Some(&self.stem),
            1 => Some(&self.case),
            _ => self.visit.as_deref(),
        }
    }
}

/// A name without the endings of label maps.
fn bare(stem: &str) -> &str {
    let ending = ENDINGS.iter().find_map(|e| stem.strip_suffix(e));
    match ending {
        Some(rest) if !rest.is_empty() => bare(rest),
        _ => stem,
    }
}

/// For references the predictions of the same case, by index.
fn matched(wanted: &[PathBuf], found: &[PathBuf]) -> Result<BTreeMap<usize, usize>> {
    let keys = |files: &[PathBuf]| files.iter().map(|f| Key::of(f)).collect::<Vec<_>>();
    let (wanted_keys, found_keys) = (keys(wanted), keys(found));
    let mut out = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for level in 0..3 {
        let mut groups: BTreeMap<&str, [Vec<usize>; 2]> = BTreeMap::new();
        for (side, keys) in [&wanted_keys, &found_keys].into_iter().enumerate() {
            for (i, key) in keys.iter().enumerate() {
                let left = match side {
                    0 => !out.contains_key(&i),
                    _ => !taken.contains(&i),
                };
                if let Some(key) = key.at(level).filter(|_| left) {
                    groups.entry(key).or_default()[side].push(i);
                }
            }
        }
        for (key, [w, f]) in groups {
            match (&w[..], &f[..]) {
                (&[w], &[f]) => {
                    out.insert(w, f);
                    taken.insert(f);
                }
                ([], _) | (_, []) => {}
                (&[w], several) => return Err(ambiguous(key, &wanted[w], several, found)),
                (several, &[f]) => return Err(ambiguous(key, &found[f], several, wanted)),
                (several, others) if level == 0 => {
                    return Err(ambiguous(key, &wanted[several[0]], others, found));
                }
                (several, others) => {
                    return Err(ambiguous(key, &found[others[0]], several, wanted));
                }
            }
        }
    }
    Ok(out)
}

fn ambiguous(key: &str, file: &Path, several: &[usize], files: &[PathBuf]) -> Error {
    let message = format!(
        "several files belong to it (`{key}`): {}; name a part of the path that only one has",
        listed(several.iter().map(|&i| files[i].as_path()))
    );
    Error::unsuitable(file, message)
}

/// An error where something has no counterpart.
fn all_paired(
    wanted: &[PathBuf],
    found: &[PathBuf],
    pairs: &BTreeMap<usize, usize>,
    [predictions, references]: [&Path; 2],
) -> Result<()> {
    let taken: BTreeSet<usize> = pairs.values().copied().collect();
    let missing: Vec<&Path> = (wanted.iter().enumerate())
        .filter(|(i, _)| !pairs.contains_key(i))
        .map(|(_, file)| file.as_path())
        .collect();
    let extra: Vec<&Path> = (found.iter().enumerate())
        .filter(|(i, _)| !taken.contains(i))
        .map(|(_, file)| file.as_path())
        .collect();
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    let side = |files: Vec<&Path>, what: &str| {
        (!files.is_empty())
            .then(|| format!("{} {what}: {}", files.len(), listed(files.into_iter())))
    };
    let parts = [
        side(missing, "references have no prediction"),
        side(extra, "predictions have no reference"),
    ];
    let message = format!(
        "not all belong to one of {}: {}",
        references.display(),
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    );
    Err(Error::unsuitable(predictions, message))
}

/// The first few files of a list.
fn listed<'a>(files: impl ExactSizeIterator<Item = &'a Path>) -> String {
    let more = files.len().saturating_sub(SHOWN);
    let mut out: Vec<String> = files.take(SHOWN).map(|f| f.display().to_string()).collect();
    if more > 0 {
        out.push(format!("and {more} more"));
    }
    out.join(", ")
}

/// For references the first image of the same case. An image is only a background, so that none
/// is no error.
fn image_of(wanted: &[PathBuf], images: &[PathBuf]) -> BTreeMap<usize, usize> {
    let keys: Vec<Key> = images.iter().map(|f| Key::of(f)).collect();
    let find = |file: &PathBuf| {
        let key = Key::of(file);
        // A name of an image may go on with its sequence: `case_flair` for `case`.
        let begins = |k: &Key| {
            k.stem
                .strip_prefix(&key.case)
                .is_some_and(|r| r.starts_with('_'))
        };
        (0..3)
            .find_map(|level| {
                let wanted = key.at(level)?;
                keys.iter().position(|k| k.at(level) == Some(wanted))
            })
            .or_else(|| keys.iter().position(begins))
    };
    let found = wanted.iter().enumerate();
    found
        .filter_map(|(i, file)| Some((i, find(file)?)))
        .collect()
}

/// Sites by subject, from the nearest `participants.tsv` at or above a path.
fn sites_above(path: &Path) -> Result<BTreeMap<String, String>> {
    let mut above = path.ancestors().take(5);
    let Some(root) = above.find(|p| p.join("participants.tsv").is_file()) else {
        return Ok(BTreeMap::new());
    };
    let table = root.join("participants.tsv");
    sites(root).map_err(|e| Error::unsuitable(&table, e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, b"").expect("written");
        }
        folder
    }

    fn pairs(folder: &Path, options: &PairOptions) -> Result<Vec<CaseFiles>> {
        find_pairs(&folder.join("p"), &folder.join("r"), options)
    }

    fn failure(folder: &Path, options: &PairOptions) -> String {
        pairs(folder, options).expect_err("refused").to_string()
    }

    #[test]
    fn names_are_matched_with_and_without_endings() {
        let folder = tree(&[
            "p/a.nii.gz",
            "p/b_0000_seg.nii.gz",
            "p/c_pred.nii",
            "r/a.nii.gz",
            "r/sub/b.nii.gz",
            "r/c_seg.nii.gz",
            "i/b_0000.nii.gz",
            "i/c_flair.nii.gz",
        ]);
        let options = PairOptions {
            images: Some(folder.path().join("i")),
            ..PairOptions::default()
        };
        let found = pairs(folder.path(), &options).expect("paired");
        let name = |p: &Path| {
            p.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        };
        let found: Vec<_> = found
            .iter()
            .map(|c| {
                let image = c.image.as_deref().map(name).unwrap_or_default();
                (
                    c.id.as_str(),
                    name(&c.prediction),
                    name(&c.reference),
                    image,
                )
            })
            .collect();
        let row = |id, p: &str, r: &str, i: &str| (id, p.to_owned(), r.to_owned(), i.to_owned());
        assert_eq!(
            found,
            [
                row("a", "a.nii.gz", "a.nii.gz", ""),
                row("c", "c_pred.nii", "c_seg.nii.gz", "c_flair.nii.gz"),
                row("b", "b_0000_seg.nii.gz", "b.nii.gz", "b_0000.nii.gz"),
            ]
        );
    }

    #[test]
    fn entities_of_bids_are_matched_and_sites_found() {
        let folder = tree(&[
            "p/sub-01/anat/sub-01_acq-x_desc-T1w_dseg.nii.gz",
            "p/sub-02/ses-1/anat/sub-02_ses-1_desc-T1w_dseg.nii.gz",
            "p/sub-02/ses-2/anat/sub-02_ses-2_desc-T1w_dseg.nii.gz",
            "r/sub-01/anat/sub-01_desc-lesion_dseg.nii.gz",
            "r/sub-02/ses-1/anat/sub-02_ses-1_desc-lesion_dseg.nii.gz",
            "r/sub-02/ses-2/anat/sub-02_ses-2_desc-lesion_dseg.nii.gz",
        ]);
        fs::write(
            folder.path().join("participants.tsv"),
            "participant_id\tsite\nsub-01\tnorth\nsub-02\tsouth\n",
        )
        .expect("written");
        let found = pairs(folder.path(), &PairOptions::default()).expect("paired");
        let found: Vec<_> = found
            .iter()
            .map(|c| (c.id.as_str(), c.subject.as_str(), c.site.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("sub-01", "sub-01", Some("north")),
                ("sub-02_ses-1", "sub-02", Some("south")),
                ("sub-02_ses-2", "sub-02", Some("south")),
            ]
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let folder = tree(&["p/a.nii", "p/x.nii", "r/a.nii", "r/y.nii"]);
        let error = failure(folder.path(), &PairOptions::default());
        for part in [
            "1 references have no prediction",
            "y.nii",
            "1 predictions have no reference",
            "x.nii",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let common = PairOptions {
            common: true,
            ..PairOptions::default()
        };
        assert_eq!(pairs(folder.path(), &common).expect("one").len(), 1);
        let other = tree(&["other.nii"]);
        let pictured = PairOptions {
            images: Some(other.path().join("other.nii")),
            ..common
        };
        let error = failure(folder.path(), &pictured);
        assert!(error.contains("no image here belongs to a case"), "{error}");

        let folder = tree(&[
            "p/sub-1_T1w_dseg.nii",
            "r/sub-1_desc-lesion_dseg.nii",
            "r/sub-1_desc-tissue_dseg.nii",
        ]);
        let error = failure(folder.path(), &PairOptions::default());
        assert!(
            error.contains("several files") && error.contains("tissue"),
            "{error}"
        );
        let narrowed = PairOptions {
            reference_contains: Some("desc-lesion".into()),
            ..PairOptions::default()
        };
        let found = pairs(folder.path(), &narrowed).expect("one");
        assert!(found[0].reference.ends_with("sub-1_desc-lesion_dseg.nii"));
        let nothing = PairOptions {
            reference_contains: Some("other".into()),
            ..PairOptions::default()
        };
        assert!(failure(folder.path(), &nothing).contains("`other`"));
    }
}
