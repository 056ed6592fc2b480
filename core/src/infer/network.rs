//! One entry for every network: from a normalised image to the class of each voxel.

use std::ops::ControlFlow;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::class_map::ClassMap;
use super::error::InferError;
use super::host::{Blocking, Host, data, now, report};
use super::piece::{Pieces, Share};
use super::sliding_window::{self, SlidingWindow};
use crate::kernel::keep_memory;
use crate::label::Label;
use crate::model::{Model, Spec};
use crate::nn::Precision;

/// A preprocessed image in the network's axis order.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// `[channels, x, y, z]`, last axis fastest.
    pub data: &'a [f32],
    /// Channels.
    pub channels: usize,
    /// Voxels along x, y and z.
    pub shape: [usize; 3],
}

impl Input<'_> {
    /// Voxels of one channel.
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn validate(&self, channels: usize) -> Result<(), InferError> {
        if self.channels != channels {
            return Err(InferError::Channels {
                expected: channels,
                found: self.channels,
            });
        }
        let values = self
            .shape
            .iter()
            .try_fold(self.channels, |n, &s| n.checked_mul(s));
        if values != Some(self.data.len()) || self.data.is_empty() {
            return Err(InferError::Values {
                shape: self.shape,
                channels: self.channels,
                values: self.data.len(),
            });
        }
        Ok(())
    }

    /// The box `[start, end)` as a tensor `[1, channels, x, y, z]`; outside the image, `outside`.
    pub(super) fn window(
        &self,
        start: [usize; 3],
        end: [usize; 3],
        outside: f32,
        device: &Device,
    ) -> Tensor<5> {
        let size = [0, 1, 2].map(|a| end[a] - start[a]);
        let values = self.copied(start, end, outside);
        let data = TensorData::new(values, [1, self.channels, size[0], size[1], size[2]]);
        Tensor::from_data(data, device)
    }

    /// The box `[start, end)` as `[channels, x, y, z]`; outside the image, `outside`.
    pub(super) fn copied(&self, start: [usize; 3], end: [usize; 3], outside: f32) -> Vec<f32> {
        let size = [0, 1, 2].map(|a| end[a] - start[a]);
        let inside = [0, 1, 2].map(|a| end[a].min(self.shape[a]).saturating_sub(start[a]));
        let mut values = vec![outside; self.channels * size.iter().product::<usize>()];
        for c in 0..self.channels {
            for x in 0..inside[0] {
                for y in 0..inside[1] {
                    let from = ((c * self.shape[0] + start[0] + x) * self.shape[1] + start[1] + y)
                        * self.shape[2]
                        + start[2];
                    let to = ((c * size[0] + x) * size[1] + y) * size[2];
                    values[to..to + inside[2]].copy_from_slice(&self.data[from..from + inside[2]]);
                }
            }
        }
        values
    }

    /// What stands for the voxels outside the image in a box that ends at `end`: its smallest
    /// value.
    pub(super) fn outside(&self, end: [usize; 3]) -> f32 {
        match (0..3).any(|axis| end[axis] > self.shape[axis]) {
            true => self.data.iter().copied().fold(f32::INFINITY, f32::min),
            false => 0.0,
        }
    }
}

/// How a whole volume is covered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Method {
    /// [`Tiles`](Self::Tiles) where the network allows it, else [`Window`](Self::Window); a
    /// MeshNet with norm runs on the whole volume, and a strided encoder-decoder where that fits.
    #[default]
    Auto,
    /// The whole volume at once, whatever memory it takes.
    Whole,
    /// Exact tiling; only for a MeshNet without norm.
    Tiles,
    /// Overlapping windows.
    Window,
}

/// Settings of inference.
#[derive(Clone, Debug)]
pub struct InferOptions {
    /// How the volume is covered.
    pub method: Method,
    /// The windows, where they are used.
    pub window: SlidingWindow,
    /// Bytes that activations may take at once. Without a limit, tiles take at most 1 GiB and
    /// windows what their size needs; with one, windows shrink until they fit.
    pub memory_limit: Option<u64>,
    /// Bytes of the largest single tensor.
    pub max_tensor_bytes: u64,
    /// Pieces that run at the same time, where a caller [shares](super::Pieces) them out. Tiles share
    /// the memory; windows do not shrink for it, since the labels would change.
    pub workers: usize,
    /// Whether the class that comes second is kept, for labels of larger voxels to come back
    /// smoothly.
    pub second: bool,
    /// What activations are stored as. Limits are kept as if it were single precision.
    pub precision: Precision,
}

