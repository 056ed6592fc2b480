//! Any bytes as a volume file: NIfTI of both versions, gzip.
#![no_main]

mod volume;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volume::check(bytes));
