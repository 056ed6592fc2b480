//! Intensity statistics and normalisation, in place.

use super::error::PlanError;
use super::plan::Normalization;
use super::quantile::Ranking;

/// Smallest and largest value of finite `data`, which must not be empty.
pub(super) fn limits(data: &[f32]) -> (f32, f32) {
    // Eight lanes let the loop run as wide as the processor does.
    let (mut lo, mut hi) = ([f32::INFINITY; 8], [f32::NEG_INFINITY; 8]);
    let (chunks, rest) = data.as_chunks::<8>();
    for chunk in chunks {
        for k in 0..8 {
            lo[k] = lo[k].min(chunk[k]);
            hi[k] = hi[k].max(chunk[k]);
        }
    }
    for &v in rest {
        lo[0] = lo[0].min(v);
        hi[0] = hi[0].max(v);
    }
    (
        lo.into_iter().fold(f32::INFINITY, f32::min),
        hi.into_iter().fold(f32::NEG_INFINITY, f32::max),
    )
}

/// The smallest and largest value, an error where they are one.
pub(super) fn range(data: &[f32]) -> Result<(f32, f32), PlanError> {
    let (lo, hi) = limits(data);
    if lo < hi {
        Ok((lo, hi))
    } else {
        Err(PlanError::Constant { value: lo })
    }
}

/// Refuses NaN and infinite voxels.
pub(super) fn require_finite(data: &[f32]) -> Result<(), PlanError> {
    let count = data.iter().filter(|v| !v.is_finite()).count();
    if count > 0 {
        return Err(PlanError::NonFinite {
            count,
            voxels: data.len(),
        });
    }
    Ok(())
}

/// Sets NaN and infinite voxels to the smallest finite value; how many there were, and it.
pub(super) fn replace_non_finite(data: &mut [f32]) -> Result<(usize, f32), PlanError> {
    let mut count = 0;
    let mut lo = f32::INFINITY;
    for &v in data.iter() {
        if v.is_finite() {
            lo = lo.min(v);
        } else {
            count += 1;
        }
    }
    if count == data.len() {
        return Err(PlanError::NonFinite {
            count,
            voxels: count,
        });
    }
    if count > 0 {
        for v in data.iter_mut().filter(|v| !v.is_finite()) {
            *v = lo;
        }
    }
    Ok((count, lo))
}

/// Normalises finite `data`; returns the offset that was subtracted and the divisor.
pub(super) fn normalize(data: &mut [f32], how: Normalization) -> Result<(f64, f64), PlanError> {
    let (lo, hi) = range(data)?;
    let (offset, divisor, clip) = match how {
        Normalization::MinMax => (lo.into(), f64::from(hi - lo), None),
        Normalization::Quantile {
            low,
            high,
            clip,
            epsilon,
        } => {
            let ranking = Ranking::new(data, None)?;
            let (a, b) = (ranking.quantile(low)?, ranking.quantile(high)?);
            let divisor = b - a + epsilon;
            if divisor.is_nan() || divisor as f32 <= 0.0 {
                return Err(PlanError::EqualQuantiles {
                    low,
                    high,
                    value: a,
                });
            }
            (a, divisor, clip.then_some((0.0, 1.0)))
        }
        Normalization::VolumeWise => {
            // The reference divides by the foreground's deviation in between, which min-max
            // takes back.
            let top = Ranking::new(data, Some(lo))?.quantile(0.99)? as f32;
            (lo.into(), f64::from(top - lo), Some((0.0, 1.0)))
        }
        Normalization::ZScore => {
            let (mean, deviation) = moments(data, Some(lo));
            if deviation as f32 <= 0.0 {
                return Err(PlanError::ConstantForeground { value: mean as f32 });
            }
            (mean, deviation, None)
        }
        // The image is not constant, so that it deviates.
        Normalization::Standardize => {
            let (mean, deviation) = moments(data, None);
            (mean, deviation, None)
        }
    };
    // Division, not multiplication by the reciprocal: what PyTorch pipelines compute, to the bit.
    let (o, d) = (offset as f32, divisor as f32);
    match clip {
        Some((a, b)) => data
            .iter_mut()
            .for_each(|v| *v = ((*v - o) / d).clamp(a, b)),
        None => data.iter_mut().for_each(|v| *v = (*v - o) / d),
    }
    Ok((offset, divisor))
}

