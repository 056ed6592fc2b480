//! A run cut into pieces that several programs, threads or web workers can share. Whoever runs a
//! piece, the labels are the same.

use std::ops::ControlFlow;

use burn::tensor::Device;

use super::class_map::ClassMap;
use super::host::{Host, Rows, report};
use super::network::{self, Progress};
use super::sliding_window::{Sums, Windows};
use super::tile::{self, Columns, TilePlan};
use super::{InferError, InferOptions, Input, Method};
use crate::label::Label;
use crate::model::{Model, Spec};
use crate::nn::Precision;

/// How a run is cut. The same network, shape and options give the same pieces everywhere.
#[derive(Clone, Debug)]
pub struct Pieces {
    shape: [usize; 3],
    second: bool,
    precision: Precision,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Whole,
    Tiles(Columns),
    Windows(Windows),
}

/// What a piece gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The class of each voxel of the piece, `[x, y, z]`.
    Classes(Vec<Label>),
    /// The network's output for a window, `[classes, x, y, z]`.
    Logits(Vec<f32>),
}

impl Pieces {
    /// Cuts a run on an image of `shape`.
    ///
    /// # Errors
    ///
    /// [`InferError`] when a setting is out of range or no piece fits the limits.
    pub fn plan(
        model: &Model,
        spec: &Spec,
        shape: [usize; 3],
        options: &InferOptions,
    ) -> Result<Self, InferError> {
        let tiled = match (model, spec) {
            (Model::MeshNet(net), Spec::MeshNet(config)) if !config.norm => Some((net, config)),
            _ => None,
        };
        // What was made for whole images is run on them: a MeshNet always, since its norm is one
        // over the image, a strided network where it fits.
        let whole = match spec {
            Spec::MeshNet(_) => true,
            Spec::Strided(_) => network::fits_whole(spec, shape, options),
            _ => false,
        };
        let how = match (options.method, tiled) {
            (Method::Auto | Method::Tiles, Some((net, config))) => {
                let plan = TilePlan::fit(config, shape, options, net.reads_slabs())?;
                How::Tiles(Columns::new(
                    &plan,
                    shape,
                    net.dilations(),
                    options.precision,
                ))
            }
            (Method::Tiles, None) => {
                return Err(InferError::Option {
                    field: "method",
                    value: "tiles".into(),
                    must: "only a MeshNet without norm can be tiled exactly",
                });
            }
            (Method::Whole, _) => How::Whole,
            (Method::Auto, None) if whole => How::Whole,
            (Method::Auto | Method::Window, _) => How::Windows(Windows::fit(spec, shape, options)?),
        };
        if matches!(how, How::Whole) {
            network::check_whole(spec, shape, options)?;
        }
        Ok(Self {
            shape,
            second: options.second,
            precision: options.precision,
            how,
        })
    }

    /// Number of pieces.
    pub fn count(&self) -> usize {
        match &self.how {
            How::Whole => 1,
            How::Tiles(columns) => columns.count(),
            How::Windows(windows) => windows.count(),
        }
    }

    /// Pieces that must run at the same time: so many that follow each other exchange rows through
    /// their [hosts](Host::exchange), at most as many as there are workers. 1 for pieces that do not
    /// depend on each other.
    pub fn together(&self) -> usize {
        match &self.how {
            How::Tiles(columns) => columns.together(),
            How::Whole | How::Windows(_) => 1,
        }
    }

    /// Units of work of each piece, of which a run tells.
    pub fn units(&self) -> u64 {
        match &self.how {
            How::Tiles(_) => self.shape[0] as u64,
            How::Whole | How::Windows(_) => 1,
        }
    }

    /// The part of the image that a piece reads, `[channels, x, y, z]`, and its shape.
    pub fn input(&self, piece: usize, image: Input<'_>) -> (Vec<f32>, [usize; 3]) {
        let (start, end) = self.reads(piece);
        let shape = [0, 1, 2].map(|axis| end[axis] - start[axis]);
        (image.copied(start, end, image.outside(end)), shape)
    }

    /// The box that a piece reads.
    fn reads(&self, piece: usize) -> ([usize; 3], [usize; 3]) {
        match &self.how {
            How::Whole => ([0; 3], self.shape),
            How::Tiles(columns) => columns.reads(piece),
            How::Windows(windows) => windows.reads(piece),
        }
    }

    /// Runs a piece of the whole `image`.
    ///
    /// # Errors
    ///
    /// [`InferError`] when the device fails or `host` breaks.
    pub async fn run<H: Host>(
        &self,
        piece: usize,
        image: Input<'_>,
        network: (&Model, &Spec),
        device: &Device,
        host: &mut H,
    ) -> Result<Output, InferError> {
        self.run_from(piece, image, [0; 3], network, device, host)
            .await
    }

