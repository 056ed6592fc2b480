//! How a convolution is cut into tasks, and a task's tiles into vectors.

use super::super::tile::Machine;
use super::gather::Slab;

/// Tiles of one task: ranges of tile planes and tile rows within one lattice of one sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) sample: usize,
    /// Residues of the dilation along depth and height.
    pub(crate) base: [usize; 2],
    pub(crate) depth: [usize; 2],
    pub(crate) height: [usize; 2],
}

impl Task {
    pub(crate) fn first(&self) -> [usize; 2] {
        [self.depth[0], self.height[0]]
    }

    pub(crate) fn tiles(&self) -> [usize; 2] {
        [
            self.depth[1] - self.depth[0],
            self.height[1] - self.height[0],
        ]
    }
}

/// Tiles along the axes of a convolution's outputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) outputs: [usize; 3],
    pub(crate) dilation: [usize; 3],
}

impl Grid {
    /// Tiles along depth or height in the lattice of residue `base`.
    fn tiles(&self, axis: usize, base: usize) -> usize {
        (self.outputs[axis] - base).div_ceil(2 * self.dilation[axis])
    }

    /// Places along width that hold tiles.
    pub(crate) fn width(&self) -> usize {
        self.outputs[2].div_ceil(2 * self.dilation[2]) * self.dilation[2]
    }

    /// Every task, with at most `most` lanes each where a row permits.
    pub(crate) fn tasks(&self, machine: &Machine, batch: usize, most: usize) -> Vec<Task> {
        self.cut(batch, |tiles| self.task_tiles(machine, tiles, most))
    }

    /// Every task, with at most `most` tiles each where a row permits.
    pub(crate) fn tasks_of_tiles(&self, batch: usize, most: usize) -> Vec<Task> {
        self.cut(batch, |[depth, height]| {
            let rows = (most / self.width()).max(1);
            let even = |all: usize, most: usize| all.div_ceil(all.div_ceil(most.clamp(1, all)));
            [even(depth, rows / height), even(height, rows)]
        })
    }

    /// Cuts every lattice into tasks of as many tile planes and rows as `size` says.
    fn cut(&self, batch: usize, size: impl Fn([usize; 2]) -> [usize; 2]) -> Vec<Task> {
        let mut tasks = Vec::new();
        for sample in 0..batch {
            for d in 0..self.dilation[0].min(self.outputs[0]) {
                for h in 0..self.dilation[1].min(self.outputs[1]) {
                    let tiles = [self.tiles(0, d), self.tiles(1, h)];
                    let [depth, height] = size(tiles);
                    for z in (0..tiles[0]).step_by(depth) {
                        for y in (0..tiles[1]).step_by(height) {
                            tasks.push(Task {
                                sample,
                                base: [d, h],
                                depth: [z, (z + depth).min(tiles[0])],
                                height: [y, (y + height).min(tiles[1])],
                            });
                        }
                    }
                }
            }
        }
        tasks
    }

    /// Tile planes and rows of a task: the least work per tile.
    fn task_tiles(
        &self,
        machine: &Machine,
        [depth, height]: [usize; 2],
        most: usize,
    ) -> [usize; 2] {
        let mut best = [1, 1];
        let mut best_work = f64::MAX;
        for d in 1..=depth {
            let d = depth.div_ceil(depth.div_ceil(d));
            for h in 1..=height {
                let h = height.div_ceil(height.div_ceil(h));
                let vectors = Lanes::new(machine, self, [d, h]).starts.len();
                if vectors * machine.lanes > most && d * h > 1 {
                    break;
                }
                let tasks = depth.div_ceil(d) * height.div_ceil(h);
                // The weights are read once a task, and the last run of a block may be short.
                let full = machine.vectors(8);
                let idle = if vectors.is_multiple_of(full) {
                    0.0
                } else {
                    0.5
                };
                let work = (vectors as f64 + idle + 0.7) * tasks as f64;
                if work < best_work {
                    best_work = work;
                    best = [d, h];
                }
            }
        }
        best
    }
}

/// The tiles of a task as vectors.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    pub(crate) slab: Slab,
    /// Place of each vector in a slab.
    pub(crate) starts: Vec<usize>,
    /// From one tile plane's first lane to the next, and from one tile row's.
    step: [usize; 2],
}

impl Lanes {
    /// For a task of this many tile planes and rows.
    pub(crate) fn new(machine: &Machine, grid: &Grid, [planes, height]: [usize; 2]) -> Self {
        let width = grid.width();
        let (rows, pitch) = (height + 1, width + grid.dilation[2]);
        let lanes = machine.lanes;
        let slab = Slab {
            planes,
            rows,
            pitch,
            len: planes * rows * pitch + lanes,
        };
        let by_row = width.div_ceil(lanes);
        let by_plane = ((height - 1) * pitch + width).div_ceil(lanes);
        let whole = ((planes * rows - 2) * pitch + width).div_ceil(lanes);
        // Runs per plane, their vectors, from one run to the next, and the lanes' steps.
        let (runs, vectors, step) = if by_row * height * planes <= whole.min(by_plane * planes) {
            (height, by_row, [height * by_row * lanes, by_row * lanes])
        } else if by_plane * planes <= whole {
            (1, by_plane, [by_plane * lanes, pitch])
        } else {
            let starts = (0..whole).map(|v| v * lanes).collect();
            let step = [rows * pitch, pitch];
            return Self { slab, starts, step };
        };
        let starts = (0..planes)
            .flat_map(|plane| (0..runs).map(move |run| (plane * rows + run) * pitch))
            .flat_map(|start| (0..vectors).map(move |v| start + v * lanes))
            .collect();
        Self { slab, starts, step }
    }

    /// First lane of a tile row.
    pub(crate) fn row(&self, plane: usize, row: usize) -> usize {
        plane * self.step[0] + row * self.step[1]
    }
}
