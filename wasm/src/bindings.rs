//! What JavaScript sees.

#[cfg(not(any(feature = "cpu", feature = "webgpu")))]
compile_error!("a module needs a device: build with the feature `cpu` or `webgpu`");
#[cfg(all(feature = "cpu", feature = "webgpu"))]
compile_error!("a module is built for one device: with `cpu` or `webgpu`, not both");

#[cfg(feature = "cpu")]
mod cpu;
mod pieces;
#[cfg(feature = "webgpu")]
mod webgpu;

use std::panic;
use std::rc::Rc;

use amaes_core::label::LabelTable;
use burn::tensor::Device;
use js_sys::{Function, JSON, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

#[cfg(feature = "cpu")]
use self::cpu::open;
use self::pieces::{Page, PieceHelper, PieceInput, PieceOutput};
#[cfg(feature = "webgpu")]
use self::webgpu::open;
use crate::error::{Error, ErrorKind};
use crate::labels::{LabelMap, SurfaceFormat};
use crate::model::{Files, Network};
use crate::session::{Helper, Options, Session};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(message: &str);
}

/// As an object with `kind`, `message` and `hint`.
impl From<Error> for JsValue {
    fn from(error: Error) -> Self {
        let json = serde_json::to_string(&error).unwrap_or_default();
        JSON::parse(&json).unwrap_or_else(|_| Self::from_str(&error.message))
    }
}

/// Keeps what a panic says in `globalThis.amaesPanic`: after it, only the page can speak.
#[wasm_bindgen(start)]
fn start() {
    panic::set_hook(Box::new(|info| {
        let message = info.to_string();
        error(&message);
        // A frozen global object loses the message, no more.
        let _ = Reflect::set(
            &js_sys::global(),
            &"amaesPanic".into(),
            &message.as_str().into(),
        );
    }));
}

/// A device, open.
#[wasm_bindgen]
pub struct Engine {
    device: Device,
    info: String,
    max_buffer_bytes: Option<u64>,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the device. No buffer will be larger than `max_buffer_bytes`. `graphics` is JSON: what
    /// the page knows of the graphics card (`adapter`), and `tiles` for its kernels.
    ///
    /// # Errors
    ///
    /// Of the kinds `device` and `option`.
    pub async fn create(
        max_buffer_bytes: Option<f64>,
        graphics: Option<String>,
    ) -> Result<Engine, Error> {
        let most = max_buffer_bytes.map(|b| b as u64);
        let (device, info, largest) = open(most, graphics.as_deref()).await?;
        Ok(Self {
            device,
            info: info.to_string(),
            max_buffer_bytes: largest,
        })
    }

    /// The device and its limits, as JSON.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> String {
        self.info.clone()
    }

    /// Opens the model in files of these names and contents.
    ///
    /// # Errors
    ///
    /// Of the kind `model`.
    #[wasm_bindgen(js_name = openModel)]
    pub fn open_model(
        &self,
        names: Vec<String>,
        contents: Vec<Uint8Array>,
    ) -> Result<LoadedModel, Error> {
        let files: Files = names
            .into_iter()
            .zip(contents.iter().map(Uint8Array::to_vec))
            .collect();
        Ok(LoadedModel {
            network: Rc::new(Network::open(files, &self.device)?),
            device: self.device.clone(),
        })
    }

    /// Begins a segmentation; `options` are JSON.
    ///
    /// # Errors
    ///
    /// Of the kind `option`.
    pub fn begin(&self, model: &LoadedModel, options: &str) -> Result<Run, Error> {
        let options = self.options(options)?;
        Ok(Run(Session::new(
            Rc::clone(&model.network),
            self.device.clone(),
            options,
        )))
    }

    /// A helper for a segmentation in another module, of an image of this shape, that is cut for so
    /// many workers.
    ///
    /// # Errors
    ///
    /// Those of `begin` and of the run's `plan`.
    pub fn help(
        &self,
        model: &LoadedModel,
        options: &str,
        shape: Vec<u32>,
        workers: u32,
    ) -> Result<PieceHelper, Error> {
        let options = self.options(options)?;
        let (network, shape) = (Rc::clone(&model.network), edges(&shape)?);
        let helper = Helper::new(
            network,
            self.device.clone(),
            &options,
            shape,
            workers as usize,
        );
        Ok(PieceHelper(helper?))
    }
}

