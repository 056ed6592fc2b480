//! SHA-256 over a model file's contents, whatever their layout in the file.

use std::fmt::Write;

use burn::tensor::{DType, Shape};
use sha2::{Digest, Sha256};

/// The SHA-256 of some bytes, hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A running checksum. Every part is preceded by its length, so that parts cannot be shifted.
pub(super) struct Checksum(Sha256);

impl Checksum {
    pub(super) fn new() -> Self {
        let mut sum = Self(Sha256::new());
        sum.part(b"amaes model file");
        sum
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn entry(&mut self, key: &str, value: &str) {
        self.part(key.as_bytes());
        self.part(value.as_bytes());
    }

    pub(super) fn tensor(&mut self, name: &str, dtype: DType, shape: &Shape, bytes: &[u8]) {
        self.part(name.as_bytes());
        self.part(dtype.name().as_bytes());
        self.0.update((shape.len() as u64).to_le_bytes());
        for &size in shape.iter() {
            self.0.update((size as u64).to_le_bytes());
        }
        self.part(bytes);
    }

    pub(super) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    /// The example of FIPS 180-2.
    #[test]
    fn sha256_is_sha256() {
        assert_eq!(
            super::sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
