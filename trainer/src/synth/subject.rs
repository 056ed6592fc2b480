//! One subject: drawn, imaged and written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amaes_core::augment::Random;
use amaes_core::label::Label;
use amaes_core::synth::{
    Contrast, Frame, Image, LabelMapOptions, LesionKind, Scene, Sex, Site, Subject, Tissue,
};
use amaes_core::volume::{
    Grid, Header, RawData, ReadOptions, Volume, WriteOptions, write_labels, write_raw,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config::SynthConfig;
use super::error::{Result, SynthError};
use crate::atomic::{write_atomic, write_bytes};
use crate::error::WithPath;
use crate::volumes;

/// Noise hardly compresses: more work saves little.
const IMAGE_LEVEL: u32 = 1;
const LABEL_LEVEL: u32 = 4;
/// The derivative that holds the labels.
pub(super) const DERIVATIVE: &str = "derivatives/labels";
/// What an image is called whose contrast was drawn.
const ANY: &str = "acq-any_T1w";

/// What is kept about a subject that is finished: a row of `participants.tsv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Participant {
    pub(super) participant_id: String,
    pub(super) age: f64,
    pub(super) sex: String,
    pub(super) site: String,
    pub(super) lesion: String,
    pub(super) seed: u64,
    /// mL.
    pub(super) lesion_volume: f64,
    /// The label map that it was made of.
    pub(super) source: Option<String>,
}

/// What subjects are made of.
pub(super) struct Recipe {
    pub(super) config: SynthConfig,
    pub(super) sites: Vec<(String, Site)>,
    pub(super) frame: Frame,
    pub(super) tissues: BTreeMap<Label, Tissue>,
    pub(super) maps: Vec<PathBuf>,
    pub(super) kinds: Vec<LesionKind>,
}

/// A subject before its images are taken.
pub(super) struct Drawn {
    pub(super) name: String,
    pub(super) subject: Subject,
    pub(super) lesion: Option<LesionKind>,
    pub(super) site: usize,
    pub(super) scene: Scene,
    /// Of its images.
    pub(super) contrasts: Vec<Contrast>,
    source: Option<PathBuf>,
    /// Starts its images.
    seed: u64,
}

impl Recipe {
    pub(super) fn new(config: &SynthConfig) -> Result<Self> {
        Ok(Self {
            sites: config.sites()?,
            frame: config.frame()?,
            tissues: config.tissues()?,
            maps: match &config.labels.path {
                Some(path) => label_maps(path)?,
                None => Vec::new(),
            },
            kinds: config.kinds(),
            config: config.clone(),
        })
    }

    /// The name of subject `index`, from 0.
    pub(super) fn name(&self, index: u64) -> String {
        let digits = self.config.count.to_string().len().max(4);
        format!("sub-{:0digits$}", index + 1)
    }

    /// Draws subject `index`, which depends on the configuration's seed and `index` alone.
    pub(super) fn draw(&self, index: u64) -> Result<Drawn> {
        let name = self.name(index);
        let mut random = Random::new(self.config.seed, index);
        let subject = Subject::draw(random.seed());
        let chance = random.unit();
        let pick = random.whole(0, self.kinds.len().saturating_sub(1));
        let seed = random.seed();
        let lesion = self.kinds.get(pick).copied();
        let lesion = lesion.filter(|_| chance >= self.config.lesions.none);
        let images = &self.config.images;
        let contrasts = match images.drawn(random.unit()) {
            Some(contrast) => vec![contrast],
            None => images.contrasts.clone(),
        };
        let phantoms = self.config.labels.phantoms.unwrap_or_default();
        let maps: &[PathBuf] = match random.unit() < phantoms {
            true => &[],
            false => self.maps.as_slice(),
        };
        let failed = |subject: &str| {
            let subject = subject.to_owned();
            move |source| SynthError::Subject { subject, source }
        };
        let (scene, source) = match maps.get((index % maps.len().max(1) as u64) as usize) {
            None => (
                Scene::phantom(&subject, &self.frame, lesion).map_err(failed(&name))?,
                None,
            ),
            Some(path) => {
                let (map, _) = volumes::read_label_map(path, &ReadOptions::default())?;
                let options = LabelMapOptions {
                    tissues: &self.tissues,
                    spacing: self.config.images.spacing,
                    deformation: self.config.labels.deformation,
                    lesion,
                    age: subject.age,
                    seed: subject.seed,
                };
                let scene = Scene::from_labels(&map, &options);
                let scene = scene.map_err(failed(&path.display().to_string()))?;
                (scene, Some(path.clone()))
            }
        };
        Ok(Drawn {
            name,
            subject,
            lesion,
            site: (index % self.sites.len() as u64) as usize,
            scene,
            contrasts,
            source,
            seed,
        })
    }

