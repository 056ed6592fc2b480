//! Any bytes behind the mark of an MGH file.
#![no_main]

mod volume;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volume::check(&[&[0, 0, 0, 1], bytes].concat()));
