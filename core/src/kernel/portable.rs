//! The operations composed of burn's own: the definition of each result, and what runs on a device
//! without a special kernel. Autodiff comes from the composition.

use burn::Tensor;
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{activation, s};

use super::Conv3dOptions;
use crate::nn::Activation;

pub(super) fn conv3d(
    x: Tensor<5>,
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
    options: &Conv3dOptions,
) -> Tensor<5> {
    let [_, _, kd, kh, kw] = weight.dims();
    let unpadded = options.padding == [[0; 2]; 3];
    if [kd, kh, kw] == [1; 3] && unpadded {
        return pointwise(strided(x, options.stride), weight, bias);
    }
    if x.device().is_autodiff()
        && let Some(planes) = slab(&x, options, [kd, kh, kw])
    {
        return by_slabs(x, &weight, bias.as_ref(), options, planes);
    }
    let symmetric = options.padding.iter().all(|[low, high]| low == high);
    let (x, padding) = if symmetric {
        (x, options.padding.map(|[low, _]| low))
    } else {
        (pad(x, options.padding), [0; 3])
    };
    module::conv3d(
        x,
        weight,
        bias,
        ConvOptions::new(options.stride, padding, options.dilation, 1),
    )
}

/// Output voxels, times the batch, of one convolution whose weight gradient is wanted. burn sums
/// that gradient in one loop over them; software adapters cut loops off after 65,536 rounds.
const MOST_VOXELS: usize = 1 << 13;

/// How many output planes a convolution may have so that its weight gradient sums few voxels, or
/// `None` where it has no more than that.
fn slab(x: &Tensor<5>, options: &Conv3dOptions, kernel: [usize; 3]) -> Option<usize> {
    let [n, _, d, h, w] = x.dims();
    let [od, oh, ow] = options.output_size([d, h, w], kernel)?;
    let planes = (MOST_VOXELS / (n * oh * ow).max(1)).max(1);
    (planes < od).then_some(planes)
}

/// A convolution of `planes` output planes at a time.
fn by_slabs(
    x: Tensor<5>,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    options: &Conv3dOptions,
    planes: usize,
) -> Tensor<5> {
    let [low_high, rows, columns] = options.padding;
    let x = pad(x, [low_high, [0; 2], [0; 2]]);
    let rest = Conv3dOptions {
        padding: [[0; 2], rows, columns],
        ..*options
    };
    let (stride, reach) = (
        options.stride[0],
        options.dilation[0] * (weight.dims()[2] - 1),
    );
    let depth = (x.dims()[2] - reach - 1) / stride + 1;
    let slabs = (0..depth).step_by(planes).map(|start| {
        let last = (start + planes).min(depth) - 1;
        let input = x
            .clone()
            .slice(s![.., .., start * stride..last * stride + reach + 1]);
        conv3d(input, weight.clone(), bias.cloned(), &rest)
    });
    Tensor::cat(slabs.collect(), 2)
}

/// Every `stride`-th voxel of each axis.
fn strided(x: Tensor<5>, stride: [usize; 3]) -> Tensor<5> {
    if stride == [1; 3] {
        return x;
    }
    let [sd, sh, sw] = stride.map(|s| s as isize);
    x.slice(s![.., .., ..;sd, ..;sh, ..;sw])
}

/// Convolution by a kernel of one voxel, as a matrix product.
fn pointwise(x: Tensor<5>, weight: Tensor<5>, bias: Option<Tensor<1>>) -> Tensor<5> {
    let [n, inputs, d, h, w] = x.dims();
    let out = weight.dims()[0];
    let y = weight
        .reshape([1, out, inputs])
        .matmul(x.reshape([n, inputs, d * h * w]))
        .reshape([n, out, d, h, w]);
    add_bias(y, bias)
}

