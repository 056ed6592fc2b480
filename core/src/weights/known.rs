//! The published MeshNets and strided encoder-decoders: what their shapes do not tell.
//!
//! From the TensorFlow.js topologies, colour maps and settings of brainchop (github.com/neuroneural
//! /brainchop, MIT) and the networks of niivue-tinygrad (github.com/spikedoanz/niivue-tinygrad,
//! BSD-2). Where the two disagree the table follows the files beside the weights.

mod labels;

use self::labels::Class;
use crate::label::{Label, LabelEntry, LabelTable};
use crate::model::{MeshNetConfig, StridedConfig};
use crate::nn::Activation;
use crate::preprocess::{Normalization, Plan, Step};

/// A published network of one image channel.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Channels of every dilated layer.
    width: usize,
    pub(super) dilations: &'static [usize],
    pub(super) activation: Activation,
    pub(super) norm: bool,
    normalization: Normalization,
    classes: &'static [Class],
}

/// One fan of dilations up and down.
const FAN: &[usize] = &[1, 2, 4, 8, 16, 8, 4, 2, 1];
/// Five falls of dilations.
const FALLS: &[usize] = &[
    16, 8, 4, 2, 1, 16, 8, 4, 2, 1, 16, 8, 4, 2, 1, 16, 8, 4, 2, 1, 16, 8, 4, 2, 1,
];

/// brainchop's quantile normalisation: the range is not clipped.
const QUANTILE: Normalization = Normalization::Quantile {
    low: 0.05,
    high: 0.95,
    clip: false,
    epsilon: 0.0,
};
/// That of mindgrab, as it was trained (`mindgrab_tinygrad.py`), and of the strided networks, as
/// niivue-tinygrad runs them.
const QUANTILE_CLIPPED: Normalization = Normalization::Quantile {
    low: 0.02,
    high: 0.98,
    clip: true,
    epsilon: 1e-3,
};

static NETWORKS: [Known; 9] = [
    // Also net_tissue_fast.
    Known {
        name: "model5_gw_ae",
        width: 5,
        dilations: FAN,
        activation: Activation::Relu,
        norm: false,
        normalization: Normalization::MinMax,
        classes: labels::TISSUE,
    },
    Known {
        name: "model11_gw_ae",
        width: 11,
        dilations: &[1, 2, 4, 8, 4, 2, 2, 1],
        activation: Activation::Relu,
        norm: false,
        normalization: Normalization::MinMax,
        classes: labels::TISSUE,
    },
    Known {
        name: "model20chan3cls",
        width: 20,
        dilations: FAN,
        activation: Activation::Elu,
        norm: false,
        normalization: QUANTILE,
        classes: labels::TISSUE,
    },
    Known {
        name: "model18cls",
        width: 21,
        dilations: FAN,
        activation: Activation::Elu,
        norm: false,
        normalization: Normalization::MinMax,
        classes: labels::SUBCORTICAL,
    },
    // Also net_subcortical.
    Known {
        name: "model30chan18cls",
        width: 30,
        dilations: FAN,
        activation: Activation::Elu,
        norm: false,
        normalization: Normalization::MinMax,
        classes: labels::SUBCORTICAL,
    },
    // Also net_aparc50, in half precision.
    Known {
        name: "model30chan50cls",
        width: 30,
        dilations: FAN,
        activation: Activation::Elu,
        norm: false,
        normalization: QUANTILE,
        classes: labels::APARC_50,
    },
    // Also net_DKatlas, in half precision.
    Known {
        name: "model21_104class",
        width: 21,
        dilations: &[1, 2, 2, 4, 4, 8, 8, 16],
        activation: Activation::Relu,
        norm: false,
        normalization: Normalization::MinMax,
        classes: labels::APARC_104,
    },
    Known {
        name: "mindgrab",
        width: 15,
        dilations: FALLS,
        activation: Activation::Gelu,
        norm: true,
        normalization: QUANTILE_CLIPPED,
        classes: labels::BRAIN,
    },
    Known {
        name: "net_t2",
        width: 11,
        dilations: FAN,
        activation: Activation::Elu,
        norm: false,
        normalization: Normalization::MinMax,
        classes: labels::LESION,
    },
];

/// The network of these widths, by its shapes alone.
pub(super) fn find(hidden: &[usize], in_channels: usize, classes: usize) -> Option<&'static Known> {
    NETWORKS.iter().find(|known| {
        in_channels == 1
            && classes == known.classes.len()
            && hidden.len() == known.dilations.len()
            && hidden.iter().all(|&width| width == known.width)
    })
}

/// The network that is described so.
pub(super) fn of(config: &MeshNetConfig) -> Option<&'static Known> {
    let hidden: Vec<usize> = config.layers.iter().map(|layer| layer.channels).collect();
    let known = find(&hidden, config.in_channels, config.out_channels)?;
    let same = config
        .layers
        .iter()
        .map(|layer| &layer.dilation)
        .eq(known.dilations)
        && config.activation == known.activation
        && config.norm == known.norm;
    same.then_some(known)
}

/// What is known of a published network beside its sizes.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) name: &'static str,
    /// Its preprocessing.
    pub(super) plan: Plan,
    /// Its classes, where they are known.
    pub(super) labels: Option<LabelTable>,
}

impl Published {
    fn new(name: &'static str, normalization: Normalization, classes: &[Class]) -> Self {
        let entry = |(&(name, color), value): (&Class, Label)| LabelEntry {
            value,
            name: name.to_owned(),
            color,
        };
        Self {
            name,
            plan: Plan {
                steps: vec![Step::conform(), Step::Normalize(normalization)],
            },
            labels: (!classes.is_empty())
                .then(|| LabelTable(classes.iter().zip(0..).map(entry).collect())),
        }
    }
}

impl Known {
    pub(super) fn published(&self) -> Published {
        Published::new(self.name, self.normalization, self.classes)
    }
}

/// The published strided encoder-decoder that is described so.
pub(super) fn strided(config: &StridedConfig) -> Option<Published> {
    let published = [
        ("net_robust_tissue", 16, 3, labels::TISSUE_GREY_FIRST),
        // The order of its classes is not published.
        ("net_big_robust_tissue", 32, 18, &[] as &[Class]),
    ];
    published
        .into_iter()
        .find_map(|(name, filters, count, classes)| {
            let same = *config == StridedConfig::of(filters, 1, count);
            same.then(|| Published::new(name, QUANTILE_CLIPPED, classes))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_tell_the_networks_apart() {
        for known in &NETWORKS {
            let hidden = vec![known.width; known.dilations.len()];
            let found = find(&hidden, 1, known.classes.len()).expect("in the table");
            assert_eq!(found.name, known.name);
            assert!(find(&hidden, 2, known.classes.len()).is_none());
        }
        let classes: Vec<usize> = NETWORKS.iter().map(|known| known.classes.len()).collect();
        assert_eq!(classes, [3, 3, 3, 18, 18, 50, 104, 2, 2]);
    }
}
