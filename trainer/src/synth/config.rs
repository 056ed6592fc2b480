//! The configuration of synthesis: a TOML file, every field of which has a default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amaes_core::label::Label;
use amaes_core::synth::{Contrast, Frame, LesionKind, PRESETS, Site, Tissue, preset};
use serde::{Deserialize, Serialize};

use super::error::{Result, SynthError};
use crate::train::sections;

/// Most subjects of a tree.
const MOST_SUBJECTS: u64 = 1_000_000;

/// What `amaes synth` makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SynthConfig {
    /// Everything drawn at random depends on it and on the subject's number.
    pub seed: u64,
    /// Number of subjects.
    pub count: u64,
    /// Sites that the subjects are shared among in turn: presets `a` to `f`, or tables in `site`.
    pub sites: Vec<String>,
    /// The images.
    pub images: ImageConfig,
    /// The lesions.
    pub lesions: LesionConfig,
    /// Label maps to make images of, in place of phantoms.
    pub labels: LabelConfig,
    /// Sites of one's own: fields of a preset (`base`) that are changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub site: BTreeMap<String, toml::Table>,
}

/// The images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageConfig {
    /// Contrasts: `T1w`, `T1ce`, `T2w`, `FLAIR`, `PDw`, `dwi`, `random`.
    pub contrasts: Vec<Contrast>,
    /// In place of `contrasts`: one image a subject, whose contrast is drawn with these weights;
    /// its entity is `acq-any` whatever was drawn.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub one_of: BTreeMap<Contrast, f64>,
    /// Edges of a voxel, mm. Of label maps, their own where it is left out; of phantoms, 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<[f64; 3]>,
    /// Voxels along each axis of a phantom; 176 x 208 x 176 mm where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 3]>,
}

/// The lesions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LesionConfig {
    /// Kinds: `tumour`, `stroke`, `wmh`; a subject has one of them. Empty for none.
    pub kinds: Vec<LesionKind>,
    /// Probability that a subject has none.
    pub none: f64,
}

/// Label maps of one's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LabelConfig {
    /// A label map, or a folder of them, taken in turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Share of the subjects that are phantoms all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phantoms: Option<f64>,
    /// Strength of the random deformation; 0 for none.
    pub deformation: f64,
    /// What labels are that are not FreeSurfer's: `"1" = "white"`.
    pub tissues: BTreeMap<String, Tissue>,
}

impl Default for SynthConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            count: 10,
            sites: vec!["a".into()],
            images: ImageConfig::default(),
            lesions: LesionConfig::default(),
            labels: LabelConfig::default(),
            site: BTreeMap::new(),
        }
    }
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            contrasts: vec![Contrast::T1w],
            one_of: BTreeMap::new(),
            spacing: None,
            shape: None,
        }
    }
}

impl ImageConfig {
    /// Every contrast that an image may have.
    pub fn all(&self) -> Vec<Contrast> {
        match self.one_of.is_empty() {
            true => self.contrasts.clone(),
            false => self.one_of.keys().copied().collect(),
        }
    }

    /// The contrast that `chance`, from 0 to 1, draws of `one_of`; none where that is empty.
    pub(super) fn drawn(&self, chance: f64) -> Option<Contrast> {
        let mut left = chance * self.one_of.values().sum::<f64>();
        let mut likely = self.one_of.iter().filter(|(_, weight)| **weight > 0.0);
        let past = likely.clone().next_back();
        let found = likely.find(|(_, weight)| {
            left -= **weight;
            left < 0.0
        });
        found.or(past).map(|(contrast, _)| *contrast)
    }
}

impl Default for LesionConfig {
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            none: 0.0,
        }
    }
}

impl Default for LabelConfig {
    fn default() -> Self {
        Self {
            path: None,
            phantoms: None,
            deformation: 1.0,
            tissues: BTreeMap::new(),
        }
    }
}

impl SynthConfig {
    /// Reads a configuration; each of `overrides` is `section.field=value`, the value as TOML
    /// writes it, quotes of a string left out at will.
    ///
    /// # Errors
    ///
    /// [`SynthError::Source`] when the file cannot be read or is no TOML; [`SynthError::Toml`] with
    /// the field and its line; [`SynthError::Config`] for a value of no sense.
    pub fn read(path: Option<&Path>, overrides: &[String]) -> Result<Self> {
        let table = sections::table(path, overrides)?;
        let name = path.unwrap_or(Path::new("configuration"));
        let config: Self = table.try_into().map_err(|e| SynthError::toml(name, e))?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration as a file that [`read`](Self::read) reads.
    ///
    /// # Errors
    ///
    /// [`SynthError::Config`] for a value that TOML cannot write.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|e| SynthError::config("file", e.to_string()))
    }

    /// The sites, in order, with their names.
    ///
    /// # Errors
    ///
    /// [`SynthError::Config`] names the site and the field.
    pub fn sites(&self) -> Result<Vec<(String, Site)>> {
        self.sites.iter().map(|name| self.site(name)).collect()
    }

