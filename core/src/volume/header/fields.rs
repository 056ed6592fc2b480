//! The bytes of a NIfTI header and where its fields lie in both versions.

/// Version of the NIfTI format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NiftiVersion {
    /// 348-byte header, 16-bit dimensions, single precision geometry.
    One,
    /// 540-byte header, 64-bit dimensions, double precision geometry.
    Two,
}

impl NiftiVersion {
    /// Bytes of the header.
    pub(in crate::volume) const fn size(self) -> usize {
        match self {
            Self::One => 348,
            Self::Two => 540,
        }
    }

    /// The largest extent of an axis.
    pub(in crate::volume) const fn max_dim(self) -> u64 {
        match self {
            Self::One => i16::MAX as u64,
            Self::Two => i64::MAX as u64,
        }
    }
}

/// Offsets of a field in version 1 and in version 2.
#[derive(Clone, Copy)]
pub(super) struct At(usize, usize);

// Real numbers: f32 in version 1, f64 in version 2.
pub(super) const PIXDIM: At = At(76, 104);
pub(super) const SCL_SLOPE: At = At(112, 176);
pub(super) const SCL_INTER: At = At(116, 184);
pub(super) const CAL_MAX: At = At(124, 192);
pub(super) const CAL_MIN: At = At(128, 200);
pub(super) const QUATERN: At = At(256, 352);
pub(super) const QOFFSET: At = At(268, 376);
pub(super) const SROW: At = At(280, 400);
pub(super) const INTENT_P: At = At(56, 80);
// Codes: i16 in version 1, i32 in version 2.
pub(super) const INTENT_CODE: At = At(68, 504);
pub(super) const QFORM_CODE: At = At(252, 344);
pub(super) const SFORM_CODE: At = At(254, 348);
// 16 bits in both.
pub(super) const DATATYPE: At = At(70, 12);
pub(super) const BITPIX: At = At(72, 14);
// Text.
pub(super) const DESCRIP: At = At(148, 240);
pub(super) const AUX_FILE: At = At(228, 320);
pub(super) const INTENT_NAME: At = At(328, 508);
pub(super) const MAGIC: At = At(344, 4);
// Of their own kind.
const DIM: At = At(40, 16);
const XYZT_UNITS: At = At(123, 500);
const VOX_OFFSET: At = At(108, 168);
/// `glmax` and `glmin`, which only version 1 has.
const GLMAX_V1: usize = 140;

/// Numeric fields as runs of (offset, bytes of a number, numbers), for swapping the byte order.
const RUNS_V1: [(usize, usize, usize); 10] = [
    (0, 4, 1),
    (32, 4, 1),
    (36, 2, 1),
    (40, 2, 8),
    (56, 4, 3),
    (68, 2, 4),
    (76, 4, 11),
    (120, 2, 1),
    (124, 4, 6),
    (252, 2, 2),
];
const RUNS_V1_GEOMETRY: (usize, usize, usize) = (256, 4, 18);
const RUNS_V2: [(usize, usize, usize); 6] = [
    (0, 4, 1),
    (12, 2, 2),
    (16, 8, 28),
    (344, 4, 2),
    (352, 8, 18),
    (496, 4, 3),
];

/// Header bytes in little-endian order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raw {
    version: NiftiVersion,
    bytes: [u8; 540],
}

impl Raw {
    /// An empty header: its size, the rest zero.
    pub(super) fn new(version: NiftiVersion) -> Self {
        let mut raw = Self {
            version,
            bytes: [0; 540],
        };
        raw.set_size();
        raw
    }

    /// Takes header bytes; `bytes` holds at least the version's size. `swap` says that they are
    /// big-endian.
    pub(super) fn from_bytes(version: NiftiVersion, bytes: &[u8], swap: bool) -> Self {
        let mut raw = Self {
            version,
            bytes: [0; 540],
        };
        let n = version.size().min(bytes.len());
        raw.bytes[..n].copy_from_slice(&bytes[..n]);
        if swap {
            match version {
                NiftiVersion::One => {
                    raw.swap(&RUNS_V1);
                    raw.swap(&[RUNS_V1_GEOMETRY]);
                }
                NiftiVersion::Two => raw.swap(&RUNS_V2),
            }
        }
        raw.set_size();
        raw
    }

    /// Sets the size field, which a reader may have forgiven.
    fn set_size(&mut self) {
        self.put(At(0, 0), (self.version.size() as i32).to_le_bytes());
    }

    fn swap(&mut self, runs: &[(usize, usize, usize)]) {
        for &(start, width, count) in runs {
            for number in self.bytes[start..start + width * count].chunks_exact_mut(width) {
                number.reverse();
            }
        }
    }

    pub(super) fn version(&self) -> NiftiVersion {
        self.version
    }

