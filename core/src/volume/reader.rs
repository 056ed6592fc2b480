//! Reading volumes from any byte stream, a slab of planes at a time or whole.

mod detect;
mod layout;
mod options;
mod push;
mod source;

use std::io::Read;

use bytemuck::Pod;

use self::detect::read_any_header;
pub use self::detect::read_header;
use self::layout::Layout;
pub use self::options::ReadOptions;
pub use self::push::VolumeDecoder;
use self::source::Source;
use super::datatype::DataType;
use super::decode::{BadValue, Sample};
use super::header::{self, Header, NiftiVersion};
use super::raw::RawData;
use super::{Grid, Volume, VolumeError, mgh};
use crate::label::Label;

/// Bytes that are decompressed at once before they are decoded; they stay in the cache.
const CHUNK: usize = 256 << 10;

/// Bytes after the voxels that are decompressed to reach the checksum: padding, and the tags that
/// end an MGH file.
const SLACK: usize = 1 << 20;

/// Reads one volume from a stream: NIfTI-1, NIfTI-2 or MGH, plain or gzip, told apart by their
/// first bytes.
///
/// Memory is bounded by two buffers of 256 KiB. After the last voxel at most 1 MiB more is
/// decompressed, to reach the end of a gzip stream and verify its checksum; where still more
/// follows, it is left alone.
pub struct VolumeReader<R> {
    source: Source<R>,
    header: Header,
    layout: Layout,
    /// Planes delivered.
    next: usize,
    buffer: Vec<u8>,
}

impl<R: Read> VolumeReader<R> {
    /// Reads the header of a single file (.nii, .nii.gz, .mgh, .mgz) and skips to the voxels.
    ///
    /// # Errors
    ///
    /// Where the stream cannot be read, is damaged or too short, is in no known format, promises
    /// more than `options` allow, has several volumes and none is chosen, or has a header with
    /// impossible fields.
    pub fn new(reader: R, options: &ReadOptions) -> Result<Self, VolumeError> {
        let mut source = Source::new(reader)?;
        let header = read_any_header(&mut source)?;
        let at = own_voxels(&header)?;
        Self::start(source, header, at, options)
    }

    /// Reads the header from an .hdr file and the voxels from its .img file.
    ///
    /// # Errors
    ///
    /// As [`VolumeReader::new`], and where `header` says that it is a single file.
    pub fn from_pair<H: Read>(
        header: H,
        image: R,
        options: &ReadOptions,
    ) -> Result<Self, VolumeError> {
        let header = read_header(header)?;
        if !header.is_pair() {
            return Err(VolumeError::Field {
                field: "magic",
                value: format!("{:?}", header.format()),
                problem: "the file holds its voxels itself",
            });
        }
        Self::start(Source::new(image)?, header, 0, options)
    }

    /// Checks sizes, then goes to the first voxel from byte `at`.
    fn start(
        mut source: Source<R>,
        header: Header,
        at: u64,
        options: &ReadOptions,
    ) -> Result<Self, VolumeError> {
        let layout = Layout::of(&header, options)?;
        let gap = layout.start.saturating_sub(at);
        if source.skip(gap)? < gap {
            return Err(layout.truncated(0));
        }
        Ok(Self {
            source,
            header,
            layout,
            next: 0,
            buffer: Vec::new(),
        })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Shape and place of the volume.
    pub fn grid(&self) -> Grid {
        self.header.grid()
    }

    /// Voxels of a plane: of all positions along the first two axes.
    pub fn plane_len(&self) -> usize {
        let [x, y, _] = self.header.shape();
        x * y
    }

    /// Planes (positions along the third axis) that have not been read yet.
    pub fn planes_left(&self) -> usize {
        self.header.shape()[2] - self.next
    }

    /// Reads the next planes into `out` and returns how many: those that fit, fewer at the end
    /// of the volume, 0 after it.
    ///
    /// # Errors
    ///
    /// [`VolumeError::SlabLength`] where `out` is not a whole number of planes, at least one;
    /// [`VolumeError::NotALabel`] where labels are read and a voxel holds none; the errors of the
    /// stream, which include a gzip checksum that is found wrong after the last plane.
    pub fn read_slab<T: Sample>(&mut self, out: &mut [T]) -> Result<usize, VolumeError> {
        let plane = self.plane_len();
        if out.is_empty() || !out.len().is_multiple_of(plane) {
            return Err(VolumeError::SlabLength {
                values: out.len(),
                plane,
            });
        }
        let planes = (out.len() / plane).min(self.planes_left());
        let first = self.next * plane;
        self.read_values(&mut out[..planes * plane], first)?;
        self.next += planes;
        if planes > 0 && self.planes_left() == 0 {
            self.finish()?;
        }
        Ok(planes)
    }

    /// Passes over the next `planes` planes, or those that are left.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    pub fn skip_planes(&mut self, planes: usize) -> Result<(), VolumeError> {
        let planes = planes.min(self.planes_left());
        let size = self.layout.encoding.datatype.size() as u64;
        let first = (self.next * self.plane_len()) as u64;
        let bytes = (planes * self.plane_len()) as u64 * size;
        let got = self.source.skip(bytes)?;
        if got < bytes {
            return Err(self.layout.truncated(first * size + got));
        }
        self.next += planes;
        if planes > 0 && self.planes_left() == 0 {
            self.finish()?;
        }
        Ok(())
    }

