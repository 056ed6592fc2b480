//! From an image file to its label map.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use amaes_core::infer::sliding_window::SlidingWindow;
use amaes_core::infer::{
    Connectivity, Grouping, InferOptions, Input, LabelReport, MinimumSize, Progress, class_map,
    fill_holes, keep_largest, keep_largest_per_label, remove_small,
};
use amaes_core::label::{Label, LabelTable};
use amaes_core::model::{Model, Spec};
use amaes_core::preprocess::{Plan, Trace};
use amaes_core::volume::{Grid, Header, ReadOptions, Volume};
use amaes_core::weights::ModelFile;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, WithPath};
use crate::model::build;
use crate::volumes::{self, STANDARD, Voxels};

/// The grid that labels are put out on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// The input's own grid.
    #[default]
    Native,
    /// The grid that the network saw.
    Prepared,
}

/// Which connected components are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
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

/// What is done to the labels before they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cleaning {
    /// Which components are kept.
    pub keep: Keep,
    /// Components of a label smaller than this many mm^3 are removed.
    pub minimum_mm3: Option<f64>,
    /// Holes of each label are filled.
    pub fill_holes: bool,
}

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
        let first = files
            .first()
            .ok_or_else(|| Error::unsuitable(Path::new(""), "no input"))?;
        let clock = Clock::start();
        let (input, header, trace) = self.prepare(files, &mut timings)?;
        clock.stop(&mut timings.prepare);
        timings.prepare -= timings.read;

        let clock = Clock::start();
        let options = self.infer_options(&trace, input.len());
        let image = Input {
            data: &input,
            channels: files.len(),
            shape: trace.prepared.shape,
        };
        let classes = class_map(
            &self.model,
            &self.spec,
            image,
            &options,
            &self.device,
            progress,
        )
        .with_path(first)?;
        drop(input);
        clock.stop(&mut timings.network);

        let clock = Clock::start();
        let labels = self.labels(&trace.prepared, classes, first)?;
        let (labels, header) = match self.options.space {
            Space::Prepared => (labels, volumes::header_on(&header, &trace.prepared)),
            Space::Native => (trace.restore_labels(&labels).with_path(first)?, header),
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

    /// Channels one after another in the network's axis order, and how they came there.
    fn prepare(
        &self,
        files: &[PathBuf],
        timings: &mut Timings,
    ) -> Result<(Vec<f32>, Header, Trace)> {
        let mut input = Vec::new();
        let mut kept: Option<(Header, Trace)> = None;
        for file in files {
            let clock = Clock::start();
            let (volume, header) = volumes::read(file, &self.options.read)?;
            clock.stop(&mut timings.read);
            let prepared = self.plan.apply(volume).with_path(file)?;
            let values = prepared.volume.to_c_order();
            match &kept {
                None => kept = Some((header, prepared.trace)),
                Some((_, first)) if first.prepared != prepared.trace.prepared => {
                    let message =
                        "after preprocessing, this channel lies on another grid than the first";
                    return Err(Error::unsuitable(file, message));
                }
                Some(_) => {}
            }
            if input.is_empty() {
                input = values;
            } else {
                input.extend(values);
            }
        }
        match kept {
            Some((header, trace)) => Ok((input, header, trace)),
            None => Err(Error::unsuitable(Path::new(""), "no input")),
        }
    }

    /// The process's memory limit less what the image takes.
    fn infer_options(&self, trace: &Trace, values: usize) -> InferOptions {
        let mut options = self.options.infer.clone();
        if let Some(limit) = options.memory_limit {
            let voxels = trace.prepared.voxels() + trace.native.voxels();
            let held = OVERHEAD + 4 * values as u64 + (size_of::<Label>() * voxels) as u64;
            options.memory_limit = Some(limit.saturating_sub(held).max(LEAST));
        }
        options
    }

    /// Classes as a cleaned volume of label values.
    fn labels(&self, grid: &Grid, classes: Vec<Label>, path: &Path) -> Result<Volume<Label>> {
        let mut labels = Volume::from_c_order(grid.clone(), &classes).with_path(path)?;
        drop(classes);
        let value = |class: Label| {
            self.table
                .0
                .get(usize::from(class))
                .map_or(class, |e| e.value)
        };
        for label in labels.data_mut() {
            *label = value(*label);
        }
        let cleaning = &self.options.cleaning;
        let near = Connectivity::Corners;
        match cleaning.keep {
            Keep::All => {}
            Keep::Largest => {
                keep_largest(&mut labels, near).with_path(path)?;
            }
            Keep::LargestPerLabel => {
                keep_largest_per_label(&mut labels, near).with_path(path)?;
            }
        }
        if let Some(mm3) = cleaning.minimum_mm3 {
            remove_small(&mut labels, near, Grouping::PerLabel, MinimumSize::Mm3(mm3))
                .with_path(path)?;
        }
        if cleaning.fill_holes {
            fill_holes(&mut labels, Grouping::PerLabel).with_path(path)?;
        }
        Ok(labels)
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
