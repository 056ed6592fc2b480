//! The description of a corpus, a TOML file: its sources, where they come from, and which of their
//! files are used. `docs/corpus.md` explains it by an example.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::exclude::Reason;
use super::layout::{Captures, Layout};
use super::scan::{Choice, Choose};
use crate::error::{Error, Result, WithPath};

/// Version of the format.
const FORMAT: u32 = 1;
/// Descriptions that come with the program.
const BUILT_IN: [(&str, &str); 3] = [
    ("brains45k", include_str!("../../../corpora/brains45k.toml")),
    ("fomo60k", include_str!("../../../corpora/fomo60k.toml")),
    ("openmind", include_str!("../../../corpora/openmind.toml")),
];

/// A corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format, 1.
    pub format: u32,
    /// Short name.
    pub name: String,
    /// One line.
    pub title: String,
    /// More lines.
    #[serde(default)]
    pub about: String,
    /// Volumes that are used in all, where that is known.
    pub volumes: Option<u64>,
    /// The data sets.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// A data set of a corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Short name, as given to `--root`.
    pub name: String,
    /// One line.
    pub title: String,
    /// Terms of use.
    pub licence: String,
    /// Where it is to be had.
    pub access: String,
    /// What to do there, and what to download.
    pub how: String,
    /// What else is good to know.
    #[serde(default)]
    pub note: String,
    /// What a whole copy gives, where that is known.
    #[serde(default)]
    pub expect: Expect,
    /// Paths of its files, relative to the root; the first one that fits counts, and files of no
    /// layout are left out. In archives: paths within the archive.
    pub layout: Vec<Layout>,
    /// The name in the layout that `keep` and `drop` look at: `sequence`, or `path` for the whole.
    #[serde(default = "sequence", rename = "match")]
    pub looks_at: String,
    /// Files are used where one of these is within that text (letter case aside); all where empty.
    #[serde(default)]
    pub keep: Vec<String>,
    /// Files are not used where one of these is.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Paths of test parts, which are not even read.
    #[serde(default)]
    pub hold_out: Vec<Layout>,
    /// A test part by chance, which is not even read.
    pub split: Option<Split>,
    /// What each volume of a file of several is; without it such files are not used.
    #[serde(default)]
    pub channels: Vec<String>,
    /// What does not speak against a volume of this source.
    #[serde(default)]
    pub allow: Vec<Reason>,
    /// How often its volumes are drawn, beside those of the others.
    pub weight: Option<f64>,
}

/// What a whole copy of a source gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Files that are used, or volumes of those that hold several.
    pub volumes: Option<u64>,
    /// Subjects that are used.
    pub subjects: Option<u64>,
}

/// A test part as scikit-learn's `train_test_split` draws it from the sorted subjects.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// `random_state`.
    pub seed: u32,
    /// `test_size`, a share.
    pub test: f64,
    /// Subjects there must be for the split to be the published one.
    pub subjects: u32,
}

fn sequence() -> String {
    "sequence".to_owned()
}

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is of no layout.
    Outside,
    /// It belongs to a test part.
    HeldOut,
    /// A word speaks against it, or none for it.
    Dropped(String),
    /// It is read.
    Read(Captures),
}

impl Manifest {
    /// Reads a description: a file, or the name of one that comes with the program.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Toml`] and [`Error::Unsuitable`] with the file and what is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let built_in = BUILT_IN.iter().find(|(name, _)| path == Path::new(name));
        if let (Some((_, text)), false) = (built_in, path.exists()) {
            return Self::parse(text, path);
        }
        Self::parse(&std::fs::read_to_string(path).with_path(path)?, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let out: Self = toml::from_str(text).with_path(path)?;
        out.check()
            .map_err(|message| Error::unsuitable(path, message))?;
        Ok(out)
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.format != FORMAT {
            return Err(format!(
                "format is {}; this program knows {FORMAT}",
                self.format
            ));
        }
        let mut names = BTreeSet::new();
        for source in &self.sources {
            let about = |message: &str| Err(format!("source `{}`: {message}", source.name));
            if !names.insert(&source.name) {
                return about("there are two of this name");
            }
            if source.name.is_empty() || source.name.contains('=') {
                return about("name must be some text without `=`");
            }
            if source.layout.is_empty() {
                return about("layout is empty: no file would be read");
            }
            let known = |name: &str| source.layout.iter().all(|l| l.names(name));
            let words = !source.keep.is_empty() || !source.drop.is_empty();
            if words && source.looks_at != "path" && !known(&source.looks_at) {
                return about(&format!(
                    "match is `{}`, which is not in every layout",
                    source.looks_at
                ));
            }
            if let Some(split) = source.split {
                if !(split.test > 0.0 && split.test < 1.0) {
                    return about("split.test must be between 0 and 1");
                }
                if !known("subject") {
                    return about("a split needs `{subject}` in every layout");
                }
            }
            if source.allow.contains(&Reason::Broken) {
                return about("allow: a broken file cannot be used");
            }
            if source.weight.is_some_and(|w| !w.is_finite() || w < 0.0) {
                return about("weight must be 0 or more");
            }
        }
        Ok(())
    }
}

