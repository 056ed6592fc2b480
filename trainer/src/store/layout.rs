//! How a store is laid out: names, types, codecs, and how a volume is cut into chunks and shards.

use std::fmt;

use amaes_core::preprocess::Plan;
use serde::{Deserialize, Serialize};

use super::error::{Result, StoreError};

/// Version of the format, `attributes.amaes.format` of the root group.
pub const FORMAT: u32 = 1;
/// Metadata of a group or an array.
pub(crate) const METADATA: &str = "zarr.json";
/// The index: one line of JSON a volume, in the order of their names.
pub(crate) const INDEX: &str = "index.jsonl";
/// The group of the volumes.
pub(crate) const VOLUMES: &str = "volumes";
/// The array of a volume, its only resolution.
pub(crate) const ARRAY: &str = "0";
/// Folders of volumes that are being written start so.
pub(crate) const TEMPORARY: &str = ".tmp-";
/// Longest edge of a volume in voxels.
pub(crate) const MAX_EDGE: usize = 1 << 14;
/// Voxels of the largest volume, shard (2^31) and chunk (2^24).
pub(crate) const MAX_VOXELS: usize = 1 << 31;
pub(crate) const MAX_CHUNK: usize = 1 << 24;
/// Edge of shards of volumes that do not fit one, before rounding to whole chunks.
const SPLIT_SHARD: usize = 256;

/// Stored type of voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE half precision.
    Float16,
    /// Steps between the volume's minimum and maximum, with the attributes `scale_factor` and
    /// `add_offset` that xarray applies.
    Uint16,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float16 => "float16",
            Self::Uint16 => "uint16",
        })
    }
}

/// Compression of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Codec {
    /// Zstandard. Levels below 0 leave entropy coding out and decode about twice as fast.
    Zstd {
        /// -131072 to 22.
        level: i32,
    },
    /// Deflate.
    Gzip {
        /// 0 to 9.
        level: u32,
    },
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zstd { level } => write!(f, "zstd {level}"),
            Self::Gzip { level } => write!(f, "gzip {level}"),
        }
    }
}

/// What a store is made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreOptions {
    /// What was done to the volumes before they came here.
    pub plan: Plan,
    /// Stored type.
    pub dtype: Dtype,
    /// Bits of [`Dtype::Uint16`] that are used, 8 to 16: fewer make smaller files.
    pub bits: u32,
    /// Compression.
    pub codec: Codec,
    /// Edge of a chunk in voxels, 8 to 256, to which each volume's comes as near as equal parts of
    /// its axes allow.
    pub chunk: usize,
    /// Longest edge in voxels of a volume that is one shard, hence one file.
    pub shard: usize,
}

impl Default for StoreOptions {
    /// As measured in `docs/store.md`.
    fn default() -> Self {
        Self {
            plan: Plan::reference(),
            dtype: Dtype::Uint16,
            bits: 16,
            codec: Codec::Zstd { level: -20 },
            chunk: 64,
            shard: 512,
        }
    }
}

impl StoreOptions {
    /// Checks every option.
    ///
    /// # Errors
    ///
    /// [`StoreError::Option`] names the one that makes no sense.
    pub fn validate(&self) -> Result<()> {
        let refuse = |field, problem: String| Err(StoreError::Option { field, problem });
        if let Err(e) = self.plan.validate() {
            return refuse("plan", e.to_string());
        }
        if !(8..=16).contains(&self.bits) {
            return refuse("bits", format!("{} is not within 8 to 16", self.bits));
        }
        match self.codec {
            Codec::Zstd { level } if !(-131_072..=22).contains(&level) => {
                return refuse("codec", format!("zstd has no level {level}"));
            }
            Codec::Gzip { level } if level > 9 => {
                return refuse("codec", format!("gzip has no level {level}"));
            }
            _ => {}
        }
        if !(8..=256).contains(&self.chunk) {
            return refuse("chunk", format!("{} is not within 8 to 256", self.chunk));
        }
        if !(self.chunk..=1024).contains(&self.shard) {
            let problem = format!("{} is not within {} to 1024", self.shard, self.chunk);
            return refuse("shard", problem);
        }
        Ok(())
    }

    /// How a volume of this shape is cut.
    pub(crate) fn layout(&self, shape: [usize; 3]) -> Layout {
        // Equal parts, so that chunks at the far border hold little padding.
        let chunk = shape.map(|n| {
            let parts = ((n + self.chunk / 2) / self.chunk).max(1);
            n.div_ceil(parts)
        });
        let whole = shape.iter().all(|&n| n <= self.shard);
        let shard = [0, 1, 2].map(|a| {
            let extent = if whole { shape[a] } else { SPLIT_SHARD };
            extent.min(shape[a]).div_ceil(chunk[a]) * chunk[a]
        });
        Layout {
            shape,
            chunk,
            shard,
        }
    }
}

