//! Activations and their derivatives on vectors, by branch-free polynomials.

use macerator::{Scalar, Simd, Vector};

type V<S> = Vector<S, f32>;

/// A function of one variable with its derivative.
pub(crate) trait Curve: Copy + Send + Sync {
    /// Whether computing the derivative again costs less than keeping it.
    const CHEAP: bool;

    fn value<S: Simd>(self, x: V<S>) -> V<S>;

    fn slope<S: Simd>(self, x: V<S>) -> V<S>;
}

/// Evaluates an expression of the curve of an `Option<Activation>`.
macro_rules! with_curve {
    ($kind:expr, $curve:ident => $body:expr) => {{
        use super::curve;
        use $crate::nn::Activation;
        macro_rules! run {
            ($value:expr) => {{
                let $curve = $value;
                $body
            }};
        }
        match $kind {
            None => run!(curve::Identity),
            Some(Activation::Relu) => run!(curve::Relu),
            Some(Activation::LeakyRelu { slope }) => run!(curve::LeakyRelu(slope)),
            Some(Activation::Elu) => run!(curve::Elu),
            Some(Activation::Gelu) => run!(curve::Gelu),
            Some(Activation::GeluTanh) => run!(curve::GeluTanh),
            Some(Activation::Silu) => run!(curve::Silu),
        }
    }};
}

pub(crate) use with_curve;

