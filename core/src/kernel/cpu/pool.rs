//! Maximum over blocks of 2 x 2 x 2 voxels.

use super::parallel::{Shared, for_each};

/// Pooling of every channel of every sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    /// Samples times channels.
    pub(crate) channels: usize,
    /// Size of the input.
    pub(crate) size: [usize; 3],
}

impl Pool {
    pub(crate) fn out_size(&self) -> [usize; 3] {
        self.size.map(|size| size / 2)
    }

    /// The four rows of the input that meet one row of the output.
    fn rows<'a>(&self, channel: &'a [f32], z: usize, y: usize) -> [&'a [f32]; 4] {
        let [_, height, width] = self.size;
        std::array::from_fn(|row| {
            let start = ((2 * z + row / 2) * height + 2 * y + row % 2) * width;
            &channel[start..start + width / 2 * 2]
        })
    }

    pub(crate) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let [depth, height, width] = self.out_size();
        let volume: usize = self.size.iter().product();
        let out = depth * height * width;
        let mut y = vec![0.0; self.channels * out];
        let shared = Shared::new(&mut y);
        for_each(self.channels, |index| {
            let channel = &x[index * volume..][..volume];
            // SAFETY: each task writes its own channel.
            let y = unsafe { shared.row(index * out, out) };
            for (row, y) in y.chunks_exact_mut(width).enumerate() {
                let rows = self.rows(channel, row / height, row % height).map(pairs);
                for (i, y) in y.iter_mut().enumerate() {
                    *y = rows.iter().fold(f32::NEG_INFINITY, |most, row| {
                        larger(larger(most, row[i][0]), row[i][1])
                    });
                }
            }
        });
        y
    }

    /// Gradient of the input: each output's goes to the first maximum of its block.
    pub(crate) fn backward(&self, x: &[f32], gradient: &[f32]) -> Vec<f32> {
        let [depth, height, width] = self.out_size();
        let volume: usize = self.size.iter().product();
        let out = depth * height * width;
        let mut dx = vec![0.0; x.len()];
        let shared = Shared::new(&mut dx);
        for_each(self.channels, |index| {
            let channel = &x[index * volume..][..volume];
            let dy = &gradient[index * out..][..out];
            // SAFETY: each task writes its own channel.
            let dx = unsafe { shared.row(index * volume, volume) };
            for (row, dy) in dy.chunks_exact(width).enumerate() {
                let (z, y) = (row / height, row % height);
                let rows = self.rows(channel, z, y).map(pairs);
                let start = (2 * z * self.size[1] + 2 * y) * self.size[2];
                let offsets = [0, 1, self.size[1], self.size[1] + 1].map(|r| r * self.size[2]);
                for (i, dy) in dy.iter().enumerate() {
                    let (mut most, mut at) = (f32::NEG_INFINITY, offsets[0]);
                    for (row, offset) in rows.iter().zip(offsets) {
                        for (column, &value) in row[i].iter().enumerate() {
                            if value > most || value.is_nan() {
                                (most, at) = (value, offset + column);
                            }
                        }
                    }
                    dx[start + at + 2 * i] = *dy;
                }
            }
        });
        dx
    }
}

/// The larger, or what is not a number.
#[inline(always)]
fn larger(most: f32, value: f32) -> f32 {
    if value > most || value.is_nan() {
        value
    } else {
        most
    }
}

fn pairs(row: &[f32]) -> &[[f32; 2]] {
    row.as_chunks().0
}
