//! Activations and their derivatives.

use burn::tensor::Shape;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::launch::{Place, contiguous, element, unit};
use crate::nn::Activation;

/// An activation as a kernel is compiled for it: its slope is an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    None,
    Relu,
    LeakyRelu,
    Elu,
    Gelu,
    GeluTanh,
    Silu,
}

impl Kind {
    /// The kind and the slope.
    pub(super) fn of(activation: Option<Activation>) -> (Self, f32) {
        match activation {
            None => (Self::None, 0.0),
            Some(Activation::Relu) => (Self::Relu, 0.0),
            Some(Activation::LeakyRelu { slope }) => (Self::LeakyRelu, slope),
            Some(Activation::Elu) => (Self::Elu, 0.0),
            Some(Activation::Gelu) => (Self::Gelu, 0.0),
            Some(Activation::GeluTanh) => (Self::GeluTanh, 0.0),
            Some(Activation::Silu) => (Self::Silu, 0.0),
        }
    }
}

const INV_SQRT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
const INV_SQRT_2PI: f32 = 0.398_942_3;
/// sqrt(2 / pi).
const TANH_SCALE: f32 = 0.797_884_6;
const TANH_CUBE: f32 = 0.044_715;
const TANH_CUBE_RISE: f32 = 3.0 * TANH_CUBE;
/// Beyond this argument `tanh` is 1 in single precision; some compilers overflow there.
const TANH_LIMIT: f32 = 10.0;
/// Beyond this argument `exp` is infinite in single precision.
const EXP_LIMIT: f32 = 88.0;

/// `activation(x)`.
#[cube]
pub(super) fn apply(x: f32, slope: f32, #[comptime] kind: Kind) -> f32 {
    match kind {
        Kind::None => x,
        Kind::Relu => max(x, 0.0),
        Kind::LeakyRelu => select(x > 0.0, x, x * slope),
        Kind::Elu => select(x > 0.0, x, min(x, 0.0).exp() - 1.0),
        Kind::Gelu => x * (Erf::erf(x * INV_SQRT_2) + 1.0) * 0.5,
        Kind::GeluTanh => {
            let inner = (x * x * x * TANH_CUBE + x) * TANH_SCALE;
            let inner = clamp(inner, -TANH_LIMIT, TANH_LIMIT);
            x * (inner.tanh() + 1.0) * 0.5
        }
        Kind::Silu => x / (1.0 + min(-x, EXP_LIMIT).exp()),
    }
}

/// `activation'(x)`.
#[cube]
pub(super) fn derivative(x: f32, slope: f32, #[comptime] kind: Kind) -> f32 {
    match kind {
        Kind::None => 1.0f32.runtime(),
        Kind::Relu => select(x > 0.0f32, 1.0f32, 0.0f32),
        Kind::LeakyRelu => select(x > 0.0f32, 1.0f32, slope),
        Kind::Elu => select(x > 0.0f32, 1.0f32, min(x, 0.0f32).exp()),
        Kind::Gelu => {
            let phi = (Erf::erf(x * INV_SQRT_2) + 1.0f32) * 0.5f32;
            phi + x * INV_SQRT_2PI * (x * x * -0.5f32).exp()
        }
        Kind::GeluTanh => {
            let inner = (x * x * x * TANH_CUBE + x) * TANH_SCALE;
            let tanh = clamp(inner, -TANH_LIMIT, TANH_LIMIT).tanh();
            let rise = (x * x * TANH_CUBE_RISE + 1.0f32) * TANH_SCALE;
            let square = 1.0f32 - tanh * tanh;
            // Where tanh is 1 its square cancels the rise, which may be infinite.
            let tail = select(square > 0.0f32, x * square * rise, 0.0f32);
            (tanh + 1.0f32 + tail) * 0.5f32
        }
        Kind::Silu => {
            let sigmoid = 1.0f32 / (1.0f32 + min(-x, EXP_LIMIT).exp());
            sigmoid * (1.0f32 + x * (1.0f32 - sigmoid))
        }
    }
}

#[cube(launch)]
fn activate_kernel<F: Float>(
    x: &[F],
    y: &mut [F],
    count: u32,
    slope: f32,
    #[comptime] kind: Kind,
    #[define(F)] _element: ElemType,
) {
    let at = unit();
    if at < count {
        let value = apply(f32::cast_from(x[at as usize]), slope, kind);
        y[at as usize] = F::cast_from(value);
    }
}

#[cube(launch)]
fn chain_kernel<F: Float>(
    x: &[F],
    gradient: &[F],
    out: &mut [F],
    count: u32,
    slope: f32,
    #[comptime] kind: Kind,
    #[define(F)] _element: ElemType,
) {
    let at = unit();
    if at < count {
        let pull = f32::cast_from(gradient[at as usize]);
        let rise = derivative(f32::cast_from(x[at as usize]), slope, kind);
        out[at as usize] = F::cast_from(pull * rise);
    }
}

/// `activation(x)`.
pub(super) fn activate(x: &CubeTensor, activation: Activation) -> CubeTensor {
    let place = Place::of(x);
    let shape: Shape = x.meta.shape().clone();
    let count = shape.num_elements();
    let y = place.empty_of(shape, x.dtype);
    let (kind, slope) = Kind::of(Some(activation));
    activate_kernel::launch(
        place.client(),
        place.grid(count, 1),
        place.workgroup(),
        contiguous(x).into_buffer_arg(),
        y.clone().into_buffer_arg(),
        count as u32,
        slope,
        kind,
        element(x),
    );
    y
}

/// `gradient * activation'(x)`.
pub(super) fn chain(x: &CubeTensor, gradient: &CubeTensor, activation: Activation) -> CubeTensor {
    let place = Place::of(x);
    let shape: Shape = x.meta.shape().clone();
    let count = shape.num_elements();
    let out = place.empty_of(shape, x.dtype);
    let (kind, slope) = Kind::of(Some(activation));
    chain_kernel::launch(
        place.client(),
        place.grid(count, 1),
        place.workgroup(),
        contiguous(x).into_buffer_arg(),
        contiguous(gradient).into_buffer_arg(),
        out.clone().into_buffer_arg(),
        count as u32,
        slope,
        kind,
        element(x),
    );
    out
}
