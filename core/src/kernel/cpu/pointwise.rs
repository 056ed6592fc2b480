//! Activations and their derivatives on slices, by branch-free polynomials that compilers turn
//! into vectors.

use macerator::{Arch, Simd, WithSimd};

use super::parallel::{Shared, filled, for_each};
use crate::nn::Activation;

/// Runs a loop compiled for the best instructions of this machine.
struct Vectored<F>(F);

impl<F: FnOnce()> WithSimd for Vectored<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        (self.0)();
    }
}

#[inline(always)]
pub(crate) fn vectored(body: impl FnOnce()) {
    // SAFETY: `detect` only names what the processor has.
    unsafe { Arch::detect().dispatch(Vectored(body)) }
}

macro_rules! by_kind {
    ($kind:expr, $each:ident) => {
        match $kind {
            Activation::Relu => $each!(relu),
            Activation::LeakyRelu { slope } => $each!(|x: f32| leaky_relu(x, slope)),
            Activation::Elu => $each!(elu),
            Activation::Gelu => $each!(gelu),
            Activation::GeluTanh => $each!(gelu_tanh),
            Activation::Silu => $each!(silu),
        }
    };
}

/// `values = activation(values)`.
pub(crate) fn apply(kind: Activation, values: &mut [f32]) {
    macro_rules! each {
        ($f:expr) => {
            vectored(
                #[inline(always)]
                || {
                    let f = $f;
                    for value in values {
                        *value = f(*value).0;
                    }
                },
            )
        };
    }
    by_kind!(kind, each);
}

/// `values = activation((values - origin) * scale + shift)`.
pub(crate) fn map(
    [origin, scale, shift]: [f32; 3],
    activation: Option<Activation>,
    values: &mut [f32],
) {
    macro_rules! each {
        ($f:expr) => {
            vectored(
                #[inline(always)]
                || {
                    let f = $f;
                    for value in values {
                        *value = f((*value - origin) * scale + shift).0;
                    }
                },
            )
        };
    }
    match activation {
        Some(kind) => by_kind!(kind, each),
        None => each!(|x: f32| (x, ())),
    }
}

/// `gradient *= activation'(values)`.
pub(crate) fn chain(kind: Activation, values: &[f32], gradient: &mut [f32]) {
    macro_rules! each {
        ($f:expr) => {
            vectored(
                #[inline(always)]
                || {
                    let f = $f;
                    for (gradient, &value) in gradient.iter_mut().zip(values) {
                        *gradient *= f(value).1;
                    }
                },
            )
        };
    }
    by_kind!(kind, each);
}

/// Floats of one task, and of it at once.
const TASK: usize = 1 << 16;
const CHUNK: usize = 1 << 12;

/// `activation(x)`.
pub(crate) fn activate(kind: Activation, x: &[f32]) -> Vec<f32> {
    over_tasks(x.len(), |start, y| {
        y.copy_from_slice(&x[start..][..y.len()]);
        apply(kind, y);
    })
}

/// `gradient * activation'(x)`.
pub(crate) fn activate_gradient(kind: Activation, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    over_tasks(x.len(), |start, out| {
        out.copy_from_slice(&gradient[start..][..out.len()]);
        chain(kind, &x[start..][..out.len()], out);
    })
}

fn over_tasks(count: usize, body: impl Fn(usize, &mut [f32]) + Send + Sync) -> Vec<f32> {
    let write = |out: Shared<'_>| {
        for_each(count.div_ceil(TASK), |task| {
            let mut near = [0.0; CHUNK];
            let end = ((task + 1) * TASK).min(count);
            for start in (task * TASK..end).step_by(CHUNK) {
                let near = &mut near[..CHUNK.min(end - start)];
                body(start, near);
                // SAFETY: chunks do not overlap.
                unsafe { out.write(start, 1, near) };
            }
        });
    };
    // SAFETY: the chunks of the tasks are all elements.
    unsafe { filled(count, write) }
}

// Each returns the value and the derivative; the half that is not used costs nothing.

#[inline(always)]
fn relu(x: f32) -> (f32, f32) {
    if x > 0.0 { (x, 1.0) } else { (0.0, 0.0) }
}

#[inline(always)]
fn leaky_relu(x: f32, slope: f32) -> (f32, f32) {
    if x > 0.0 {
        (x, 1.0)
    } else {
        (x * slope, slope)
    }
}

#[inline(always)]
fn elu(x: f32) -> (f32, f32) {
    let (e, e_m1) = exp(x.min(0.0));
    if x > 0.0 { (x, 1.0) } else { (e_m1, e) }
}

#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    const INV_SQRT_2PI: f32 = 0.398_942_3;
    let phi = 0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2);
    let density = INV_SQRT_2PI * exp(-0.5 * x * x).0;
    (x * phi, phi + x * density)
}

