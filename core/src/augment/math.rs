//! Elementary functions as short polynomials, which loops over voxels turn into vector code.

/// Base-2 logarithm of a positive, normal number; within 3e-7, or 3e-7 of its
/// size where that is above 1.
#[inline]
pub(super) fn log2(x: f32) -> f32 {
    // The exponent that leaves a mantissa in sqrt(1/2)..sqrt(2).
    let bits = x.to_bits() as i32;
    let exponent = bits.wrapping_sub(0x3F35_04F3) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub(exponent << 23) as u32);
    // log(m) = 2 atanh(t), |t| < 0.172.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let s = t * t;
    let series = 1.0 + s * (1.0 / 3.0 + s * (1.0 / 5.0 + s * (1.0 / 7.0 + s * (1.0 / 9.0))));
    exponent as f32 + 2.0 * std::f32::consts::LOG2_E * t * series
}

/// 2 to the power `x`, within 3e-7 of its size; `x` is taken to lie in -126..=126.
#[inline]
pub(super) fn exp2(x: f32) -> f32 {
    // Adding this number rounds to a whole number, which its low bits then hold.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-126.0, 126.0);
    let shifted = x + ROUND;
    let whole = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    let f = (x - (shifted - ROUND)) * std::f32::consts::LN_2;
    let series = 1.0
        + f * (1.0
            + f * (1.0 / 2.0
                + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0))))));
    let scale = f32::from_bits(whole.wrapping_add(127) << 23);
    series * scale
}

/// `x` to the power `y` for `x` of 0 or more and `y` above 0.
#[inline]
pub(super) fn pow(x: f32, y: f32) -> f32 {
    let power = exp2(y * log2(x.max(f32::MIN_POSITIVE)));
    if x < f32::MIN_POSITIVE { 0.0 } else { power }
}

/// Sine and cosine of `turn` whole turns, `turn` in -0.5..=0.5; within 3e-7.
#[inline]
pub(super) fn sine_cosine(turn: f32) -> (f32, f32) {
    // Folded to a quarter turn on each side of 0.
    let size = turn.abs();
    let folded = if size > 0.25 { 0.5 - size } else { size };
    (sine(folded.copysign(turn)), sine(0.25 - size))
}

/// Sine of at most a quarter turn on each side of 0.
#[inline]
fn sine(turn: f32) -> f32 {
    let t = turn * std::f32::consts::TAU;
    let s = t * t;
    t * (1.0 - s / 6.0 * (1.0 - s / 20.0 * (1.0 - s / 42.0 * (1.0 - s / 72.0 * (1.0 - s / 110.0)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_the_standard_library() {
        for i in 1..200_000u32 {
            let x = i as f32 / 100_000.0;
            let wanted = f64::from(x).log2();
            let error = (f64::from(log2(x)) - wanted).abs() / wanted.abs().max(1.0);
            assert!(error < 3e-7, "log2({x}): {error}");
            let y = (x - 1.0) * 40.0;
            let wanted = f64::from(y).exp2();
            let error = (f64::from(exp2(y)) - wanted).abs() / wanted;
            assert!(error < 3e-7, "exp2({y}): {error}");
            let turn = (x - 1.0) / 2.0;
            let (s, c) = sine_cosine(turn);
            let angle = f64::from(turn) * std::f64::consts::TAU;
            assert!((f64::from(s) - angle.sin()).abs() < 3e-7, "sin {turn}");
            assert!((f64::from(c) - angle.cos()).abs() < 3e-7, "cos {turn}");
        }
        for (x, y) in [(0.5, 2.0), (0.999, 0.5), (1e-6, 1.7), (1.0, 0.3)] {
            let wanted = f64::from(x as f32).powf(y);
            let error = (f64::from(pow(x as f32, y as f32)) - wanted).abs() / wanted;
            assert!(error < 1e-5, "{x}^{y}: {error}");
        }
        assert_eq!(pow(0.0, 0.5), 0.0);
        assert_eq!(exp2(-500.0), exp2(-126.0));
    }
}
