//! Guessing what kind of image a file holds from its name, its folders and its sidecar.

use serde::{Deserialize, Serialize};

/// The kind of an image. Names follow BIDS suffixes where it has one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[non_exhaustive]
pub enum Sequence {
    /// T1-weighted.
    T1w,
    /// T1-weighted with contrast agent.
    T1c,
    /// T2-weighted.
    T2w,
    /// T2-weighted with fluid suppressed.
    #[serde(rename = "FLAIR")]
    Flair,
    /// Proton density.
    PDw,
    /// Gradient echo, T2*-weighted.
    T2starw,
    /// Susceptibility-weighted.
    #[serde(rename = "SWI")]
    Swi,
    /// Angiography, most of it time of flight.
    #[serde(rename = "angio")]
    Angio,
    /// Diffusion-weighted.
    #[serde(rename = "dwi")]
    Dwi,
    /// A diffusion coefficient, or another map of diffusion.
    #[serde(rename = "adc")]
    Adc,
    /// Functional: a BOLD series or its reference.
    #[serde(rename = "bold")]
    Bold,
    /// Perfusion: spin labelling or contrast.
    #[serde(rename = "asl")]
    Asl,
    /// Field map.
    #[serde(rename = "fmap")]
    FieldMap,
    /// Computed tomography.
    #[serde(rename = "CT")]
    Ct,
    /// Positron emission.
    #[serde(rename = "PET")]
    Pet,
    /// A label map or mask.
    #[serde(rename = "labels")]
    Labels,
    /// Nothing tells.
    #[default]
    #[serde(rename = "unknown")]
    Unknown,
}

impl Sequence {
    /// Its name in catalogues.
    pub fn name(self) -> &'static str {
        match self {
            Self::T1w => "T1w",
            Self::T1c => "T1c",
            Self::T2w => "T2w",
            Self::Flair => "FLAIR",
            Self::PDw => "PDw",
            Self::T2starw => "T2starw",
            Self::Swi => "SWI",
            Self::Angio => "angio",
            Self::Dwi => "dwi",
            Self::Adc => "adc",
            Self::Bold => "bold",
            Self::Asl => "asl",
            Self::FieldMap => "fmap",
            Self::Ct => "CT",
            Self::Pet => "PET",
            Self::Labels => "labels",
            Self::Unknown => "unknown",
        }
    }

    /// Of the BIDS suffix of a file (`T1w`); `contrast` where it has the entity `ce`.
    fn of_suffix(suffix: &str, contrast: bool) -> Option<Self> {
        Some(match suffix {
            "T1w" | "UNIT1" | "MP2RAGE" | "inplaneT1" if contrast => Self::T1c,
            "T1w" | "UNIT1" | "MP2RAGE" | "inplaneT1" => Self::T1w,
            "T2w" | "inplaneT2" => Self::T2w,
            "FLAIR" => Self::Flair,
            "PDw" | "PD" => Self::PDw,
            "T2starw" | "T2star" | "MEGRE" => Self::T2starw,
            "SWI" | "swi" | "Chimap" => Self::Swi,
            "angio" => Self::Angio,
            "dwi" => Self::Dwi,
            "adc" | "ADC" | "FA" | "MD" => Self::Adc,
            "bold" | "sbref" | "cbv" => Self::Bold,
            "asl" | "m0scan" | "perf" | "cbf" => Self::Asl,
            "phasediff" | "phase1" | "phase2" | "magnitude" | "magnitude1" | "magnitude2"
            | "fieldmap" | "epi" | "TB1map" => Self::FieldMap,
            "ct" | "CT" => Self::Ct,
            "pet" | "PET" => Self::Pet,
            "dseg" | "probseg" | "mask" | "seg" | "defacemask" | "roi" => Self::Labels,
            _ => return None,
        })
    }

    /// Of free text: a file name, a folder or a series description.
    pub fn of_text(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|w| !w.is_empty())
            .collect();
        let word = |list: &[&str]| words.iter().any(|w| list.contains(w));
        let starts = |list: &[&str]| words.iter().any(|w| list.iter().any(|p| w.starts_with(p)));
        let within = |list: &[&str]| list.iter().any(|p| lower.contains(p));
        // Words that say what was made of an image come before those that say which.
        Some(if word(LABELS) || starts(&["aseg", "wmparc", "aparc"]) {
            Self::Labels
        } else if word(&["ct", "cta", "ncct", "cect"]) {
            Self::Ct
        } else if word(&["pet", "fdg", "av45", "av1451", "pib", "suv"]) {
            Self::Pet
        } else if within(&["fmri", "resting_state", "resting state", "rsfmri"])
            || word(&["bold", "sbref", "func", "func1", "rest", "restingstate"])
        {
            Self::Bold
        } else if word(&["asl", "pasl", "pcasl", "perfusion", "perf", "cbf", "dsc"]) {
            Self::Asl
        } else if word(&["adc", "fa", "trace", "tracew", "colfa"]) {
            Self::Adc
        } else if starts(&["dwi", "dti", "hardi", "diff"]) || word(&["dmri", "ep2d"]) {
            Self::Dwi
        } else if starts(&["fieldmap", "phasediff", "fmap", "b0map"])
            || within(&["field_map", "field map"])
        {
            Self::FieldMap
        } else if within(&["flair"]) || word(&["dark", "tirm"]) {
            Self::Flair
        } else if starts(&["swi", "swan", "qsm"]) || word(&["susceptibility", "mip"]) {
            Self::Swi
        } else if starts(&["t2star", "t2s", "hemo", "gre", "medic"])
            || within(&["t2*", "t2_star", "t2-star"])
        {
            Self::T2starw
        } else if word(&["tof", "mra", "angio", "mrv"]) {
            Self::Angio
        } else if starts(&["t1c", "t1gd", "t1post", "gado", "t1km"])
            || word(&["gd", "gad", "postcontrast", "contrast", "mprc"])
        {
            Self::T1c
        } else if starts(&["t1"]) || within(T1_METHODS) || word(&["mpr", "tfl", "bravo"]) {
            Self::T1w
        } else if word(&["pd", "pdw", "dp", "proton"]) || starts(&["pdt2", "pd_t2"]) {
            Self::PDw
        } else if starts(&["t2"]) {
            Self::T2w
        } else {
            return None;
        })
    }

    /// Of a file: its BIDS suffix where it has one, then its name, its series description and its
    /// folders from the nearest up. `stem` is without extension.
    pub(super) fn guess(stem: &str, folders: &[&str], series: Option<&str>) -> Self {
        let suffix = stem.rsplit('_').next().unwrap_or(stem);
        let bids = stem.starts_with("sub-") || stem.contains("_ses-");
        if bids && let Some(found) = Self::of_suffix(suffix, stem.contains("_ce-")) {
            return found;
        }
        let named = || {
            Self::of_text(stem)
                .or_else(|| series.and_then(Self::of_text))
                .or_else(|| folders.iter().rev().take(4).find_map(|f| Self::of_text(f)))
        };
        named().unwrap_or_default()
    }
}

