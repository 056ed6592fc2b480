//! The processor: burn's flex backend with 128-bit vectors. A module has one thread; several modules
//! share a run.

use burn::tensor::Device;
use serde_json::{Value, json};

use crate::error::Result;

/// The device, what is known about it, and the largest buffer that it takes.
#[allow(clippy::unused_async, reason = "as with WebGPU, which has to wait")]
pub(super) async fn open(
    max_buffer_bytes: Option<u64>,
    _graphics: Option<&str>,
) -> Result<(Device, Value, Option<u64>)> {
    let adapter = match cfg!(feature = "relaxed-simd") {
        true => "WebAssembly, 128-bit vectors, fused multiply-add",
        false => "WebAssembly, 128-bit vectors",
    };
    let info = json!({
        "backend": "cpu",
        "adapter": adapter,
        "maxBufferBytes": max_buffer_bytes,
    });
    Ok((Device::flex(), info, max_buffer_bytes))
}
