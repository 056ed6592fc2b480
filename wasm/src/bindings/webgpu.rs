//! The graphics card through WebGPU.

use amaes_core::kernel::{AdapterClass, GpuTiles, set_gpu_tiles};
use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuSetup, wgpu};
use js_sys::Reflect;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};

/// What to do without WebGPU.
const HINT: &str = "Choose the CPU backend, or a browser with WebGPU switched on.";

fn failed(message: impl ToString) -> Error {
    Error::new(ErrorKind::Device, message.to_string(), HINT)
}

/// What the page knows of the graphics card, and wants of it.
#[derive(Default, Deserialize)]
struct Graphics {
    /// The browser's words for it. wgpu has no name for it in most browsers.
    adapter: String,
    /// In place of those of the table.
    tiles: Option<GpuTiles>,
}

impl Graphics {
    fn read(json: Option<&str>) -> Result<Self> {
        match json {
            Some(json) => serde_json::from_str(json).map_err(refused),
            None => Ok(Self::default()),
        }
    }

    fn tiles(&self) -> Result<GpuTiles> {
        let Some(tiles) = self.tiles else {
            return Ok(GpuTiles::of(AdapterClass::of(&self.adapter)));
        };
        tiles.validate().map_err(refused)?;
        Ok(tiles)
    }
}

fn refused(error: impl ToString) -> Error {
    Error::new(
        ErrorKind::Option,
        format!("gpuTiles: {}", error.to_string()),
        "Leave them out, or give what `amaes tune --json` prints.",
    )
}

/// The device, what is known about it, and the largest buffer that it takes. Limits of buffers
/// are asked for as they are, or lowered to `max_buffer_bytes`, so that exceeding them fails.
pub(super) async fn open(
    max_buffer_bytes: Option<u64>,
    graphics: Option<&str>,
) -> Result<(Device, Value, Option<u64>)> {
    let tiles = Graphics::read(graphics)?.tiles()?;
    set_gpu_tiles(Some(tiles));
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::BROWSER_WEBGPU,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapter = instance
        .request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        })
        .await
        .map_err(failed)?;
    let mut limits = adapter.limits();
    let cap = max_buffer_bytes.unwrap_or(u64::MAX);
    limits.max_buffer_size = limits.max_buffer_size.min(cap);
    limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(cap);
    let largest = limits
        .max_buffer_size
        .min(limits.max_storage_buffer_binding_size);
    let (device, queue) = adapter
        .request_device(&wgpu::DeviceDescriptor {
            required_features: adapter
                .features()
                .difference(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS),
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        })
        .await
        .map_err(failed)?;
    device.set_device_lost_callback(|reason, message| {
        let message = format!("{reason:?}: {message}");
        // The page reads it when a run fails; a frozen global object loses it.
        let _ = Reflect::set(
            &js_sys::global(),
            &"amaesLost".into(),
            &message.as_str().into(),
        );
    });
    let description = adapter.get_info();
    let adapter_name = [
        description.driver.as_str(),
        &description.name,
        &description.driver_info,
    ]
    .join(" ");
    let info = json!({
        "backend": "webgpu",
        "adapter": adapter_name.trim(),
        "software": description.device_type == wgpu::DeviceType::Cpu,
        "maxBufferBytes": largest,
        "gpuTiles": tiles,
    });
    let setup = WgpuSetup {
        instance,
        adapter,
        device,
        queue,
        backend: wgpu::Backend::BrowserWebGpu,
    };
    let device = Device::wgpu_options()
        .tasks_max(32)
        .setup(setup)
        .init()
        .map_err(failed)?;
    Ok((device, info, Some(largest)))
}