impl Default for InferOptions {
    fn default() -> Self {
        Self {
            method: Method::Auto,
            window: SlidingWindow::default(),
            memory_limit: None,
            max_tensor_bytes: u64::MAX,
            workers: 1,
            second: false,
            precision: Precision::default(),
        }
    }
}

impl InferOptions {
    /// Refuses what the device does not have.
    pub(super) fn check(&self, device: &Device) -> Result<(), InferError> {
        match self.precision.is_on(device) {
            true => Ok(()),
            false => Err(InferError::Option {
                field: "precision",
                value: self.precision.name().into(),
                must: "this device stores float32 alone",
            }),
        }
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Units of work done.
    pub done: u64,
    /// Units of work in all.
    pub total: u64,
}

/// Where progress goes; it may ask to stop.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// The class of each voxel.
///
/// # Errors
///
/// [`InferError`] when the image does not suit the network, a setting is out of range, the memory
/// limit is too small, or `progress` breaks.
pub fn class_map(
    model: &Model,
    spec: &Spec,
    input: Input<'_>,
    options: &InferOptions,
    device: &Device,
    progress: OnProgress<'_>,
) -> Result<ClassMap, InferError> {
    let mut host = Blocking(progress);
    now(class_map_async(
        model, spec, input, options, device, &mut host,
    ))
}

/// [`class_map`] for a caller that must not block: a browser.
///
/// # Errors
///
/// As [`class_map`].
pub async fn class_map_async<H: Host>(
    model: &Model,
    spec: &Spec,
    input: Input<'_>,
    options: &InferOptions,
    device: &Device,
    host: &mut H,
) -> Result<ClassMap, InferError> {
    input.validate(spec.in_channels())?;
    options.check(device)?;
    let _kept = keep_memory(options.memory_limit);
    let alone = InferOptions {
        workers: 1,
        ..options.clone()
    };
    let pieces = Pieces::plan(model, spec, input.shape, &alone)?;
    let mut assembly = pieces.assembly(spec);
    let (count, units) = (pieces.count(), pieces.units());
    for piece in 0..count {
        let mut share = Share {
            host: &mut *host,
            before: piece as u64 * units,
            total: count as u64 * units,
        };
        let network = (model, spec);
        let output = pieces
            .run(piece, input, network, device, &mut share)
            .await?;
        assembly.add(&output)?;
    }
    assembly.finish()
}

/// Whether the whole volume's tensors fit.
pub(super) fn check_whole(
    spec: &Spec,
    shape: [usize; 3],
    options: &InferOptions,
) -> Result<(), InferError> {
    let multiple = spec.edge_multiple();
    let voxels: usize = shape.iter().map(|n| n.next_multiple_of(multiple)).product();
    let needed = sliding_window::largest_bytes(spec, voxels as u64);
    match needed > options.max_tensor_bytes {
        true => Err(InferError::Tensor {
            needed,
            limit: options.max_tensor_bytes,
        }),
        false => Ok(()),
    }
}

/// Whether a run on the whole volume fits the limits.
pub(super) fn fits_whole(spec: &Spec, shape: [usize; 3], options: &InferOptions) -> bool {
    let multiple = spec.edge_multiple();
    let voxels: usize = shape.iter().map(|n| n.next_multiple_of(multiple)).product();
    let needed = sliding_window::live_bytes(spec, voxels as u64);
    needed <= options.memory_limit.unwrap_or(u64::MAX) && check_whole(spec, shape, options).is_ok()
}

pub(super) async fn whole<H: Host>(
    model: &Model,
    spec: &Spec,
    input: Input<'_>,
    precision: Precision,
    device: &Device,
    host: &mut H,
) -> Result<Vec<Label>, InferError> {
    let multiple = spec.edge_multiple();
    let end = input.shape.map(|n| n.next_multiple_of(multiple));
    let image = input.window([0; 3], end, input.outside(end), device);
    let classes = model.classify(precision.enter(image));
    let [x, y, z] = input.shape;
    let classes = labels::<H>(classes.slice([0..1, 0..1, 0..x, 0..y, 0..z])).await?;
    report(host, 1, 1).await?;
    Ok(classes)
}

/// Classes as labels, in memory order.
pub(super) async fn labels<H: Host>(classes: Tensor<5, Int>) -> Result<Vec<Label>, InferError> {
    let classes = data::<H, 5, Int>(classes).await?;
    Ok(match classes.as_slice::<i32>() {
        Ok(classes) => classes.iter().map(|&c| c as Label).collect(),
        Err(_) => classes.iter::<i64>().map(|c| c as Label).collect(),
    })
}
