//! Files built byte by byte from the formats' definitions.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A NIfTI file of either version and byte order.
#[derive(Clone)]
pub(super) struct Nifti {
    pub(super) two: bool,
    pub(super) big: bool,
    pub(super) size: i32,
    pub(super) magic: Vec<u8>,
    pub(super) dim: [i64; 8],
    pub(super) datatype: i16,
    pub(super) pixdim: [f64; 8],
    pub(super) vox_offset: f64,
    pub(super) slope: f64,
    pub(super) inter: f64,
    pub(super) qform: i16,
    pub(super) sform: i16,
    pub(super) quatern: [f64; 3],
    pub(super) qoffset: [f64; 3],
    pub(super) srow: [f64; 12],
    /// Bytes between the header and the voxels: the extension mark and what follows.
    pub(super) gap: Vec<u8>,
    pub(super) data: Vec<u8>,
}

impl Nifti {
    /// 2x3x4 voxels of i16 that count up from 0, with an sform.
    pub(super) fn small(two: bool, big: bool) -> Self {
        let data = (0..24i16)
            .flat_map(|v| {
                if big {
                    v.to_be_bytes()
                } else {
                    v.to_le_bytes()
                }
            })
            .collect();
        Self {
            two,
            big,
            size: if two { 540 } else { 348 },
            magic: if two {
                b"n+2\0\r\n\x1a\n".to_vec()
            } else {
                b"n+1\0".to_vec()
            },
            dim: [3, 2, 3, 4, 1, 1, 1, 1],
            datatype: 4,
            pixdim: [1., 2., 3., 4., 0., 0., 0., 0.],
            vox_offset: if two { 544. } else { 352. },
            slope: 0.,
            inter: 0.,
            qform: 0,
            sform: 1,
            quatern: [0.; 3],
            qoffset: [0.; 3],
            srow: [2., 0., 0., -10., 0., 3., 0., -20., 0., 0., 4., -30.],
            gap: vec![0; 4],
            data,
        }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The header alone.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut out = vec![0u8; if self.two { 540 } else { 348 }];
        // Marks that must survive in files with the same geometry.
        if self.two {
            out[240..247].copy_from_slice(b"descrip");
        } else {
            out[148..155].copy_from_slice(b"descrip");
            out[39] = 0x39;
        }
        let mut put = |at: usize, bytes: &[u8]| {
            let field = &mut out[at..at + bytes.len()];
            field.copy_from_slice(bytes);
            if self.big {
                field.reverse();
            }
        };
        put(0, &self.size.to_le_bytes());
        let mut reals: Vec<(usize, usize, f64)> = Vec::new();
        let mut real = |one: usize, two: usize, values: &[f64]| {
            for (i, v) in values.iter().enumerate() {
                reals.push((one + 4 * i, two + 8 * i, *v));
            }
        };
        real(76, 104, &self.pixdim);
        real(112, 176, &[self.slope, self.inter]);
        real(124, 192, &[255., 5.]);
        real(256, 352, &self.quatern);
        real(268, 376, &self.qoffset);
        real(280, 400, &self.srow);
        if self.two {
            put(12, &self.datatype.to_le_bytes());
            for (i, d) in self.dim.iter().enumerate() {
                put(16 + 8 * i, &d.to_le_bytes());
            }
            for (_, at, v) in reals {
                put(at, &v.to_le_bytes());
            }
            put(168, &(self.vox_offset as i64).to_le_bytes());
            put(344, &i32::from(self.qform).to_le_bytes());
            put(348, &i32::from(self.sform).to_le_bytes());
            put(500, &2i32.to_le_bytes());
            put(504, &1001i32.to_le_bytes());
            out[4..12].copy_from_slice(&self.magic);
        } else {
            put(68, &1001i16.to_le_bytes());
            put(70, &self.datatype.to_le_bytes());
            for (i, d) in self.dim.iter().enumerate() {
                put(40 + 2 * i, &(*d as i16).to_le_bytes());
            }
            for (at, _, v) in reals {
                put(at, &(v as f32).to_le_bytes());
            }
            put(108, &(self.vox_offset as f32).to_le_bytes());
            put(252, &self.qform.to_le_bytes());
            put(254, &self.sform.to_le_bytes());
            put(123, &[2]);
            out[344..348].copy_from_slice(&self.magic);
        }
        out
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = self.header();
        out.extend(&self.gap);
        out.extend(&self.data);
        out
    }
}

/// The four combinations of version and byte order.
pub(super) fn kinds() -> [Nifti; 4] {
    [(false, false), (false, true), (true, false), (true, true)].map(|(t, b)| Nifti::small(t, b))
}

/// An MGH file.
#[derive(Clone)]
pub(super) struct Mgh {
    pub(super) dims: [i32; 4],
    pub(super) code: i32,
    pub(super) flag: i16,
    pub(super) data: Vec<u8>,
    pub(super) footer: Vec<u8>,
}

impl Mgh {
    /// 2x3x4 voxels of i16 that count up from 0, conformed axes, 2x3x4 mm voxels.
    pub(super) fn small() -> Self {
        Self {
            dims: [2, 3, 4, 1],
            code: 4,
            flag: 1,
            data: (0..24i16).flat_map(i16::to_be_bytes).collect(),
            footer: vec![0; 20],
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = 1i32.to_be_bytes().to_vec();
        out.extend(self.dims.iter().flat_map(|d| d.to_be_bytes()));
        out.extend(self.code.to_be_bytes());
        out.extend([0; 4]);
        out.extend(self.flag.to_be_bytes());
        let geometry = [
            2f32, 3., 4., -1., 0., 0., 0., 0., -1., 0., 1., 0., 10., 20., 30.,
        ];
        out.extend(geometry.iter().flat_map(|v| v.to_be_bytes()));
        out.resize(284, 0);
        out.extend(&self.data);
        out.extend(&self.footer);
        out
    }
}

/// Compresses at a level; 0 stores.
pub(super) fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut e = GzEncoder::new(Vec::new(), Compression::new(level));
    e.write_all(bytes).expect("memory");
    e.finish().expect("memory")
}
