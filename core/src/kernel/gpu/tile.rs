//! Tile sizes by class of adapter: a small table, and a way to replace it.

use std::sync::RwLock;

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
    /// The class of an adapter with this name.
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
            "arc",
        ]) {
            Self::Discrete
        } else if has(&["intel", "apple", "radeon", "adreno", "mali"]) {
            Self::Integrated
        } else {
            Self::Unknown
        }
    }
}

/// How much of a convolution one invocation computes, and how many make a workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

impl GpuTiles {
    /// The table.
    #[must_use]
    pub fn of(class: AdapterClass) -> Self {
        match class {
            AdapterClass::Software => Self {
                quads: 4,
                voxels: [2, 8],
                pointwise_quads: 4,
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
