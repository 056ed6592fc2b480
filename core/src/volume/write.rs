//! Writing NIfTI files to any byte sink, a slab of planes at a time or whole.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::datatype::{DataType, Scaling};
use super::header::{Header, Values};
use super::raw::{RawData, with_raw};
use super::{Volume, VolumeError};
use crate::label::Label;

/// Bytes that are encoded at once.
const CHUNK: usize = 64 << 10;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Compression level 0 to 9 of a gzip stream (.nii.gz); plain where absent.
    pub gzip: Option<u32>,
    /// Mark label maps with NIfTI's intent code 1002, so that viewers show them as such.
    pub label_intent: bool,
}

impl WriteOptions {
    /// A plain .nii file.
    pub const PLAIN: Self = Self {
        gzip: None,
        label_intent: true,
    };
    /// A .nii.gz file at level 6.
    pub const GZIP: Self = Self {
        gzip: Some(6),
        label_intent: true,
    };
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// A value that can be written as itself.
pub trait Stored: private::Encode {}

mod private {
    use super::DataType;

    /// The part of [`super::Stored`] that callers need not know.
    pub trait Encode: Copy {
        const DATATYPE: DataType;
        fn encode(values: &[Self], out: &mut Vec<u8>);
    }
}

macro_rules! stored {
    ($($t:ty => $d:ident,)*) => {$(
        impl Stored for $t {}
        impl private::Encode for $t {
            const DATATYPE: DataType = DataType::$d;
            fn encode(values: &[Self], out: &mut Vec<u8>) {
                out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            }
        }
    )*};
}
stored! {
    u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64,
    f32 => F32, f64 => F64,
}

enum Sink<W: Write> {
    Plain(W),
    Gzip(Box<GzEncoder<W>>),
}

impl<W: Write> Sink<W> {
    fn new(writer: W, options: &WriteOptions) -> Self {
        match options.gzip {
            None => Self::Plain(writer),
            Some(level) => Self::Gzip(Box::new(GzEncoder::new(
                writer,
                Compression::new(level.min(9)),
            ))),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(w) => w.write_all(bytes),
            Self::Gzip(w) => w.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<W> {
        let mut writer = match self {
            Self::Plain(w) => w,
            Self::Gzip(w) => w.finish()?,
        };
        writer.flush()?;
        Ok(writer)
    }
}

/// Writes the volume of a NIfTI file plane by plane.
pub struct VolumeWriter<W: Write> {
    sink: Sink<W>,
    plane: usize,
    planes: usize,
    written: usize,
    buffer: Vec<u8>,
}

impl<W: Write> VolumeWriter<W> {
    /// Writes the header of a float volume in the place of `header`.
    ///
    /// # Errors
    ///
    /// [`VolumeError::Write`]; [`VolumeError::Field`] where the header cannot hold its shape.
    pub fn new(writer: W, header: &Header, options: &WriteOptions) -> Result<Self, VolumeError> {
        header.check_grid(&header.grid())?;
        Self::start(
            writer,
            header,
            DataType::F32,
            Scaling::NONE,
            Values::Grey,
            options,
        )
    }

    fn start(
        writer: W,
        header: &Header,
        datatype: DataType,
        scaling: Scaling,
        values: Values,
        options: &WriteOptions,
    ) -> Result<Self, VolumeError> {
        let mut sink = Sink::new(writer, options);
        sink.write_all(&header.output_bytes(datatype, scaling, values))
            .map_err(VolumeError::Write)?;
        let [x, y, z] = header.shape();
        Ok(Self {
            sink,
            plane: x * y,
            planes: z,
            written: 0,
            buffer: Vec::with_capacity(CHUNK),
        })
    }

    /// Writes the next planes.
    ///
    /// # Errors
    ///
    /// [`VolumeError::SlabLength`] where `values` is not a whole number of planes,
    /// [`VolumeError::PlaneCount`] where there are more than the header promised,
    /// [`VolumeError::Write`].
    pub fn write_slab(&mut self, values: &[f32]) -> Result<(), VolumeError> {
        if !values.len().is_multiple_of(self.plane) {
            return Err(VolumeError::SlabLength {
                values: values.len(),
                plane: self.plane,
            });
        }
        self.put(values)
    }

    fn put<T: Stored>(&mut self, values: &[T]) -> Result<(), VolumeError> {
        let written = self.written + values.len() / self.plane;
        if written > self.planes {
            return Err(VolumeError::PlaneCount {
                expected: self.planes,
                written,
            });
        }
        self.written = written;
        self.encode(values, T::encode)
    }

    fn encode<T>(
        &mut self,
        values: &[T],
        encode: impl Fn(&[T], &mut Vec<u8>),
    ) -> Result<(), VolumeError> {
        for block in values.chunks(CHUNK / 8) {
            self.buffer.clear();
            encode(block, &mut self.buffer);
            self.sink
                .write_all(&self.buffer)
                .map_err(VolumeError::Write)?;
        }
        Ok(())
    }

    /// Ends the file and gives the writer back, flushed.
    ///
    /// # Errors
    ///
    /// [`VolumeError::PlaneCount`] where planes are missing, [`VolumeError::Write`].
    pub fn finish(self) -> Result<W, VolumeError> {
        if self.written != self.planes {
            return Err(VolumeError::PlaneCount {
                expected: self.planes,
                written: self.written,
            });
        }
        self.sink.finish().map_err(VolumeError::Write)
    }
}

/// Writes a float volume in the place of `header`: its source's header, [`Header::with_grid`] or
/// [`Header::new`]. The source's geometry is kept to the bit; numbers are little-endian.
///
/// # Errors
///
/// [`VolumeError::GridMismatch`] where the volume has another shape or place than the header,
/// [`VolumeError::Write`].
pub fn write_volume<W: Write>(
    writer: W,
    header: &Header,
    volume: &Volume<f32>,
    options: &WriteOptions,
) -> Result<(), VolumeError> {
    header.check_grid(volume.grid())?;
    let mut out = VolumeWriter::start(
        writer,
        header,
        DataType::F32,
        Scaling::NONE,
        Values::Grey,
        options,
    )?;
    out.put(volume.data())?;
    out.finish().map(drop)
}

/// The smallest type that holds labels up to `max`: u8, i16 (which more programs read than u16)
/// or u16.
pub fn label_datatype(max: Label) -> DataType {
    if max <= 0xff {
        DataType::U8
    } else if max <= 0x7fff {
        DataType::I16
    } else {
        DataType::U16
    }
}

/// Writes a label map in the place of `header`, in the smallest integer type that holds its
/// largest label.
///
/// # Errors
///
/// As [`write_volume`].
pub fn write_labels<W: Write>(
    writer: W,
    header: &Header,
    labels: &Volume<Label>,
    options: &WriteOptions,
) -> Result<(), VolumeError> {
    header.check_grid(labels.grid())?;
    let datatype = label_datatype(labels.data().iter().copied().max().unwrap_or(0));
    let values = if options.label_intent {
        Values::Labels
    } else {
        Values::PlainLabels
    };
    let mut out = VolumeWriter::start(writer, header, datatype, Scaling::NONE, values, options)?;
    if datatype == DataType::U8 {
        out.encode(labels.data(), |block, bytes| {
            bytes.extend(block.iter().map(|v| *v as u8));
        })?;
        out.written = out.planes;
    } else {
        // Labels up to 32767 have the same bytes in i16.
        out.put(labels.data())?;
    }
    out.finish().map(drop)
}

/// Writes stored values in the place of their source's header, with its scaling, display range
/// and intent.
///
/// # Errors
///
/// [`VolumeError::DataLength`] where there are not as many values as voxels,
/// [`VolumeError::Write`].
pub fn write_raw<W: Write>(
    writer: W,
    header: &Header,
    data: &RawData,
    options: &WriteOptions,
) -> Result<(), VolumeError> {
    header.check_grid(&header.grid())?;
    if data.len() != header.grid().voxels() {
        return Err(VolumeError::DataLength {
            voxels: header.grid().voxels(),
            values: data.len(),
        });
    }
    let mut out = VolumeWriter::start(
        writer,
        header,
        data.datatype(),
        header.scaling(),
        Values::Stored,
        options,
    )?;
    with_raw!(data, v => out.put(v.as_slice()))?;
    out.finish().map(drop)
}
