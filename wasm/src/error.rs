//! Errors as a page can show them: what kind, what happened, what to do.

use amaes_core::infer::{InferError, LabelError};
use amaes_core::model::SpecError;
use amaes_core::preprocess::PlanError;
use amaes_core::volume::VolumeError;
use amaes_core::weights::WeightsError;
use serde::Serialize;

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file of an image cannot be read.
    Volume,
    /// The image can be read but not preprocessed.
    Image,
    /// The files of a model cannot be read.
    Model,
    /// An option makes no sense.
    Option,
    /// Memory, or a limit set on it, does not suffice.
    Memory,
    /// The device failed, or is not there.
    Device,
    /// The caller asked to stop.
    Cancelled,
    /// Calls came in an order that makes no sense.
    Order,
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Error {
    /// What it is about.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
    /// What the user can do.
    pub hint: String,
}

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Calls in the wrong order.
    pub(crate) fn order(message: &str) -> Self {
        Self::new(
            ErrorKind::Order,
            message,
            "This is a fault of the page, not of the image: please report it.",
        )
    }
}

const LESS_MEMORY: &str =
    "Close other tabs, choose a smaller model, or use the command line, which can use all memory.";

impl From<VolumeError> for Error {
    fn from(error: VolumeError) -> Self {
        let (kind, hint) = match &error {
            VolumeError::UnknownFormat { .. } => (
                ErrorKind::Volume,
                "Give a NIfTI (.nii, .nii.gz) or MGH (.mgh, .mgz) file; convert DICOM with dcm2niix.",
            ),
            VolumeError::TruncatedHeader { .. }
            | VolumeError::TruncatedData { .. }
            | VolumeError::Gzip(_) => (
                ErrorKind::Volume,
                "The file is damaged or incomplete: copy or download it again.",
            ),
            VolumeError::NotThreeD { .. } => (
                ErrorKind::Volume,
                "Extract one 3-D volume, or say which one with the option `volume`.",
            ),
            VolumeError::PairHeader { .. } => (
                ErrorKind::Volume,
                "Convert the .hdr and .img pair to one .nii file.",
            ),
            VolumeError::OutOfMemory { .. } | VolumeError::TooLarge { .. } => {
                (ErrorKind::Memory, LESS_MEMORY)
            }
            _ => (
                ErrorKind::Volume,
                "Open the file in a viewer to check it, and convert it to NIfTI again.",
            ),
        };
        Self::new(kind, error.to_string(), hint)
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        let (kind, hint) = match &error {
            PlanError::OutOfMemory { .. } => (ErrorKind::Memory, LESS_MEMORY),
            PlanError::OtherGrid => (
                ErrorKind::Image,
                "Register the channels to one another first.",
            ),
            _ => (
                ErrorKind::Image,
                "Check that the file holds a whole image of a head.",
            ),
        };
        Self::new(kind, error.to_string(), hint)
    }
}

impl From<WeightsError> for Error {
    fn from(error: WeightsError) -> Self {
        let (kind, hint) = match &error {
            WeightsError::OutOfMemory { .. } => (ErrorKind::Memory, LESS_MEMORY),
            _ => (
                ErrorKind::Model,
                "Give an .amaes file, the model.json of a TensorFlow.js model with its weight \
                 files, or safetensors or PyTorch weights with the JSON that describes them.",
            ),
        };
        Self::new(kind, error.to_string(), hint)
    }
}

impl From<SpecError> for Error {
    fn from(error: SpecError) -> Self {
        Self::new(
            ErrorKind::Model,
            error.to_string(),
            "The model describes a network that cannot be built: get it again from its source.",
        )
    }
}

impl From<InferError> for Error {
    fn from(error: InferError) -> Self {
        let (kind, hint) = match &error {
            InferError::Channels { .. } => (
                ErrorKind::Image,
                "Give as many images as the model has channels, in its order.",
            ),
            InferError::Option { .. } => (ErrorKind::Option, "Change the option."),
            InferError::Memory { .. } | InferError::Tensor { .. } => (
                ErrorKind::Memory,
                "Raise the limit, choose a smaller model, or use the CPU backend.",
            ),
            InferError::Cancelled => (ErrorKind::Cancelled, "Start again when you like."),
            _ => (
                ErrorKind::Device,
                "Try again; if it fails once more, choose the CPU backend.",
            ),
        };
        Self::new(kind, error.to_string(), hint)
    }
}

impl From<LabelError> for Error {
    fn from(error: LabelError) -> Self {
        let kind = match &error {
            LabelError::OutOfMemory { .. } => ErrorKind::Memory,
            _ => ErrorKind::Image,
        };
        Self::new(kind, error.to_string(), LESS_MEMORY)
    }
}