impl Source {
    /// What becomes of a file by its name. `held_out` are the subjects of the test part.
    pub(super) fn judge(&self, path: &str, held_out: &BTreeSet<String>) -> Judgement {
        let Some(captures) = self.layout.iter().find_map(|l| l.matches(path)) else {
            return Judgement::Outside;
        };
        let subject = captures.get("subject");
        if self.hold_out.iter().any(|l| l.matches(path).is_some())
            || subject.is_some_and(|s| held_out.contains(s))
        {
            return Judgement::HeldOut;
        }
        let text = match self.looks_at.as_str() {
            "path" => path.to_lowercase(),
            name => captures
                .get(name)
                .map_or_else(String::new, |t| t.to_lowercase()),
        };
        let within = |words: &[String]| {
            words
                .iter()
                .find(|w| text.contains(&w.to_lowercase()))
                .cloned()
        };
        if let Some(word) = within(&self.drop) {
            return Judgement::Dropped(word);
        }
        if !self.keep.is_empty() && within(&self.keep).is_none() {
            return Judgement::Dropped("none of the words to keep".to_owned());
        }
        Judgement::Read(captures)
    }

    /// What decides which files are read and as what, as text.
    pub(super) fn rules(&self, held_out: &BTreeSet<String>) -> String {
        let (layout, hold) = (&self.layout, &self.hold_out);
        serde_json::json!([
            layout,
            self.looks_at,
            self.keep,
            self.drop,
            hold,
            held_out,
            self.channels
        ])
        .to_string()
    }
}

/// The files of a source that are read.
pub(super) struct Chosen<'a> {
    pub(super) source: &'a Source,
    pub(super) held_out: &'a BTreeSet<String>,
}