impl Engine {
    fn options(&self, json: &str) -> Result<Options, Error> {
        let mut options = Options::parse(json)?;
        options.max_buffer_bytes = match (options.max_buffer_bytes, self.max_buffer_bytes) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Ok(options)
    }
}

/// A model on its device.
#[wasm_bindgen]
pub struct LoadedModel {
    network: Rc<Network>,
    device: Device,
}

#[wasm_bindgen]
impl LoadedModel {
    /// What is known about it, as JSON.
    ///
    /// # Errors
    ///
    /// Of the kind `model`.
    pub fn info(&self) -> Result<String, Error> {
        Ok(self.network.info()?.to_string())
    }

    /// What the network puts out for `values` of the shape `[batch, channels, x, y, z]`.
    ///
    /// # Errors
    ///
    /// Of the kinds `option` and `device`.
    pub async fn forward(&self, values: Vec<f32>, shape: Vec<u32>) -> Result<Vec<f32>, Error> {
        let mut five = [0; 5];
        if shape.len() != five.len() {
            let message = format!("a shape of {} numbers", shape.len());
            return Err(Error::new(ErrorKind::Option, message, "Give five."));
        }
        for (to, from) in five.iter_mut().zip(shape) {
            *to = from as usize;
        }
        self.network.forward(values, five, &self.device).await
    }
}

/// One segmentation.
#[wasm_bindgen]
pub struct Run(Session);

#[wasm_bindgen]
impl Run {
    /// Takes the next bytes of a channel's file; returns the share of voxels that is there.
    ///
    /// # Errors
    ///
    /// Of the kind `volume`.
    pub fn push(&mut self, bytes: &[u8]) -> Result<f64, Error> {
        self.0.push(bytes)
    }

    /// Ends a channel and preprocesses it.
    ///
    /// # Errors
    ///
    /// Of the kinds `volume` and `image`.
    #[wasm_bindgen(js_name = endChannel)]
    pub fn end_channel(&mut self) -> Result<(), Error> {
        self.0.end_channel()
    }

    /// Cuts the run into pieces for so many workers; returns how many. It may be cut again, and then
    /// begins anew.
    ///
    /// # Errors
    ///
    /// Of the kinds `image`, `option` and `memory`.
    pub fn plan(&mut self, workers: u32) -> Result<u32, Error> {
        Ok(self.0.plan(workers as usize)? as u32)
    }

    /// Pieces that follow each other and must run at the same time, with `exchange`.
    ///
    /// # Errors
    ///
    /// Before `plan`.
    pub fn together(&self) -> Result<u32, Error> {
        Ok(self.0.together()? as u32)
    }

    /// Voxels of the image as the network sees it.
    ///
    /// # Errors
    ///
    /// Before `plan`.
    pub fn shape(&self) -> Result<Vec<u32>, Error> {
        Ok(self.0.shape()?.map(|n| n as u32).to_vec())
    }

    /// What a piece reads, for a helper.
    ///
    /// # Errors
    ///
    /// Before `plan`.
    #[wasm_bindgen(js_name = pieceInput)]
    pub fn piece_input(&self, piece: u32) -> Result<PieceInput, Error> {
        let (values, shape) = self.0.piece_input(piece as usize)?;
        Ok(PieceInput { values, shape })
    }