/// Mean and population standard deviation of the values that are not `skip`.
fn moments(data: &[f32], skip: Option<f32>) -> (f64, f64) {
    let kept = data.iter().filter(move |&&v| skip != Some(v));
    let values = || kept.clone().map(|&v| f64::from(v));
    let (sum, n) = values().fold((0.0, 0usize), |(s, n), v| (s + v, n + 1));
    let mean = sum / n as f64;
    let square: f64 = values().map(|v| (v - mean) * (v - mean)).sum();
    (mean, (square / n as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!(
                (a - b).abs() <= 1e-6 * b.abs().max(1.0),
                "{found:?} {expected:?}"
            );
        }
    }

    /// 40 voxels with a background of 0 and one bright outlier.
    fn sample() -> Vec<f32> {
        let mut v: Vec<f32> = (0..40).map(|i| ((i * 7) % 23) as f32).collect();
        v[5] = 500.0;
        v
    }

    #[test]
    fn min_max() {
        let mut v = vec![-2.0, 0.0, 2.0, 6.0];
        let (offset, divisor) = normalize(&mut v, Normalization::MinMax).expect("range");
        near(&v, &[0.0, 0.25, 0.5, 1.0]);
        assert_eq!((offset, divisor), (-2.0, 8.0));
    }

    #[test]
    fn quantiles_clip_only_when_asked() {
        let how = |clip, epsilon| Normalization::Quantile {
            low: 0.05,
            high: 0.95,
            clip,
            epsilon,
        };
        // numpy.quantile(sample, [0.05, 0.95]) is [0.95, 22].
        let mut v = sample();
        let (offset, divisor) = normalize(&mut v, how(false, 0.0)).expect("range");
        near(&[offset as f32, divisor as f32], &[0.95, 21.05]);
        near(
            &v[..6],
            &[
                -0.045_130_64,
                0.287_410_93,
                0.619_952_5,
                0.952_494_1,
                0.192_399_05,
                23.707_838,
            ],
        );
        let mut v = sample();
        normalize(&mut v, how(true, 0.5)).expect("range");
        near(
            &v[..6],
            &[
                0.0,
                0.280_742_46,
                0.605_568_5,
                0.930_394_4,
                0.187_935_03,
                1.0,
            ],
        );
    }

    #[test]
    fn volume_wise_clips_the_top() {
        let mut v = sample();
        let (offset, divisor) = normalize(&mut v, Normalization::VolumeWise).expect("range");
        // numpy.quantile(sample[sample != 0], 0.99)
        near(&[offset as f32, divisor as f32], &[0.0, 323.14]);
        assert_eq!((v[0], v[5]), (0.0, 1.0));
        near(&v[1..3], &[7.0 / 323.14, 14.0 / 323.14]);
    }

    #[test]
    fn z_score_ignores_the_background() {
        let mut v = vec![0.0, 0.0, 1.0, 3.0];
        normalize(&mut v, Normalization::ZScore).expect("range");
        near(&v, &[-2.0, -2.0, -1.0, 1.0]);
    }

    #[test]
    fn standardizing_counts_every_voxel() {
        // scipy.stats.zscore([0, 0, 1, 3])
        let mut v = vec![0.0, 0.0, 1.0, 3.0];
        normalize(&mut v, Normalization::Standardize).expect("range");
        near(&v, &[-0.816_496_6, -0.816_496_6, 0.0, 1.632_993_2]);
    }

    #[test]
    fn constant_images_are_refused() {
        for how in [
            Normalization::MinMax,
            Normalization::VolumeWise,
            Normalization::ZScore,
        ] {
            let e = normalize(&mut [4.5; 9], how).expect_err("constant");
            assert_eq!(e.to_string(), "the image is constant: every voxel is 4.5");
        }
        let e = normalize(&mut [0.0, 3.0, 3.0], Normalization::ZScore).expect_err("flat");
        assert!(e.to_string().contains("above the minimum is 3"), "{e}");
        let mut v = [1.0; 100];
        v[0] = 0.0;
        let how = Normalization::Quantile {
            low: 0.1,
            high: 0.9,
            clip: true,
            epsilon: 0.0,
        };
        let e = normalize(&mut v, how).expect_err("equal");
        assert!(e.to_string().contains("are both 1"), "{e}");
    }

    #[test]
    fn non_finite_voxels_are_counted_or_replaced() {
        let mut v = vec![1.0, f32::NAN, -3.0, f32::INFINITY, f32::NEG_INFINITY];
        let e = require_finite(&v).expect_err("not finite");
        assert_eq!(e.to_string(), "3 of 5 voxels are NaN or infinite");
        assert_eq!(replace_non_finite(&mut v).expect("some"), (3, -3.0));
        assert_eq!(v, [1.0, -3.0, -3.0, -3.0, -3.0]);
        assert!(replace_non_finite(&mut [f32::NAN; 2]).is_err());
    }
}
