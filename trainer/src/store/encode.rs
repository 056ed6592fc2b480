//! Values to stored numbers, and a volume's shards as bytes.

use amaes_core::volume::Volume;
use half::f16;

use super::entry::Quantisation;
use super::error::{Result, StoreError};
use super::layout::{Dtype, Layout};

/// What the values of a volume are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statistics {
    pub(crate) min: f32,
    pub(crate) max: f32,
    pub(crate) mean: f64,
    pub(crate) sd: f64,
    pub(crate) foreground: f64,
}

impl Statistics {
    /// Measures a volume, whose values must be finite.
    pub(crate) fn of(id: &str, volume: &Volume<f32>) -> Result<Self> {
        let data = volume.data();
        let refuse = |problem: String| {
            Err(StoreError::Volume {
                id: id.into(),
                problem,
            })
        };
        let (mut min, mut max, mut sum) = (f32::INFINITY, f32::NEG_INFINITY, 0.0);
        for (i, &v) in data.iter().enumerate() {
            if !v.is_finite() {
                let [x, y, _] = volume.grid().shape;
                let voxel = [i % x, i / x % y, i / (x * y)];
                return refuse(format!("voxel {voxel:?} is {v}"));
            }
            min = min.min(v);
            max = max.max(v);
            sum += f64::from(v);
        }
        if data.is_empty() {
            return refuse("it has no voxels".into());
        }
        if !(max - min).is_finite() {
            return refuse(format!("values from {min} to {max} are too far apart"));
        }
        let n = data.len() as f64;
        let mean = sum / n;
        let (mut squares, mut above) = (0.0, 0u64);
        for &v in data {
            squares += (f64::from(v) - mean).powi(2);
            above += u64::from(v > min);
        }
        Ok(Self {
            min,
            max,
            mean,
            sd: (squares / n).sqrt(),
            foreground: above as f64 / n,
        })
    }
}

/// How values become 16-bit numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Encoding {
    Float16,
    Uint16 {
        quantisation: Quantisation,
        levels: f32,
    },
}

impl Encoding {
    /// The encoding of a volume.
    pub(crate) fn new(id: &str, dtype: Dtype, bits: u32, range: &Statistics) -> Result<Self> {
        match dtype {
            Dtype::Float16 => {
                let largest = f16::MAX.to_f32();
                for v in [range.min, range.max] {
                    if v.abs() > largest {
                        return Err(StoreError::Volume {
                            id: id.into(),
                            problem: format!("{v} is beyond float16's {largest}"),
                        });
                    }
                }
                Ok(Self::Float16)
            }
            Dtype::Uint16 => {
                let levels = ((1u32 << bits) - 1) as f32;
                let step = (range.max - range.min) / levels;
                let scale = if step > 0.0 { step } else { 1.0 };
                let offset = range.min;
                let quantisation = Quantisation { scale, offset };
                Ok(Self::Uint16 {
                    quantisation,
                    levels,
                })
            }
        }
    }

    pub(crate) fn quantisation(&self) -> Option<Quantisation> {
        match self {
            Self::Float16 => None,
            Self::Uint16 { quantisation, .. } => Some(*quantisation),
        }
    }

    /// The bits of a value.
    pub(crate) fn encode(&self, v: f32) -> u16 {
        match *self {
            Self::Float16 => f16::from_f32(v).to_bits(),
            Self::Uint16 {
                quantisation: q,
                levels,
            } => ((v - q.offset) / q.scale + 0.5).clamp(0.0, levels) as u16,
        }
    }
}

/// The bytes of a shard, x fastest, little-endian, padded with `fill`.
pub(crate) fn shard_bytes(
    volume: &Volume<f32>,
    layout: &Layout,
    shard: [usize; 3],
    encoding: &Encoding,
    fill: u16,
) -> Vec<u8> {
    let [sx, sy, sz] = layout.shard;
    let start = [0, 1, 2].map(|a| shard[a] * layout.shard[a]);
    let size = [0, 1, 2].map(|a| layout.shard[a].min(layout.shape[a] - start[a]));
    let [nx, ny, _] = layout.shape;
    let mut bytes = fill.to_le_bytes().repeat(sx * sy * sz);
    for z in 0..size[2] {
        for y in 0..size[1] {
            let from = start[0] + nx * (start[1] + y + ny * (start[2] + z));
            let to = 2 * sx * (y + sy * z);
            let row = &volume.data()[from..from + size[0]];
            for (two, &v) in bytes[to..to + 2 * size[0]].chunks_exact_mut(2).zip(row) {
                two.copy_from_slice(&encoding.encode(v).to_le_bytes());
            }
        }
    }
    bytes
}
