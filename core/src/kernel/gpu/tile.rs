//! Tile sizes by class of adapter: a small table, and a way to replace it.

use std::sync::RwLock;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A class of graphics adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdapterClass {
    /// A processor that plays a graphics card (SwiftShader, WARP).
    Software,
    /// llvmpipe, such a processor whose invocations read each other's values cheaply.
    Llvmpipe,
    /// A graphics card that shares the processor's memory.
    Integrated,
    /// A graphics card with memory of its own.
    Discrete,
    /// One whose name says nothing, as in most browsers.
    Unknown,
}

impl AdapterClass {
    /// The class of an adapter by what is known of it: its name, or in a browser the words of
    /// `GPUAdapterInfo` (`nvidia ampere`).
    #[must_use]
    pub fn of(name: &str) -> Self {
        let name = name.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["llvmpipe"]) {
            Self::Llvmpipe
        } else if has(&["swiftshader", "basic render", "software"]) {
            Self::Software
        } else if has(&[
            "nvidia",
            "geforce",
            "quadro",
            "tesla",
            "radeon rx",
            "radeon pro",
            "rdna",
            "arc",
        ]) {
            Self::Discrete
        } else if has(&["intel", "apple", "radeon", "adreno", "mali", "valhall"]) {
            Self::Integrated
        } else {
            Self::Unknown
        }
    }
}

/// How much of a convolution one invocation computes, and how many make a workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GpuTiles {
    /// Output channels of an invocation, in fours.
    pub quads: usize,
    /// Output planes and rows of an invocation.
    pub voxels: [usize; 2],
    /// Output channels of an invocation where outputs share no inputs, in fours.
    pub pointwise_quads: usize,
    /// Output channels of an invocation that sums a weight gradient, in fours.
    pub gradient_quads: usize,
    /// Invocations in a workgroup, at most 256.
    pub workgroup: u32,
    /// Invocations below which tiles shrink, so that all units have work.
    pub busy: usize,
}

/// Tile sizes that no kernel takes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TileError {
    /// A number is not a power of two, or too large.
    #[error("`{field}` is {value}; it must be a power of two, at most {most}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: usize,
        /// The largest that is taken.
        most: usize,
    },
    /// One invocation would have more sums than any adapter has registers.
    #[error("`{field}` and `voxels` give an invocation {sums} sums; at most {most} are taken")]
    Sums {
        /// The field.
        field: &'static str,
        /// Sums of an invocation.
        sums: usize,
        /// The most that are taken.
        most: usize,
    },
}

/// Sums of an invocation, at most: code is unrolled over them, and over taps.
const MOST_SUMS: usize = 256;
const MOST_POINTWISE_SUMS: usize = 512;

impl GpuTiles {
    /// Checks that kernels can be made of the numbers.
    ///
    /// # Errors
    ///
    /// [`TileError`] names the field.
    pub fn validate(&self) -> Result<(), TileError> {
        for (field, value, most) in [
            ("quads", self.quads, 16),
            ("voxels", self.voxels[0], 8),
            ("voxels", self.voxels[1], 8),
            ("pointwiseQuads", self.pointwise_quads, 16),
            ("gradientQuads", self.gradient_quads, 8),
            ("workgroup", self.workgroup as usize, 256),
            ("busy", self.busy, 1 << 24),
        ] {
            if !value.is_power_of_two() || value > most {
                return Err(TileError::Field { field, value, most });
            }
        }
        for (field, quads, most) in [
            ("quads", self.quads, MOST_SUMS),
            ("pointwiseQuads", self.pointwise_quads, MOST_POINTWISE_SUMS),
        ] {
            let sums = 4 * quads * self.voxels[0] * self.voxels[1];
            if sums > most {
                return Err(TileError::Sums { field, sums, most });
            }
        }
        Ok(())
    }

    /// The table.
    #[must_use]
    pub fn of(class: AdapterClass) -> Self {
        match class {
            // SwiftShader: larger tiles gain 4 % and take three times as long to compile.
            AdapterClass::Software => Self {
                quads: 2,
                voxels: [2, 4],
                pointwise_quads: 2,
                gradient_quads: 4,
                workgroup: 8,
                busy: 256,
            },
            AdapterClass::Llvmpipe => Self {
                quads: 8,
                voxels: [1, 8],
                pointwise_quads: 16,
                ..Self::of(AdapterClass::Software)
            },
            AdapterClass::Integrated | AdapterClass::Unknown => Self {
                quads: 2,
                voxels: [2, 2],
                pointwise_quads: 2,
                gradient_quads: 1,
                workgroup: 64,
                busy: 1 << 14,
            },
            AdapterClass::Discrete => Self {
                quads: 2,
                voxels: [2, 4],
                pointwise_quads: 4,
                gradient_quads: 1,
                workgroup: 128,
                busy: 1 << 16,
            },
        }
    }
}

