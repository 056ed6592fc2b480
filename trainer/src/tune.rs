//! Measures which tile sizes of the 3-D kernels suit a graphics adapter.

use std::time::{Duration, Instant};

use amaes_core::kernel::{
    AdapterClass, Conv3dOptions, GpuTiles, adapter_name, conv_transpose3d, conv3d,
    depthwise_conv3d, set_gpu_tiles,
};
use burn::tensor::{Device, Distribution, Tensor};

use crate::error::{Error, Result};

/// Edges of the images that are timed, voxels: the least, and the most that are tried until a
/// convolution takes [`LEAST_TIME`].
const EDGES: [usize; 2] = [32, 128];
const LEAST_TIME: Duration = Duration::from_millis(4);
/// Runs that are timed, after one that compiles; the shortest counts.
const ROUNDS: usize = 4;
/// What a change must gain to be kept, as a share of the time: more than noise.
const LEAST_GAIN: f64 = 0.02;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Dense convolutions of kernel 3 on large and on small images, and their weights' gradient.
    Dense,
    Small,
    Gradient,
    /// Kernel 1, and the transposed convolution of kernel 2.
    Pointwise,
    Transposed,
    Depthwise,
}

impl Work {
    const ALL: [Self; 6] = [
        Self::Dense,
        Self::Small,
        Self::Gradient,
        Self::Pointwise,
        Self::Transposed,
        Self::Depthwise,
    ];
}

/// A part of [`GpuTiles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Voxels,
    Quads,
    Workgroup,
    Pointwise,
    Gradient,
    Busy,
}

impl Part {
    /// In the order in which they are tried. Voxels come again with the channels that were found.
    const ORDER: [Self; 7] = [
        Self::Voxels,
        Self::Quads,
        Self::Voxels,
        Self::Workgroup,
        Self::Pointwise,
        Self::Gradient,
        Self::Busy,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Voxels => "voxels",
            Self::Quads => "quads",
            Self::Workgroup => "workgroup",
            Self::Pointwise => "pointwise",
            Self::Gradient => "gradient",
            Self::Busy => "busy",
        }
    }

    /// What it is chosen by.
    fn works(self) -> &'static [Work] {
        match self {
            Self::Voxels => &[Work::Dense, Work::Depthwise],
            Self::Quads => &[Work::Dense],
            Self::Workgroup => &Work::ALL,
            Self::Pointwise => &[Work::Pointwise, Work::Transposed],
            Self::Gradient => &[Work::Gradient],
            Self::Busy => &[Work::Small],
        }
    }

    /// Sizes that differ in this part.
    fn choices(self, tiles: GpuTiles) -> Vec<GpuTiles> {
        let quads = [1, 2, 4, 8, 16];
        let all: Vec<GpuTiles> = match self {
            Self::Voxels => [
                [1, 1],
                [1, 2],
                [2, 2],
                [1, 4],
                [2, 4],
                [4, 4],
                [1, 8],
                [2, 8],
            ]
            .map(|voxels| GpuTiles { voxels, ..tiles })
            .to_vec(),
            Self::Quads => quads.map(|quads| GpuTiles { quads, ..tiles }).to_vec(),
            Self::Workgroup => [8, 16, 32, 64, 128, 256]
                .map(|workgroup| GpuTiles { workgroup, ..tiles })
                .to_vec(),
            Self::Pointwise => quads
                .map(|quads| GpuTiles {
                    pointwise_quads: quads,
                    ..tiles
                })
                .to_vec(),
            Self::Gradient => [1, 2, 4, 8]
                .map(|quads| GpuTiles {
                    gradient_quads: quads,
                    ..tiles
                })
                .to_vec(),
            Self::Busy => [8, 10, 12, 14, 16, 18]
                .map(|bits| GpuTiles {
                    busy: 1 << bits,
                    ..tiles
                })
                .to_vec(),
        };
        let other = |choice: &GpuTiles| *choice != tiles && choice.validate().is_ok();
        all.into_iter().filter(other).collect()
    }
}

/// Sizes that were timed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Trial {
    /// The part that differs from the best sizes so far.
    pub part: &'static str,
    /// The sizes.
    pub tiles: GpuTiles,
    /// Their time as a share of that of the best sizes so far.
    pub ratio: f64,
    /// Whether they are the best now.
    pub kept: bool,
}

/// The best sizes that were found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tuned {
    /// The adapter's name.
    pub adapter: String,
    /// The sizes.
    pub tiles: GpuTiles,
    /// The time of all that was timed, as a share of the table's: a geometric mean.
    pub ratio: f64,
    /// Whether there was time to try everything.
    pub complete: bool,
}