/// Words in the names of what is drawn over an image.
const LABELS: &[&str] = &[
    "seg",
    "dseg",
    "probseg",
    "mask",
    "masks",
    "brainmask",
    "defacemask",
    "label",
    "labels",
    "labelstr",
    "lesion",
    "lesions",
    "roi",
    "wmh",
    "consensus",
    "msk",
    "parcellation",
    "manualsegmentation",
];

/// Names of methods that give T1-weighted images.
const T1_METHODS: &[&str] = &[
    "mprage", "mp-rage", "mp_rage", "mp2rage", "memprage", "spgr", "ir-fspgr", "irfspgr",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_files_are_understood() {
        use Sequence::*;
        for (stem, folders, expected) in [
            ("sub-01_ses-1_acq-x_T1w", &[][..], T1w),
            ("sub-01_ce-gad_T1w", &[], T1c),
            ("sub-01_task-rest_bold", &["func"], Bold),
            ("sub-strokecase0001_ses-0001_dwi", &["dwi"], Dwi),
            ("sub-strokecase0001_ses-0001_adc", &["dwi"], Adc),
            ("sub-strokecase0001_ses-0001_FLAIR", &["anat"], Flair),
            ("sub-01_label-lesion_mask", &["anat"], Labels),
            ("BraTS2021_00000_t1ce", &["BraTS2021_00000"], T1c),
            ("BraTS2021_00000_t1", &["BraTS2021_00000"], T1w),
            ("BraTS2021_00000_t2", &["BraTS2021_00000"], T2w),
            ("BraTS2021_00000_seg", &["BraTS2021_00000"], Labels),
            (
                "ADNI_002_S_0295_MR_MP-RAGE__br_raw_20060418193713091_1_S13408_I13722",
                &["MP-RAGE"],
                T1w,
            ),
            (
                "ADNI_002_S_0295_MR_Axial_PD_T2_FSE__br_raw_2006_I13723",
                &["Axial_PD_T2_FSE"],
                PDw,
            ),
            (
                "PPMI_3102_MR_T2_FLAIR__br_raw_2011_I2",
                &["T2_FLAIR"],
                Flair,
            ),
            (
                "PPMI_3102_MR_2D_GRE-MT__br_raw_2011_I2",
                &["2D_GRE-MT"],
                T2starw,
            ),
            ("DP_preprocessed", &["Preprocessed_Data"], PDw),
            ("GADO_preprocessed", &["Preprocessed_Data"], T1c),
            ("Consensus", &["Masks"], Labels),
            ("FLAIR", &["pre"], Flair),
            ("wmh", &["0"], Labels),
            ("MR_Gd", &[], T1c),
            ("CT_AVM", &[], Ct),
            ("fmri", &[], Bold),
            ("dwi", &[], Dwi),
            ("T1_head_ext2", &[], T1w),
            ("CIT168toMNI152-2009c_T1w_brain", &[], T1w),
            ("spm152", &[], Unknown),
            ("PD25-fusion-template-1mm", &[], Unknown),
            ("image", &["subject1", "Sag_MPRAGE", "2010"], T1w),
        ] {
            assert_eq!(Sequence::guess(stem, folders, None), expected, "{stem}");
        }
        assert_eq!(Sequence::guess("1001", &[], Some("t2_tse_tra")), T2w);
    }

    #[test]
    fn names_are_those_of_serde() {
        for s in [
            Sequence::T1w,
            Sequence::Flair,
            Sequence::Dwi,
            Sequence::FieldMap,
            Sequence::Unknown,
        ] {
            assert_eq!(serde_json::to_value(s).expect("serialises"), s.name());
        }
    }
}
