//! A whole model from a file that says only part of it.

use std::io;

use super::report::few;
use super::tfjs::{self, TfjsModel};
use super::{
    Format, Hints, Identified, ModelFile, Part, Provenance, ReadOptions, StateDict, WeightsError,
    detect, identify, identify_part, read, sha256,
};
use crate::label::LabelTable;
use crate::model::Spec;
use crate::preprocess::{Normalization, Plan, Step};

/// A model, and what was noticed while it was read.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The model.
    pub file: ModelFile,
    /// Format of the file.
    pub format: Format,
    /// What was left out, for the user to read.
    pub notes: Vec<String>,
    /// What was assumed about the preprocessing, where the file says nothing and the network is
    /// not known.
    pub assumed_plan: Option<String>,
}

/// Opens a model that is one file: `.amaes`, or weights of another program. `source` is its name,
/// `config` the JSON with the network's sizes where weights do not tell them.
///
/// # Errors
///
/// Those of [`read`] and [`identify`]; a TensorFlow.js model is several files, see [`open_tfjs`].
pub fn open(
    bytes: Vec<u8>,
    source: &str,
    config: Option<&[u8]>,
    options: &ReadOptions,
) -> Result<Opened, WeightsError> {
    open_part(bytes, source, config, options, Part::Whole)
}

/// As [`open`], for weights of another program that may be a part of the network alone: what is not
/// there is not in the file's `state`.
///
/// # Errors
///
/// As [`open`].
pub fn open_part(
    bytes: Vec<u8>,
    source: &str,
    config: Option<&[u8]>,
    options: &ReadOptions,
    part: Part,
) -> Result<Opened, WeightsError> {
    let format = detect(&bytes)?;
    if format == Format::ModelFile {
        return Ok(Opened {
            file: ModelFile::read(bytes)?,
            format,
            notes: Vec::new(),
            assumed_plan: None,
        });
    }
    let sha = sha256(&bytes);
    let mut state = read(bytes, options)?;
    let found = identify_part(&mut state, config, part)?;
    Ok(complete(found, state, format, source, sha))
}

/// Opens a TensorFlow.js model: its `model.json`, and `shard` for the files that it names.
///
/// # Errors
///
/// Those of [`tfjs::read`] and [`identify`].
pub fn open_tfjs(
    model: &[u8],
    source: &str,
    shard: impl FnMut(&str) -> io::Result<Vec<u8>>,
) -> Result<Opened, WeightsError> {
    let TfjsModel {
        config, mut state, ..
    } = tfjs::read(model, shard)?;
    let config = serde_json::to_vec(&config)
        .map_err(|e| WeightsError::malformed(Format::Tfjs, e.to_string()))?;
    let found = identify(&mut state, Some(&config))?;
    Ok(complete(found, state, Format::Tfjs, source, sha256(model)))
}

/// What weights do not say is taken from the published network, or assumed.
fn complete(
    found: Identified,
    state: StateDict,
    format: Format,
    source: &str,
    sha: String,
) -> Opened {
    let mut notes = Vec::new();
    if !found.ignored.is_empty() {
        notes.push(format!(
            "left out, no parameters of it: {}",
            few(&found.ignored)
        ));
    }
    let mut assumed_plan = None;
    let plan = found.plan.unwrap_or_else(|| {
        let (plan, what) = assumed(&found.spec);
        assumed_plan = Some(format!("no preprocessing is known; {what}"));
        plan
    });
    let labels = found
        .labels
        .unwrap_or_else(|| LabelTable::generic(found.spec.out_channels()));
    let hints = match found.spec {
        Spec::MeshNet(_) | Spec::Strided(_) => Hints::default(),
        // What OpenMind and the AMAES group pretrain with.
        Spec::ResEncUNet(_) => Hints::windows([160; 3]),
        _ => Hints::windows([128; 3]),
    };
    let mut provenance = Provenance::new(source);
    provenance.format = Some(format);
    provenance.sha256 = Some(sha);
    provenance.notes = found.name.map(|name| format!("published network `{name}`"));
    Opened {
        file: ModelFile {
            spec: found.spec,
            plan,
            labels,
            hints,
            provenance,
            state,
        },
        format,
        notes,
        assumed_plan,
    }
}

/// The preprocessing of unknown weights: that of every published network of their kind, or the
/// AMAES reference's.
fn assumed(spec: &Spec) -> (Plan, &'static str) {
    match spec {
        Spec::MeshNet(_) | Spec::Strided(_) => (
            Plan {
                steps: vec![Step::conform(), Step::Normalize(Normalization::MinMax)],
            },
            "conforming to 256^3 voxels of 1 mm, minimum to 0, maximum to 1",
        ),
        Spec::ResEncUNet(_) => (
            Plan::standardized(),
            "using that of the published residual encoders: 1 mm, mean 0, standard deviation 1",
        ),
        _ => (Plan::reference(), "using the AMAES reference's"),
    }
}
