//! Shapes of convolutions: what the kernels of every backend work from.

use super::Conv3dOptions;

/// Shape of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conv {
    pub(crate) batch: usize,
    /// Independent convolutions: 1, or the channels of a depthwise convolution.
    pub(crate) groups: usize,
    /// Input channels of a group.
    pub(crate) inputs: usize,
    /// Output channels of a group.
    pub(crate) outputs: usize,
    /// Depth, height, width.
    pub(crate) extent: [Extent; 3],
}

/// Extents of a convolution along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Zeros before the input.
    pub(crate) low: usize,
    pub(crate) dilation: usize,
}

impl Conv {
    pub(crate) fn in_size(&self) -> [usize; 3] {
        self.extent.map(|axis| axis.input)
    }

    pub(crate) fn out_size(&self) -> [usize; 3] {
        self.extent.map(|axis| axis.output)
    }

    pub(crate) fn kernel(&self) -> [usize; 3] {
        self.extent.map(|axis| axis.kernel)
    }
}

/// The convolution of `x` by `weight`.
pub(super) fn convolution(
    x: [usize; 5],
    weight: [usize; 5],
    groups: usize,
    options: &Conv3dOptions,
) -> Conv {
    let [batch, _, size @ ..] = x;
    let [outputs, inputs, kernel @ ..] = weight;
    // The public functions have checked that there is one.
    let out = options.output_size(size, kernel).unwrap_or_default();
    Conv {
        batch,
        groups,
        inputs,
        outputs: outputs / groups.max(1),
        extent: std::array::from_fn(|axis| Extent {
            input: size[axis],
            output: out[axis],
            kernel: kernel[axis],
            stride: options.stride[axis],
            low: options.padding[axis][0],
            dilation: options.dilation[axis],
        }),
    }
}

/// The strided convolution whose transpose takes `x`.
pub(super) fn transposed(x: [usize; 5], weight: [usize; 5], groups: usize, padding: usize) -> Conv {
    let [batch, _, size @ ..] = x;
    let [outputs, inputs, kernel @ ..] = weight;
    Conv {
        batch,
        groups,
        inputs,
        outputs: outputs / groups.max(1),
        extent: std::array::from_fn(|axis| Extent {
            input: 2 * (size[axis] - 1) + kernel[axis] - 2 * padding,
            output: size[axis],
            kernel: kernel[axis],
            stride: 2,
            low: padding,
            dilation: 1,
        }),
    }
}
