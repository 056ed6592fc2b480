//! Which network a state dict belongs to, from its names and shapes.

mod config;
mod mednext;
mod meshnet;
mod parameters;
mod resenc;
mod strided;
mod swin;
mod unet;

use crate::label::LabelTable;
use crate::model::Spec;
use crate::preprocess::Plan;

use super::known::{self, Known, Published};
use super::report::LoadReport;
use super::{StateDict, WeightsError};

pub use self::parameters::parameters;

/// How much of a network a state dict must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// Its encoder. Where nothing else is there the network is one that segments two classes, and
    /// tensors that do not fit its head are left out.
    Encoder,
}

impl Part {
    /// Classes of a head that is not there.
    const CLASSES: usize = 2;

    /// The classes of a head that is not there, where that is allowed.
    fn classes(self, state: &StateDict, reason: &str) -> Result<usize, WeightsError> {
        match self {
            Self::Whole => Err(unknown(state, reason)),
            Self::Encoder => Ok(Self::CLASSES),
        }
    }
}

/// What a state dict was found to be.
#[derive(Clone, Debug)]
pub struct Identified {
    /// The network.
    pub spec: Spec,
    /// Name of the published network, where the weights' shapes are those of one.
    pub name: Option<&'static str>,
    /// Its preprocessing, where it is a published one.
    pub plan: Option<Plan>,
    /// Its classes, where they are published.
    pub labels: Option<LabelTable>,
    /// Tensors that are not parameters of the network; they were taken out of the state dict.
    pub ignored: Vec<String>,
}

/// Finds the network that the tensors of `state` are the weights of, and brings their names to
/// those of its parameters: prefixes are stripped, a MeshNet's layers become
/// `convs.{i}.{weight,bias}`, a residual encoder gets the names of dynamic-network-architectures.
/// Tensors of anything else are taken out and listed.
///
/// `config` is a JSON file that came with a MeshNet: the one published beside brainchop's models,
/// or our own [`MeshNetConfig`](crate::model::MeshNetConfig) or [`Spec`]. Without it the
/// dilations are known for published networks only.
///
/// # Errors
/// If the names fit no network, parameters are missing or of another shape, or a MeshNet's
/// dilations are not known.
pub fn identify(state: &mut StateDict, config: Option<&[u8]>) -> Result<Identified, WeightsError> {
    identify_part(state, config, Part::Whole)
}

/// As [`identify`], for a state dict that may hold a part of the network alone.
///
/// # Errors
/// As [`identify`]; parameters outside the part may be missing.
pub fn identify_part(
    state: &mut StateDict,
    config: Option<&[u8]>,
    part: Part,
) -> Result<Identified, WeightsError> {
    state.strip_prefixes()?;
    let (spec, published) = if state.shape("encoder.in_conv.conv1.conv.weight").is_some() {
        (Spec::UNet(unet::infer(state, part)?), None)
    } else if state.shape("encoder.stem.weight").is_some()
        && state.shape("encoder.enc_block_0.0.conv1.weight").is_some()
    {
        (Spec::MedNeXt(mednext::infer(state, part)?), None)
    } else if swin::is(state)? {
        (Spec::SwinUNETR(swin::infer(state, config, part)?), None)
    } else if state.shape(resenc::MARK).is_some() {
        (Spec::ResEncUNet(resenc::infer(state, part)?), None)
    } else if strided::MARKS
        .iter()
        .any(|name| state.shape(name).is_some())
    {
        let config = strided::infer(state)?;
        let published = known::strided(&config);
        (Spec::Strided(config), published)
    } else {
        let (config, known) = meshnet::infer(state, config)?;
        (Spec::MeshNet(config), known.map(Known::published))
    };
    let ignored = fit(&spec, state, part)?;
    let (name, plan, labels) = match published {
        Some(Published { name, plan, labels }) => (Some(name), Some(plan), labels),
        None => (None, None, None),
    };
    Ok(Identified {
        spec,
        name,
        plan,
        labels,
        ignored,
    })
}

/// Checks that `state` holds every parameter of the part in its shape, takes out what is no
/// parameter or does not fit, and returns its names.
pub(super) fn fit(
    spec: &Spec,
    state: &mut StateDict,
    part: Part,
) -> Result<Vec<String>, WeightsError> {
    let expected = parameters(spec)?;
    let mut report = LoadReport::compare(&expected, state);
    let mut others = report.unexpected.clone();
    if part == Part::Encoder {
        report.missing.retain(|name| spec.in_encoder(name));
        report.mismatched.retain(|tensor| {
            let needed = spec.in_encoder(&tensor.name);
            if !needed {
                others.push(tensor.name.clone());
            }
            needed
        });
    }
    if !report.missing.is_empty() || !report.mismatched.is_empty() {
        return Err(WeightsError::Mismatch(Box::new(report)));
    }
    state.retain(|name| !others.iter().any(|other| other == name));
    Ok(others)
}

/// The error for weights of another network.
fn unknown(state: &StateDict, reason: impl Into<String>) -> WeightsError {
    WeightsError::UnknownNetwork {
        reason: reason.into(),
        first: state.preview(),
    }
}

/// The shape of a tensor that a network must have, as `N` sizes.
fn shape<const N: usize>(state: &StateDict, name: &str) -> Result<[usize; N], WeightsError> {
    let Some(found) = state.shape(name) else {
        return Err(unknown(state, format!("no `{name}` in it")));
    };
    let array = found.try_into();
    array.map_err(|_| unknown(state, format!("`{name}` has shape {found:?}")))
}
