//! Which format a file of weights has, from its contents alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pytorch::{self, is_legacy, is_tar};
use super::state_dict::shared;
use super::{StateDict, WeightsError, burnpack, model_file, safetensors};

/// A file format of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Format {
    /// `torch.save` since PyTorch 1.6: `.pth`, `.pt`, `.ckpt`.
    PytorchZip,
    /// `torch.save` before PyTorch 1.6.
    PytorchLegacy,
    /// `torch.save` before PyTorch 0.1.10; recognised, not read.
    PytorchTar,
    /// A Python pickle alone; recognised, holds no tensors.
    Pickle,
    /// safetensors, also under the name `.pth`.
    Safetensors,
    /// `model.json` of a TensorFlow.js layers model; its weights are in other files.
    Tfjs,
    /// burnpack, burn's own.
    Burnpack,
    /// `.amaes`: burnpack with the network's description.
    ModelFile,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PytorchZip => "PyTorch",
            Self::PytorchLegacy => "PyTorch (before 1.6)",
            Self::PytorchTar => "PyTorch (before 0.1.10)",
            Self::Pickle => "pickle",
            Self::Safetensors => "safetensors",
            Self::Tfjs => "TensorFlow.js",
            Self::Burnpack => "burnpack",
            Self::ModelFile => "amaes model",
        })
    }
}

/// How [`read`] treats what it reads.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Python names (`module.name`) that a pickle may mention beside those on the list. Objects
    /// of them are skipped; nothing of them is ever called.
    pub allow_globals: Vec<String>,
}

/// Tells the format of a file from its contents.
///
/// # Errors
/// If it is none that is known, with a hint at what it may be.
pub fn detect(bytes: &[u8]) -> Result<Format, WeightsError> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let format = if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        Format::PytorchZip
    } else if starts(&burn_pack::MAGIC_NUMBER.to_le_bytes()) {
        if model_file::is_model_file(bytes) {
            Format::ModelFile
        } else {
            Format::Burnpack
        }
    } else if is_safetensors(bytes) {
        Format::Safetensors
    } else if is_legacy(bytes) {
        Format::PytorchLegacy
    } else if is_tar(bytes) {
        Format::PytorchTar
    } else if is_json(bytes) {
        Format::Tfjs
    } else if is_pickle(bytes) {
        Format::Pickle
    } else {
        return Err(unknown(bytes));
    };
    Ok(format)
}

/// Reads the tensors of any format that is one file. Names stay as they are in the file.
///
/// The buffer is kept alive by the tensors, which are views of it.
///
/// # Errors
/// If the format is unknown, the file is damaged or hostile, or it is a TensorFlow.js model, whose
/// shards [`tfjs::read`](super::tfjs::read) needs.
pub fn read(bytes: Vec<u8>, options: &ReadOptions) -> Result<StateDict, WeightsError> {
    let format = detect(&bytes)?;
    let bytes = shared(bytes);
    match format {
        Format::PytorchZip => pytorch::read_zip(&bytes, &options.allow_globals),
        Format::PytorchLegacy => pytorch::read_legacy(&bytes, &options.allow_globals),
        Format::Pickle => pytorch::read_pickle(&bytes, &options.allow_globals),
        Format::Safetensors => safetensors::read(&bytes),
        Format::Burnpack | Format::ModelFile => burnpack::read(bytes),
        Format::PytorchTar => Err(WeightsError::malformed(
            format,
            "this archive format of 2017 is not read",
        )),
        Format::Tfjs => Err(WeightsError::malformed(
            format,
            "its weight files are needed beside it",
        )),
    }
}

/// A length, then JSON.
fn is_safetensors(bytes: &[u8]) -> bool {
    let length = bytes
        .first_chunk()
        .map(|length| u64::from_le_bytes(*length));
    // The format's own limit for the header.
    length.is_some_and(|length| length <= 100_000_000) && bytes.get(8) == Some(&b'{')
}

fn is_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

/// A protocol header, or what pickles of protocol 0 begin with: a global or a mark.
fn is_pickle(bytes: &[u8]) -> bool {
    match bytes {
        [0x80, version, ..] => *version <= 5,
        [b'c' | b'(', ..] => bytes.iter().take(200).any(|&byte| byte == b'\n'),
        _ => false,
    }
}

fn unknown(bytes: &[u8]) -> WeightsError {
    let hint = match bytes {
        [0x1f, 0x8b, ..] => " (gzip: unpack it first)",
        [0x89, b'H', b'D', b'F', ..] => " (HDF5, perhaps Keras: convert it to TensorFlow.js)",
        [b'G', b'G', b'U', b'F', ..] => " (GGUF)",
        [b'7', b'z', 0xbc, ..] => " (7-zip: unpack it first)",
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', ..] => {
            " (perhaps a Git LFS pointer: fetch the file itself)"
        }
        [] => " (the file is empty)",
        _ => "",
    };
    let head = bytes
        .iter()
        .take(12)
        .flat_map(|&byte| std::ascii::escape_default(byte));
    WeightsError::UnknownFormat {
        head: format!("`{}`", head.map(char::from).collect::<String>()),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content() {
        let safetensors = [&20u64.to_le_bytes()[..], b"{\"a\":1}"].concat();
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
        for (bytes, format) in [
            (&b"PK\x03\x04"[..], Format::PytorchZip),
            (b"NRUB\x01\0\0\0\0\0", Format::Burnpack),
            (&safetensors, Format::Safetensors),
            (legacy, Format::PytorchLegacy),
            (&tar, Format::PytorchTar),
            (b" \n{\"format\": 1}", Format::Tfjs),
            (b"\x80\x04N.", Format::Pickle),
            (b"cos\nsystem\n.", Format::Pickle),
        ] {
            assert_eq!(detect(bytes).expect("known"), format);
        }
    }

    #[test]
    fn unknown_contents_are_named() {
        let error = |bytes: &[u8]| detect(bytes).expect_err("unknown").to_string();
        assert_eq!(
            error(b"\x1f\x8b\x08"),
            "not a weights file: it begins with `\\x1f\\x8b\\x08` (gzip: unpack it first)"
        );
        assert_eq!(
            error(b""),
            "not a weights file: it begins with `` (the file is empty)"
        );
        assert_eq!(
            error(b"\x5c\x01\0\0"),
            "not a weights file: it begins with `\\\\\\x01\\x00\\x00`"
        );
    }
}
