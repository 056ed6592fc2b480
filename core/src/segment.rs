//! What every program that segments does around the network: channels in, labels out.

use serde::{Deserialize, Serialize};

use crate::infer::{
    Connectivity, Grouping, Input, LabelError, MinimumSize, fill_holes, keep_largest,
    keep_largest_per_label, remove_small,
};
use crate::label::{Label, LabelTable};
use crate::preprocess::{Plan, PlanError, Trace};
use crate::volume::{Grid, Header, Volume, VolumeError};

/// The grid that labels are put out on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// The input's own grid.
    #[default]
    Native,
    /// The grid that the network saw.
    Prepared,
}

/// Which connected components are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All.
    #[default]
    All,
    /// The largest of the foreground.
    Largest,
    /// The largest of each label.
    LargestPerLabel,
}

/// What is done to labels before they are put out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cleaning {
    /// Which components are kept.
    pub keep: Keep,
    /// Components of a label smaller than this many mm^3 are removed.
    pub minimum_mm3: Option<f64>,
    /// Holes of each label are filled.
    pub fill_holes: bool,
}

impl Cleaning {
    /// Cleans `labels`; voxels that share a corner are connected.
    ///
    /// # Errors
    ///
    /// Those of [`remove_small`] about the size, and too many components.
    pub fn apply(&self, labels: &mut Volume<Label>) -> Result<(), LabelError> {
        let near = Connectivity::Corners;
        match self.keep {
            Keep::All => {}
            Keep::Largest => {
                keep_largest(labels, near)?;
            }
            Keep::LargestPerLabel => {
                keep_largest_per_label(labels, near)?;
            }
        }
        if let Some(mm3) = self.minimum_mm3 {
            remove_small(labels, near, Grouping::PerLabel, MinimumSize::Mm3(mm3))?;
        }
        if self.fill_holes {
            fill_holes(labels, Grouping::PerLabel)?;
        }
        Ok(())
    }
}

/// The preprocessed channels of one image, in the network's axis order.
#[derive(Clone, Debug, Default)]
pub struct Channels {
    data: Vec<f32>,
    count: usize,
    first: Option<(Header, Trace)>,
}

impl Channels {
    /// Preprocesses the next channel and adds it. All end on the grid of the first.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::apply`] and [`Plan::apply_like`].
    pub fn push(
        &mut self,
        plan: &Plan,
        volume: Volume<f32>,
        header: Header,
    ) -> Result<(), PlanError> {
        match &self.first {
            None => {
                let prepared = plan.apply(volume)?;
                self.data = prepared.volume.to_c_order();
                self.first = Some((header, prepared.trace));
            }
            Some((_, first)) => {
                let prepared = plan.apply_like(volume, first)?;
                self.data.extend(prepared.volume.to_c_order());
            }
        }
        self.count += 1;
        Ok(())
    }

    /// What the network reads; `None` where there is no channel yet.
    pub fn input(&self) -> Option<Input<'_>> {
        self.first.as_ref().map(|(_, trace)| Input {
            data: &self.data,
            channels: self.count,
            shape: trace.prepared.shape,
        })
    }

    /// Header of the first channel, and what was done to it. The values are given up.
    pub fn into_origin(self) -> Option<(Header, Trace)> {
        self.first
    }

    /// Bytes that the image takes while the network runs: the channels, and the labels on both
    /// grids.
    pub fn held_bytes(&self) -> u64 {
        let voxels = self
            .first
            .as_ref()
            .map_or(0, |(_, t)| t.prepared.voxels() + t.native.voxels());
        4 * self.data.len() as u64 + (size_of::<Label>() * voxels) as u64
    }
}

/// The classes of a network, `[x, y, z]` with the last axis fastest, as a volume of label values.
///
/// # Errors
///
/// [`VolumeError::DataLength`] when there are not as many as voxels.
pub fn labels(
    classes: &[Label],
    grid: &Grid,
    table: &LabelTable,
) -> Result<Volume<Label>, VolumeError> {
    let mut labels = Volume::from_c_order(grid.clone(), classes)?;
    for label in labels.data_mut() {
        if let Some(entry) = table.0.get(usize::from(*label)) {
            *label = entry.value;
        }
    }
    Ok(labels)
}
