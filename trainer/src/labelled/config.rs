//! What a configuration says about a labelled dataset: the section `data`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use amaes_core::label::Label;
use serde::{Deserialize, Serialize};

/// How a dataset is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// A BIDS tree whose labels are a derivative.
    #[default]
    Bids,
    /// nnU-Net's raw folder: `imagesTr`, `labelsTr` and `dataset.json`, of version 1 or 2.
    Nnunet,
    /// A CSV file with a row a case.
    Csv,
}

/// A labelled dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatasetConfig {
    /// How it is laid out.
    pub layout: Layout,
    /// The BIDS tree, the raw folder or the CSV file.
    pub path: PathBuf,
    /// The image's channels in the order in which the network reads them. BIDS: suffixes, with
    /// entities before them where a suffix alone is not enough (`T1w`, `ce-gad_T1w`). nnU-Net:
    /// names of `dataset.json`. CSV: columns. Empty: all of nnU-Net's, the only suffix of a BIDS
    /// tree, the CSV's column `image`.
    pub channels: Vec<String>,
    /// Where the labels are.
    pub labels: LabelsConfig,
    /// Names of the classes, background first. Empty: those of `dataset.json` or of the tables
    /// beside BIDS labels.
    pub classes: Vec<String>,
    /// The class of a value in the label files. A value that is not named is its own class.
    pub map: BTreeMap<String, Label>,
    /// The value of voxels without label; training and validation leave them out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Label>,
    /// Only cases of these sites; empty for all. A site is the column `site` of
    /// `participants.tsv` or of the CSV.
    pub sites: Vec<String>,
}

/// Where the labels of a dataset are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LabelsConfig {
    /// BIDS: the derivative's folder, within the tree.
    pub derivatives: PathBuf,
    /// BIDS: the label files' entity `desc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// BIDS: their suffix; `dseg` or `mask` where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// CSV: the column of label files.
    pub column: String,
}

impl Default for LabelsConfig {
    fn default() -> Self {
        Self {
            derivatives: "derivatives/labels".into(),
            desc: None,
            suffix: None,
            column: "label".into(),
        }
    }
}
