//! One segmentation, step by step: channels arrive in pieces, the network runs, the image arrives
//! once more to be measured, results leave as files.

use std::rc::Rc;

use amaes_core::infer::sliding_window::{SlidingWindow, Weighting};
use amaes_core::infer::{Host, InferOptions, LabelReport, class_map_async};
use amaes_core::label::Label;
use amaes_core::preprocess::Trace;
use amaes_core::segment::{self, Channels, Cleaning};
use amaes_core::volume::{Header, ReadOptions, Volume, VolumeDecoder, WriteOptions, write_labels};
use burn::tensor::Device;
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Network;

/// What a caller may choose.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// What is done to the labels.
    pub cleaning: Cleaning,
    /// Edges of the sliding window; the model's own where absent.
    pub patch: Option<[usize; 3]>,
    /// Share of a window that the next one covers again; the model's own where absent.
    pub overlap: Option<f64>,
    /// Average over the eight mirror images of each window.
    pub mirror: bool,
    /// Index of the volume in a file that has several.
    pub volume: Option<u64>,
    /// Bytes that activations may take at once.
    pub memory_limit: Option<u64>,
    /// Bytes of the largest single buffer.
    pub max_buffer_bytes: Option<u64>,
}

impl Options {
    /// Reads options from JSON.
    ///
    /// # Errors
    ///
    /// Of the kind [`ErrorKind::Option`].
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json)
            .map_err(|e| Error::new(ErrorKind::Option, e.to_string(), "Change the option."))
    }
}

/// Labels and what they were made for.
struct Labelled {
    header: Header,
    trace: Trace,
    /// On the grid that the network saw.
    prepared: Volume<Label>,
    native: Volume<Label>,
}

enum State {
    Preparing(Box<Channels>),
    Running,
    Done(Box<Labelled>),
}

/// One segmentation.
pub struct Session {
    network: Rc<Network>,
    device: Device,
    options: Options,
    decoder: Option<VolumeDecoder<f32>>,
    state: State,
}

impl Session {
    /// A segmentation that has seen nothing yet.
    pub fn new(network: Rc<Network>, device: Device, options: Options) -> Self {
        Self {
            network,
            device,
            options,
            decoder: None,
            state: State::Preparing(Box::default()),
        }
    }

    fn read_options(&self) -> ReadOptions {
        ReadOptions {
            volume: self.options.volume,
            ..ReadOptions::default()
        }
    }

    /// Takes the next bytes of a channel's file. Returns the share of its voxels that is there.
    ///
    /// # Errors
    ///
    /// When the file is no volume or damaged.
    pub fn push(&mut self, bytes: &[u8]) -> Result<f64> {
        let options = self.read_options();
        let decoder = self
            .decoder
            .get_or_insert_with(|| VolumeDecoder::new(&options));
        decoder.push(bytes)?;
        Ok(decoder.fraction())
    }

    fn decoded(&mut self) -> Result<(Volume<f32>, Header)> {
        let options = self.read_options();
        let decoder = self.decoder.take();
        let decoder = decoder.unwrap_or_else(|| VolumeDecoder::new(&options));
        Ok(decoder.finish()?)
    }

    /// Ends a channel: preprocesses it.
    ///
    /// # Errors
    ///
    /// When the file ended too early or the image cannot be preprocessed.
    pub fn end_channel(&mut self) -> Result<()> {
        let (volume, header) = self.decoded()?;
        let network = Rc::clone(&self.network);
        let State::Preparing(channels) = &mut self.state else {
            return Err(Error::order("a channel after the network has run"));
        };
        channels.push(&network.file.plan, volume, header)?;
        Ok(())
    }

    /// Runs the network and makes the labels.
    ///
    /// # Errors
    ///
    /// When the channels do not suit the network, memory does not suffice, the device fails or
    /// `host` stops the run.
    pub async fn run<H: Host>(&mut self, host: &mut H) -> Result<()> {
        let State::Preparing(channels) = std::mem::replace(&mut self.state, State::Running) else {
            return Err(Error::order("the network has run already"));
        };
        let file = &self.network.file;
        let missing = || Error::order("no channel was given");
        let classes = class_map_async(
            &self.network.model,
            &file.spec,
            channels.input().ok_or_else(missing)?,
            &self.infer_options(),
            &self.device,
            host,
        )
        .await?;
        let (header, trace) = channels.into_origin().ok_or_else(missing)?;
        let mut prepared = segment::labels(&classes, &trace.prepared, &file.labels)?;
        drop(classes);
        self.options.cleaning.apply(&mut prepared)?;
        let native = trace.restore_labels(&prepared)?;
        self.state = State::Done(Box::new(Labelled {
            header,
            trace,
            prepared,
            native,
        }));
        Ok(())
    }

    fn infer_options(&self) -> InferOptions {
        let (hints, default) = (&self.network.file.hints, SlidingWindow::default());
        let options = &self.options;
        let unlimited = InferOptions::default().max_tensor_bytes;
        InferOptions {
            window: SlidingWindow {
                patch: options.patch.or(hints.patch).unwrap_or(default.patch),
                overlap: options.overlap.or(hints.overlap).unwrap_or(default.overlap),
                weighting: Weighting::Gaussian,
                mirror: options.mirror,
            },
            memory_limit: options.memory_limit,
            max_tensor_bytes: options.max_buffer_bytes.unwrap_or(unlimited),
            ..InferOptions::default()
        }
    }

    fn done(&self) -> Result<&Labelled> {
        match &self.state {
            State::Done(labelled) => Ok(labelled),
            _ => Err(Error::order("the network has not run")),
        }
    }

    /// Measures the labels on the native grid; with intensities where the first channel's file has
    /// been pushed once more.
    ///
    /// # Errors
    ///
    /// When the file differs from the first channel.
    pub fn measure(&mut self) -> Result<LabelReport> {
        let image = match &self.decoder {
            Some(_) => Some(self.decoded()?.0),
            None => None,
        };
        let labels = &self.done()?.native;
        let table = &self.network.file.labels;
        Ok(LabelReport::measure(labels, image.as_ref(), table)?)
    }

    /// The labels on the native grid as a `.nii.gz` file.
    ///
    /// # Errors
    ///
    /// When the network has not run.
    pub fn native_file(&self) -> Result<Vec<u8>> {
        let done = self.done()?;
        file(&done.header, &done.native)
    }

    /// The labels on the grid that the network saw as a `.nii.gz` file.
    ///
    /// # Errors
    ///
    /// When the network has not run.
    pub fn prepared_file(&self) -> Result<Vec<u8>> {
        let done = self.done()?;
        file(&done.header.on_grid(&done.trace.prepared), &done.prepared)
    }
}

fn file(header: &Header, labels: &Volume<Label>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    write_labels(&mut out, header, labels, &WriteOptions::GZIP)?;
    Ok(out)
}
