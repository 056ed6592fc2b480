//! Convolutions with their gradients, by shape.

use super::dense::{Dense, volume};
use super::depthwise::Depthwise;
use super::epilogue::{Epilogue, Output};
use super::matmul::Pointwise;
use super::source::Source;
use super::tile::Machine;
use super::weight::WeightGradient;
use super::winograd::{self, Line, Weights, Winograd};
use crate::kernel::shape::{Conv, Extent};

/// Outputs from which minimal filtering pays for transforming the weights, and the same for
/// gradients, which read the weights in an order of their own anyway.
const LEAST_VOXELS: usize = 400;
const LEAST_BACKWARD: usize = 150;

/// Channels on both sides from which weight gradients are filtered along all axes.
const LEAST_CHANNELS: usize = 12;

/// The axes along which outputs of a kernel of 3 are computed in pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filtering {
    None,
    /// Depth and height.
    Two,
    /// All.
    Three,
}

impl Filtering {
    /// What saves more than its transforms take, with so many channels on both sides.
    fn of(channels: [usize; 2]) -> Self {
        // Wide vectors multiply faster than transforms read and write.
        let pairs = if Machine::detect().lanes > 4 { 8 } else { 2 };
        match channels.into_iter().min() {
            Some(least) if least >= 20 => Self::Three,
            Some(least) if least >= pairs => Self::Two,
            _ => Self::None,
        }
    }

    /// About its part of the time of a direct convolution.
    fn time(self) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Two => 0.7,
            Self::Three => 0.55,
        }
    }
}

/// Whether outputs of which some are `computed` to be thrown away are worth filtering.
pub(super) fn is_worth(computed: usize, outputs: usize) -> bool {
    2 * computed <= 3 * outputs
}

/// About the time that a convolution of kernel 3 takes for some planes at once, in that of a direct
/// one: minimal filtering needs pairs of planes that are one dilation apart.
pub(crate) fn plane_time(channels: [usize; 2], dilation: usize, planes: usize) -> f64 {
    let computed = planes.next_multiple_of(2 * dilation);
    match is_worth(computed, planes) {
        true => Filtering::of(channels).time() * computed as f64 / planes as f64,
        false => 1.0,
    }
}

