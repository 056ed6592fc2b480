//! Boxes of voxels: the foreground's, and cutting one out.

use crate::volume::{Affine, Grid, Volume};

use super::error::PlanError;
use super::normalize::range;

/// A box of voxels: its first voxel, and its voxels along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) start: [usize; 3],
    pub(super) shape: [usize; 3],
}

/// The smallest box of all voxels that are not the minimum, `margin` voxels larger on each side
/// where the volume has them. `data` must be finite.
pub(super) fn foreground(
    data: &[f32],
    shape: [usize; 3],
    margin: usize,
) -> Result<Region, PlanError> {
    let (background, _) = range(data)?;
    let mut first = shape;
    let mut last = [0; 3];
    for (row, line) in data.chunks_exact(shape[0]).enumerate() {
        let Some(a) = line.iter().position(|&v| v != background) else {
            continue;
        };
        let b = line.iter().rposition(|&v| v != background).unwrap_or(a);
        let at = [row % shape[1], row / shape[1]];
        first[0] = first[0].min(a);
        last[0] = last[0].max(b);
        for axis in 0..2 {
            first[axis + 1] = first[axis + 1].min(at[axis]);
            last[axis + 1] = last[axis + 1].max(at[axis]);
        }
    }
    let start = first.map(|f| f.saturating_sub(margin));
    Ok(Region {
        start,
        shape: [0, 1, 2].map(|a| (last[a].saturating_add(margin)).min(shape[a] - 1) + 1 - start[a]),
    })
}

/// Cuts `region` out of `volume`, in its own memory; every voxel keeps its world position.
pub(super) fn crop(volume: Volume<f32>, region: Region) -> Result<Volume<f32>, PlanError> {
    let (grid, mut data) = volume.into_parts();
    let [nx, ny, _] = grid.shape;
    let Region { start, shape } = region;
    for row in 0..shape[1] * shape[2] {
        let (y, z) = (start[1] + row % shape[1], start[2] + row / shape[1]);
        let at = start[0] + nx * (y + ny * z);
        // A row never moves up, so none is overwritten before it is read.
        data.copy_within(at..at + shape[0], row * shape[0]);
    }
    data.truncate(shape.iter().product());
    data.shrink_to_fit();
    let affine = grid.affine.after(&translation(start.map(|s| s as f64)));
    Ok(Volume::new(Grid { shape, affine }, data)?)
}

/// The map that adds `by`.
pub(super) fn translation(by: [f64; 3]) -> Affine {
    let mut out = Affine::IDENTITY;
    for (row, b) in out.0.iter_mut().zip(by) {
        row[3] = b;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_is_tight_and_keeps_world_positions() -> Result<(), PlanError> {
        let shape = [5, 6, 4];
        let affine = Affine([[2., 0., 0., -5.], [0., 0., 3., 1.], [0., -1., 0., 2.]]);
        let mut data = vec![-1.0; 120];
        let at = |x: usize, y: usize, z: usize| x + 5 * (y + 6 * z);
        data[at(1, 2, 0)] = 3.0;
        data[at(3, 4, 2)] = 4.0;
        let region = foreground(&data, shape, 0)?;
        let expected = Region {
            start: [1, 2, 0],
            shape: [3, 3, 3],
        };
        assert_eq!(region, expected);
        let v = Volume::new(Grid { shape, affine }, data.clone())?;
        let c = crop(v, region)?;
        assert_eq!((c.data()[0], c.data()[26]), (3.0, 4.0));
        assert_eq!(
            c.grid().affine.apply([2., 2., 2.]),
            affine.apply([3., 4., 2.])
        );
        let wide = foreground(&data, shape, 1)?;
        let expected = Region {
            start: [0, 1, 0],
            shape: [5, 5, 4],
        };
        assert_eq!(wide, expected);
        let all = foreground(&data, shape, usize::MAX)?;
        assert_eq!((all.start, all.shape), ([0; 3], shape));
        assert!(foreground(&[7.0; 120], shape, 0).is_err());
        Ok(())
    }
}
