//! Predictions of a model for labelled cases, kept so that an evaluation that was cut off goes on.

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use amaes_core::infer::Progress;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::CaseFiles;
use crate::atomic::write_bytes;
use crate::digits::hex;
use crate::error::{Error, Result, WithPath};
use crate::labelled::LabelledCase;
use crate::segment::Segmenter;

/// The folder of predictions in an evaluation's folder.
pub const PREDICTIONS: &str = "predictions";
/// The file in it that says what made them.
const MADE_BY: &str = "made-by.json";

/// What made predictions.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct MadeBy {
    /// SHA-256 of the model's file or files.
    model: String,
    /// How it was run, as far as that changes labels.
    how: String,
}

/// Segments cases into `folder`/[`PREDICTIONS`], except those whose prediction is there. `model` is
/// the file or folder that the segmenter was made of, `how` tells settings that change labels: the
/// folder must not hold predictions of others. `step` is called with the case's number as a
/// network runs.
///
/// # Errors
///
/// [`Error::Unsuitable`] where the folder holds predictions that were made in another way; what
/// [`Segmenter::segment`] returns.
pub fn predict(
    segmenter: &Segmenter,
    model: &Path,
    how: &str,
    cases: &[&LabelledCase],
    folder: &Path,
    step: &mut dyn FnMut(usize, Progress) -> ControlFlow<()>,
) -> Result<Vec<CaseFiles>> {
    let folder = folder.join(PREDICTIONS);
    claim(&folder, model, how)?;
    let mut out: Vec<CaseFiles> = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let prediction = folder.join(format!("{}.nii.gz", file_name(&case.id)));
        if let Some(other) = out.iter().find(|c| c.prediction == prediction) {
            let message = format!(
                "the cases `{}` and `{}` would both be here",
                other.id, case.id
            );
            return Err(Error::unsuitable(&prediction, message));
        }
        if !prediction.is_file() {
            let done = segmenter.segment(&case.channels, &mut |p| step(i, p))?;
            done.save(&prediction)?;
        }
        out.push(CaseFiles {
            id: case.id.clone(),
            subject: case.subject.clone(),
            site: case.site.clone(),
            prediction,
            reference: case.labels.clone(),
            image: case.channels.first().cloned(),
        });
    }
    Ok(out)
}

/// A case's name as that of a file.
fn file_name(id: &str) -> String {
    let safe = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    id.chars().map(|c| if safe(c) { c } else { '_' }).collect()
}

/// Says what makes the predictions of a folder, or checks it.
fn claim(folder: &Path, model: &Path, how: &str) -> Result<()> {
    let path = folder.join(MADE_BY);
    let made_by = MadeBy {
        model: checksum(model)?,
        how: how.to_owned(),
    };
    if !path.is_file() {
        let bytes = serde_json::to_vec_pretty(&made_by).with_path(&path)?;
        return write_bytes(&path, &bytes);
    }
    let bytes = fs::read(&path).with_path(&path)?;
    let before: MadeBy = serde_json::from_slice(&bytes).with_path(&path)?;
    if before == made_by {
        return Ok(());
    }
    let what = match before.model == made_by.model {
        true => format!("with other settings ({}, now {how})", before.how),
        false => "by another model".to_owned(),
    };
    let message = format!("holds predictions that were made {what}; choose another output folder");
    Err(Error::unsuitable(folder, message))
}

/// SHA-256 of a file, or of the files of a folder and their names.
fn checksum(path: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(|e| Error::unsuitable(path, e.to_string()))?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    for file in files {
        let name = file.strip_prefix(path).unwrap_or(&file);
        hash.update(name.to_string_lossy().as_bytes());
        let mut reader = fs::File::open(&file).with_path(&file)?;
        loop {
            match reader.read(&mut buffer).with_path(&file)? {
                0 => break,
                n => hash.update(&buffer[..n]),
            }
        }
    }
    Ok(hex(&hash.finalize()))
}
