//! Mean and variance, part by part.

use super::pointwise::vectored;
use super::source::MAP;

/// Floats of a [`Moments`] between threads.
pub(crate) const PACKED: usize = 4;

/// Number, mean and sum of squared deviations of some values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Of a row of at most a few thousand values.
    pub(crate) fn of(row: &[f32]) -> Self {
        const LANES: usize = 64;
        if row.is_empty() {
            return Self::default();
        }
        let count = row.len() as f64;
        let (mut mean, mut squares) = (0.0, 0.0);
        vectored(
            #[inline(always)]
            || {
                let (chunks, rest) = row.as_chunks::<LANES>();
                let mut lanes = [0.0_f32; LANES];
                for chunk in chunks {
                    for (lane, x) in lanes.iter_mut().zip(chunk) {
                        *lane += x;
                    }
                }
                let sum: f32 = lanes.iter().sum::<f32>() + rest.iter().sum::<f32>();
                // An approximate mean, whose error comes off below.
                let near = sum / row.len() as f32;
                let (mut off, mut square) = ([0.0_f32; LANES], [0.0_f32; LANES]);
                for chunk in chunks {
                    for ((off, square), x) in off.iter_mut().zip(&mut square).zip(chunk) {
                        let d = x - near;
                        *off += d;
                        *square += d * d;
                    }
                }
                for ((off, square), x) in off.iter_mut().zip(&mut square).zip(rest) {
                    let d = x - near;
                    *off += d;
                    *square += d * d;
                }
                let error = off.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
                let square = square.iter().map(|&x| f64::from(x)).sum::<f64>();
                mean = f64::from(near) + error;
                squares = (square - count * error * error).max(0.0);
            },
        );
        Self {
            count,
            mean,
            squares,
        }
    }

    /// Of `rows` rows of `width` values, `pitch` apart. The rows are added up in single precision,
    /// less the first one's mean: a few hundred of them at most.
    pub(crate) fn of_rows(values: &[f32], [rows, pitch, width]: [usize; 3]) -> Self {
        const LANES: usize = 32;
        if rows * width == 0 {
            return Self::default();
        }
        let origin = Self::of(&values[..width]).mean as f32;
        let (mut off, mut square) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        vectored(
            #[inline(always)]
            || {
                for row in values.chunks(pitch).take(rows) {
                    let (chunks, rest) = row[..width].as_chunks::<LANES>();
                    for chunk in chunks {
                        for ((off, square), x) in off.iter_mut().zip(&mut square).zip(chunk) {
                            let d = x - origin;
                            *off += d;
                            *square += d * d;
                        }
                    }
                    for ((off, square), x) in off.iter_mut().zip(&mut square).zip(rest) {
                        let d = x - origin;
                        *off += d;
                        *square += d * d;
                    }
                }
            },
        );
        let count = (rows * width) as f64;
        let total = |lanes: [f32; LANES]| lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
        let off = total(off) / count;
        Self {
            count,
            mean: f64::from(origin) + off,
            squares: (total(square) - count * off * off).max(0.0),
        }
    }

    /// Of these values and `other`'s (Chan's formula).
    pub(crate) fn merge(&mut self, other: Self) {
        let all = self.count + other.count;
        if all == 0.0 {
            return;
        }
        let delta = other.mean - self.mean;
        self.squares += other.squares + delta * delta * self.count * other.count / all;
        self.mean += delta * other.count / all;
        self.count = all;
    }

    /// In single precision: number, mean in two parts, squares.
    pub(crate) fn pack(&self) -> [f32; PACKED] {
        let high = self.mean as f32;
        [
            self.count as f32,
            high,
            (self.mean - f64::from(high)) as f32,
            self.squares as f32,
        ]
    }

    pub(crate) fn unpack(packed: &[f32]) -> Self {
        Self {
            count: f64::from(packed[0]),
            mean: f64::from(packed[1]) + f64::from(packed[2]),
            squares: f64::from(packed[3]),
        }
    }

    /// The mean in two parts, and 1 / standard deviation.
    pub(crate) fn statistics(&self, eps: f64) -> [f32; 3] {
        let variance = if self.count > 0.0 {
            self.squares / self.count
        } else {
            0.0
        };
        let high = self.mean as f32;
        let low = (self.mean - f64::from(high)) as f32;
        [high, low, (variance + eps).sqrt().recip() as f32]
    }

    /// Origin, scale and shift of the normalisation to mean 0 and variance 1, then `weight` and
    /// `bias`.
    pub(crate) fn map(&self, eps: f64, weight: f32, bias: f32) -> [f32; MAP] {
        let variance = if self.count > 0.0 {
            self.squares / self.count
        } else {
            0.0
        };
        let scale = ((variance + eps).sqrt().recip() * f64::from(weight)) as f32;
        let origin = self.mean as f32;
        let rest = (self.mean - f64::from(origin)) as f32;
        [origin, scale, bias - rest * scale]
    }
}
