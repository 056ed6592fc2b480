//! PyTorch checkpoints: `.pth`, `.pt` and Lightning's `.ckpt`.
//!
//! `torch.save` writes a zip archive since 1.6 and wrote a stream of pickles before; both are
//! read from memory, with the tensors as views of the buffer. (The `pytorch-reader` crate reads
//! containers from files only, so it cannot serve a browser, and keeps objects of unknown classes
//! where a refusal is wanted.) The tar archives of versions before 0.1.10 are not read.

mod legacy;
mod tensor;
mod zip;

use burn_pack::Bytes;

use super::pickle::{Storages, named_tensors, unpickle};
use super::{Format, StateDict, WeightsError};

pub(super) use self::legacy::{is_legacy, is_tar};

/// Reads a zip archive of `torch.save`.
pub(super) fn read_zip(bytes: &Bytes, extra: &[String]) -> Result<StateDict, WeightsError> {
    let format = Format::PytorchZip;
    let archive = zip::Archive::open(bytes)?;
    let pickle = unpickle(&archive.pickle()?, format, Storages::Torch, extra)?;
    let tensors = named_tensors(&pickle, format)?;
    tensor::assemble(&tensors, format, bytes.len(), |storage| {
        archive.storage(&storage.key)
    })
}

/// Reads the stream of pickles that `torch.save` wrote before version 1.6.
pub(super) fn read_legacy(bytes: &Bytes, extra: &[String]) -> Result<StateDict, WeightsError> {
    let format = Format::PytorchLegacy;
    let file = legacy::File::open(bytes, extra)?;
    let tensors = named_tensors(file.pickle(), format)?;
    tensor::assemble(&tensors, format, bytes.len(), |storage| {
        file.storage(storage)
    })
}

/// Reads a pickle that stands alone, to say what is wrong with it.
pub(super) fn read_pickle(bytes: &[u8], extra: &[String]) -> Result<StateDict, WeightsError> {
    unpickle(bytes, Format::Pickle, Storages::None, extra)?;
    Err(WeightsError::Empty {
        format: Format::Pickle,
    })
}
