//! Running a plan on a volume.

use crate::volume::{Affine, Orientation, Volume};

use super::conform::{self, SAME_GRID};
use super::crop::{self, Region, translation};
use super::error::{PlanError, checked_voxels};
use super::normalize::{normalize, replace_non_finite, require_finite};
use super::plan::{Interpolation, Plan, Rescale, Step};
use super::resample;
use super::sample::{Border, trilinear};
use super::trace::{Applied, Trace};

/// A volume as a network takes it, and the way back.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The volume after the plan's last step.
    pub volume: Volume<f32>,
    /// What was done.
    pub trace: Trace,
}

impl Plan {
    /// Applies the steps in order.
    ///
    /// Takes the volume by value: intensities change in place, and at most one further volume (the
    /// larger of a step's two grids) is held at any time.
    ///
    /// # Errors
    ///
    /// [`PlanError::Parameter`] for a step that makes no sense; [`PlanError::Empty`],
    /// [`PlanError::NonFinite`] (unless [`Step::ReplaceNonFinite`] comes first),
    /// [`PlanError::Constant`] and its kin for what is no image; [`PlanError::SingularAffine`];
    /// [`PlanError::TooLarge`] and [`PlanError::OutOfMemory`].
    pub fn apply(&self, volume: Volume<f32>) -> Result<Prepared, PlanError> {
        self.run(volume, None)
    }

    /// Applies the steps to a further channel of an image, so that it ends on the grid of the
    /// first, whose trace is `first`: crops take the first's box. Intensities are the channel's
    /// own.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::apply`]; [`PlanError::OtherGrid`] where the channel does not lie on the
    /// first's grid, or `first` is of another plan.
    pub fn apply_like(&self, volume: Volume<f32>, first: &Trace) -> Result<Prepared, PlanError> {
        let (grid, data) = volume.into_parts();
        if !grid.coincides(&first.native) {
            return Err(PlanError::OtherGrid);
        }
        let volume = Volume::new(first.native.clone(), data)?;
        let prepared = self.run(volume, Some(first))?;
        match prepared.trace.prepared == first.prepared {
            true => Ok(prepared),
            false => Err(PlanError::OtherGrid),
        }
    }

    fn run(&self, volume: Volume<f32>, first: Option<&Trace>) -> Result<Prepared, PlanError> {
        self.validate()?;
        checked_voxels(volume.grid().shape)?;
        let mut state = State {
            to_prepared: Affine::IDENTITY,
            finite: false,
            volume,
        };
        let native = state.volume.grid().clone();
        let mut steps = Vec::with_capacity(self.steps.len());
        for (n, step) in self.steps.iter().enumerate() {
            let as_first = first.and_then(|trace| trace.steps.get(n));
            let applied;
            (state, applied) = state.run(step, as_first)?;
            steps.push(applied);
        }
        state.require_finite()?;
        Ok(Prepared {
            trace: Trace {
                native,
                prepared: state.volume.grid().clone(),
                steps,
                to_prepared: state.to_prepared,
            },
            volume: state.volume,
        })
    }
}

/// A volume on its way through a plan.
struct State {
    volume: Volume<f32>,
    /// Native voxel positions to those of `volume`.
    to_prepared: Affine,
    /// Whether all voxels are known to be finite.
    finite: bool,
}

impl State {
    /// Runs a step; `first` is what it did to the first channel of the same image.
    fn run(mut self, step: &Step, first: Option<&Applied>) -> Result<(Self, Applied), PlanError> {
        match step {
            Step::ReplaceNonFinite => {
                let (voxels, value) = replace_non_finite(self.volume.data_mut())?;
                self.finite = true;
                Ok((self, Applied::ReplaceNonFinite { voxels, value }))
            }
            Step::Reorient { to } => self.reorient(*to),
            Step::Conform {
                size,
                spacing,
                rescale,
            } => self.conform(*size, *spacing, *rescale),
            Step::CropForeground { margin } => self.crop(*margin, first),
            Step::Normalize(how) => {
                self.require_finite()?;
                let (offset, divisor) = normalize(self.volume.data_mut(), *how)?;
                Ok((self, Applied::Normalize { offset, divisor }))
            }
            Step::Resample {
                spacing,
                interpolation,
            } => self.resample(*spacing, *interpolation),
        }
    }

