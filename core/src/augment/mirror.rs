//! Mirroring along axes.

use super::config::Mirroring;
use super::random::Random;

/// What is drawn for one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// Which axes run the other way.
    pub axes: [bool; 3],
}

impl Mirror {
    pub(super) fn draw(config: &Mirroring, random: &mut Random) -> Self {
        Self {
            axes: config.p_axis.map(|p| random.happens(p)),
        }
    }

    /// Turns the axes of a volume round, first axis fastest.
    pub fn apply<T>(&self, data: &mut [T], shape: [usize; 3]) {
        let [nx, ny, nz] = shape;
        if nx * ny == 0 {
            return;
        }
        let [x, y, z] = self.axes;
        if x {
            data.chunks_exact_mut(nx).for_each(<[T]>::reverse);
        }
        if y {
            for plane in data.chunks_exact_mut(nx * ny) {
                swap(plane, nx, ny);
            }
        }
        if z {
            swap(data, nx * ny, nz);
        }
    }
}

/// Turns the order of `count` parts of `size` values round.
fn swap<T>(data: &mut [T], size: usize, count: usize) {
    for i in 0..count / 2 {
        let (low, high) = data.split_at_mut((count - 1 - i) * size);
        low[i * size..(i + 1) * size].swap_with_slice(&mut high[..size]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_run_the_other_way() {
        let shape = [3, 2, 5];
        let data: Vec<usize> = (0..30).collect();
        for axes in [
            [true, false, false],
            [false, true, false],
            [true, true, true],
        ] {
            let mut out = data.clone();
            let mirror = Mirror { axes };
            mirror.apply(&mut out, shape);
            for (i, v) in out.iter().enumerate() {
                let p = [i % 3, i / 3 % 2, i / 6];
                let q = [0, 1, 2].map(|a| if axes[a] { shape[a] - 1 - p[a] } else { p[a] });
                assert_eq!(*v, q[0] + 3 * (q[1] + 2 * q[2]));
            }
            mirror.apply(&mut out, shape);
            assert_eq!(out, data);
        }
    }
}