pub(super) fn depthwise_conv3d(
    x: Tensor<5>,
    weight: &Tensor<5>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<5> {
    let x = pad(x, [[padding; 2]; 3]);
    let [_, channels, d, h, w] = x.dims();
    let [_, _, kd, kh, kw] = weight.dims();
    let out = |size: usize, kernel: usize| (size - kernel) / stride + 1;
    let [od, oh, ow] = [out(d, kd), out(h, kh), out(w, kw)];
    // First to one past the last voxel that a tap reads.
    let range = |tap: usize, outputs: usize| tap..tap + (outputs - 1) * stride + 1;
    let step = stride as isize;
    let mut sum: Option<Tensor<5>> = None;
    for a in 0..kd {
        for b in 0..kh {
            for c in 0..kw {
                let window = x.clone().slice(s![
                    ..,
                    ..,
                    range(a, od);step,
                    range(b, oh);step,
                    range(c, ow);step
                ]);
                let tap = weight
                    .clone()
                    .slice(s![.., .., a..a + 1, b..b + 1, c..c + 1])
                    .reshape([1, channels, 1, 1, 1]);
                let term = window * tap;
                sum = Some(match sum {
                    Some(sum) => sum + term,
                    None => term,
                });
            }
        }
    }
    add_bias(sum.unwrap_or(x), bias)
}

pub(super) fn depthwise_conv_transpose3d(
    x: Tensor<5>,
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
) -> Tensor<5> {
    // The transpose of a strided convolution reads the input with zeros between its voxels.
    let padding = weight.dims()[2] / 2;
    depthwise_conv3d(spread(x), &weight.flip([2, 3, 4]), bias, 1, padding)
}

pub(super) fn conv_transpose3d(
    x: Tensor<5>,
    weight: Tensor<5>,
    bias: Option<Tensor<1>>,
    kernel: usize,
) -> Tensor<5> {
    let [n, inputs, d, h, w] = x.dims();
    let out = weight.dims()[1];
    let taps = kernel * kernel * kernel;
    let weight = weight.reshape([1, inputs, out * taps]).swap_dims(1, 2);
    let y = weight.matmul(x.reshape([n, inputs, d * h * w]));
    let y = if kernel == 1 {
        spread(y.reshape([n, out, d, h, w]))
    } else {
        y.reshape([n * out, 2, 2, 2, d, h, w])
            .permute([0, 4, 1, 5, 2, 6, 3])
            .reshape([n, out, 2 * d, 2 * h, 2 * w])
    };
    add_bias(y, bias)
}

/// One zero between neighbouring voxels of every axis: a side of `size` becomes `2 size - 1`.
fn spread(x: Tensor<5>) -> Tensor<5> {
    let [n, c, d, h, w] = x.dims();
    let x: Tensor<7> = x.reshape([n * c, d, 1, h, 1, w, 1]);
    x.pad(
        [(0, 0), (0, 1), (0, 0), (0, 1), (0, 0), (0, 1)],
        PadMode::Constant(0.0),
    )
    .reshape([n, c, 2 * d, 2 * h, 2 * w])
    .slice(s![.., .., ..2 * d - 1, ..2 * h - 1, ..2 * w - 1])
}

fn pad(x: Tensor<5>, padding: [[usize; 2]; 3]) -> Tensor<5> {
    if padding == [[0; 2]; 3] {
        return x;
    }
    x.pad(
        padding.map(|[low, high]| (low, high)),
        PadMode::Constant(0.0),
    )
}

fn add_bias(y: Tensor<5>, bias: Option<Tensor<1>>) -> Tensor<5> {
    match bias {
        Some(bias) => y + per_channel(bias),
        None => y,
    }
}

fn per_channel(values: Tensor<1>) -> Tensor<5> {
    let [channels] = values.dims();
    values.reshape([1, channels, 1, 1, 1])
}

pub(super) fn instance_norm(
    x: Tensor<5>,
    weight: Option<Tensor<1>>,
    bias: Option<Tensor<1>>,
    eps: f64,
    activation: Option<Activation>,
) -> Tensor<5> {
    // Axis by axis: short sums round less than one over all voxels.
    let mean = |x: Tensor<5>| x.mean_dim(4).mean_dim(3).mean_dim(2);
    let centred = x.clone() - mean(x);
    let variance = mean(centred.clone().square());
    let mut y = centred / (variance + eps).sqrt();
    if let Some(weight) = weight {
        y = y * per_channel(weight);
    }
    y = add_bias(y, bias);
    match activation {
        Some(activation) => activate(y, activation),
        None => y,
    }
}

/// Beyond this argument `tanh` is 1 in `f32`; some shader compilers overflow there.
const TANH_LIMIT: f32 = 10.0;

pub(super) fn activate<const D: usize>(x: Tensor<D>, kind: Activation) -> Tensor<D> {
    match kind {
        Activation::Relu => activation::relu(x),
        Activation::LeakyRelu { slope } => activation::leaky_relu(x, f64::from(slope)),
        Activation::Elu => {
            let above = x.clone().greater_elem(0.0);
            // The branch not taken must stay finite: its gradient is multiplied by zero.
            let below = x.clone().mask_fill(above.clone(), 0.0).exp() - 1.0;
            below.mask_where(above, x)
        }
        // burn's own `gelu` has the gradient of the tanh form.
        Activation::Gelu => {
            let erf = (x.clone() * core::f64::consts::FRAC_1_SQRT_2).erf();
            x * (erf + 1.0) * 0.5
        }
        Activation::GeluTanh => {
            let scale = (2.0_f64 / core::f64::consts::PI).sqrt();
            let inner = (x.clone() * x.clone() * x.clone() * 0.044715 + x.clone()) * scale;
            x * (inner.clamp(-TANH_LIMIT, TANH_LIMIT).tanh() + 1.0) * 0.5
        }
        Activation::Silu => activation::silu(x),
    }
}

pub(super) fn max_pool2(x: Tensor<5>) -> Tensor<5> {
    let [n, c, d, h, w] = x.dims();
    let [d, h, w] = [d / 2, h / 2, w / 2];
    let blocks: Tensor<7> = x
        .slice(s![.., .., ..2 * d, ..2 * h, ..2 * w])
        .reshape([n * c, d, 2, h, 2, w, 2])
        .permute([0, 1, 3, 5, 2, 4, 6]);
    blocks
        .reshape([n * c * d * h * w, 8])
        .max_dim(1)
        .reshape([n, c, d, h, w])
}

pub(super) fn avg_pool2(x: Tensor<5>) -> Tensor<5> {
    let [_, _, d, h, w] = x.dims().map(|size| size as isize / 2 * 2);
    // Axis by axis: the even voxels and the odd ones.
    let x = x.clone().slice(s![.., .., 0..d;2]) + x.slice(s![.., .., 1..d;2]);
    let x = x.clone().slice(s![.., .., .., 0..h;2]) + x.slice(s![.., .., .., 1..h;2]);
    let x = x.clone().slice(s![.., .., .., .., 0..w;2]) + x.slice(s![.., .., .., .., 1..w;2]);
    x * 0.125
}
