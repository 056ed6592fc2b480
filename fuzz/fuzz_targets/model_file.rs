//! Any bytes as a model file, and as the burnpack file that it is.
#![no_main]

mod weights;

use amaes_core::weights::{ModelFile, Precision, ReadOptions, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = [&burn_pack_header()[..], bytes].concat();
    for bytes in [bytes.to_vec(), file] {
        if let Ok(model) = ModelFile::read(bytes.clone()) {
            let mut out = Vec::new();
            if model.write(&mut out, Precision::Full).is_ok() {
                ModelFile::read(out).expect("written here");
            }
        }
        if let Ok(state) = read(bytes, &ReadOptions::default()) {
            weights::check(state);
        }
    }
});

/// Magic number, version 1, and metadata of 256 bytes.
fn burn_pack_header() -> [u8; 10] {
    *b"NRUB\x01\x00\x00\x01\x00\x00"
}