/// How a volume is cut: shards are files, chunks are what is compressed. All in voxels, x first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The volume.
    pub shape: [usize; 3],
    /// A chunk.
    pub chunk: [usize; 3],
    /// A shard: whole chunks.
    pub shard: [usize; 3],
}

impl Layout {
    /// Checks the numbers before anything is allocated for them.
    pub(crate) fn validate(&self) -> std::result::Result<(), (&'static str, String)> {
        let product = |v: [usize; 3]| v.iter().fold(1usize, |a, &n| a.saturating_mul(n));
        for (name, edges) in [
            ("shape", self.shape),
            ("chunk", self.chunk),
            ("shard", self.shard),
        ] {
            if edges.iter().any(|&n| n == 0 || n > MAX_EDGE) {
                return Err((name, format!("{edges:?} is not within 1 to {MAX_EDGE}")));
            }
            if product(edges) > MAX_VOXELS {
                return Err((name, format!("{edges:?} is more than {MAX_VOXELS} voxels")));
            }
        }
        if product(self.chunk) > MAX_CHUNK {
            let problem = format!("{:?} is more than {MAX_CHUNK} voxels", self.chunk);
            return Err(("chunk", problem));
        }
        if (0..3).any(|a| !self.shard[a].is_multiple_of(self.chunk[a])) {
            let problem = format!("{:?} is not whole chunks of {:?}", self.shard, self.chunk);
            return Err(("shard", problem));
        }
        Ok(())
    }

    /// Shards along each axis.
    pub fn shards(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.shape[a].div_ceil(self.shard[a]))
    }

    /// Chunks along each axis of a shard.
    pub fn chunks_of_shard(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.shard[a] / self.chunk[a])
    }

    /// Voxels of a chunk.
    pub fn chunk_voxels(&self) -> usize {
        self.chunk.iter().product()
    }

    /// Name of a shard within the array's folder.
    pub(crate) fn key([x, y, z]: [usize; 3]) -> String {
        format!("c/{z}/{y}/{x}")
    }
}

/// Checks that a volume's name can be a folder's on every system and in every address.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let problem = if id.is_empty() || id.len() > 200 {
        "it must have 1 to 200 characters"
    } else if id.starts_with('.') || id.starts_with("__") {
        "it must not start with `.` or `__`"
    } else if !id
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    {
        "only A-Z, a-z, 0-9, `.`, `_` and `-` are allowed"
    } else {
        return Ok(());
    };
    Err(StoreError::Id {
        id: id.into(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_near_the_edge_asked_for_and_cover_the_volume() {
        let options = StoreOptions::default();
        for shape in [[1, 95, 97], [180, 200, 164], [64, 65, 600], [31, 1024, 8]] {
            let layout = options.layout(shape);
            layout.validate().expect("a valid layout");
            for (a, n) in shape.into_iter().enumerate() {
                assert!(layout.chunk[a] <= 96, "{layout:?}");
                let padded = n.div_ceil(layout.chunk[a]) * layout.chunk[a];
                assert!(padded - n < 16, "{layout:?}");
                assert!(layout.shards()[a] * layout.shard[a] >= n);
            }
        }
        assert_eq!(options.layout([180, 200, 164]).shards(), [1; 3]);
        assert_eq!(options.layout([64, 65, 600]).shards()[2], 3);
    }

    #[test]
    fn impossible_layouts_are_refused() {
        let good = StoreOptions::default().layout([100; 3]);
        for (field, layout) in [
            (
                "shape",
                Layout {
                    shape: [0, 1, 1],
                    ..good
                },
            ),
            (
                "shape",
                Layout {
                    shape: [1 << 20; 3],
                    ..good
                },
            ),
            (
                "shape",
                Layout {
                    shape: [1 << 13; 3],
                    ..good
                },
            ),
            (
                "chunk",
                Layout {
                    chunk: [0; 3],
                    ..good
                },
            ),
            (
                "chunk",
                Layout {
                    chunk: [512; 3],
                    ..good
                },
            ),
            (
                "shard",
                Layout {
                    shard: [99, 100, 100],
                    ..good
                },
            ),
        ] {
            assert_eq!(layout.validate().expect_err("refused").0, field);
        }
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for id in ["", ".", "..", "a/b", "a\\b", "__x", "é", "a b", ".tmp-a"] {
            assert!(check_id(id).is_err(), "{id}");
        }
        check_id("sub-01_ses-2_T1w.1").expect("a name");
    }

    #[test]
    fn options_are_checked() {
        let bad = |change: fn(&mut StoreOptions)| {
            let mut options = StoreOptions::default();
            change(&mut options);
            options.validate().expect_err("refused").to_string()
        };
        assert!(bad(|o| o.bits = 17).contains("bits"));
        assert!(bad(|o| o.chunk = 4).contains("chunk"));
        assert!(bad(|o| o.shard = 32).contains("shard"));
        assert!(bad(|o| o.codec = Codec::Gzip { level: 10 }).contains("gzip"));
        assert!(bad(|o| o.codec = Codec::Zstd { level: 23 }).contains("zstd"));
    }
}
