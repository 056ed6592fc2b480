//! Decoding a volume while its bytes arrive.

use std::io::Write;

use flate2::write::GzDecoder;

use super::detect::{header_size, parse_any_header};
use super::layout::Layout;
use super::{ReadOptions, SLACK, grow, not_a_label, own_voxels};
use crate::volume::decode::Sample;
use crate::volume::header::Header;
use crate::volume::{Volume, VolumeError};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Decodes one volume from pieces of its file, in whatever sizes they arrive: what
/// [`VolumeReader`](super::VolumeReader) is where bytes cannot be waited for. Formats, results and
/// errors are the same.
///
/// Beside the values, memory is bounded by the decompressor's buffers of 64 KiB.
pub struct VolumeDecoder<T> {
    stage: Stage,
    /// The start of a file or of what follows a gzip member, too short to tell what it is.
    start: Vec<u8>,
    body: Body<T>,
}

/// What the next bytes are.
enum Stage {
    /// The start of the file.
    First,
    /// Not compressed.
    Plain,
    /// Part of a gzip member.
    Member(Box<GzDecoder<Vec<u8>>>),
    /// Another member, or padding.
    Between,
    /// Of no interest.
    Over,
}

impl<T: Sample> VolumeDecoder<T> {
    /// A decoder that has seen nothing yet.
    #[must_use]
    pub fn new(options: &ReadOptions) -> Self {
        Self {
            stage: Stage::First,
            start: Vec::new(),
            body: Body::new(*options),
        }
    }

    /// The header, once it has arrived.
    pub fn header(&self) -> Option<&Header> {
        self.body.found.as_ref().map(|(header, _)| header)
    }

    /// The share of the voxels that has arrived, 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.header().map_or(0.0, |header| {
            self.body.values.len() as f64 / header.grid().voxels() as f64
        })
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    ///
    /// As [`VolumeReader::new`](super::VolumeReader::new) and
    /// [`VolumeReader::read_slab`](super::VolumeReader::read_slab). The decoder is of no use after
    /// an error.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), VolumeError> {
        while !bytes.is_empty() {
            match &mut self.stage {
                Stage::First | Stage::Between => {
                    let n = (GZIP_MAGIC.len() - self.start.len()).min(bytes.len());
                    self.start.extend(&bytes[..n]);
                    bytes = &bytes[n..];
                    if self.start.len() == GZIP_MAGIC.len() {
                        let start = std::mem::take(&mut self.start);
                        self.stage = match (&self.stage, start == GZIP_MAGIC) {
                            (_, true) => Stage::Member(Box::new(GzDecoder::new(Vec::new()))),
                            (Stage::First, false) => Stage::Plain,
                            (_, false) => Stage::Over,
                        };
                        self.push(&start)?;
                    }
                }
                Stage::Plain => {
                    self.body.take(bytes)?;
                    return Ok(());
                }
                Stage::Member(decoder) => {
                    let n = decoder.write(bytes).map_err(VolumeError::Gzip)?;
                    self.body.drain(decoder.get_mut())?;
                    if n == 0 {
                        decoder.try_finish().map_err(VolumeError::Gzip)?;
                        self.body.drain(decoder.get_mut())?;
                        self.stage = Stage::Between;
                    } else {
                        bytes = &bytes[n..];
                    }
                    if self.body.is_over() {
                        self.stage = Stage::Over;
                    }
                }
                Stage::Over => return Ok(()),
            }
        }
        Ok(())
    }

    /// Ends the file and gives the volume.
    ///
    /// # Errors
    ///
    /// As [`VolumeReader::read_all`](super::VolumeReader::read_all): the file has ended too early
    /// or its checksum is wrong.
    pub fn finish(mut self) -> Result<(Volume<T>, Header), VolumeError> {
        let mut ended = Ok(());
        match &mut self.stage {
            Stage::First => self.body.take(&self.start)?,
            Stage::Member(decoder) => {
                ended = decoder.try_finish().map_err(VolumeError::Gzip);
                self.body.drain(decoder.get_mut())?;
            }
            Stage::Plain | Stage::Between | Stage::Over => {}
        }
        let over = self.body.is_over();
        let result = self.body.finish()?;
        if !over {
            ended?;
        }
        Ok(result)
    }
}