    /// One image of a subject.
    pub(super) fn image(&self, drawn: &Drawn, contrast: Contrast) -> Result<Image> {
        let (_, site) = &self.sites[drawn.site];
        let image = drawn.scene.image(contrast, site, drawn.seed);
        image.map_err(|source| SynthError::Subject {
            subject: match &drawn.source {
                Some(path) => path.display().to_string(),
                None => drawn.name.clone(),
            },
            source,
        })
    }

    /// Draws a subject and writes everything of it; the record of it last.
    pub(super) fn write(&self, index: u64, out: &Path) -> Result<Participant> {
        let drawn = self.draw(index)?;
        let files = self.files(out, &drawn.name);
        let scene = &drawn.scene;
        let grid = scene.grid();
        let header = Header::new(grid);
        write_label_map(
            &files.labels("tissue"),
            &header,
            grid,
            scene.labels().to_vec(),
        )?;
        let mut volume = 0.0;
        if !self.kinds.is_empty() {
            let offset = drawn
                .lesion
                .map_or(0, |kind| self.config.lesion_offset(kind));
            let raised = |&v: &u8| if v == 0 { 0 } else { Label::from(v + offset) };
            let mask: Vec<Label> = scene.lesion().iter().map(raised).collect();
            let voxels = mask.iter().filter(|&&v| v > 0).count();
            volume = voxels as f64 * grid.voxel_volume() / 1000.0;
            write_label_map(&files.labels("lesion"), &header, grid, mask)?;
        }
        for &contrast in &drawn.contrasts {
            let image = self.image(&drawn, contrast)?;
            let stem = files.image(contrast);
            let sidecar = self.sidecar(&drawn, contrast, &image);
            write_json(&stem.with_extension("json"), &sidecar)?;
            if contrast == Contrast::Dwi && !files.any {
                let b = sidecar["DiffusionBValue"].as_f64().unwrap_or_default();
                write_bytes(&stem.with_extension("bval"), format!("{b}\n").as_bytes())?;
                write_bytes(&stem.with_extension("bvec"), b"0\n0\n0\n")?;
            }
            write_image(&stem.with_extension("nii.gz"), &header, image.data)?;
        }
        let participant = Participant {
            participant_id: drawn.name.clone(),
            age: drawn.subject.age.round(),
            sex: match drawn.subject.sex {
                Sex::F => "F".into(),
                Sex::M => "M".into(),
            },
            site: self.sites[drawn.site].0.clone(),
            lesion: drawn.lesion.map_or("none", LesionKind::name).into(),
            seed: drawn.subject.seed,
            lesion_volume: (volume * 1000.0).round() / 1000.0,
            source: drawn.source.map(|p| p.display().to_string()),
        };
        write_json(&files.record(), &json!(participant))?;
        Ok(participant)
    }