    /// Runs a piece of which [`input`](Self::input) gave the values.
    ///
    /// # Errors
    ///
    /// [`InferError::Values`] for values that are not the piece's; else as [`run`](Self::run).
    pub async fn run_part<H: Host>(
        &self,
        piece: usize,
        part: Input<'_>,
        network: (&Model, &Spec),
        device: &Device,
        host: &mut H,
    ) -> Result<Output, InferError> {
        let (start, end) = self.reads(piece);
        part.validate(network.1.in_channels())?;
        if [0, 1, 2].map(|axis| end[axis] - start[axis]) != part.shape {
            return Err(InferError::Values {
                shape: part.shape,
                channels: part.channels,
                values: part.data.len(),
            });
        }
        self.run_from(piece, part, start, network, device, host)
            .await
    }

    /// Runs a piece of an image that begins at `origin`.
    async fn run_from<H: Host>(
        &self,
        piece: usize,
        image: Input<'_>,
        origin: [usize; 3],
        (model, spec): (&Model, &Spec),
        device: &Device,
        host: &mut H,
    ) -> Result<Output, InferError> {
        match (&self.how, model) {
            (How::Tiles(columns), Model::MeshNet(net)) => {
                let classes = tile::strip(net, columns, piece, image, origin, device, host);
                classes.await.map(Output::Classes)
            }
            (How::Windows(windows), _) => {
                let (start, end) = windows.reads(piece);
                let at = |p: [usize; 3]| [0, 1, 2].map(|axis| p[axis] - origin[axis]);
                let input = image.window(at(start), at(end), image.outside(at(end)), device);
                let logits = windows.predict::<H>(model, input).await?;
                report(host, 1, 1).await?;
                Ok(Output::Logits(logits))
            }
            _ => {
                let classes =
                    network::whole(model, spec, image, self.precision, device, host).await?;
                Ok(Output::Classes(classes))
            }
        }
    }

    /// Where the pieces' outputs become one label map.
    pub fn assembly(&self, spec: &Spec) -> Assembly {
        let sums = match &self.how {
            How::Windows(windows) => Some(windows.sums(spec.out_channels())),
            How::Whole | How::Tiles(_) => None,
        };
        Assembly {
            pieces: self.clone(),
            next: 0,
            map: ClassMap::new(self.shape.iter().product(), self.second && sums.is_some()),
            sums,
        }
    }
}

/// Outputs of pieces, put together.
pub struct Assembly {
    pieces: Pieces,
    /// The piece that comes next: sums do not depend on who is first.
    next: usize,
    map: ClassMap,
    sums: Option<Sums>,
}

impl Assembly {
    /// Adds the output of the next piece.
    ///
    /// # Errors
    ///
    /// [`InferError::Device`] for one that is not the piece's.
    pub fn add(&mut self, output: &Output) -> Result<(), InferError> {
        let piece = self.next;
        let misfit = || InferError::Device(format!("piece {piece} gave another output"));
        let shape = self.pieces.shape;
        if piece >= self.pieces.count() {
            return Err(misfit());
        }
        match (&self.pieces.how, output, &mut self.sums) {
            (How::Windows(windows), Output::Logits(logits), Some(sums)) => {
                if logits.len() != windows.values(sums) {
                    return Err(misfit());
                }
                windows.add(piece, logits, sums, shape, &mut self.map);
            }
            (How::Tiles(columns), Output::Classes(classes), None) => {
                if classes.len() != columns.voxels(piece) {
                    return Err(misfit());
                }
                columns.put(piece, classes, &mut self.map.classes);
            }
            (How::Whole, Output::Classes(classes), None)
                if classes.len() == self.map.classes.len() =>
            {
                self.map.classes.copy_from_slice(classes);
            }
            _ => return Err(misfit()),
        }
        self.next += 1;
        Ok(())
    }

    /// The class of each voxel.
    ///
    /// # Errors
    ///
    /// [`InferError::Device`] where a piece is missing.
    pub fn finish(self) -> Result<ClassMap, InferError> {
        match self.next == self.pieces.count() {
            true => Ok(self.map),
            false => Err(InferError::Device(format!(
                "piece {} is missing",
                self.next
            ))),
        }
    }
}

/// A host that hears of one piece after another.
pub(super) struct Share<'a, H> {
    pub(super) host: &'a mut H,
    /// Units done before this piece.
    pub(super) before: u64,
    pub(super) total: u64,
}

impl<H: Host> Host for Share<'_, H> {
    const AWAITS: bool = H::AWAITS;

    async fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        let done = self.before + progress.done;
        let total = self.total;
        self.host.progress(Progress { done, total }).await
    }

    async fn exchange(&mut self, rows: Rows) -> Result<Rows, InferError> {
        self.host.exchange(rows).await
    }
}
