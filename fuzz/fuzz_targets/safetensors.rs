//! Any text as the header of a safetensors file, and what follows its first zero byte as its data.
#![no_main]

mod weights;

use amaes_core::weights::{ReadOptions, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    let (header, data) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let file = [&(header.len() as u64).to_le_bytes()[..], header, data].concat();
    if let Ok(state) = read(file, &ReadOptions::default()) {
        weights::check(state);
    }
});