/// Tries sizes about those of the table, one part after the other, and sets the best for the rest
/// of the process. After `limit` no other sizes are tried.
///
/// # Errors
///
/// [`Error::Device`] when it is no graphics adapter, or fails.
pub fn tune(device: &Device, limit: Duration, watch: &mut dyn FnMut(&Trial)) -> Result<Tuned> {
    let started = Instant::now();
    let Some(adapter) = adapter_name(device) else {
        return Err(failed("it is not a graphics card"));
    };
    let table = GpuTiles::of(AdapterClass::of(&adapter));
    let bench = Bench::new(device, table)?;
    let first = bench.times(table, &Work::ALL)?;
    let mut best = table;
    let mut complete = true;
    'parts: for part in Part::ORDER {
        let mut least = bench.times(best, part.works())?;
        for tiles in part.choices(best) {
            if started.elapsed() > limit {
                complete = false;
                break 'parts;
            }
            let times = bench.times(tiles, part.works())?;
            let ratio = ratio(&times, &least);
            let kept = ratio < 1.0 - LEAST_GAIN;
            watch(&Trial {
                part: part.name(),
                tiles,
                ratio,
                kept,
            });
            if kept {
                (best, least) = (tiles, times);
            }
        }
    }
    let ratio = match best == table {
        true => 1.0,
        false => ratio(&bench.times(best, &Work::ALL)?, &first),
    };
    set_gpu_tiles(Some(best));
    Ok(Tuned {
        adapter,
        tiles: best,
        ratio,
        complete,
    })
}

/// The geometric mean of times as shares of others.
fn ratio(times: &[f64], of: &[f64]) -> f64 {
    let logs: f64 = times.iter().zip(of).map(|(a, b)| (a / b).ln()).sum();
    (logs / times.len() as f64).exp()
}

fn failed(message: impl Into<String>) -> Error {
    Error::Device {
        device: "wgpu",
        message: message.into(),
    }
}

/// A device, and how large images must be for times that mean something.
struct Bench<'a> {
    device: &'a Device,
    edge: usize,
}

impl<'a> Bench<'a> {
    fn new(device: &'a Device, tiles: GpuTiles) -> Result<Self> {
        let [mut edge, most] = EDGES;
        loop {
            let bench = Self { device, edge };
            let time = bench.times(tiles, &[Work::Dense])?[0];
            if time >= LEAST_TIME.as_secs_f64() || edge >= most {
                return Ok(bench);
            }
            edge *= 2;
        }
    }

    /// Seconds that each of some works takes with these tiles.
    fn times(&self, tiles: GpuTiles, works: &[Work]) -> Result<Vec<f64>> {
        set_gpu_tiles(Some(tiles));
        works.iter().map(|&work| self.time(work)).collect()
    }

    fn time(&self, work: Work) -> Result<f64> {
        let edge = self.edge;
        let (x, weight) = match work {
            Work::Dense | Work::Gradient => ([32, edge], [32, 32, 3]),
            Work::Small => ([128, edge / 4], [128, 128, 3]),
            Work::Pointwise => ([64, edge], [64, 64, 1]),
            Work::Transposed => ([64, edge / 2], [64, 32, 2]),
            Work::Depthwise => ([64, edge], [64, 1, 3]),
        };
        let random = |shape: [usize; 5]| {
            Tensor::<5>::random(shape, Distribution::Uniform(-1.0, 1.0), self.device)
        };
        let x = random([1, x[0], x[1], x[1], x[1]]);
        let weight = random([weight[0], weight[1], weight[2], weight[2], weight[2]]);
        let mut least = f64::INFINITY;
        for round in 0..=ROUNDS {
            let (x, weight) = (x.clone(), weight.clone());
            let seconds = match work {
                Work::Dense | Work::Small => {
                    self.clock(|| conv3d(x, weight, None, &Conv3dOptions::same(3)))?
                }
                Work::Pointwise => {
                    self.clock(|| conv3d(x, weight, None, &Conv3dOptions::same(1)))?
                }
                Work::Transposed => self.clock(|| conv_transpose3d(x, weight, None))?,
                Work::Depthwise => self.clock(|| depthwise_conv3d(x, weight, None, 1, 1))?,
                Work::Gradient => {
                    let weight = weight.autodiff().require_grad();
                    let y = conv3d(x.autodiff(), weight, None, &Conv3dOptions::same(3));
                    self.clock(|| y.backward())?
                }
            };
            // The first compiles.
            if round > 0 {
                least = least.min(seconds);
            }
        }
        Ok(least)
    }

    /// Seconds from the call until the device has finished.
    fn clock<T>(&self, work: impl FnOnce() -> T) -> Result<f64> {
        let wait = || {
            self.device
                .sync()
                .map_err(|error| failed(format!("{error:?}")))
        };
        wait()?;
        let start = Instant::now();
        let result = work();
        wait()?;
        let seconds = start.elapsed().as_secs_f64();
        drop(result);
        Ok(seconds)
    }
}
