//! What every program that segments does around the network: channels in, labels out.

use serde::{Deserialize, Serialize};

use crate::infer::{
    ClassMap, Connectivity, Grouping, Input, LabelError, MinimumSize, fill_holes, keep_largest,
    keep_largest_per_label, remove_small,
};
use crate::label::{Label, LabelTable, RunnerUp};
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

    /// Whether the voxels of the prepared image are larger, so that it is worth to know which class
    /// comes second.
    pub fn is_coarser(&self) -> bool {
        self.first.as_ref().is_some_and(|(_, t)| t.is_coarser())
    }

    /// Bytes that the image takes while the network runs: the channels, the labels on both grids,
    /// and what comes second on that of the network.
    pub fn held_bytes(&self) -> u64 {
        let labels = self.first.as_ref().map_or(0, |(_, trace)| {
            let second = if trace.is_coarser() {
                size_of::<RunnerUp>()
            } else {
                0
            };
            let prepared = size_of::<Label>() + second;
            prepared * trace.prepared.voxels() + size_of::<Label>() * trace.native.voxels()
        });
        4 * self.data.len() as u64 + labels as u64
    }
}

/// Labels on the grid that the network saw, and what they need to come back from there.
#[derive(Clone, Debug)]
pub struct PreparedLabels {
    labels: Volume<Label>,
    /// What comes second in each voxel, where that is known.
    second: Option<Volume<RunnerUp>>,
}

impl PreparedLabels {
    /// The classes of a network as label values.
    ///
    /// # Errors
    ///
    /// [`VolumeError::DataLength`] when there are not as many as voxels.
    pub fn new(map: ClassMap, grid: &Grid, table: &LabelTable) -> Result<Self, VolumeError> {
        let value = |class: Label| {
            let entry = table.0.get(usize::from(class));
            entry.map_or(class, |entry| entry.value)
        };
        let ClassMap { classes, second } = map;
        let mut labels = Volume::from_c_order(grid.clone(), &classes)?;
        drop(classes);
        for label in labels.data_mut() {
            *label = value(*label);
        }
        let second = match second.is_empty() {
            true => None,
            false => {
                let mut second = Volume::from_c_order(grid.clone(), &second)?;
                for second in second.data_mut() {
                    second.label = value(second.label);
                }
                Some(second)
            }
        };
        Ok(Self { labels, second })
    }

    /// Cleans the labels. In voxels that this changes, nothing comes second.
    ///
    /// # Errors
    ///
    /// Those of [`Cleaning::apply`].
    pub fn clean(&mut self, cleaning: &Cleaning) -> Result<(), LabelError> {
        self.change(|labels| cleaning.apply(labels))
    }

    fn change<E>(
        &mut self,
        change: impl FnOnce(&mut Volume<Label>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(second) = &mut self.second else {
            return change(&mut self.labels);
        };
        let before = self.labels.clone();
        change(&mut self.labels)?;
        let labels = before.data().iter().zip(self.labels.data());
        for (second, (before, after)) in second.data_mut().iter_mut().zip(labels) {
            if before != after {
                *second = RunnerUp::default();
            }
        }
        Ok(())
    }

    /// The labels on the native grid. What comes second counts where prepared voxels are larger.
    ///
    /// # Errors
    ///
    /// Those of [`Trace::restore_labels`].
    pub fn restore(&self, trace: &Trace) -> Result<Volume<Label>, PlanError> {
        match &self.second {
            Some(second) => trace.restore_labels_by_share(&self.labels, second),
            None => trace.restore_labels(&self.labels),
        }
    }

    /// The labels themselves.
    pub fn into_volume(self) -> Volume<Label> {
        self.labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::LabelEntry;
    use crate::preprocess::{Interpolation, Step};
    use crate::volume::Affine;

    /// Two prepared voxels along x stand for four: 0 and 5, with 5 second in the first.
    #[test]
    fn what_comes_second_counts_unless_cleaning_changed_the_voxel() -> Result<(), PlanError> {
        let native = Grid {
            shape: [4, 1, 1],
            affine: Affine::IDENTITY,
        };
        let step = Step::Resample {
            spacing: [2.0, 1.0, 1.0],
            interpolation: Interpolation::Trilinear,
        };
        let plan = Plan { steps: vec![step] };
        let trace = plan.apply(Volume::new(native, vec![1.0; 4])?)?.trace;
        assert_eq!(trace.prepared.shape, [2, 1, 1]);
        let table = LabelTable(
            [0, 5]
                .map(|value| LabelEntry {
                    value,
                    name: String::new(),
                    color: [0; 3],
                })
                .into(),
        );
        let restored = |classes: [Label; 2], second: &[RunnerUp], cleaned: [Label; 2]| {
            let map = ClassMap {
                classes: classes.into(),
                second: second.into(),
            };
            let mut labels = PreparedLabels::new(map, &trace.prepared, &table)?;
            labels.change(|labels| {
                labels.data_mut().copy_from_slice(&cleaned);
                Ok::<_, PlanError>(())
            })?;
            Ok::<_, PlanError>(labels.restore(&trace)?.into_parts().1)
        };
        let second = [RunnerUp::new(1, 0.45), RunnerUp::new(0, 0.0)];
        // At the second voxel: 3/4 * 0.45 + 1/4 of 5.
        assert_eq!(restored([0, 1], &second, [0, 5])?, [0, 5, 5, 5]);
        // As if the second voxel had been filled, or the first one emptied.
        assert_eq!(restored([1, 1], &second, [0, 5])?, [0, 0, 5, 5]);
        assert_eq!(restored([1, 1], &[], [0, 5])?, [0, 0, 5, 5]);
        Ok(())
    }
}