    fn require_finite(&mut self) -> Result<(), PlanError> {
        if !self.finite {
            require_finite(self.volume.data())?;
            self.finite = true;
        }
        Ok(())
    }

    fn reorient(mut self, to: Orientation) -> Result<(Self, Applied), PlanError> {
        let from = self.volume.grid().orientation()?;
        let change = from.to(to);
        if !change.is_identity() {
            self.volume = change.apply(&self.volume);
            let back = change.inverse().to_source(self.volume.grid().shape);
            self.to_prepared = back.after(&self.to_prepared);
        }
        Ok((self, Applied::Reorient { from, to }))
    }

    fn crop(
        mut self,
        margin: usize,
        first: Option<&Applied>,
    ) -> Result<(Self, Applied), PlanError> {
        self.require_finite()?;
        let whole = self.volume.grid().shape;
        let region = match first {
            Some(&Applied::CropForeground { start, shape }) => Region { start, shape },
            _ => crop::foreground(self.volume.data(), whole, margin)?,
        };
        // A trace may come from a file.
        let ends = [0, 1, 2].map(|a| region.start[a].saturating_add(region.shape[a]));
        if (0..3).any(|a| ends[a] > whole[a]) {
            return Err(PlanError::OtherGrid);
        }
        if region.shape != whole {
            self.volume = crop::crop(self.volume, region)?;
            self.to_prepared =
                translation(region.start.map(|s| -(s as f64))).after(&self.to_prepared);
        }
        let (start, shape) = (region.start, region.shape);
        Ok((self, Applied::CropForeground { start, shape }))
    }

    fn conform(
        mut self,
        size: usize,
        spacing: f64,
        rescale: Rescale,
    ) -> Result<(Self, Applied), PlanError> {
        let grid = conform::grid(self.volume.grid(), size, spacing)?;
        let inverse = |a: Affine| a.inverse().ok_or(PlanError::SingularAffine);
        let to_source = inverse(self.volume.grid().affine)?.after(&grid.affine);
        self.require_finite()?;
        let scaling = conform::to_bytes(self.volume.data_mut(), rescale)?;
        let resampled = grid != *self.volume.grid();
        if resampled {
            let (shape, map) = (self.volume.grid().shape, snapped(&to_source, size));
            let data = trilinear(
                self.volume.data(),
                shape,
                grid.shape,
                &map,
                Border::Zero,
                conform::round,
            )?;
            self.to_prepared = snapped(&inverse(map)?, size).after(&self.to_prepared);
            self.volume = Volume::new(grid, data)?;
        }
        Ok((self, Applied::Conform { resampled, scaling }))
    }

    fn resample(
        mut self,
        spacing: [f64; 3],
        interpolation: Interpolation,
    ) -> Result<(Self, Applied), PlanError> {
        self.require_finite()?;
        let (volume, to_source) = resample::resample(self.volume, spacing, interpolation)?;
        self.volume = volume;
        let to_new = to_source.inverse().ok_or(PlanError::SingularAffine)?;
        self.to_prepared = to_new.after(&self.to_prepared);
        let shape = self.volume.grid().shape;
        Ok((self, Applied::Resample { shape }))
    }
}

/// `map` with whole numbers where it is so close to them that no voxel of a cube of `size` moves
/// noticeably: flips and shifts then copy voxels exactly.
fn snapped(map: &Affine, size: usize) -> Affine {
    let close = |v: &f64, r: f64| (v - r).abs() * size as f64 <= SAME_GRID;
    let whole = map.0.iter().flatten().all(|v| close(v, v.round()));
    if whole {
        Affine(map.0.map(|row| row.map(f64::round)))
    } else {
        *map
    }
}
