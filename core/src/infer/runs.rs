//! Connected components by union-find on runs of equal voxels along the first axis.
//!
//! A run costs 20 bytes whatever its length, so that a label map's components take a few MB
//! instead of a volume of numbers.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::label::Label;

use super::LabelError;

/// Which voxels touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// 6 neighbours: those that share a face.
    Faces,
    /// 18 neighbours: those that share a face or an edge.
    Edges,
    /// 26 neighbours: those that share a face, an edge or a corner.
    Corners,
}

impl Connectivity {
    /// Rows before a row that can touch it, as steps in y and z, and how far apart along x their
    /// voxels may be.
    fn rows(self) -> &'static [(isize, isize, u32)] {
        match self {
            Self::Faces => &[(-1, 0, 0), (0, -1, 0)],
            Self::Edges => &[(-1, 0, 1), (-1, -1, 0), (0, -1, 1), (1, -1, 0)],
            Self::Corners => &[(-1, 0, 1), (-1, -1, 1), (0, -1, 1), (1, -1, 1)],
        }
    }
}

/// Which voxels that touch belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// All but 0, whatever their labels.
    Foreground,
    /// Those of one label.
    PerLabel,
}

/// A part of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) start: [usize; 3],
    pub(super) shape: [usize; 3],
}

/// Voxels `start..end` of a row, all of one key.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: u32,
    end: u32,
    key: Label,
}

/// The connected components of a region, as runs.
pub(super) struct Runs {
    shape: [usize; 3],
    region: Region,
    runs: Vec<Run>,
    /// First run of each row of the region, then the number of runs.
    rows: Vec<u32>,
    /// Component of each run.
    component: Vec<u32>,
    /// Voxels of each component, in the order of their first voxels.
    sizes: Vec<usize>,
    /// Key of each component.
    keys: Vec<Label>,
}

impl Runs {
    /// Components of the voxels of `region` in `data` (of shape `shape`) that have the same
    /// `key`, 0 meaning none.
    pub(super) fn find(
        data: &[Label],
        shape: [usize; 3],
        region: Region,
        connectivity: Connectivity,
        key: impl Fn(Label) -> Label,
    ) -> Result<Self, LabelError> {
        // Fewer runs than voxels, so that all numbers below fit.
        if u32::try_from(data.len()).is_err() {
            return Err(LabelError::TooLarge { voxels: data.len() });
        }
        let mut out = Self {
            shape,
            region,
            runs: Vec::new(),
            rows: vec![0],
            component: Vec::new(),
            sizes: Vec::new(),
            keys: Vec::new(),
        };
        for row in 0..region.shape[1] * region.shape[2] {
            let at = out.offset(row);
            out.scan(&data[at..at + region.shape[0]], &key);
            out.rows.push(out.runs.len() as u32);
        }
        out.connect(connectivity);
        Ok(out)
    }

    /// Index in the volume of the first voxel of a row of the region.
    fn offset(&self, row: usize) -> usize {
        let (y, z) = (row % self.region.shape[1], row / self.region.shape[1]);
        let [x0, y0, z0] = self.region.start;
        x0 + self.shape[0] * (y0 + y + self.shape[1] * (z0 + z))
    }

    /// Appends the runs of one row.
    fn scan(&mut self, line: &[Label], key: impl Fn(Label) -> Label) {
        let row = self.runs.len();
        let mut start = 0;
        while start < line.len() {
            let value = line[start];
            let end = line[start..]
                .iter()
                .position(|&v| v != value)
                .map_or(line.len(), |n| start + n);
            let key = key(value);
            // Different labels with one key are one run.
            match self.runs[row..].last_mut() {
                Some(last) if last.key == key && last.end == start as u32 => {
                    last.end = end as u32;
                }
                _ if key != 0 => self.runs.push(Run {
                    start: start as u32,
                    end: end as u32,
                    key,
                }),
                _ => {}
            }
            start = end;
        }
    }

    fn row(&self, row: usize) -> Range<usize> {
        self.rows[row] as usize..self.rows[row + 1] as usize
    }