    /// The record of a subject all of whose files are there.
    pub(super) fn finished(&self, index: u64, out: &Path) -> Option<Participant> {
        let name = self.name(index);
        let files = self.files(out, &name);
        let mut wanted = vec![files.labels("tissue")];
        if !self.kinds.is_empty() {
            wanted.push(files.labels("lesion"));
        }
        for contrast in self.config.images.all() {
            let stem = files.image(contrast);
            wanted.extend([stem.with_extension("nii.gz"), stem.with_extension("json")]);
        }
        if !wanted.iter().all(|p| p.is_file()) {
            return None;
        }
        let bytes = std::fs::read(files.record()).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn files<'a>(&self, out: &'a Path, name: &'a str) -> Files<'a> {
        let any = !self.config.images.one_of.is_empty();
        Files { out, name, any }
    }

    fn sidecar(&self, drawn: &Drawn, contrast: Contrast, image: &Image) -> Map<String, Value> {
        let (name, site) = &self.sites[drawn.site];
        let acquisition = &image.acquisition;
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| {
            out.insert(key.to_owned(), value);
        };
        put("Manufacturer", json!(site.manufacturer));
        put("ManufacturersModelName", json!(site.model));
        put("MagneticFieldStrength", json!(site.tesla));
        put("InstitutionName", json!(name));
        put("Modality", json!("MR"));
        put("SeriesDescription", json!(contrast.name()));
        let slices = acquisition.thickness > 1.5 * acquisition.pixel;
        put("MRAcquisitionType", json!(if slices { "2D" } else { "3D" }));
        put("SliceThickness", json!(acquisition.thickness));
        put("SpacingBetweenSlices", json!(acquisition.distance()));
        put("SliceOrientation", json!(acquisition.slices));
        put(
            "PixelSpacing",
            json!([acquisition.pixel, acquisition.pixel]),
        );
        if contrast != Contrast::Random {
            for (key, value) in acquisition.sequence.sidecar() {
                put(key, json!(value));
            }
        }
        if contrast == Contrast::T1ce {
            put("ContrastBolusIngredient", json!("GADOLINIUM"));
        }
        put("SkullStripped", json!(site.skull_stripped));
        put("Defaced", json!(image.defaced));
        put("NoiseStandardDeviation", json!(image.noise));
        put("Artefacts", json!(image.artefacts));
        put("PatientAge", json!(drawn.subject.age.round()));
        put("PatientSex", json!(drawn.subject.sex));
        out
    }
}

/// Where the files of a subject are.
struct Files<'a> {
    out: &'a Path,
    name: &'a str,
    /// Whether there is one image, of any contrast.
    any: bool,
}

impl Files<'_> {
    /// An image, without extension.
    fn image(&self, contrast: Contrast) -> PathBuf {
        let (folder, what) = match contrast {
            _ if self.any => ("anat", ANY),
            Contrast::Dwi => ("dwi", contrast.bids()),
            _ => ("anat", contrast.bids()),
        };
        let folder = self.out.join(self.name).join(folder);
        folder.join(format!("{}_{what}", self.name))
    }

    fn labels(&self, desc: &str) -> PathBuf {
        let folder = self.out.join(DERIVATIVE).join(self.name).join("anat");
        folder.join(format!("{}_desc-{desc}_dseg.nii.gz", self.name))
    }

    /// Written last.
    fn record(&self) -> PathBuf {
        let folder = self.out.join(DERIVATIVE).join(self.name);
        folder.join(format!("{}_subject.json", self.name))
    }
}

/// A label map, or those of a folder in the order of their names.
fn label_maps(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        // Whether it can be read shows before anything is written.
        volumes::open(path, &ReadOptions::default())?;
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).with_path(path)? {
        let entry = entry.with_path(path)?.path();
        if entry.is_file() && matches!(volumes::extension(&entry), Some(e) if e != ".img") {
            found.push(entry);
        }
    }
    if found.is_empty() {
        return Err(SynthError::config(
            "labels.path",
            format!("{}: no label maps in this folder", path.display()),
        ));
    }
    found.sort();
    Ok(found)
}

fn write_image(path: &Path, header: &Header, data: Vec<f32>) -> Result<()> {
    let stored = |v: f32| v.round().clamp(0.0, f32::from(i16::MAX)) as i16;
    let values = RawData::I16(data.into_iter().map(stored).collect());
    let options = WriteOptions {
        gzip: Some(IMAGE_LEVEL),
        label_intent: false,
    };
    write_atomic(path, |w| {
        write_raw(w, header, &values, &options).with_path(path)
    })?;
    Ok(())
}

fn write_label_map(path: &Path, header: &Header, grid: &Grid, labels: Vec<Label>) -> Result<()> {
    let volume = Volume::new(grid.clone(), labels).with_path(path)?;
    let options = WriteOptions {
        gzip: Some(LABEL_LEVEL),
        label_intent: true,
    };
    write_atomic(path, |w| {
        write_labels(w, header, &volume, &options).with_path(path)
    })?;
    Ok(())
}

/// Writes JSON, with indents.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).with_path(path)?;
    text.push(b'\n');
    Ok(write_bytes(path, &text)?)
}
