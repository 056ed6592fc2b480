//! What the modules that share a run give each other.

use std::ops::ControlFlow;

use amaes_core::infer::{Host, InferError, Output, Progress, Rows};
use js_sys::{Array, Float32Array, Function, Promise, Uint16Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::edges;
use crate::error::Error;
use crate::session::Helper;

/// What a piece reads.
#[wasm_bindgen]
pub struct PieceInput {
    pub(super) values: Vec<f32>,
    pub(super) shape: [usize; 3],
}

#[wasm_bindgen]
impl PieceInput {
    /// `[channels, x, y, z]`, last axis fastest.
    #[wasm_bindgen(getter)]
    pub fn values(&self) -> Float32Array {
        Float32Array::from(self.values.as_slice())
    }

    /// Voxels along x, y and z.
    #[wasm_bindgen(getter)]
    pub fn shape(&self) -> Vec<u32> {
        self.shape.map(|n| n as u32).to_vec()
    }
}

/// What a piece gave.
#[wasm_bindgen]
pub struct PieceOutput(pub(super) Output);

#[wasm_bindgen]
impl PieceOutput {
    /// One from another module.
    #[wasm_bindgen(constructor)]
    pub fn new(classes: Option<Vec<u16>>, logits: Option<Vec<f32>>) -> PieceOutput {
        Self(match classes {
            Some(classes) => Output::Classes(classes),
            None => Output::Logits(logits.unwrap_or_default()),
        })
    }

    /// Classes, where it gave those.
    #[wasm_bindgen(getter)]
    pub fn classes(&self) -> Option<Uint16Array> {
        match &self.0 {
            Output::Classes(classes) => Some(Uint16Array::from(classes.as_slice())),
            Output::Logits(_) => None,
        }
    }

    /// Logits, where it gave those.
    #[wasm_bindgen(getter)]
    pub fn logits(&self) -> Option<Float32Array> {
        match &self.0 {
            Output::Logits(logits) => Some(Float32Array::from(logits.as_slice())),
            Output::Classes(_) => None,
        }
    }
}

/// Runs pieces for another module.
#[wasm_bindgen]
pub struct PieceHelper(pub(super) Helper);

#[wasm_bindgen]
impl PieceHelper {
    /// Runs a piece on what the other module's `pieceInput` gave, as `runPiece` does.
    ///
    /// # Errors
    ///
    /// Of the kinds `device` and `cancelled`.
    pub async fn run(
        &self,
        piece: u32,
        values: Vec<f32>,
        shape: Vec<u32>,
        on_progress: Function,
        exchange: Option<Function>,
    ) -> Result<PieceOutput, Error> {
        let shape = edges(&shape)?;
        let mut page = Page {
            on_progress,
            exchange,
        };
        let output = self.0.run(piece as usize, &values, shape, &mut page);
        Ok(PieceOutput(output.await?))
    }
}

/// The page, which is told of progress, and gives rows to other modules and takes theirs.
pub(super) struct Page {
    pub(super) on_progress: Function,
    pub(super) exchange: Option<Function>,
}

impl Host for Page {
    const AWAITS: bool = true;

    async fn progress(&mut self, progress: Progress) -> ControlFlow<()> {
        let share = progress.done as f64 / progress.total as f64;
        let told = self.on_progress.call1(&JsValue::NULL, &share.into());
        match settled(told).await {
            Ok(answer) if answer != JsValue::FALSE => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }

    async fn exchange(&mut self, rows: Rows) -> Result<Rows, InferError> {
        let Some(exchange) = &self.exchange else {
            return Err(InferError::Device("a piece without its neighbours".into()));
        };
        let array = |values: Option<Vec<f32>>| match values {
            Some(values) => Float32Array::from(values.as_slice()).into(),
            None => JsValue::UNDEFINED,
        };
        let [first, last] = rows.map(array);
        let theirs = settled(exchange.call2(&JsValue::NULL, &first, &last)).await;
        // Why is known to the page, which stopped it.
        let theirs = Array::from(&theirs.map_err(|_| InferError::Cancelled)?);
        let values = |side| theirs.get(side).dyn_into().ok();
        Ok([0, 1].map(|side| values(side).map(|array: Float32Array| array.to_vec())))
    }
}

/// What a function gave, once it is there.
async fn settled(given: Result<JsValue, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(Promise::resolve(&given?)).await
}
