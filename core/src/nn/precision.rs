//! What activations are stored as.

use burn::tensor::{DType, Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

/// What a network's activations and their gradients are stored as. A network computes in what it
/// is given: its weights, their gradients and all sums are of single precision in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    Float32,
    /// Half precision, on graphics cards that have it: two bytes, 11 binary digits, numbers up to
    /// 65,504.
    Float16,
}

impl Precision {
    /// Its name in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
        }
    }

    /// Whether networks run so on a device. Processors have no kernels for half precision.
    #[must_use]
    pub fn is_on(self, device: &Device) -> bool {
        match self {
            Self::Float32 => true,
            Self::Float16 => is_card(device) && device.supports_dtype(DType::F16),
        }
    }

    /// What a network is given.
    #[must_use]
    pub fn enter(self, x: Tensor<5>) -> Tensor<5> {
        match self {
            Self::Float32 => x,
            Self::Float16 => x.cast(FloatDType::F16),
        }
    }

    /// What a network gave, in single precision.
    #[must_use]
    pub fn leave(self, y: Tensor<5>) -> Tensor<5> {
        match self {
            Self::Float32 => y,
            Self::Float16 => y.cast(FloatDType::F32),
        }
    }
}

#[cfg(feature = "cube")]
fn is_card(device: &Device) -> bool {
    crate::kernel::adapter_name(device).is_some()
}

#[cfg(not(feature = "cube"))]
fn is_card(_: &Device) -> bool {
    false
}
