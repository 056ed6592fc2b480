//! One segmentation, step by step: channels arrive in pieces, the network runs, the image arrives
//! once more to be measured, results leave as files.

use std::cell::RefCell;
use std::rc::Rc;

use amaes_core::infer::sliding_window::{SlidingWindow, Weighting};
use amaes_core::infer::{
    Assembly, Host, InferError, InferOptions, Input, LabelReport, Output, Pieces,
};
use amaes_core::label::Label;
use amaes_core::preprocess::Trace;
use amaes_core::segment::{Channels, Cleaning, PreparedLabels};
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

    /// The settings of inference for a network on so many modules.
    fn infer(&self, network: &Network, workers: usize) -> InferOptions {
        let (hints, default) = (&network.file.hints, SlidingWindow::default());
        let unlimited = InferOptions::default().max_tensor_bytes;
        InferOptions {
            window: SlidingWindow {
                patch: self.patch.or(hints.patch).unwrap_or(default.patch),
                overlap: self.overlap.or(hints.overlap).unwrap_or(default.overlap),
                weighting: Weighting::Gaussian,
                mirror: self.mirror,
            },
            memory_limit: self.memory_limit,
            max_tensor_bytes: self.max_buffer_bytes.unwrap_or(unlimited),
            workers,
            ..InferOptions::default()
        }
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

/// A run that has been cut into pieces.
struct Running {
    channels: Channels,
    pieces: Pieces,
    /// Outputs arrive while a piece runs.
    assembly: RefCell<Assembly>,
}

enum State {
    Preparing(Box<Channels>),
    Running(Box<Running>),
    /// Between two states.
    Moving,
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

    /// Cuts the run into pieces for so many modules; returns how many. It may be cut again, and
    /// then begins anew.
    ///
    /// # Errors
    ///
    /// When the channels do not suit the network, or memory does not suffice.
    pub fn plan(&mut self, workers: usize) -> Result<usize> {
        let missing = || Error::order("no channel was given");
        let channels = match std::mem::replace(&mut self.state, State::Moving) {
            State::Preparing(channels) => *channels,
            State::Running(running) => running.channels,
            State::Moving | State::Done(_) => {
                return Err(Error::order("the network has run already"));
            }
        };
        let (model, spec) = self.network.parts();
        let input = channels.input().ok_or_else(missing)?;
        if input.channels != spec.in_channels() {
            let (expected, found) = (spec.in_channels(), input.channels);
            return Err(InferError::Channels { expected, found }.into());
        }
        let mut options = self.options.infer(&self.network, workers);
        options.second = channels.is_coarser();
        let pieces = Pieces::plan(model, spec, input.shape, &options)?;
        let count = pieces.count();
        self.state = State::Running(Box::new(Running {
            assembly: RefCell::new(pieces.assembly(spec)),
            channels,
            pieces,
        }));
        Ok(count)
    }

    /// Pieces that must run at the same time: [`Pieces::together`].
    ///
    /// # Errors
    ///
    /// Before [`plan`](Self::plan).
    pub fn together(&self) -> Result<usize> {
        Ok(self.running()?.pieces.together())
    }

    fn running(&self) -> Result<&Running> {
        match &self.state {
            State::Running(running) => Ok(running),
            _ => Err(Error::order("the run has not been cut into pieces")),
        }
    }

    /// Voxels of the image as the network sees it.
    ///
    /// # Errors
    ///
    /// Before [`plan`](Self::plan).
    pub fn shape(&self) -> Result<[usize; 3]> {
        let input = self.running()?.channels.input();
        let input = input.ok_or_else(|| Error::order("no channel was given"))?;
        Ok(input.shape)
    }

    /// What a piece reads, `[channels, x, y, z]`, and its shape: for a [`Helper`].
    ///
    /// # Errors
    ///
    /// Before [`plan`](Self::plan).
    pub fn piece_input(&self, piece: usize) -> Result<(Vec<f32>, [usize; 3])> {
        let running = self.running()?;
        let input = running.channels.input();
        let input = input.ok_or_else(|| Error::order("no channel was given"))?;
        Ok(running.pieces.input(piece, input))
    }

    /// Runs a piece.
    ///
    /// # Errors
    ///
    /// When the device fails or `host` stops the run.
    pub async fn run_piece<H: Host>(&self, piece: usize, host: &mut H) -> Result<Output> {
        let running = self.running()?;
        let input = running.channels.input();
        let input = input.ok_or_else(|| Error::order("no channel was given"))?;
        let network = self.network.parts();
        let output = running
            .pieces
            .run(piece, input, network, &self.device, host);
        Ok(output.await?)
    }

    /// Adds the output of the next piece, whoever ran it.
    ///
    /// # Errors
    ///
    /// When it is not that piece's.
    pub fn add(&self, output: &Output) -> Result<()> {
        Ok(self.running()?.assembly.borrow_mut().add(output)?)
    }

    /// Makes the labels of the pieces.
    ///
    /// # Errors
    ///
    /// When a piece is missing or memory does not suffice.
    pub fn assemble(&mut self) -> Result<()> {
        let State::Running(running) = std::mem::replace(&mut self.state, State::Moving) else {
            return Err(Error::order("the run has not been cut into pieces"));
        };
        let Running {
            channels, assembly, ..
        } = *running;
        let map = assembly.into_inner().finish()?;
        let origin = channels.into_origin();
        let (header, trace) = origin.ok_or_else(|| Error::order("no channel was given"))?;
        let table = &self.network.file.labels;
        let mut prepared = PreparedLabels::new(map, &trace.prepared, table)?;
        prepared.clean(&self.options.cleaning)?;
        let native = prepared.restore(&trace)?;
        self.state = State::Done(Box::new(Labelled {
            header,
            trace,
            prepared: prepared.into_volume(),
            native,
        }));
        Ok(())
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

/// Runs pieces for a session in another module.
pub struct Helper {
    network: Rc<Network>,
    device: Device,
    pieces: Pieces,
}

impl Helper {
    /// One for a session with the same network and options, whose image has this shape, and which
    /// is cut for as many modules.
    ///
    /// # Errors
    ///
    /// Those of [`Session::plan`].
    pub fn new(
        network: Rc<Network>,
        device: Device,
        options: &Options,
        shape: [usize; 3],
        workers: usize,
    ) -> Result<Self> {
        let (model, spec) = network.parts();
        let pieces = Pieces::plan(model, spec, shape, &options.infer(&network, workers))?;
        Ok(Self {
            network,
            device,
            pieces,
        })
    }

    /// Runs a piece on what [`Session::piece_input`] gave.
    ///
    /// # Errors
    ///
    /// When the values are not the piece's, the device fails or `host` stops the run.
    pub async fn run<H: Host>(
        &self,
        piece: usize,
        values: &[f32],
        shape: [usize; 3],
        host: &mut H,
    ) -> Result<Output> {
        let network = self.network.parts();
        let part = Input {
            data: values,
            channels: network.1.in_channels(),
            shape,
        };
        let output = self
            .pieces
            .run_part(piece, part, network, &self.device, host);
        Ok(output.await?)
    }
}

fn file(header: &Header, labels: &Volume<Label>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    write_labels(&mut out, header, labels, &WriteOptions::GZIP)?;
    Ok(out)
}