#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    const SCALE: f32 = 0.797_884_6;
    const CUBE: f32 = 0.044_715;
    let inner = (SCALE * (x + CUBE * x * x * x)).clamp(-10.0, 10.0);
    let tanh = 1.0 - 2.0 / (exp(2.0 * inner).0 + 1.0);
    let slope = SCALE * (1.0 + 3.0 * CUBE * x * x);
    let value = 0.5 * x * (1.0 + tanh);
    // Where tanh is 1 its square cancels the slope, which may be infinite.
    let square = 1.0 - tanh * tanh;
    let tail = if square > 0.0 {
        0.5 * x * square * slope
    } else {
        0.0
    };
    (value, 0.5 * (1.0 + tanh) + tail)
}

#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let sigmoid = 1.0 / (1.0 + exp(-x).0);
    (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid)))
}

/// `exp(x)` and `exp(x) - 1`, to about 2 units in the last place, for `x` clamped to where
/// neither infinity nor a subnormal results. (Cephes' reduction and polynomial.)
#[inline(always)]
fn exp(x: f32) -> (f32, f32) {
    // Adding it rounds to an integer, which then is the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_2e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let fraction = p * r * r + r;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (power * (fraction + 1.0), power * fraction + (power - 1.0))
}

/// Error function, as a ratio of polynomials on [-4, 4]. (Eigen's coefficients.)
#[inline(always)]
fn erf(x: f32) -> f32 {
    // Beyond, the function is 1 in single precision and the ratio almost so.
    const LIMIT: f32 = 3.92;
    let beyond = x.abs() > LIMIT;
    let sign = 1.0_f32.copysign(x);
    let x = x.clamp(-LIMIT, LIMIT);
    let s = x * x;
    let mut p = -2.726_142_3e-10;
    p = p * s + 2.770_681_4e-8;
    p = p * s - 2.101_024e-6;
    p = p * s - 5.692_506_4e-5;
    p = p * s - 7.349_906e-4;
    p = p * s - 2.954_6e-3;
    p = p * s - 1.609_603_3e-2;
    let mut q = -1.456_607_2e-5;
    q = q * s - 2.133_740_6e-4;
    q = q * s - 1.682_827e-3;
    q = q * s - 7.373_329e-3;
    q = q * s - 1.426_473_9e-2;
    if beyond { sign } else { x * p / q }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_match_double_precision() {
        let kinds = [
            Activation::Relu,
            Activation::LeakyRelu { slope: 0.01 },
            Activation::Elu,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Silu,
        ];
        let points: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 0.01).collect();
        for kind in kinds {
            let mut values = points.clone();
            apply(kind, &mut values);
            let mut slopes = vec![1.0; points.len()];
            chain(kind, &points, &mut slopes);
            for ((&x, &y), &slope) in points.iter().zip(&values).zip(&slopes) {
                let x64 = f64::from(x);
                let expected = reference(kind, x64);
                let step = 1e-5;
                let derivative =
                    (reference(kind, x64 + step) - reference(kind, x64 - step)) / (2.0 * step);
                let close = |a: f32, b: f64, tolerance: f64| {
                    (f64::from(a) - b).abs() <= tolerance * (1.0 + b.abs())
                };
                assert!(
                    close(y, expected, 1e-6),
                    "{kind:?}({x}) = {y}, expected {expected}"
                );
                if x != 0.0 {
                    assert!(
                        close(slope, derivative, 1e-5),
                        "{kind:?}'({x}) = {slope}, expected {derivative}"
                    );
                }
            }
        }
    }

    fn reference(kind: Activation, x: f64) -> f64 {
        match kind {
            Activation::Relu => x.max(0.0),
            Activation::LeakyRelu { slope } => {
                if x > 0.0 {
                    x
                } else {
                    x * f64::from(slope)
                }
            }
            Activation::Elu => {
                if x > 0.0 {
                    x
                } else {
                    x.exp_m1()
                }
            }
            Activation::Gelu => x * normal(x),
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
            Activation::Silu => x / (1.0 + (-x).exp()),
        }
    }

    /// The normal distribution by its series near zero and its continued fraction beyond.
    fn normal(x: f64) -> f64 {
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if x.abs() > 4.0 {
            let mut fraction = x.abs();
            for k in (1..60).rev() {
                fraction = x.abs() + f64::from(k) / fraction;
            }
            let tail = density / fraction;
            return if x > 0.0 { 1.0 - tail } else { tail };
        }
        let (mut term, mut sum) = (x, x);
        for k in 1..100 {
            term *= x * x / f64::from(2 * k + 1);
            sum += term;
        }
        0.5 + density * sum
    }
}
