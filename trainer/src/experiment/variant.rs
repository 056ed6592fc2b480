//! Ways to pretrain: those of the paper's ablation, and those that a matrix names.

use std::path::PathBuf;

use amaes_core::augment::{AugmentConfig, Preset, Transform};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::train::pretext::PretextConfig;

/// A way to pretrain, as it differs from the matrix's `[pretrain]` and `[finetune]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Variant {
    /// What tables call it; its name without.
    pub title: Option<String>,
    /// Train from random weights: nothing is pretrained.
    pub scratch: bool,
    /// Weights of a network that was pretrained elsewhere: any format that `amaes import` reads.
    pub weights: Option<PathBuf>,
    /// Another variant: go on from the whole networks that were finetuned of it.
    pub after: Option<String>,
    /// Fields of the pretraining configuration.
    pub pretrain: Table,
    /// Fields of the finetuning configuration.
    pub finetune: Table,
}

/// Transforms that are left out of pretraining, one at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LeaveOut {
    /// `"all"`: each that the base configuration has.
    All(All),
    /// Those.
    Some(Vec<Transform>),
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum All {
    /// The word.
    All,
}

/// The variant without pretraining.
pub(super) const NONE: &str = "none";
/// The variant that changes nothing.
pub(super) const AMAES: &str = "amaes";
/// What the names of variants that leave out a transform begin with.
const LEAVE_OUT: &str = "leave-out-";

impl LeaveOut {
    /// Names of the variants.
    pub(super) fn variants(&self, base: &AugmentConfig) -> Vec<String> {
        let transforms = match self {
            Self::All(_) => Transform::ALL
                .into_iter()
                .filter(|&t| has(base, t))
                .collect(),
            Self::Some(transforms) => transforms.clone(),
        };
        let name = |t: &Transform| format!("{LEAVE_OUT}{}", t.name().replace('_', "-"));
        transforms.iter().map(name).collect()
    }
}

/// Whether a configuration applies a transform.
fn has(config: &AugmentConfig, transform: Transform) -> bool {
    // Sections that are not given are not written.
    let section = serde_json::to_value(config).is_ok_and(|v| v.get(transform.name()).is_some());
    (section || config.preset.has(transform)) && !config.leave_out.contains(&transform)
}

/// The variants that every matrix has. `base` is what they change.
pub(super) fn built_in(name: &str, base: &AugmentConfig) -> Option<Variant> {
    let change = |title: &str, section: &str, fields: &[(&str, Value)]| {
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), v.clone()));
        Some(Variant {
            title: Some(title.to_owned()),
            pretrain: Table::from_iter([(section.to_owned(), Value::Table(fields.collect()))]),
            ..Variant::default()
        })
    };
    let preset = |preset: Preset| Value::try_from(preset).unwrap_or(Value::Boolean(false));
    match name {
        NONE => Some(Variant {
            title: Some("none".into()),
            scratch: true,
            ..Variant::default()
        }),
        AMAES => Some(Variant {
            title: Some("AMAES".into()),
            ..Variant::default()
        }),
        "swinunetr" => change(
            "SwinUNETR pretraining",
            "pretext",
            &[("kind", PretextConfig::SWIN_UNETR.into())],
        ),
        "no-intensity-augmentation" => change(
            "no intensity augmentation",
            "augment",
            &[("preset", preset(Preset::Spatial))],
        ),
        "no-augmentation" => change(
            "no augmentation",
            "augment",
            &[("preset", preset(Preset::None))],
        ),
        "standard-decoder" => change(
            "standard decoder",
            "model",
            &[("decoder", "standard".into())],
        ),
        "skips" => change("skips", "model", &[("skips", true.into())]),
        "standard-decoder-skips" => change(
            "standard decoder with skips",
            "model",
            &[("decoder", "standard".into()), ("skips", true.into())],
        ),
        "masked-only" => change(
            "loss over masked voxels",
            "patch",
            &[("loss", "masked".into())],
        ),
        _ => {
            let left_out = name.strip_prefix(LEAVE_OUT)?.replace('-', "_");
            let transform = Transform::ALL.into_iter().find(|t| t.name() == left_out)?;
            let mut all = base.leave_out.clone();
            all.push(transform);
            let names = all.iter().map(|t| Value::from(t.name())).collect();
            let title = format!("without {}", left_out.replace('_', " "));
            change(&title, "augment", &[("leave_out", Value::Array(names))])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transform_is_left_out_once() {
        let base = AugmentConfig::default();
        let names = LeaveOut::All(All::All).variants(&base);
        // Mirroring is in no preset.
        assert_eq!(names.len(), Transform::ALL.len() - 1);
        for name in &names {
            let variant = built_in(name, &base).expect("a variant");
            let augment = variant.pretrain["augment"].clone();
            let config: AugmentConfig = augment.try_into().expect("a configuration");
            assert_eq!(config.leave_out.len(), 1, "{name}");
            assert!(!has(&config, config.leave_out[0]) && has(&base, config.leave_out[0]));
        }
        let spatial = AugmentConfig::preset(Preset::Spatial);
        assert_eq!(LeaveOut::All(All::All).variants(&spatial).len(), 3);
        assert!(built_in("leave-out-sleep", &base).is_none() && built_in("x", &base).is_none());
    }
}
