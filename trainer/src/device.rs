//! The devices that a build can compute on.

use amaes_core::nn::Precision;
use burn::tensor::Device;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

#[cfg(feature = "wgpu")]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "wgpu")]
use crate::tiles;

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// This machine's processor.
    #[cfg(feature = "flex")]
    Flex,
    /// A graphics card through Vulkan, Metal or DX12.
    #[cfg(feature = "wgpu")]
    Wgpu,
    /// A graphics card through Vulkan, with shaders in SPIR-V.
    #[cfg(feature = "vulkan")]
    Vulkan,
    /// The processor by burn's plain reference backend: slow.
    #[cfg(feature = "ndarray")]
    Ndarray,
}

impl Default for DeviceKind {
    /// The processor, where the build can compute on it.
    fn default() -> Self {
        Self::value_variants()[0]
    }
}

impl DeviceKind {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => "flex",
            #[cfg(feature = "wgpu")]
            Self::Wgpu => "wgpu",
            #[cfg(feature = "vulkan")]
            Self::Vulkan => "vulkan",
            #[cfg(feature = "ndarray")]
            Self::Ndarray => "ndarray",
        }
    }

    /// What is said where it does not have this precision.
    pub fn lacks(self, precision: Precision) -> String {
        let (device, precision) = (self.name(), precision.name());
        format!("the device `{device}` has no {precision}; it takes a graphics card that has it")
    }

    /// Opens the device; on a graphics card the kernels have the sizes that `amaes tune` found.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] when the machine has none of this kind; those of [`tiles::read`].
    pub fn open(self) -> Result<Device> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => tuned(probed(self.name(), Device::wgpu)?),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => tuned(probed(self.name(), Device::vulkan)?),
            #[cfg(feature = "ndarray")]
            Self::Ndarray => Ok(Device::ndarray()),
        }
    }
}

#[cfg(feature = "wgpu")]
fn tuned(device: Device) -> Result<Device> {
    tiles::apply(&device)?;
    Ok(device)
}

/// Opens the default adapter. burn panics where there is none, so the first use is guarded.
#[cfg(feature = "wgpu")]
fn probed(name: &'static str, device: fn(burn::tensor::DeviceKind) -> Device) -> Result<Device> {
    use std::panic;

    use burn::tensor::{DeviceKind, Tensor};

    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let opened = panic::catch_unwind(|| {
        let device = device(DeviceKind::DefaultDevice);
        let one = Tensor::<1>::ones([1], &device).try_into_data();
        one.map(|_| device).map_err(|e| format!("{e:?}"))
    });
    panic::set_hook(hook);
    let message = match opened {
        Ok(Ok(device)) => return Ok(device),
        Ok(Err(message)) => message,
        Err(_) => "no adapter found; is a driver installed?".into(),
    };
    Err(Error::Device {
        device: name,
        message,
    })
}
