//! Shards read back: their index, and chunks from bytes to values.

use std::io::Read;
use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::entry::Quantisation;
use super::layout::{Codec, Layout};

/// Offset and length that say that a chunk is not there: all of it is the fill value.
const ABSENT: u64 = u64::MAX;
/// Bytes of a CRC-32C.
const CHECKSUM: usize = 4;
/// Most chunks of a shard.
const MAX_CHUNKS: usize = 1 << 22;

/// Where the chunks of a shard lie, in C order (x fastest); `None` is a chunk of fill values.
#[derive(Debug)]
pub(crate) struct ShardIndex(Box<[Option<(u64, u32)>]>);

impl ShardIndex {
    /// Where the index of a shard of `size` bytes lies: at its end.
    pub(crate) fn range(layout: &Layout, size: u64) -> Result<Range<u64>, String> {
        let chunks: usize = layout.chunks_of_shard().iter().product();
        let length = (chunks * 16 + CHECKSUM) as u64;
        if chunks > MAX_CHUNKS {
            return Err(format!("{chunks} chunks, at most {MAX_CHUNKS} are read"));
        }
        match size.checked_sub(length) {
            Some(start) => Ok(start..size),
            None => Err(format!(
                "{size} bytes do not hold an index of {chunks} chunks"
            )),
        }
    }

    /// Reads the index that takes the last bytes of a shard of `size` bytes.
    pub(crate) fn parse(bytes: &[u8], layout: &Layout, size: u64) -> Result<Self, String> {
        let chunks: usize = layout.chunks_of_shard().iter().product();
        let body = checked(bytes).ok_or("wrong checksum")?;
        if body.len() != chunks * 16 {
            return Err(format!("{} bytes for {chunks} chunks", bytes.len()));
        }
        let room = size - bytes.len() as u64;
        let most = largest_encoded(layout.chunk_voxels() * 2);
        let mut list = Vec::with_capacity(chunks);
        for (i, pair) in body.chunks_exact(16).enumerate() {
            let (offset, length) = pair.split_at(8);
            let (offset, length) = (number(offset), number(length));
            if offset == ABSENT && length == ABSENT {
                list.push(None);
                continue;
            }
            if offset.checked_add(length).is_none_or(|end| end > room) || length > most {
                return Err(format!(
                    "chunk {i} has {length} bytes at {offset} of {room}"
                ));
            }
            list.push(Some((offset, length as u32)));
        }
        Ok(Self(list.into()))
    }

    /// Where a chunk lies.
    pub(crate) fn chunk(&self, i: usize) -> Option<Range<u64>> {
        let (offset, length) = (*self.0.get(i)?)?;
        Some(offset..offset + u64::from(length))
    }

    /// Bytes that it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.0) + 64
    }
}

/// Bytes that a chunk of `raw` bytes never exceeds: incompressible data and their headers.
fn largest_encoded(raw: usize) -> u64 {
    (raw + raw / 64 + 1024) as u64
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

/// Bytes without their CRC-32C, if it is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    (u64::from(crc32c::crc32c(body)) == number(sum)).then_some(body)
}

/// Decodes chunks; its buffers are used again and again.
pub(crate) struct Decoder {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    /// Stored numbers of the chunk.
    codes: Vec<u16>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            zstd: None,
            codes: Vec::new(),
        }
    }

    /// The stored numbers of a chunk of `voxels`, from its bytes.
    pub(crate) fn decode(
        &mut self,
        bytes: &[u8],
        codec: Codec,
        voxels: usize,
    ) -> Result<&[u16], String> {
        let body = checked(bytes).ok_or("wrong checksum")?;
        if self.codes.len() < voxels {
            self.codes.resize(voxels, 0);
        }
        let codes = &mut self.codes[..voxels];
        let raw: &mut [u8] = bytemuck::cast_slice_mut(codes);
        let found = match codec {
            Codec::Zstd { .. } => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => {
                        let new = zstd::bulk::Decompressor::new().map_err(|e| e.to_string())?;
                        none.insert(new)
                    }
                };
                zstd.decompress_to_buffer(body, raw)
                    .map_err(|e| format!("zstd: {e}"))?
            }
            Codec::Gzip { .. } => {
                let mut stream = flate2::bufread::GzDecoder::new(body);
                stream.read_exact(raw).map_err(|e| format!("gzip: {e}"))?;
                let mut more = [0];
                raw.len() + stream.read(&mut more).map_err(|e| format!("gzip: {e}"))?
            }
        };
        if found != voxels * 2 {
            return Err(format!("{found} bytes decoded, expected {}", voxels * 2));
        }
        if cfg!(target_endian = "big") {
            for code in codes.iter_mut() {
                *code = u16::from_le(*code);
            }
        }
        Ok(codes)
    }
}

/// Stored numbers to values; without a quantisation they are half-precision.
pub(crate) fn values(codes: &[u16], quantisation: Option<Quantisation>, out: &mut [f32]) {
    match quantisation {
        Some(q) => {
            for (out, &code) in out.iter_mut().zip(codes) {
                *out = f32::from(code) * q.scale + q.offset;
            }
        }
        None => {
            let halves: &[f16] = half::slice::HalfBitsSliceExt::reinterpret_cast(codes);
            halves.convert_to_f32_slice(out);
        }
    }
}
