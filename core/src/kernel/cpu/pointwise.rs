//! Activations and their derivatives on slices.

use macerator::{Arch, Scalar, Simd, Vector, WithSimd};

use super::curve::{Curve, with_curve};
use super::parallel::{Shared, filled, for_each};
use super::stream::{Each, Streams};
use super::tile::Machine;
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

/// The curve's value.
struct Value<C>(C);

impl<C: Curve> Each<1> for Value<C> {
    #[inline(always)]
    fn each<S: Simd>(&self, [x]: [Vector<S, f32>; 1]) -> Vector<S, f32> {
        self.0.value(x)
    }
}

/// `curve((x - origin) * scale + shift)`.
pub(crate) struct Mapped<C> {
    pub(crate) curve: C,
    /// Origin, scale, shift.
    pub(crate) map: [f32; 3],
}

impl<C: Curve> Each<1> for Mapped<C> {
    #[inline(always)]
    fn each<S: Simd>(&self, [x]: [Vector<S, f32>; 1]) -> Vector<S, f32> {
        let [origin, scale, shift] = self.map.map(|value| value.splat());
        self.curve.value((x - origin).mul_add(scale, shift))
    }
}

/// The second value times the curve's derivative at the first.
struct Chained<C>(C);

impl<C: Curve> Each<2> for Chained<C> {
    #[inline(always)]
    fn each<S: Simd>(&self, [x, gradient]: [Vector<S, f32>; 2]) -> Vector<S, f32> {
        gradient * self.0.slope(x)
    }
}

/// `values = activation(values)`.
pub(crate) fn apply(kind: Activation, values: &mut [f32]) {
    let machine = Machine::detect();
    with_curve!(Some(kind), curve => Streams::within(values).map(&machine, &Value(curve)));
}

/// `values = activation((values - origin) * scale + shift)`.
pub(crate) fn map(map: [f32; 3], activation: Option<Activation>, values: &mut [f32]) {
    let machine = Machine::detect();
    with_curve!(activation, curve => {
        Streams::within(values).map(&machine, &Mapped { curve, map });
    });
}

/// Floats of one task.
const TASK: usize = 1 << 16;

/// `activation(x)`.
pub(crate) fn activate(kind: Activation, x: &[f32]) -> Vec<f32> {
    with_curve!(Some(kind), curve => over_tasks([x], &Value(curve)))
}

/// `gradient * activation'(x)`.
pub(crate) fn activate_gradient(kind: Activation, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    with_curve!(Some(kind), curve => over_tasks([x, gradient], &Chained(curve)))
}

fn over_tasks<const N: usize>(from: [&[f32]; N], each: &(impl Each<N> + Sync)) -> Vec<f32> {
    let machine = Machine::detect();
    let count = from[0].len();
    let write = |out: Shared<'_>| {
        for_each(count.div_ceil(TASK), |task| {
            let range = task * TASK..((task + 1) * TASK).min(count);
            let to = out.target(range.start, range.len());
            // SAFETY: the target has room for the range, which no other task writes.
            let streams = unsafe { Streams::new(from.map(|x| &x[range.clone()]), to) };
            streams.map(&machine, each);
        });
    };
    // SAFETY: the ranges of the tasks are all elements.
    unsafe { filled(count, write) }
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
            let slopes = activate_gradient(kind, &points, &vec![1.0; points.len()]);
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