    /// Reads the whole volume. Memory grows with what arrives, not with what is promised.
    ///
    /// # Errors
    ///
    /// As [`VolumeReader::read_slab`]; [`VolumeError::DataLength`] where planes have been taken
    /// before.
    pub fn read_all<T: Sample>(mut self) -> Result<(Volume<T>, Header), VolumeError> {
        let grid = self.grid();
        let left = self.planes_left() * self.plane_len();
        let mut data: Vec<T> = Vec::new();
        while data.len() < left {
            let done = data.len();
            let more = grow(&mut data, left)?;
            if self.is_direct::<T>() {
                data.resize(done + more, T::default());
                self.read_direct(&mut data[done..], done)?;
            } else {
                let encoding = self.layout.encoding;
                T::append(self.fetch(more, done)?, encoding, &mut data)
                    .map_err(|bad| not_a_label(&self.header, done, bad))?;
            }
        }
        self.finish()?;
        Ok((Volume::new(grid, data)?, self.header))
    }

    /// Reads the whole volume in the type in which it is stored, without scaling.
    ///
    /// # Errors
    ///
    /// As [`VolumeReader::read_all`].
    pub fn read_all_raw(mut self) -> Result<(RawData, Header), VolumeError> {
        let values = self.planes_left() * self.plane_len();
        if self.next > 0 {
            return Err(VolumeError::DataLength {
                voxels: self.grid().voxels(),
                values,
            });
        }
        macro_rules! read {
            ($($d:ident)*) => {
                match self.layout.encoding.datatype {
                    $(DataType::$d => RawData::$d(self.read_stored(values)?),)*
                }
            };
        }
        let data = read!(U8 I8 U16 I16 U32 I32 U64 I64 F32 F64);
        self.finish()?;
        Ok((data, self.header))
    }

    fn read_stored<T: Pod + Default>(&mut self, n: usize) -> Result<Vec<T>, VolumeError> {
        let mut data: Vec<T> = Vec::new();
        while data.len() < n {
            let done = data.len();
            let more = grow(&mut data, n)?;
            data.resize(done + more, T::default());
            self.read_direct(&mut data[done..], done)?;
            if self.layout.encoding.big_endian != cfg!(target_endian = "big") {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut data[done..]);
                bytes
                    .chunks_exact_mut(size_of::<T>())
                    .for_each(<[u8]>::reverse);
            }
        }
        Ok(data)
    }

    /// Whether stored values are those wanted, bit for bit.
    fn is_direct<T: Sample>(&self) -> bool {
        T::SAME == self.layout.encoding.datatype
            && self.layout.encoding.scaling.is_none()
            && self.layout.encoding.big_endian == cfg!(target_endian = "big")
    }

    /// Reads `out.len()` values; `first` is the index of the first in the volume.
    fn read_values<T: Sample>(&mut self, out: &mut [T], first: usize) -> Result<(), VolumeError> {
        if self.is_direct::<T>() {
            return self.read_direct(out, first);
        }
        let step = CHUNK / self.layout.encoding.datatype.size();
        for (i, part) in out.chunks_mut(step).enumerate() {
            let at = first + i * step;
            let encoding = self.layout.encoding;
            T::decode(self.fetch(part.len(), at)?, encoding, part)
                .map_err(|bad| not_a_label(&self.header, at, bad))?;
        }
        Ok(())
    }

    fn read_direct<T: Pod>(&mut self, out: &mut [T], first: usize) -> Result<(), VolumeError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(out);
        let got = self.source.fill(bytes)?;
        if got < bytes.len() {
            return Err(self.layout.truncated((first * size_of::<T>() + got) as u64));
        }
        Ok(())
    }

    /// The bytes of the next `n` values; `first` is the index of the first.
    fn fetch(&mut self, n: usize, first: usize) -> Result<&[u8], VolumeError> {
        let size = self.layout.encoding.datatype.size();
        if self.buffer.len() < n * size {
            self.buffer.resize(n * size, 0);
        }
        let got = self.source.fill(&mut self.buffer[..n * size])?;
        if got < n * size {
            return Err(self.layout.truncated((first * size + got) as u64));
        }
        Ok(&self.buffer[..n * size])
    }

    /// Verifies the checksum, unless further volumes lie between.
    fn finish(&mut self) -> Result<(), VolumeError> {
        if self.layout.last {
            self.source.finish(SLACK)
        } else {
            Ok(())
        }
    }
}

