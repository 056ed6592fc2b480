//! Blocks of lines along one axis, side by side, so that loops along an axis run as wide as the
//! processor does whatever the axis.

/// Lines in a block.
pub(super) const LANES: usize = 32;

/// One sample of every line of a block.
pub(super) type Row = [f32; LANES];

/// How the lines along an axis lie in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    /// Samples of a line.
    len: usize,
    /// Voxels from one sample to the next.
    stride: usize,
    /// Voxels from one line to the next.
    gap: usize,
    /// Lines at that distance.
    lines: usize,
    /// Sets of such lines, and voxels from one to the next.
    sets: usize,
    set: usize,
}

/// Some lines of one set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    set: usize,
    first: usize,
    count: usize,
}

impl Lines {
    /// The lines along `axis` of a volume, first axis fastest.
    pub(super) fn new([x, y, z]: [usize; 3], axis: usize) -> Self {
        let (len, stride, gap, lines, sets, set) = match axis {
            0 => (x, 1, x, y * z, 1, 0),
            1 => (y, x, 1, x, z, x * y),
            _ => (z, x * y, 1, x * y, 1, 0),
        };
        Self {
            len,
            stride,
            gap,
            lines,
            sets,
            set,
        }
    }

    /// Blocks that cover all lines. Volumes that differ only along the axis have the same blocks.
    pub(super) fn blocks(self) -> impl Iterator<Item = Block> {
        (0..self.sets).flat_map(move |set| {
            (0..self.lines).step_by(LANES).map(move |first| Block {
                set,
                first,
                count: LANES.min(self.lines - first),
            })
        })
    }

    fn start(&self, block: Block) -> usize {
        block.set * self.set + block.first * self.gap
    }

    /// Samples `from..` of a block's lines, as many as there are rows.
    pub(super) fn load(&self, data: &[f32], block: Block, from: usize, rows: &mut [Row]) {
        let start = self.start(block) + from * self.stride;
        let count = block.count;
        if self.gap == 1 {
            for (i, row) in rows.iter_mut().enumerate() {
                let at = start + i * self.stride;
                row[..count].copy_from_slice(&data[at..at + count]);
            }
        } else {
            for lane in 0..count {
                let at = start + lane * self.gap;
                let line = &data[at..at + rows.len()];
                for (row, &v) in rows.iter_mut().zip(line) {
                    row[lane] = v;
                }
            }
        }
    }

    /// Puts rows back as the first samples of a block's lines.
    pub(super) fn store(&self, data: &mut [f32], block: Block, rows: &[Row]) {
        let start = self.start(block);
        let count = block.count;
        if self.gap == 1 {
            for (i, row) in rows.iter().enumerate() {
                let at = start + i * self.stride;
                data[at..at + count].copy_from_slice(&row[..count]);
            }
        } else {
            for lane in 0..count {
                let at = start + lane * self.gap;
                let line = &mut data[at..at + rows.len()];
                for (row, v) in rows.iter().zip(line) {
                    *v = row[lane];
                }
            }
        }
    }

    /// Samples of a line.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_the_lines_of_their_axis() {
        let shape = [37, 5, 9];
        let data: Vec<f32> = (0..37 * 5 * 9).map(|v| v as f32).collect();
        for axis in 0..3 {
            let lines = Lines::new(shape, axis);
            let mut rows = vec![[0.0; LANES]; lines.len()];
            let mut copy = vec![0.0; data.len()];
            for block in lines.blocks() {
                lines.load(&data, block, 0, &mut rows);
                let step = [1.0, 37.0, 185.0][axis];
                for (i, row) in rows.iter().enumerate() {
                    assert!((0..block.count).all(|l| row[l] == rows[0][l] + i as f32 * step));
                }
                lines.store(&mut copy, block, &rows);
            }
            assert_eq!(copy, data, "axis {axis}");
        }
    }
}
