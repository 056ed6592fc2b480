//! The choice of a pretext: what a network is pretrained for.

use amaes_core::pretext::{Cutout, CutoutConfig, ViewLossConfig};
use serde::{Deserialize, Serialize};

use super::error::Result;
use super::sections::check;

/// What a network is pretrained for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum PretextConfig {
    /// To restore masked and augmented patches; `patch` says how they are masked.
    Amaes(AmaesConfig),
    /// SwinUNETR's: to tell how views of a patch are rotated, which belong together, and what was
    /// cut out of them.
    SwinUNETR(ViewsConfig),
}

/// AMAES has its fields in `patch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmaesConfig {}

/// SwinUNETR's pretext. The default is the published one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewsConfig {
    /// What is cut out of a view: boxes of noise, then boxes of another patch.
    pub cutout: CutoutConfig,
    /// How the parts of the loss are weighed.
    pub loss: ViewLossConfig,
}

impl Default for PretextConfig {
    fn default() -> Self {
        Self::Amaes(AmaesConfig {})
    }
}

impl PretextConfig {
    /// The name of SwinUNETR's pretext in a configuration.
    pub(crate) const SWIN_UNETR: &str = "swinunetr";

    /// Whether it is that of AMAES.
    pub fn is_amaes(&self) -> bool {
        matches!(self, Self::Amaes(_))
    }
}

impl ViewsConfig {
    /// Checks the pretext for patches of `patch` voxels, `together` of which are computed at once.
    pub(super) fn validate(&self, patch: [usize; 3], together: usize) -> Result<()> {
        let ViewLossConfig {
            rotation,
            contrastive,
            inpainting,
            temperature,
        } = self.loss;
        let weights = [rotation, contrastive, inpainting];
        let holds = weights.iter().all(|w| *w >= 0.0 && w.is_finite());
        let holds = holds && weights.iter().any(|w| *w > 0.0);
        check("pretext.loss", holds, || {
            format!("{weights:?} are no weights of a sum")
        })?;
        let holds = temperature > 0.0 && temperature.is_finite();
        check("pretext.loss.temperature", holds, || {
            format!("{temperature} is not above 0")
        })?;
        check(
            "pretext.loss.contrastive",
            contrastive == 0.0 || together > 1,
            || {
                "there is nothing to tell a patch from: `patch.batch` over `training.accumulate` is 1"
                .into()
            },
        )?;
        check("patch.size", patch[1] == patch[2], || {
            format!("{patch:?}: views are rotated from y to z, whose edges must be equal")
        })?;
        Cutout::new(patch, self.cutout)?;
        Ok(())
    }
}