    fn site(&self, name: &str) -> Result<(String, Site)> {
        let field = |message: String| SynthError::config(format!("site.{name}"), message);
        let site = match self.site.get(name) {
            None => preset(name).ok_or_else(|| {
                let known: Vec<&str> = PRESETS.iter().map(|p| p.0).collect();
                let known = known.join(", ");
                SynthError::config(
                    "sites",
                    format!("`{name}` is neither one of {known} nor a table [site.{name}]"),
                )
            })?,
            Some(changes) => {
                let mut changes = changes.clone();
                let base = match changes.remove("base") {
                    Some(toml::Value::String(base)) => base,
                    None => "a".to_owned(),
                    Some(other) => {
                        return Err(field(format!("base: {other} is no name of a preset")));
                    }
                };
                let base =
                    preset(&base).ok_or_else(|| field(format!("base: `{base}` is no preset")))?;
                let mut table = toml::Table::try_from(&base).map_err(|e| field(e.to_string()))?;
                merge(&mut table, changes);
                let site: Site = table
                    .try_into()
                    .map_err(|e: toml::de::Error| field(e.message().to_owned()))?;
                site.validate(name)
                    .map_err(|e| SynthError::config("site", e.to_string()))?;
                site
            }
        };
        for contrast in self.images.all() {
            if contrast != Contrast::Random && !site.contrasts.contains_key(&contrast) {
                return Err(field(format!("no contrast `{}`", contrast.name())));
            }
        }
        Ok((name.to_owned(), site))
    }

    /// The frame of phantoms.
    ///
    /// # Errors
    ///
    /// [`SynthError::Config`].
    pub fn frame(&self) -> Result<Frame> {
        let spacing = self.images.spacing.unwrap_or([1.0; 3]);
        Frame::head(self.images.shape, spacing)
            .map_err(|e| SynthError::config("images", e.to_string()))
    }

    /// What labels are that are not FreeSurfer's.
    ///
    /// # Errors
    ///
    /// [`SynthError::Config`] for a key that is no label.
    pub fn tissues(&self) -> Result<BTreeMap<Label, Tissue>> {
        let parsed = |(key, &tissue): (&String, &Tissue)| match key.parse::<Label>() {
            Ok(label) => Ok((label, tissue)),
            Err(_) => Err(SynthError::config(
                "labels.tissues",
                format!("`{key}` is no label: 0 to {}", Label::MAX),
            )),
        };
        self.labels.tissues.iter().map(parsed).collect()
    }

    /// Kinds of lesions in the order of their labels.
    pub fn kinds(&self) -> Vec<LesionKind> {
        let asked = |k: &LesionKind| self.lesions.kinds.contains(k);
        LesionKind::ALL.into_iter().filter(asked).collect()
    }

    /// Names of the labels of lesion masks, in order, the background first: those of the kinds
    /// one after another.
    pub fn lesion_labels(&self) -> Vec<&'static str> {
        let mut names = vec!["background"];
        names.extend(self.kinds().iter().flat_map(|k| k.labels()));
        names
    }

    /// What a kind's labels are raised by.
    pub(super) fn lesion_offset(&self, kind: LesionKind) -> u8 {
        let kinds = self.kinds();
        let before = kinds.iter().take_while(|k| **k != kind);
        before.map(|k| k.labels().len() as u8).sum()
    }

    fn validate(&self) -> Result<()> {
        let check = |field: &str, holds: bool, message: &dyn Fn() -> String| match holds {
            true => Ok(()),
            false => Err(SynthError::config(field, message())),
        };
        check("count", (1..=MOST_SUBJECTS).contains(&self.count), &|| {
            format!("{}: 1 to {MOST_SUBJECTS} subjects", self.count)
        })?;
        check("sites", !self.sites.is_empty(), &|| "none is given".into())?;
        check(
            "images.contrasts",
            !self.images.contrasts.is_empty(),
            &|| "none is given".into(),
        )?;
        let mut contrasts = self.images.contrasts.clone();
        contrasts.sort_unstable();
        check(
            "images.contrasts",
            contrasts.windows(2).all(|w| w[0] != w[1]),
            &|| "one is there twice".into(),
        )?;
        let weights: Vec<f64> = self.images.one_of.values().copied().collect();
        check(
            "images.one_of",
            weights.is_empty()
                || weights.iter().all(|w| *w >= 0.0 && w.is_finite())
                    && weights.iter().any(|w| *w > 0.0),
            &|| format!("{weights:?}: weights are 0 or more, and one is above 0"),
        )?;
        let phantoms = self.labels.phantoms;
        check(
            "labels.phantoms",
            phantoms.is_none_or(|share| (0.0..=1.0).contains(&share)),
            &|| format!("{} is no share", phantoms.unwrap_or_default()),
        )?;
        check(
            "lesions.none",
            (0.0..=1.0).contains(&self.lesions.none),
            &|| format!("{} is no probability", self.lesions.none),
        )?;
        check(
            "labels.deformation",
            (0.0..=3.0).contains(&self.labels.deformation),
            &|| format!("{}: 0 to 3", self.labels.deformation),
        )?;
        check(
            "images.shape",
            self.labels.path.is_none() || self.images.shape.is_none(),
            &|| "label maps keep their own field of view".into(),
        )?;
        self.sites()?;
        self.tissues()?;
        self.frame().map(drop)
    }
}

/// Puts the values of one table over those of another, table by table.
fn merge(base: &mut toml::Table, changes: toml::Table) {
    for (key, value) in changes {
        match (base.get_mut(&key), value) {
            // A sequence of another kind has other fields.
            (Some(toml::Value::Table(old)), toml::Value::Table(new))
                if !new.contains_key("kind") =>
            {
                merge(old, new);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
