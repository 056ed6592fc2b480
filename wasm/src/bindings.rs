//! What JavaScript sees.

#[cfg(not(any(feature = "cpu", feature = "webgpu")))]
compile_error!("a module needs a device: build with the feature `cpu` or `webgpu`");
#[cfg(all(feature = "cpu", feature = "webgpu"))]
compile_error!("a module is built for one device: with `cpu` or `webgpu`, not both");

#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "webgpu")]
mod webgpu;

use std::ops::ControlFlow;
use std::panic;
use std::rc::Rc;

use amaes_core::infer::{Host, Progress};
use burn::tensor::Device;
use js_sys::{Function, JSON, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[cfg(feature = "cpu")]
use self::cpu::open;
#[cfg(feature = "webgpu")]
use self::webgpu::open;
use crate::error::{Error, ErrorKind};
use crate::model::{Files, Network};
use crate::session::{Options, Session};

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
    /// Opens the device. No buffer will be larger than `max_buffer_bytes`.
    ///
    /// # Errors
    ///
    /// Of the kind `device`.
    pub async fn create(max_buffer_bytes: Option<f64>) -> Result<Engine, Error> {
        let (device, info, largest) = open(max_buffer_bytes.map(|b| b as u64)).await?;
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
        let mut options = Options::parse(options)?;
        options.max_buffer_bytes = match (options.max_buffer_bytes, self.max_buffer_bytes) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Ok(Run(Session::new(
            Rc::clone(&model.network),
            self.device.clone(),
            options,
        )))
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

    /// Runs the network. `on_progress(done, total)` is awaited after each piece of work and stops
    /// the run with `false`.
    ///
    /// # Errors
    ///
    /// Of the kinds `image`, `option`, `memory`, `device` and `cancelled`.
    pub async fn infer(&mut self, on_progress: Function) -> Result<(), Error> {
        self.0.run(&mut Page(on_progress)).await
    }

    /// Measures the labels, as JSON; with intensities where the first channel was pushed again.
    ///
    /// # Errors
    ///
    /// Of the kind `volume`.
    pub fn measure(&mut self) -> Result<String, Error> {
        let report = self.0.measure()?;
        serde_json::to_string(&report)
            .map_err(|e| Error::new(ErrorKind::Order, e.to_string(), "Please report this."))
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

/// The page, which is told of progress.
struct Page(Function);

impl Host for Page {
    const AWAITS: bool = true;

    async fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        let (done, total) = (progress.done as f64, progress.total as f64);
        let told = self.0.call2(&JsValue::NULL, &done.into(), &total.into());
        let answer = match told {
            Ok(answer) => JsFuture::from(Promise::resolve(&answer)).await,
            Err(thrown) => Err(thrown),
        };
        match answer {
            Ok(answer) if answer != JsValue::FALSE => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}