    /// Joins runs that touch and numbers the components.
    fn connect(&mut self, connectivity: Connectivity) {
        let mut parent: Vec<u32> = (0..self.runs.len() as u32).collect();
        let [_, ny, nz] = self.region.shape;
        for z in 0..nz {
            for y in 0..ny {
                let here = self.row(y + ny * z);
                for &(dy, dz, slack) in connectivity.rows() {
                    let (Some(v), Some(w)) = (y.checked_add_signed(dy), z.checked_add_signed(dz))
                    else {
                        continue;
                    };
                    if v < ny {
                        self.join(here.clone(), self.row(v + ny * w), slack, &mut parent);
                    }
                }
            }
        }
        self.component = vec![0; self.runs.len()];
        for i in 0..self.runs.len() {
            let root = root(&mut parent, i as u32) as usize;
            // A root is the first run of its component, so it has been numbered.
            let component = if root == i {
                self.sizes.push(0);
                self.keys.push(self.runs[i].key);
                self.sizes.len() - 1
            } else {
                self.component[root] as usize
            };
            self.component[i] = component as u32;
            self.sizes[component] += (self.runs[i].end - self.runs[i].start) as usize;
        }
    }

    /// Unites the runs of two rows that touch, voxels at most `slack` apart along x.
    fn join(&self, here: Range<usize>, there: Range<usize>, slack: u32, parent: &mut [u32]) {
        let mut first = there.start;
        for i in here {
            let a = self.runs[i];
            while first < there.end && self.runs[first].end + slack <= a.start {
                first += 1;
            }
            for k in first..there.end {
                let b = self.runs[k];
                if b.start >= a.end + slack {
                    break;
                }
                if a.key == b.key {
                    let (r, s) = (root(parent, i as u32), root(parent, k as u32));
                    parent[r.max(s) as usize] = r.min(s);
                }
            }
        }
    }

    /// Voxels of each component.
    pub(super) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Key of each component.
    pub(super) fn keys(&self) -> &[Label] {
        &self.keys
    }

    /// Every run: its component, and the indices of its voxels in the volume.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        self.rows.windows(2).enumerate().flat_map(move |(row, w)| {
            let at = self.offset(row);
            (w[0] as usize..w[1] as usize).map(move |i| {
                let Run { start, end, .. } = self.runs[i];
                (
                    self.component[i] as usize,
                    at + start as usize..at + end as usize,
                )
            })
        })
    }

    /// Whether each component reaches the border of the region.
    pub(super) fn open(&self) -> Vec<bool> {
        let mut open = vec![false; self.sizes.len()];
        let [nx, ny, nz] = self.region.shape;
        for row in 0..ny * nz {
            let (y, z) = (row % ny, row / ny);
            let outer = y == 0 || z == 0 || y + 1 == ny || z + 1 == nz;
            for i in self.row(row) {
                let Run { start, end, .. } = self.runs[i];
                if outer || start == 0 || end as usize == nx {
                    open[self.component[i] as usize] = true;
                }
            }
        }
        open
    }

    /// The component of the voxel at index `at` of the volume.
    pub(super) fn component_at(&self, at: usize) -> Option<usize> {
        let p = [
            at % self.shape[0],
            at / self.shape[0] % self.shape[1],
            at / (self.shape[0] * self.shape[1]),
        ];
        let mut q = [0; 3];
        for a in 0..3 {
            q[a] = p[a]
                .checked_sub(self.region.start[a])
                .filter(|&c| c < self.region.shape[a])?;
        }
        let row = self.row(q[1] + self.region.shape[1] * q[2]);
        let runs = &self.runs[row.clone()];
        let i = runs.partition_point(|r| r.end as usize <= q[0]);
        runs.get(i).filter(|r| r.start as usize <= q[0])?;
        Some(self.component[row.start + i] as usize)
    }
}

/// The root of a run's tree, halving the path to it.
fn root(parent: &mut [u32], mut i: u32) -> u32 {
    while parent[i as usize] != i {
        let above = parent[parent[i as usize] as usize];
        parent[i as usize] = above;
        i = above;
    }
    i
}
