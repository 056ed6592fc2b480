//! Which images a run is about: files, folders and BIDS trees.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::{Error, Result};
use crate::volumes::{STANDARD, extension, stem};

/// One image to segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// A file for each channel of the network.
    pub channels: Vec<PathBuf>,
    /// Where results go, relative to the output folder, without extension.
    pub name: PathBuf,
}

/// Suffixes of files in a BIDS tree that are no images to segment.
const NOT_IMAGES: [&str; 5] = ["mask", "dseg", "probseg", "defacemask", "seg"];

/// Finds the cases behind the inputs of a command line. A file is a case; files joined by commas
/// are the channels of one; a folder holds cases, and a folder with a `dataset_description.json`
/// is a BIDS tree, of which the images in `anat` are taken.
///
/// # Errors
///
/// [`Error::Unsuitable`] for a path that is not there, a folder without images, and two cases of
/// one name.
pub fn find(inputs: &[String]) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for input in inputs {
        let path = Path::new(input);
        if path.is_dir() {
            cases.extend(in_folder(path)?);
        } else {
            cases.push(single(input)?);
        }
    }
    let mut names: Vec<&Path> = cases.iter().map(|c| c.name.as_path()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::unsuitable(
            pair[0],
            "two inputs would be written under this name",
        ));
    }
    Ok(cases)
}

fn single(input: &str) -> Result<Case> {
    let channels: Vec<PathBuf> = match Path::new(input).exists() {
        true => vec![input.into()],
        false => input.split(',').map(PathBuf::from).collect(),
    };
    for channel in &channels {
        if channel != Path::new(STANDARD) && !channel.is_file() {
            return Err(Error::unsuitable(channel, "no such file"));
        }
    }
    let name = match channels[0] == Path::new(STANDARD) {
        true => "stdin".into(),
        false => stem(&channels[0]),
    };
    Ok(Case {
        channels,
        name: format!("{name}_seg").into(),
    })
}

fn in_folder(folder: &Path) -> Result<Vec<Case>> {
    let bids = is_bids(folder);
    let wanted = |e: &DirEntry| {
        let name = e.file_name().to_str().unwrap_or_default();
        e.depth() == 0 || !(name.starts_with('.') || bids && name == "derivatives")
    };
    let mut cases = Vec::new();
    for entry in WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(wanted)
    {
        let entry = entry.map_err(|e| Error::unsuitable(folder, e.to_string()))?;
        let path = entry.path();
        // A pair is found by its header.
        if !entry.file_type().is_file() || !matches!(extension(path), Some(e) if e != ".img") {
            continue;
        }
        if bids && !is_anatomical(path) {
            continue;
        }
        let relative = path.strip_prefix(folder).unwrap_or(path);
        let name = if bids {
            derivative(path)
        } else {
            format!("{}_seg", stem(path))
        };
        cases.push(Case {
            channels: vec![path.into()],
            name: relative.with_file_name(name),
        });
    }
    if cases.is_empty() {
        let what = if bids {
            "no images in the `anat` folders of this BIDS tree"
        } else {
            "no volumes in this folder"
        };
        return Err(Error::unsuitable(folder, what));
    }
    Ok(cases)
}

/// Whether a folder is a BIDS dataset.
pub fn is_bids(folder: &Path) -> bool {
    folder.join("dataset_description.json").is_file()
}

fn is_anatomical(path: &Path) -> bool {
    let in_anat = path.parent().and_then(Path::file_name) == Some(OsStr::new("anat"));
    let suffix = stem(path);
    in_anat && !NOT_IMAGES.contains(&suffix.rsplit('_').next().unwrap_or_default())
}

/// The name of a BIDS derivative: `sub-01_T1w` becomes `sub-01_desc-T1w_dseg`.
fn derivative(path: &Path) -> String {
    let stem = stem(path);
    match stem.rsplit_once('_') {
        Some((entities, suffix)) => format!("{entities}_desc-{suffix}_dseg"),
        None => format!("{stem}_dseg"),
    }
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

    fn names(input: &Path) -> Vec<String> {
        let cases = find(&[input.to_str().expect("UTF-8").to_owned()]).expect("cases");
        cases.iter().map(|c| c.name.display().to_string()).collect()
    }

    #[test]
    fn folders_give_their_volumes_in_order() {
        let folder = tree(&[
            "b.nii",
            "a.nii.gz",
            "notes.txt",
            "sub/c.mgz",
            ".hidden/d.nii",
            "e.hdr",
            "e.img",
        ]);
        assert_eq!(
            names(folder.path()),
            ["a_seg", "b_seg", "e_seg", "sub/c_seg"]
        );
    }

    #[test]
    fn bids_trees_give_their_anatomical_images() {
        let folder = tree(&[
            "dataset_description.json",
            "sub-01/anat/sub-01_T1w.nii.gz",
            "sub-01/anat/sub-01_FLAIR.nii.gz",
            "sub-01/anat/sub-01_label-lesion_mask.nii.gz",
            "sub-01/func/sub-01_task-rest_bold.nii.gz",
            "derivatives/x/sub-01/anat/sub-01_T1w.nii.gz",
        ]);
        assert_eq!(
            names(folder.path()),
            [
                "sub-01/anat/sub-01_desc-FLAIR_dseg",
                "sub-01/anat/sub-01_desc-T1w_dseg"
            ]
        );
    }

    #[test]
    fn commas_join_channels() {
        let folder = tree(&["t1.nii", "flair.nii"]);
        let path = |n: &str| folder.path().join(n);
        let input = format!(
            "{},{}",
            path("t1.nii").display(),
            path("flair.nii").display()
        );
        let cases = find(&[input]).expect("cases");
        assert_eq!(cases.len(), 1);
        assert_eq!(cases[0].channels, [path("t1.nii"), path("flair.nii")]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = find(&["nowhere.nii".into()])
            .expect_err("not there")
            .to_string();
        assert!(error.contains("nowhere.nii"), "{error}");
        let empty = tree(&["readme.txt"]);
        assert!(find(&[empty.path().display().to_string()]).is_err());
        let twice = tree(&["a.nii", "a.nii.gz"]);
        assert!(find(&[twice.path().display().to_string()]).is_err());
    }
}
