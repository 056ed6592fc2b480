//! Maximum and mean over blocks of 2 x 2 x 2 voxels.

use super::parallel::{Shared, filled, for_each};
use super::pointwise::vectored;
use super::source::Source;

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

    /// Each row of the output by `reduce`, from the voxels of its blocks.
    fn reduced(&self, x: &[f32], reduce: impl Fn([&[[f32; 2]]; 4], &mut [f32]) + Sync) -> Vec<f32> {
        let [depth, height, width] = self.out_size();
        let volume: usize = self.size.iter().product();
        let out = depth * height * width;
        let write = |y: Shared<'_>| {
            for_each(self.channels, |index| {
                let channel = &x[index * volume..][..volume];
                // SAFETY: each task writes its own channel.
                let y = unsafe { y.row(index * out, out) };
                for (row, y) in y.chunks_exact_mut(width).enumerate() {
                    reduce(self.rows(channel, row / height, row % height).map(pairs), y);
                }
            });
        };
        // SAFETY: the channels are all elements.
        unsafe { filled(self.channels * out, write) }
    }

    /// The maximum of every block.
    pub(crate) fn forward(&self, x: &[f32]) -> Vec<f32> {
        self.reduced(x, |rows, y| {
            for (i, y) in y.iter_mut().enumerate() {
                *y = rows.iter().fold(f32::NEG_INFINITY, |most, row| {
                    larger(larger(most, row[i][0]), row[i][1])
                });
            }
        })
    }

    /// [`forward`](Self::forward) of a source with prologues.
    pub(crate) fn forward_mapped(&self, source: &Source<'_>) -> Vec<f32> {
        let [depth, height, width] = self.out_size();
        let channels = source.channels().max(1);
        let out = depth * height * width;
        let write = |y: Shared<'_>| {
            for_each(self.channels, |index| {
                let channel = source.channel(index / channels, index % channels);
                // SAFETY: each task writes its own channel.
                let y = unsafe { y.row(index * out, out) };
                let mut near = vec![0.0; 2 * width];
                for (row, y) in y.chunks_exact_mut(width).enumerate() {
                    for part in 0..4 {
                        let place = [2 * (row / height) + part / 2, 2 * (row % height) + part % 2];
                        channel.read(place, 0, 1, &mut near);
                        for (y, &[a, b]) in y.iter_mut().zip(pairs(&near)) {
                            let most = if part == 0 { f32::NEG_INFINITY } else { *y };
                            *y = larger(larger(most, a), b);
                        }
                    }
                }
            });
        };
        // SAFETY: the rows of the channels are all elements.
        unsafe { filled(self.channels * out, write) }
    }

    /// Gradient of the input: each output's goes to the first maximum of its block.
    pub(crate) fn backward(&self, x: &[f32], gradient: &[f32]) -> Vec<f32> {
        let [depth, height, width] = self.out_size();
        let [_, in_height, in_width] = self.size;
        let volume: usize = self.size.iter().product();
        let out = depth * height * width;
        let partial = self.size.iter().any(|size| !size.is_multiple_of(2));
        let write = |dx: Shared<'_>| {
            for_each(self.channels, |index| {
                let channel = &x[index * volume..][..volume];
                let dy = &gradient[index * out..][..out];
                // SAFETY: each task writes its own channel.
                let dx = unsafe { dx.row(index * volume, volume) };
                if partial {
                    dx.fill(0.0);
                }
                let planes = dx.chunks_exact_mut(2 * in_height * in_width);
                for (z, (dx, dy)) in planes.zip(dy.chunks_exact(height * width)).enumerate() {
                    let (front, back) = dx.split_at_mut(in_height * in_width);
                    let lines = front
                        .chunks_exact_mut(2 * in_width)
                        .zip(back.chunks_exact_mut(2 * in_width))
                        .zip(dy.chunks_exact(width));
                    for (y, ((front, back), dy)) in lines.enumerate() {
                        let rows = self.rows(channel, z, y).map(pairs);
                        let (a, b) = front.split_at_mut(in_width);
                        let (c, d) = back.split_at_mut(in_width);
                        spread(rows, dy, [a, b, c, d].map(|row| row.as_chunks_mut().0));
                    }
                }
            });
        };
        // SAFETY: the channels are all elements; what no block holds is zero.
        unsafe { filled(x.len(), write) }
    }

    /// The mean of every block.
    pub(crate) fn average(&self, x: &[f32]) -> Vec<f32> {
        self.reduced(x, |[a, b, c, d], y| {
            let pairs = a.iter().zip(b).zip(c.iter().zip(d));
            for (y, ((a, b), (c, d))) in y.iter_mut().zip(pairs) {
                let front = (a[0] + a[1]) + (b[0] + b[1]);
                let back = (c[0] + c[1]) + (d[0] + d[1]);
                *y = 0.125 * (front + back);
            }
        })
    }

    /// Gradient of the input of [`average`](Self::average): an eighth of each output's for all
    /// voxels of its block.
    pub(crate) fn average_backward(&self, gradient: &[f32]) -> Vec<f32> {
        let [depth, height, width] = self.out_size();
        let [_, in_height, in_width] = self.size;
        let volume: usize = self.size.iter().product();
        let out = depth * height * width;
        let write = |dx: Shared<'_>| {
            for_each(self.channels, |index| {
                let dy = &gradient[index * out..][..out];
                // SAFETY: each task writes its own channel.
                let dx = unsafe { dx.row(index * volume, volume) };
                for (row, dx) in dx.chunks_exact_mut(in_width).enumerate() {
                    let [z, y] = [row / in_height / 2, row % in_height / 2];
                    // What no block holds has no gradient.
                    if z >= depth || y >= height {
                        dx.fill(0.0);
                        continue;
                    }
                    let dy = &dy[(z * height + y) * width..][..width];
                    let (blocks, rest) = dx.split_at_mut(2 * width);
                    for (pair, dy) in blocks.as_chunks_mut::<2>().0.iter_mut().zip(dy) {
                        *pair = [0.125 * dy; 2];
                    }
                    rest.fill(0.0);
                }
            });
        };
        // SAFETY: the rows are all elements.
        unsafe { filled(self.channels * volume, write) }
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

