//! The range of an image, and its voxels clipped to one.

/// Smallest and largest of some voxels. NaN is passed over.
pub(super) fn limits(data: &[f32]) -> [f32; 2] {
    const LANES: usize = 16;
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let (chunks, rest) = data.as_chunks::<LANES>();
    for chunk in chunks {
        for k in 0..LANES {
            low[k] = if chunk[k] < low[k] { chunk[k] } else { low[k] };
            high[k] = if chunk[k] > high[k] {
                chunk[k]
            } else {
                high[k]
            };
        }
    }
    for &v in rest {
        low[0] = low[0].min(v);
        high[0] = high[0].max(v);
    }
    [
        low.into_iter().fold(f32::INFINITY, f32::min),
        high.into_iter().fold(f32::NEG_INFINITY, f32::max),
    ]
}

/// A value brought into a range.
#[inline]
pub(super) fn clipped(value: f32, [low, high]: [f32; 2]) -> f32 {
    let value = if value < low { low } else { value };
    if value > high { high } else { value }
}

/// Brings voxels into a range.
pub(super) fn clip(data: &mut [f32], range: [f32; 2]) {
    for v in data {
        *v = clipped(*v, range);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_see_every_voxel() {
        let mut data = vec![1.0f32; 37];
        data[36] = 4.0;
        data[3] = f32::NAN;
        data[17] = -2.0;
        assert_eq!(limits(&data), [-2.0, 4.0]);
        clip(&mut data, [0.0, 1.5]);
        assert_eq!((data[17], data[36], data[0]), (0.0, 1.5, 1.0));
    }
}