static REPLACED: RwLock<Option<GpuTiles>> = RwLock::new(None);

/// Replaces the table of tile sizes for every adapter, or restores it.
pub fn set_gpu_tiles(tiles: Option<GpuTiles>) {
    match REPLACED.write() {
        Ok(mut replaced) => *replaced = tiles,
        Err(poisoned) => *poisoned.into_inner() = tiles,
    }
}

/// The tiles for the adapter of this name.
pub(super) fn tiles(name: &str) -> GpuTiles {
    let replaced = match REPLACED.read() {
        Ok(replaced) => *replaced,
        Err(poisoned) => *poisoned.into_inner(),
    };
    replaced.unwrap_or_else(|| GpuTiles::of(AdapterClass::of(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [AdapterClass; 5] = [
        AdapterClass::Software,
        AdapterClass::Llvmpipe,
        AdapterClass::Integrated,
        AdapterClass::Discrete,
        AdapterClass::Unknown,
    ];

    #[test]
    fn names_of_drivers_and_words_of_browsers_have_a_class() {
        for (name, class) in [
            ("llvmpipe (LLVM 15.0.6, 256 bits)", AdapterClass::Llvmpipe),
            ("google swiftshader", AdapterClass::Software),
            ("Microsoft Basic Render Driver", AdapterClass::Software),
            ("NVIDIA H200", AdapterClass::Discrete),
            ("nvidia ampere", AdapterClass::Discrete),
            ("amd rdna-3", AdapterClass::Discrete),
            ("Intel(R) Arc(TM) A770 Graphics", AdapterClass::Discrete),
            ("intel gen-12lp", AdapterClass::Integrated),
            ("apple metal-3", AdapterClass::Integrated),
            ("qualcomm adreno-7xx", AdapterClass::Integrated),
            ("arm valhall", AdapterClass::Integrated),
            ("", AdapterClass::Unknown),
        ] {
            assert_eq!(AdapterClass::of(name), class, "{name}");
        }
    }

    #[test]
    fn the_table_is_valid_and_survives_json() {
        for class in CLASSES {
            let tiles = GpuTiles::of(class);
            assert_eq!(tiles.validate(), Ok(()), "{class:?}");
            let json = serde_json::to_string(&tiles).expect("plain values");
            let back: GpuTiles = serde_json::from_str(&json).expect("the same fields");
            assert_eq!(back, tiles);
        }
    }

    #[test]
    fn what_no_kernel_takes_is_refused_by_field() {
        let tiles = GpuTiles::of(AdapterClass::Discrete);
        let field = |tiles: GpuTiles| match tiles.validate() {
            Err(TileError::Field { field, .. } | TileError::Sums { field, .. }) => field,
            Ok(()) => "none",
        };
        for (changed, named) in [
            (GpuTiles { quads: 3, ..tiles }, "quads"),
            (GpuTiles { quads: 0, ..tiles }, "quads"),
            (
                GpuTiles {
                    voxels: [2, 16],
                    ..tiles
                },
                "voxels",
            ),
            (
                GpuTiles {
                    voxels: [8, 8],
                    ..tiles
                },
                "quads",
            ),
            (
                GpuTiles {
                    voxels: [4, 8],
                    quads: 1,
                    pointwise_quads: 16,
                    ..tiles
                },
                "pointwiseQuads",
            ),
            (
                GpuTiles {
                    gradient_quads: 16,
                    ..tiles
                },
                "gradientQuads",
            ),
            (
                GpuTiles {
                    workgroup: 512,
                    ..tiles
                },
                "workgroup",
            ),
            (
                GpuTiles {
                    busy: usize::MAX,
                    ..tiles
                },
                "busy",
            ),
        ] {
            assert_eq!(field(changed), named, "{changed:?}");
        }
        let unknown = r#"{"quads": 1, "voxel": [1, 1]}"#;
        let error = serde_json::from_str::<GpuTiles>(unknown).expect_err("an unknown field");
        assert!(error.to_string().contains("voxel"), "{error}");
    }
}