/// Bytes of the header of a file that holds its voxels itself.
fn own_voxels(header: &Header) -> Result<u64, VolumeError> {
    if header.is_pair() {
        return Err(VolumeError::PairHeader {
            magic: match header.nifti_version() {
                NiftiVersion::One => "ni1",
                NiftiVersion::Two => "ni2",
            },
        });
    }
    let size = match header.format() {
        header::Format::Mgh => mgh::HEADER,
        _ => header.nifti_version().size(),
    };
    Ok(size as u64)
}

/// The error about value `first + bad.index` of a volume.
fn not_a_label(header: &Header, first: usize, bad: BadValue) -> VolumeError {
    let [x, y, _] = header.shape();
    let at = first + bad.index;
    VolumeError::NotALabel {
        voxel: [at % x, at / x % y, at / x / y],
        value: bad.value,
        max: Label::MAX.into(),
    }
}

/// Makes room in `data` for the next values of `total` and returns for how many: a million at
/// first, then seven times what has arrived, so that a header without data takes little.
fn grow<T>(data: &mut Vec<T>, total: usize) -> Result<usize, VolumeError> {
    const LEAST: usize = 1 << 20;
    // Filled in steps that stay in the cache between decompressing and decoding.
    const STEP: usize = CHUNK / 8;
    let left = total - data.len();
    if data.len() == data.capacity() {
        let more = left.min(data.len().saturating_mul(7).max(LEAST));
        data.try_reserve_exact(more)
            .map_err(|_| VolumeError::OutOfMemory {
                bytes: (data.len() + more).saturating_mul(size_of::<T>()),
            })?;
    }
    Ok(left.min(data.capacity() - data.len()).min(STEP))
}

/// Reads a volume as real numbers, scaling applied. NaN and infinite voxels are kept; see
/// [`Volume::non_finite`].
///
/// # Errors
///
/// See [`VolumeReader::new`] and [`VolumeReader::read_slab`].
pub fn read_volume<R: Read>(
    reader: R,
    options: &ReadOptions,
) -> Result<(Volume<f32>, Header), VolumeError> {
    VolumeReader::new(reader, options)?.read_all()
}

/// Reads a label map exactly.
///
/// # Errors
///
/// See [`VolumeReader::new`]; [`VolumeError::NotALabel`] where a voxel is not a whole number from
/// 0 to 65535.
pub fn read_labels<R: Read>(
    reader: R,
    options: &ReadOptions,
) -> Result<(Volume<Label>, Header), VolumeError> {
    VolumeReader::new(reader, options)?.read_all()
}

/// Reads a volume in the type in which it is stored, without scaling.
///
/// # Errors
///
/// See [`VolumeReader::new`] and [`VolumeReader::read_slab`].
pub fn read_raw<R: Read>(
    reader: R,
    options: &ReadOptions,
) -> Result<(RawData, Header), VolumeError> {
    VolumeReader::new(reader, options)?.read_all_raw()
}
