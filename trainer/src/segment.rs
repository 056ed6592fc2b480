//! From an image file to its label map.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use amaes_core::infer::sliding_window::SlidingWindow;
use amaes_core::infer::{InferOptions, LabelReport, Progress, class_map};
use amaes_core::label::{Label, LabelTable};
use amaes_core::model::{Model, Spec};
use amaes_core::preprocess::Plan;
use amaes_core::segment::{Channels, Cleaning, PreparedLabels, Space};
use amaes_core::volume::{Header, ReadOptions, Volume};
use amaes_core::weights::ModelFile;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, WithPath};
use crate::model::build;
use crate::volumes::{self, STANDARD, Voxels};

/// How volumes are segmented.
#[derive(Clone, Debug, Default)]
pub struct SegmentOptions {
    /// How the network runs. Its memory limit is for the whole process; what the image takes is
    /// subtracted.
    pub infer: InferOptions,
    /// What is done to the labels.
    pub cleaning: Cleaning,
    /// The grid of the result.
    pub space: Space,
    /// How inputs are read.
    pub read: ReadOptions,
}

/// A network on its device, ready for any number of volumes.
#[derive(Debug)]
pub struct Segmenter {
    model: Model,
    spec: Spec,
    plan: Plan,
    table: LabelTable,
    device: Device,
    options: SegmentOptions,
}

/// A segmented volume.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// The labels.
    pub labels: Volume<Label>,
    /// The header to write them with.
    pub header: Header,
    /// Size, place and intensity of each label.
    pub report: LabelReport,
    /// How long it took.
    pub timings: Timings,
}

/// Seconds that each part of a segmentation took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Reading and decoding.
    pub read: f64,
    /// Preprocessing.
    pub prepare: f64,
    /// The network.
    pub network: f64,
    /// Cleaning, the way back to the native grid and measuring.
    pub finish: f64,
}

/// Bytes of the process beside image and network: the program, its tables and its buffers.
const OVERHEAD: u64 = 48 << 20;
/// Of what is left the network plans with so many fifths: allocators leave holes.
const FIFTHS: u64 = 4;
/// Bytes that the network gets at least, so that an error can say what it needs.
const LEAST: u64 = 1 << 20;

impl Segmenter {
    /// Puts a model on a device. A window size of the model file is used unless the options give
    /// one themselves.
    ///
    /// # Errors
    ///
    /// [`Error::Spec`] and [`Error::Weights`] with `path`.
    pub fn new(
        file: &ModelFile,
        path: &Path,
        device: &Device,
        options: SegmentOptions,
    ) -> Result<Self> {
        Ok(Self {
            model: build(&file.spec, &file.state, path, device)?,
            spec: file.spec.clone(),
            plan: file.plan.clone(),
            table: file.labels.clone(),
            device: device.clone(),
            options,
        })
    }

    /// The windows that a model file asks for.
    pub fn window(file: &ModelFile) -> SlidingWindow {
        let default = SlidingWindow::default();
        SlidingWindow {
            patch: file.hints.patch.unwrap_or(default.patch),
            overlap: file.hints.overlap.unwrap_or(default.overlap),
            ..default
        }
    }

    /// Segments the image whose channels are in `files`.
    ///
    /// # Errors
    ///
    /// [`Error`] with the file: it cannot be read or preprocessed, channels lie on different
    /// grids, the memory limit is too small, `progress` breaks.
    pub fn segment(
        &self,
        files: &[PathBuf],
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Segmentation> {
        let mut timings = Timings::default();
        let none = || Error::unsuitable(Path::new(""), "no input");
        let first = files.first().ok_or_else(none)?;
        let clock = Clock::start();
        let channels = self.prepare(files, &mut timings)?;
        clock.stop(&mut timings.prepare);
        timings.prepare -= timings.read;

        let clock = Clock::start();
        let map = class_map(
            &self.model,
            &self.spec,
            channels.input().ok_or_else(none)?,
            &self.infer_options(&channels),
            &self.device,
            progress,
        )
        .with_path(first)?;
        let (header, trace) = channels.into_origin().ok_or_else(none)?;
        clock.stop(&mut timings.network);

        let clock = Clock::start();
        let labels = PreparedLabels::new(map, &trace.prepared, &self.table);
        let mut labels = labels.with_path(first)?;
        labels.clean(&self.options.cleaning).with_path(first)?;
        let (labels, header) = match self.options.space {
            Space::Prepared => (labels.into_volume(), header.on_grid(&trace.prepared)),
            Space::Native => (labels.restore(&trace).with_path(first)?, header),
        };
        let report = self.measure(&labels, first)?;
        clock.stop(&mut timings.finish);
        Ok(Segmentation {
            labels,
            header,
            report,
            timings,
        })
    }

    /// The preprocessed channels.
    fn prepare(&self, files: &[PathBuf], timings: &mut Timings) -> Result<Channels> {
        let mut channels = Channels::default();
        for file in files {
            let clock = Clock::start();
            let (volume, header) = volumes::read(file, &self.options.read)?;
            clock.stop(&mut timings.read);
            channels.push(&self.plan, volume, header).with_path(file)?;
        }
        Ok(channels)
    }

    /// What the way back to the native grid needs; the process's memory limit less what the image
    /// takes.
    fn infer_options(&self, channels: &Channels) -> InferOptions {
        let mut options = self.options.infer.clone();
        options.second = self.options.space == Space::Native && channels.is_coarser();
        if let Some(limit) = options.memory_limit {
            let held = OVERHEAD + channels.held_bytes();
            let left = limit.saturating_sub(held) / 5 * FIFTHS;
            options.memory_limit = Some(left.max(LEAST));
        }
        options
    }

    /// Measures labels. Intensities are those of the first channel, which is read a second time
    /// instead of being held while the network runs; standard input cannot be.
    fn measure(&self, labels: &Volume<Label>, path: &Path) -> Result<LabelReport> {
        let again = self.options.space == Space::Native && path != Path::new(STANDARD);
        let image = match again {
            true => Some(volumes::read(path, &self.options.read)?.0),
            false => None,
        };
        LabelReport::measure(labels, image.as_ref(), &self.table).with_path(path)
    }
}

impl Segmentation {
    /// Writes the labels as NIfTI, atomically.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Volume`].
    pub fn save(&self, path: &Path) -> Result<()> {
        volumes::write(path, &self.header, Voxels::Labels(&self.labels))
    }
}

struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn stop(self, total: &mut f64) {
        *total += Duration::as_secs_f64(&self.0.elapsed());
    }
}