#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl Curve for Identity {
    const CHEAP: bool = true;

    #[inline(always)]
    fn value<S: Simd>(self, x: V<S>) -> V<S> {
        x
    }

    #[inline(always)]
    fn slope<S: Simd>(self, _: V<S>) -> V<S> {
        1.0_f32.splat()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Relu;

impl Curve for Relu {
    const CHEAP: bool = true;

    #[inline(always)]
    fn value<S: Simd>(self, x: V<S>) -> V<S> {
        let zero = 0.0_f32.splat();
        x.le(zero).select(zero, x)
    }

    #[inline(always)]
    fn slope<S: Simd>(self, x: V<S>) -> V<S> {
        let zero = 0.0_f32.splat();
        x.gt(zero).select(1.0_f32.splat(), zero)
    }
}

/// With the slope below zero.
#[derive(Clone, Copy)]
pub(crate) struct LeakyRelu(pub(crate) f32);

impl Curve for LeakyRelu {
    const CHEAP: bool = true;

    #[inline(always)]
    fn value<S: Simd>(self, x: V<S>) -> V<S> {
        x.gt(0.0_f32.splat()).select(x, x * self.0.splat())
    }

    #[inline(always)]
    fn slope<S: Simd>(self, x: V<S>) -> V<S> {
        x.gt(0.0_f32.splat())
            .select(1.0_f32.splat(), self.0.splat())
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Elu;

impl Curve for Elu {
    const CHEAP: bool = false;

    #[inline(always)]
    fn value<S: Simd>(self, x: V<S>) -> V<S> {
        let zero = 0.0_f32.splat();
        let (power, fraction) = exp(x.min(zero));
        let below = power.mul_add(fraction, power - 1.0_f32.splat());
        x.le(zero).select(below, x)
    }

    #[inline(always)]
    fn slope<S: Simd>(self, x: V<S>) -> V<S> {
        let zero = 0.0_f32.splat();
        let (power, fraction) = exp(x.min(zero));
        x.gt(zero)
            .select(1.0_f32.splat(), power.mul_add(fraction, power))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Gelu;

/// The normal distribution's cumulative function.
#[inline(always)]
fn normal<S: Simd>(x: V<S>) -> V<S> {
    let half = 0.5_f32.splat();
    erf(x * std::f32::consts::FRAC_1_SQRT_2.splat()).mul_add(half, half)
}

impl Curve for Gelu {
    const CHEAP: bool = false;

    #[inline(always)]
    fn value<S: Simd>(self, x: V<S>) -> V<S> {
        x * normal(x)
    }

    #[inline(always)]
    fn slope<S: Simd>(self, x: V<S>) -> V<S> {
        const INV_SQRT_2PI: f32 = 0.398_942_3;
        let (power, fraction) = exp(x * x * (-0.5_f32).splat());
        let density = power.mul_add(fraction, power) * INV_SQRT_2PI.splat();
        x.mul_add(density, normal(x))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct GeluTanh;

impl GeluTanh {
    const SCALE: f32 = 0.797_884_6;
    const CUBE: f32 = 0.044_715;

    #[inline(always)]
    fn tanh<S: Simd>(x: V<S>) -> V<S> {
        let one = 1.0_f32.splat();
        let cubic = (x * x).mul_add(Self::CUBE.splat(), one);
        let inner = x * Self::SCALE.splat() * cubic;
        let inner = inner.max((-10.0_f32).splat()).min(10.0_f32.splat());
        let (power, fraction) = exp(inner + inner);
        let e = power.mul_add(fraction, power);
        one - 2.0_f32.splat::<S>() / (e + one)
    }
}

impl Curve for GeluTanh {
    const CHEAP: bool = false;

    #[inline(always)]
    fn value<S: Simd>(self, x: V<S>) -> V<S> {
        let half = 0.5_f32.splat();
        x * Self::tanh(x).mul_add(half, half)
    }

    #[inline(always)]
    fn slope<S: Simd>(self, x: V<S>) -> V<S> {
        let (zero, half, one) = (0.0_f32.splat(), 0.5_f32.splat(), 1.0_f32.splat::<S>());
        let tanh = Self::tanh(x);
        let cubic = (x * x).mul_add((3.0 * Self::CUBE).splat(), one);
        // Where tanh is 1 its square cancels the slope, which may be infinite.
        let square = one - tanh * tanh;
        let tail = half * x * square * (Self::SCALE.splat::<S>() * cubic);
        tanh.mul_add(half, half) + square.gt(zero).select(tail, zero)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Silu;

#[inline(always)]
fn sigmoid<S: Simd>(x: V<S>) -> V<S> {
    let one = 1.0_f32.splat();
    let (power, fraction) = exp(0.0_f32.splat::<S>() - x);
    one / (power.mul_add(fraction, power) + one)
}

impl Curve for Silu {
    const CHEAP: bool = false;

    #[inline(always)]
    fn value<S: Simd>(self, x: V<S>) -> V<S> {
        x * sigmoid(x)
    }

    #[inline(always)]
    fn slope<S: Simd>(self, x: V<S>) -> V<S> {
        let one = 1.0_f32.splat();
        let sigmoid = sigmoid(x);
        sigmoid * x.mul_add(one - sigmoid, one)
    }
}

/// `exp(x)` as a power of 2 and a fraction f, the value being power * (1 + f), to about 2 units in
/// the last place; `x` clamped to where neither infinity nor a subnormal results. (Cephes'
/// reduction and polynomial.)
#[inline(always)]
pub(super) fn exp<S: Simd>(x: V<S>) -> (V<S>, V<S>) {
    // Adding it rounds to an integer, which then is the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.max((-87.0_f32).splat()).min(88.0_f32.splat());
    let shifted = x.mul_add(std::f32::consts::LOG2_E.splat(), ROUND.splat());
    let n = shifted - ROUND.splat();
    let r = n.mul_add((-LN2_HIGH).splat(), x);
    let r = n.mul_add((-LN2_LOW).splat(), r);
    let p = polynomial(
        r,
        [
            1.987_569_2e-4,
            1.398_2e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
        ],
    );
    let fraction = (p * r).mul_add(r, r);
    let power = (shifted.reinterpret::<u32>() + 127_u32.splat()) << 23;
    (power.reinterpret(), fraction)
}

/// Horner's scheme, the highest power first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(x: V<S>, coefficients: [f32; N]) -> V<S> {
    let mut sum: V<S> = coefficients[0].splat();
    for coefficient in &coefficients[1..] {
        sum = sum.mul_add(x, coefficient.splat());
    }
    sum
}

/// Error function, as a ratio of polynomials on [-4, 4]. (Eigen's coefficients.)
#[inline(always)]
fn erf<S: Simd>(x: V<S>) -> V<S> {
    // Beyond, the function is 1 in single precision and the ratio almost so.
    const LIMIT: f32 = 3.92;
    let (low, high) = ((-LIMIT).splat(), LIMIT.splat());
    let near = x.max(low).min(high);
    let s = near * near;
    let p = polynomial(
        s,
        [
            -2.726_142_3e-10,
            2.770_681_4e-8,
            -2.101_024e-6,
            -5.692_506_4e-5,
            -7.349_906e-4,
            -2.954_6e-3,
            -1.609_603_3e-2,
        ],
    );
    let q = polynomial(
        s,
        [
            -1.456_607_2e-5,
            -2.133_740_6e-4,
            -1.682_827e-3,
            -7.373_329e-3,
            -1.426_473_9e-2,
        ],
    );
    let inside = x.lt(low).select((-1.0_f32).splat(), near * p / q);
    x.gt(high).select(1.0_f32.splat(), inside)
}
