//! Any bytes as a PyTorch file, and as the object in a legacy one, where the unpickler is reached
//! without an archive around it.
#![no_main]

mod weights;

use amaes_core::weights::{ReadOptions, read};

/// Magic number, protocol 1001 and a little-endian system: what precedes the object.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\
    \x80\x02}q\x00X\x0d\x00\x00\x00little_endianq\x01\x88s.";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), [LEGACY, bytes].concat()] {
        if let Ok(state) = read(bytes, &ReadOptions::default()) {
            weights::check(state);
        }
    }
});