    /// Runs a piece and keeps its output for `add`. `on_progress(share)` is awaited after each
    /// bounded piece of work and stops the run with `false`. `exchange(first, last)` gives rows to
    /// the pieces before and after this one, of those that run together, and is awaited for
    /// theirs, `[before, after]`; it stops the run where it throws.
    ///
    /// # Errors
    ///
    /// Of the kinds `device` and `cancelled`.
    #[wasm_bindgen(js_name = runPiece)]
    pub async fn run_piece(
        &self,
        piece: u32,
        on_progress: Function,
        exchange: Option<Function>,
    ) -> Result<PieceOutput, Error> {
        let mut page = Page {
            on_progress,
            exchange,
        };
        Ok(PieceOutput(
            self.0.run_piece(piece as usize, &mut page).await?,
        ))
    }

    /// Adds the output of the next piece.
    ///
    /// # Errors
    ///
    /// Of the kind `device`, when it is not that piece's.
    pub fn add(&self, output: &PieceOutput) -> Result<(), Error> {
        self.0.add(&output.0)
    }

    /// Makes the labels of the pieces.
    ///
    /// # Errors
    ///
    /// Of the kinds `device` and `memory`.
    pub fn assemble(&mut self) -> Result<(), Error> {
        self.0.assemble()
    }

    /// Measures the labels, as JSON; with intensities where the first channel was pushed again.
    ///
    /// # Errors
    ///
    /// Of the kind `volume`.
    pub fn measure(&mut self) -> Result<String, Error> {
        written(&self.0.measure()?)
    }

    /// The labels on the native grid, a `.nii.gz` file.
    ///
    /// # Errors
    ///
    /// Before the network has run.
    #[wasm_bindgen(js_name = nativeFile)]
    pub fn native_file(&self) -> Result<Vec<u8>, Error> {
        self.0.native_file()
    }

    /// The labels on the grid that the network saw, a `.nii.gz` file.
    ///
    /// # Errors
    ///
    /// Before the network has run.
    #[wasm_bindgen(js_name = preparedFile)]
    pub fn prepared_file(&self) -> Result<Vec<u8>, Error> {
        self.0.prepared_file()
    }
}

/// A label map from a file.
#[wasm_bindgen]
pub struct Labels(LabelMap);

#[wasm_bindgen]
impl Labels {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// Of the kind `volume`.
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: &[u8]) -> Result<Labels, Error> {
        LabelMap::read(bytes).map(Self)
    }

    /// Takes the next bytes of the image that the labels lie on.
    ///
    /// # Errors
    ///
    /// Of the kind `volume`.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.push(bytes)
    }

    /// Measures the labels of a table (both as JSON).
    ///
    /// # Errors
    ///
    /// Of the kinds `option`, `volume` and `image`.
    pub fn measure(&mut self, table: &str) -> Result<String, Error> {
        let table: LabelTable = serde_json::from_str(table).map_err(|e| option(e.to_string()))?;
        written(&self.0.measure(&table)?)
    }

    /// Dice's coefficient for each label, as JSON.
    ///
    /// # Errors
    ///
    /// Of the kind `image`.
    pub fn compare(&self, other: &Labels) -> Result<String, Error> {
        written(&self.0.compare(&other.0)?)
    }

    /// A file of the surface about a label: `format` is `stl` or `ply`.
    ///
    /// # Errors
    ///
    /// Of the kinds `option` and `memory`.
    pub fn surface(&self, label: u16, format: &str, smoothing: u32) -> Result<Vec<u8>, Error> {
        let format = match format {
            "stl" => SurfaceFormat::Stl,
            "ply" => SurfaceFormat::Ply,
            _ => return Err(option(format!("`{format}` is no format of surfaces"))),
        };
        self.0.surface(label, format, smoothing as usize)
    }
}

fn option(message: String) -> Error {
    Error::new(ErrorKind::Option, message, "Change the option.")
}

fn edges(shape: &[u32]) -> Result<[usize; 3], Error> {
    let shape: [u32; 3] = shape
        .try_into()
        .map_err(|_| option(format!("a shape of {} numbers", shape.len())))?;
    Ok(shape.map(|n| n as usize))
}

fn written(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Order, e.to_string(), "Please report this."))
}