/// Outputs that are handled at once, their blocks taken apart and put together again.
const CHUNK: usize = 32;

/// Gives each output's gradient to the first maximum of its block, without branches: which one it
/// is cannot be predicted.
fn spread(rows: [&[[f32; 2]]; 4], dy: &[f32], mut dx: [&mut [[f32; 2]]; 4]) {
    vectored(
        #[inline(always)]
        || {
            let mut apart = [[0.0_f32; CHUNK]; 8];
            let mut left = [0.0_f32; CHUNK];
            for start in (0..dy.len()).step_by(CHUNK) {
                let count = CHUNK.min(dy.len() - start);
                for (row, apart) in rows.iter().zip(apart.as_chunks_mut::<2>().0) {
                    let [even, odd] = apart;
                    let pairs = even.iter_mut().zip(odd).zip(&row[start..][..count]);
                    for ((even, odd), pair) in pairs {
                        *even = pair[0];
                        *odd = pair[1];
                    }
                }
                let mut most = [f32::NEG_INFINITY; CHUNK];
                for values in &apart {
                    for (most, &value) in most.iter_mut().zip(values) {
                        *most = larger(*most, value);
                    }
                }
                left[..count].copy_from_slice(&dy[start..][..count]);
                for values in &mut apart {
                    for ((value, left), most) in values.iter_mut().zip(&mut left).zip(&most) {
                        let hit = *value == *most || value.is_nan();
                        let given = if hit { *left } else { 0.0 };
                        *left = if hit { 0.0 } else { *left };
                        *value = given;
                    }
                }
                for (row, apart) in dx.iter_mut().zip(apart.as_chunks::<2>().0) {
                    let [even, odd] = apart;
                    let pairs = even.iter().zip(odd).zip(&mut row[start..][..count]);
                    for ((even, odd), pair) in pairs {
                        *pair = [*even, *odd];
                    }
                }
            }
        },
    );
}

fn pairs(row: &[f32]) -> &[[f32; 2]] {
    row.as_chunks().0
}
