//! Cache-friendly copies of a 3-D array with its axes permuted and flipped.

/// Edge of the square tiles through which axes are swapped. 32 elements fill whole cache lines on
/// both sides, and a tile of 8-byte elements (8 KiB) stays in the first-level cache.
const TILE: usize = 32;

/// Where each axis of a permuted array comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Permutation {
    /// Axis of the source that becomes axis `j` of the result.
    pub(super) axes: [usize; 3],
    /// Whether axis `j` of the result runs against its source.
    pub(super) flip: [bool; 3],
}

impl Permutation {
    /// Shape of the result for a source of shape `shape`.
    pub(super) fn shape(&self, shape: [usize; 3]) -> [usize; 3] {
        self.axes.map(|a| shape[a])
    }

    /// Copies `source`, whose first axis runs fastest, into a new array with the same convention.
    ///
    /// `source` holds exactly the voxels of `shape`; callers check.
    pub(super) fn copy<T: Copy>(&self, source: &[T], shape: [usize; 3]) -> Vec<T> {
        debug_assert_eq!(source.len(), shape.iter().product::<usize>());
        let Some(&fill) = source.first() else {
            return Vec::new();
        };
        if self.axes == [0, 1, 2] && self.flip == [false; 3] {
            return source.to_vec();
        }
        let mut out = vec![fill; source.len()];
        let steps = [1, shape[0], shape[0] * shape[1]];
        let n = self.shape(shape);
        // Offset in the source of result position `p` along result axis `j`.
        let at =
            |j: usize, p: usize| steps[self.axes[j]] * if self.flip[j] { n[j] - 1 - p } else { p };
        if self.axes[0] == 0 {
            for (line, row) in out.chunks_exact_mut(n[0]).enumerate() {
                let from = at(1, line % n[1]) + at(2, line / n[1]);
                let from = &source[from..from + n[0]];
                if self.flip[0] {
                    for (to, v) in row.iter_mut().zip(from.iter().rev()) {
                        *to = *v;
                    }
                } else {
                    row.copy_from_slice(from);
                }
            }
            return out;
        }
        // The source's fastest axis is result axis `d`; `e` is the one left over. Tiles over
        // (0, d) go through a small buffer, so that both sides are touched in whole runs even
        // where the strides are powers of two.
        let (d, e) = if self.axes[1] == 0 { (1, 2) } else { (2, 1) };
        let out_steps = [1, n[0], n[0] * n[1]];
        let mut tile = [fill; TILE * TILE];
        for pe in 0..n[e] {
            for d0 in (0..n[d]).step_by(TILE) {
                let dn = TILE.min(n[d] - d0);
                // Lowest source offset of the run, which a flip walks backwards.
                let low = if self.flip[d] { d0 + dn - 1 } else { d0 };
                for a0 in (0..n[0]).step_by(TILE) {
                    let an = TILE.min(n[0] - a0);
                    for a in 0..an {
                        let from = at(0, a0 + a) + at(d, low) + at(e, pe);
                        let run = &source[from..from + dn];
                        let column = tile[a..].iter_mut().step_by(TILE);
                        if self.flip[d] {
                            column.zip(run.iter().rev()).for_each(|(to, v)| *to = *v);
                        } else {
                            column.zip(run).for_each(|(to, v)| *to = *v);
                        }
                    }
                    for b in 0..dn {
                        let to = a0 + (d0 + b) * out_steps[d] + pe * out_steps[e];
                        out[to..to + an].copy_from_slice(&tile[b * TILE..b * TILE + an]);
                    }
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voxel by voxel, straight from the definition.
    fn slow(p: Permutation, source: &[u32], shape: [usize; 3]) -> Vec<u32> {
        let n = p.shape(shape);
        let mut out = Vec::new();
        for k in 0..n[2] {
            for j in 0..n[1] {
                for i in 0..n[0] {
                    let mut s = [0; 3];
                    for (axis, v) in [i, j, k].into_iter().enumerate() {
                        s[p.axes[axis]] = if p.flip[axis] { n[axis] - 1 - v } else { v };
                    }
                    out.push(source[s[0] + shape[0] * (s[1] + shape[1] * s[2])]);
                }
            }
        }
        out
    }

    #[test]
    fn all_permutations_match_the_definition() {
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        for shape in [[1, 1, 1], [3, 4, 5], [33, 2, 70], [64, 32, 31], [1, 65, 1]] {
            let source: Vec<u32> = (0..shape.iter().product::<usize>() as u32).collect();
            for axes in orders {
                for bits in 0..8 {
                    let flip = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
                    let p = Permutation { axes, flip };
                    assert_eq!(
                        p.copy(&source, shape),
                        slow(p, &source, shape),
                        "{p:?} {shape:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn empty_arrays_stay_empty() {
        let p = Permutation {
            axes: [2, 1, 0],
            flip: [true; 3],
        };
        assert!(p.copy::<u8>(&[], [0, 3, 2]).is_empty());
    }
}