impl Choose for Chosen<'_> {
    fn choose(&self, path: &str) -> Option<Choice> {
        match self.source.judge(path, self.held_out) {
            Judgement::Read(captures) => Some(Choice {
                captures,
                channels: self.source.channels.clone(),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_come_with_the_program_are_sound() {
        for (name, text) in BUILT_IN {
            let found = Manifest::parse(text, Path::new(name)).expect(name);
            assert_eq!(found.name, name);
            for source in &found.sources {
                assert!(
                    source.access.starts_with("https://"),
                    "{name}: {}",
                    source.name
                );
                assert!(!source.how.is_empty() && !source.licence.is_empty());
            }
        }
    }

    /// What brains45k does with real paths of its sources.
    #[test]
    fn brains45k_keeps_and_drops_what_the_reference_did() {
        let corpus = Manifest::read(Path::new("brains45k")).expect("built in");
        let judge = |source: &str, path: &str| {
            let source = corpus
                .sources
                .iter()
                .find(|s| s.name == source)
                .expect("there");
            match source.judge(path, &BTreeSet::from(["BraTS2021_00009".to_owned()])) {
                Judgement::Outside => "outside".to_owned(),
                Judgement::HeldOut => "held out".to_owned(),
                Judgement::Dropped(word) => format!("dropped: {word}"),
                Judgement::Read(c) => {
                    let get = |k: &str| c.get(k).map_or("-", String::as_str);
                    format!("{} {} {}", get("subject"), get("session"), get("sequence"))
                }
            }
        };
        for (source, path, expected) in [
            (
                "PPMI",
                "PPMI/DATA/3102/MPRAGE_GRAPPA/2011-01-20_13_39_11.0/I218/PPMI_3102.nii",
                "3102 2011-01-20_13_39_11.0 MPRAGE_GRAPPA",
            ),
            (
                "PPMI",
                "DATA/3102/AX_T2/2011-01-20_13_39_11.0/I218/nifti/x.nii",
                "3102 2011-01-20_13_39_11.0 AX_T2",
            ),
            (
                "PPMI",
                "DATA/3102/2D_GRE-MT/2011-01-20_13_39_11.0/I219/x.nii",
                "dropped: 2d",
            ),
            (
                "PPMI",
                "DATA/3102/EPI_RESTING_STATE/2011-01-20_13_39_11.0/I219/x.nii",
                "dropped: resting_state",
            ),
            (
                "PPMI",
                "DATA/3102/T2_SPACE/2011-01-20_13_39_11.0/I219/x.nii",
                "dropped: space",
            ),
            (
                "PPMI",
                "DATA/3102/DTI_gated/2011-01-20_13_39_11.0/I219/x.nii",
                "dropped: none of the words to keep",
            ),
            (
                "ADNI",
                "ADNI/002_S_0295/MP-RAGE/2006-04-18_08_20_30.0/I13722/ADNI_002.nii",
                "002_S_0295 2006-04-18_08_20_30.0 MP-RAGE",
            ),
            (
                "OASIS3",
                "DATA/OAS30001_MR_d0129/anat2/sub-OAS30001_ses-d0129_run-01_T1w.nii.gz",
                "OAS30001 d0129 anat2",
            ),
            (
                "OASIS3",
                "DATA/OAS30001_MR_d0129/func1/sub-OAS30001_ses-d0129_task-rest_bold.nii.gz",
                "dropped: func",
            ),
            (
                "OASIS3",
                "DATA/OAS30001_MR_d0129/fmap1/x.nii.gz",
                "dropped: none of the words to keep",
            ),
            (
                "OASIS3",
                "DATA/OAS30001_AV45_PETd0129/pet1/x.nii.gz",
                "outside",
            ),
            (
                "OASIS4",
                "OASIS4_images/OAS42000_MR_d3000/anat1/NIFTI/x.nii.gz",
                "OAS42000 d3000 anat1",
            ),
            (
                "OASIS4",
                "OASIS4_images/OAS42000_MR_d3000/func1/NIFTI/x.nii.gz",
                "dropped: func",
            ),
            (
                "ISLES22",
                "ISLES-2022/images/sub-strokecase0001/ses-0001/dwi/sub-strokecase0001_ses-0001_adc.nii.gz",
                "sub-strokecase0001 ses-0001 dwi",
            ),
            (
                "ISLES22",
                "ISLES-2022/labels_derivatives/sub-strokecase0001/ses-0001/x_msk.nii.gz",
                "dropped: none of the words to keep",
            ),
            (
                "MSD",
                "Task01_BrainTumour/imagesTs/BRATS_485.nii.gz",
                "BRATS_485 - -",
            ),
            (
                "MSD",
                "Task01_BrainTumour/imagesTr/BRATS_001.nii.gz",
                "held out",
            ),
            (
                "MSD",
                "Task01_BrainTumour/labelsTr/BRATS_001.nii.gz",
                "outside",
            ),
            (
                "WMH",
                "WMH/Amsterdam/Train_GE3T/100/pre/FLAIR.nii.gz",
                "100 - FLAIR",
            ),
            ("WMH", "training/Utrecht/0/pre/T1.nii.gz", "0 - T1"),
            ("WMH", "WMH/Utrecht/Train/0/pre/T1.nii.gz", "0 - T1"),
            ("WMH", "WMH/Utrecht/Test/7/pre/T1.nii.gz", "held out"),
            (
                "WMH",
                "WMH/Amsterdam/Test/Philips_VU/160/pre/T1.nii.gz",
                "held out",
            ),
            (
                "WMH",
                "WMH/Utrecht/Train/0/pre/3DT1.nii.gz",
                "dropped: none of the words to keep",
            ),
            ("WMH", "WMH/Utrecht/Train/0/wmh.nii.gz", "outside"),
            (
                "BraTS21",
                "BraTS2021_00002/BraTS2021_00002_t1ce.nii.gz",
                "BraTS2021_00002 - t1ce",
            ),
            (
                "BraTS21",
                "x/BraTS2021_00002/BraTS2021_00002_seg.nii.gz",
                "dropped: seg",
            ),
            (
                "BraTS21",
                "x/BraTS2021_00009/BraTS2021_00009_t1.nii.gz",
                "held out",
            ),
            (
                "MSSEG1",
                "MSSEG1_2016/training/Center_01/Patient_01/Preprocessed_Data/GADO_preprocessed.nii.gz",
                "Patient_01 - GADO",
            ),
            (
                "MSSEG1",
                "MSSEG1_2016/Testing/Center_02/Patient_01/Preprocessed_Data/T1_preprocessed.nii.gz",
                "held out",
            ),
            (
                "MSSEG1",
                "MSSEG1_2016/training/Center_01/Patient_01/Masks/Consensus.nii.gz",
                "outside",
            ),
        ] {
            assert_eq!(judge(source, path), expected, "{source}: {path}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let source = |more: &str| {
            format!(
                "format = 1\nname = \"x\"\ntitle = \"x\"\n[[source]]\nname = \"a\"\ntitle = \"a\"\n\
                 licence = \"l\"\naccess = \"https://x\"\nhow = \"h\"\n{more}"
            )
        };
        for (text, part) in [
            (source("layout = []"), "layout is empty"),
            (source("layout = [\"{a\"]"), "layout `{a`"),
            (
                source("layout = [\"*.nii\"]\nkeep = [\"t1\"]"),
                "match is `sequence`",
            ),
            (source("layout = [\"*.nii\"]\nallow = [\"ugly\"]"), "ugly"),
            (
                source("layout = [\"*.nii\"]\nallow = [\"broken\"]"),
                "broken",
            ),
            (source("layout = [\"*.nii\"]\nkeeps = [\"t1\"]"), "keeps"),
            (source("layout = [\"*.nii\"]\nweight = -1.0"), "weight"),
            (
                source(
                    "layout = [\"{subject}/*.nii\"]\nsplit = {seed = 1, test = 1.5, subjects = 3}",
                ),
                "split.test",
            ),
            (
                source("layout = [\"*.nii\"]").replace("format = 1", "format = 2"),
                "format is 2",
            ),
        ] {
            let error = Manifest::parse(&text, Path::new("x.toml"))
                .expect_err(part)
                .to_string();
            assert!(error.contains(part) && error.contains("x.toml"), "{error}");
        }
    }
}