impl Conv {
    /// A source of the input's size.
    pub(crate) fn input<'a>(&self, values: &'a [f32]) -> Source<'a> {
        Source::plain(values, self.groups * self.inputs, self.in_size())
    }

    /// A source of the output's size.
    pub(crate) fn output<'a>(&self, values: &'a [f32]) -> Source<'a> {
        Source::plain(values, self.groups * self.outputs, self.out_size())
    }

    /// Whether [`forward`](Self::forward) takes a source of slabs.
    pub(crate) fn reads_slabs(&self, weights: &[f32]) -> bool {
        Depthwise::of(self).is_none() && Pointwise::of(self, weights).is_none()
    }

    /// `[batch, groups * outputs, ..]` from the input and weights `[groups * outputs, inputs, ..]`.
    pub(crate) fn forward(
        &self,
        source: &Source<'_>,
        weights: &[f32],
        epilogue: &Epilogue<'_>,
    ) -> Output {
        if let Some(depthwise) = Depthwise::of(self) {
            return depthwise.forward(source, weights, epilogue, false);
        }
        if let Some(pointwise) = Pointwise::of(self, weights) {
            return pointwise.run(source, epilogue);
        }
        if let Some(winograd) = self.winograd(source, weights, false) {
            return winograd.run(source, epilogue);
        }
        let minimal = self.is_paired(self.out_size(), LEAST_VOXELS);
        self.dense(weights, false, minimal).run(source, epilogue)
    }

    /// The convolution, or its transpose, by the dense kernel, in pairs of planes and rows where
    /// that may be.
    pub(super) fn dense<'a>(
        &self,
        weights: &'a [f32],
        transposed: bool,
        minimal: bool,
    ) -> Dense<'a> {
        let [d, h, w] = &self.extent;
        let of_input = volume(self.kernel());
        let forward = Dense {
            batch: self.batch,
            groups: self.groups,
            inputs: self.inputs,
            outputs: self.outputs,
            in_size: self.in_size(),
            out_size: self.out_size(),
            axes: [d.forward(true), h.forward(true), w.forward(false)],
            kernel: self.kernel(),
            weights,
            output_stride: self.inputs * of_input,
            input_stride: of_input,
            minimal,
        };
        match transposed {
            false => forward,
            true => Dense {
                inputs: forward.outputs,
                outputs: forward.inputs,
                in_size: forward.out_size,
                out_size: forward.in_size,
                axes: [d.transposed(true), h.transposed(true), w.transposed(false)],
                output_stride: forward.input_stride,
                input_stride: forward.output_stride,
                ..forward
            },
        }
    }

    /// `[batch, groups * inputs, ..]` from the output's gradient: the transposed convolution.
    pub(crate) fn data_gradient(
        &self,
        source: &Source<'_>,
        weights: &[f32],
        epilogue: &Epilogue<'_>,
    ) -> Output {
        if let Some(turned) = Depthwise::of(self).and_then(|depthwise| depthwise.turned()) {
            return turned.forward(source, weights, epilogue, true);
        }
        if let Some(turned) = Pointwise::of(self, weights).and_then(Pointwise::turned) {
            return turned.run(source, epilogue);
        }
        if let Some(winograd) = self.winograd(source, weights, true) {
            return winograd.run(source, epilogue);
        }
        let minimal = self.is_paired(self.in_size(), LEAST_BACKWARD);
        self.dense(weights, true, minimal).run(source, epilogue)
    }

    /// Whether pairs of planes and rows save time on `voxels` outputs or more.
    fn is_paired(&self, size: [usize; 3], voxels: usize) -> bool {
        let filtering = Filtering::of([self.inputs, self.outputs]);
        filtering != Filtering::None && self.batch * volume(size) >= voxels
    }

    /// Whether minimal filtering along all axes can compute this convolution and its gradients, and
    /// would save time on `voxels` outputs or more.
    fn is_minimal(&self, size: [usize; 3], voxels: usize) -> bool {
        let fits = |axis: &Extent| axis.kernel == 3 && axis.stride == 1;
        let dilation = self.extent.map(|axis| axis.dilation);
        // Tiles are two outputs wide: short axes compute much that is thrown away.
        let computed: usize = (0..3)
            .map(|axis| size[axis].next_multiple_of(2 * dilation[axis]))
            .product();
        self.groups == 1
            && self.extent.iter().all(fits)
            && self.batch * volume(size) >= voxels
            && is_worth(computed, volume(size))
    }

    /// The convolution, or its transpose, by minimal filtering where that is faster.
    fn winograd<'a>(
        &self,
        source: &Source<'_>,
        weights: &'a [f32],
        transposed: bool,
    ) -> Option<Winograd<'a>> {
        let (out_size, voxels) = match transposed {
            false => (self.out_size(), LEAST_VOXELS),
            true => (self.in_size(), LEAST_BACKWARD),
        };
        let pays = Filtering::of([self.inputs, self.outputs]) == Filtering::Three
            && self.is_minimal(out_size, voxels)
            && winograd::takes(source);
        pays.then(|| self.minimal(weights, transposed))
    }

    /// The convolution of kernel 3 and stride 1, or its transpose, by minimal filtering.
    pub(super) fn minimal<'a>(&self, weights: &'a [f32], transposed: bool) -> Winograd<'a> {
        let (inputs, outputs, out_size) = match transposed {
            false => (self.inputs, self.outputs, self.out_size()),
            true => (self.outputs, self.inputs, self.in_size()),
        };
        let [of_input, of_output] = [27, self.inputs * 27];
        Winograd {
            batch: self.batch,
            inputs,
            outputs,
            lines: self.extent.map(|axis| line(axis, transposed)),
            out_size,
            weights: Weights {
                values: weights,
                output_stride: if transposed { of_input } else { of_output },
                input_stride: if transposed { of_output } else { of_input },
                flipped: transposed,
            },
        }
    }

    pub(super) fn minimal_gradient(&self) -> winograd::WeightGradient {
        winograd::WeightGradient {
            batch: self.batch,
            inputs: self.inputs,
            outputs: self.outputs,
            lines: self.extent.map(|axis| line(axis, false)),
            out_size: self.out_size(),
        }
    }

    /// `[groups * outputs, inputs, kd, kh, kw]` from the input and the output's gradient.
    pub(crate) fn weight_gradient(&self, input: &[f32], gradient: &[f32]) -> Vec<f32> {
        if let Some(depthwise) = Depthwise::of(self) {
            return depthwise.weight_gradient(input, gradient);
        }
        if self.inputs.min(self.outputs) >= LEAST_CHANNELS
            && self.is_minimal(self.out_size(), LEAST_BACKWARD)
        {
            return self.minimal_gradient().run(input, gradient);
        }
        let [d, h, w] = &self.extent;
        let weight = WeightGradient {
            batch: self.batch,
            groups: self.groups,
            inputs: self.inputs,
            outputs: self.outputs,
            in_size: self.in_size(),
            out_size: self.out_size(),
            axes: [d.forward(true), h.forward(true), w.forward(false)],
            kernel: self.kernel(),
        };
        weight.run(input, gradient)
    }
}

/// What the outputs of a convolution without stride, or the inputs of its transpose, read.
fn line(axis: Extent, transposed: bool) -> Line {
    let low = axis.low.cast_signed();
    let (size, low) = match transposed {
        false => (axis.input, low),
        true => (axis.output, (2 * axis.dilation).cast_signed() - low),
    };
    Line {
        size,
        low,
        dilation: axis.dilation,
    }
}