    /// The header as it is written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.version.size()]
    }

    fn offset(&self, at: At) -> usize {
        match self.version {
            NiftiVersion::One => at.0,
            NiftiVersion::Two => at.1,
        }
    }

    fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[offset..offset + N]);
        out
    }

    fn put<const N: usize>(&mut self, at: At, value: [u8; N]) {
        let offset = self.offset(at);
        self.bytes[offset..offset + N].copy_from_slice(&value);
    }

    /// Real number `i` of a field.
    pub(super) fn real(&self, at: At, i: usize) -> f64 {
        let offset = self.offset(at);
        match self.version {
            NiftiVersion::One => f32::from_le_bytes(self.get(offset + 4 * i)).into(),
            NiftiVersion::Two => f64::from_le_bytes(self.get(offset + 8 * i)),
        }
    }

    /// Sets real number `i` of a field, rounded to single precision in version 1.
    pub(super) fn set_real(&mut self, at: At, i: usize, value: f64) {
        match self.version {
            NiftiVersion::One => self.put(At(at.0 + 4 * i, 0), (value as f32).to_le_bytes()),
            NiftiVersion::Two => self.put(At(0, at.1 + 8 * i), value.to_le_bytes()),
        }
    }

    pub(super) fn code(&self, at: At) -> i32 {
        let offset = self.offset(at);
        match self.version {
            NiftiVersion::One => i16::from_le_bytes(self.get(offset)).into(),
            NiftiVersion::Two => i32::from_le_bytes(self.get(offset)),
        }
    }

    pub(super) fn set_code(&mut self, at: At, value: i16) {
        match self.version {
            NiftiVersion::One => self.put(at, value.to_le_bytes()),
            NiftiVersion::Two => self.put(at, i32::from(value).to_le_bytes()),
        }
    }

    pub(super) fn short(&self, at: At) -> i16 {
        i16::from_le_bytes(self.get(self.offset(at)))
    }

    pub(super) fn set_short(&mut self, at: At, value: i16) {
        self.put(at, value.to_le_bytes());
    }

    /// `dim[i]`, `i` from 0 to 7.
    pub(super) fn dim(&self, i: usize) -> i64 {
        let offset = self.offset(DIM);
        match self.version {
            NiftiVersion::One => i16::from_le_bytes(self.get(offset + 2 * i)).into(),
            NiftiVersion::Two => i64::from_le_bytes(self.get(offset + 8 * i)),
        }
    }

    /// Sets `dim[i]`; version 1 keeps the low 16 bits, callers check `max_dim`.
    pub(super) fn set_dim(&mut self, i: usize, value: i64) {
        match self.version {
            NiftiVersion::One => self.put(At(DIM.0 + 2 * i, 0), (value as i16).to_le_bytes()),
            NiftiVersion::Two => self.put(At(0, DIM.1 + 8 * i), value.to_le_bytes()),
        }
    }

    /// Where the voxels start, as the field holds it.
    pub(super) fn vox_offset(&self) -> f64 {
        match self.version {
            NiftiVersion::One => self.real(VOX_OFFSET, 0),
            NiftiVersion::Two => i64::from_le_bytes(self.get(VOX_OFFSET.1)) as f64,
        }
    }

    pub(super) fn set_vox_offset(&mut self, value: u16) {
        match self.version {
            NiftiVersion::One => self.set_real(VOX_OFFSET, 0, value.into()),
            NiftiVersion::Two => self.put(VOX_OFFSET, i64::from(value).to_le_bytes()),
        }
    }

    pub(super) fn units(&self) -> u8 {
        self.bytes[self.offset(XYZT_UNITS)]
    }

    pub(super) fn set_units(&mut self, value: u8) {
        match self.version {
            NiftiVersion::One => self.put(XYZT_UNITS, [value]),
            NiftiVersion::Two => self.put(XYZT_UNITS, i32::from(value).to_le_bytes()),
        }
    }

    /// Forgets the grey-level range that only version 1 keeps.
    pub(super) fn clear_range(&mut self) {
        if self.version == NiftiVersion::One {
            self.put(At(GLMAX_V1, 0), [0; 8]);
        }
    }

    pub(super) fn magic(&self) -> [u8; 8] {
        match self.version {
            NiftiVersion::One => {
                let [a, b, c, d] = self.get(MAGIC.0);
                [a, b, c, d, 0, 0, 0, 0]
            }
            NiftiVersion::Two => self.get(MAGIC.1),
        }
    }

    /// The magic of a single file.
    pub(super) fn set_single_magic(&mut self) {
        match self.version {
            NiftiVersion::One => self.put(MAGIC, *b"n+1\0"),
            NiftiVersion::Two => self.put(MAGIC, *b"n+2\0\r\n\x1a\n"),
        }
    }

    /// A text field of `len` bytes, up to its first zero; bytes that are not UTF-8 are replaced.
    pub(super) fn text(&self, at: At, len: usize) -> String {
        let offset = self.offset(at);
        let bytes = &self.bytes[offset..offset + len];
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(len);
        String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
    }

    /// Sets a text field of `len` bytes, cut at a character's end to leave a final zero.
    pub(super) fn set_text(&mut self, at: At, len: usize, text: &str) {
        let mut end = text.len().min(len - 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let offset = self.offset(at);
        let field = &mut self.bytes[offset..offset + len];
        field.fill(0);
        field[..end].copy_from_slice(&text.as_bytes()[..end]);
    }
}