/// Decompressed bytes to values.
struct Body<T> {
    options: ReadOptions,
    /// The start of the header or of a value.
    part: Vec<u8>,
    found: Option<(Header, Layout)>,
    /// Bytes before the first voxel.
    gap: u64,
    values: Vec<T>,
    /// Bytes after the last voxel.
    after: usize,
}

impl<T: Sample> Body<T> {
    fn new(options: ReadOptions) -> Self {
        Self {
            options,
            part: Vec::new(),
            found: None,
            gap: 0,
            values: Vec::new(),
            after: 0,
        }
    }

    fn drain(&mut self, bytes: &mut Vec<u8>) -> Result<(), VolumeError> {
        self.take(bytes)?;
        bytes.clear();
        Ok(())
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), VolumeError> {
        while self.found.is_none() {
            let wanted = match self.part.first_chunk::<4>() {
                None => 4,
                Some(magic) => header_size(*magic),
            };
            bytes = self.complete(wanted, bytes);
            if self.part.len() < wanted {
                return Ok(());
            }
            if wanted > 4 {
                self.start()?;
            }
        }
        let Some((header, layout)) = &self.found else {
            return Ok(());
        };
        let skipped = self.gap.min(bytes.len() as u64);
        self.gap -= skipped;
        bytes = &bytes[skipped as usize..];

        let (size, total) = (layout.encoding.datatype.size(), header.grid().voxels());
        let encoding = layout.encoding;
        while self.values.len() < total && !bytes.is_empty() {
            let done = self.values.len();
            let append = |bytes: &[u8], values: &mut Vec<T>| {
                T::append(bytes, encoding, values).map_err(|bad| not_a_label(header, done, bad))
            };
            let more = grow(&mut self.values, total)?;
            if self.part.is_empty() && bytes.len() >= size {
                let whole = more.min(bytes.len() / size) * size;
                append(&bytes[..whole], &mut self.values)?;
                bytes = &bytes[whole..];
                continue;
            }
            let n = (size - self.part.len()).min(bytes.len());
            self.part.extend(&bytes[..n]);
            bytes = &bytes[n..];
            if self.part.len() == size {
                append(&self.part, &mut self.values)?;
                self.part.clear();
            }
        }
        self.after = self.after.saturating_add(bytes.len());
        Ok(())
    }

    /// Moves bytes to `part` until it has `wanted`; gives the others back.
    fn complete<'a>(&mut self, wanted: usize, bytes: &'a [u8]) -> &'a [u8] {
        let (now, later) = bytes.split_at(bytes.len().min(wanted - self.part.len()));
        self.part.extend(now);
        later
    }

    /// The header is there.
    fn start(&mut self) -> Result<(), VolumeError> {
        let header = parse_any_header(&self.part)?;
        let at = own_voxels(&header)?;
        let layout = Layout::of(&header, &self.options)?;
        self.gap = layout.start.saturating_sub(at);
        self.part.clear();
        self.found = Some((header, layout));
        Ok(())
    }

    /// Whether nothing that follows matters.
    fn is_over(&self) -> bool {
        self.found.as_ref().is_some_and(|(header, layout)| {
            let complete = self.values.len() == header.grid().voxels();
            complete && (!layout.last || self.after > SLACK)
        })
    }

    fn finish(self) -> Result<(Volume<T>, Header), VolumeError> {
        let Some((header, layout)) = self.found else {
            // Too short for a header; says which.
            return Err(match parse_any_header(&self.part) {
                Err(error) => error,
                Ok(header) => VolumeError::TruncatedHeader {
                    expected: own_voxels(&header)?,
                    found: self.part.len() as u64,
                },
            });
        };
        let grid = header.grid();
        if self.values.len() < grid.voxels() {
            let size = layout.encoding.datatype.size();
            let found = self.values.len() * size + self.part.len();
            return Err(layout.truncated(found as u64));
        }
        Ok((Volume::new(grid, self.values)?, header))
    }
}
