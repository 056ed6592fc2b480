//! Convolutions with their gradients, by shape.

use super::dense::{Dense, volume};
use super::depthwise::Depthwise;
use super::epilogue::{Epilogue, Output};
use super::matmul::Pointwise;
use super::source::Source;
use super::weight::WeightGradient;
use crate::kernel::shape::Conv;

impl Conv {
    /// A source of the input's size.
    pub(crate) fn input<'a>(&self, values: &'a [f32]) -> Source<'a> {
        Source::plain(values, self.groups * self.inputs, self.in_size())
    }

    /// A source of the output's size.
    pub(crate) fn output<'a>(&self, values: &'a [f32]) -> Source<'a> {
        Source::plain(values, self.groups * self.outputs, self.out_size())
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
        let taps = volume(self.kernel());
        let [d, h, w] = &self.extent;
        let dense = Dense {
            batch: self.batch,
            groups: self.groups,
            inputs: self.inputs,
            outputs: self.outputs,
            in_size: self.in_size(),
            out_size: self.out_size(),
            axes: [d.forward(true), h.forward(true), w.forward(false)],
            kernel: self.kernel(),
            weights,
            output_stride: self.inputs * taps,
            input_stride: taps,
        };
        dense.run(source, epilogue)
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
        let taps = volume(self.kernel());
        let [d, h, w] = &self.extent;
        let dense = Dense {
            batch: self.batch,
            groups: self.groups,
            inputs: self.outputs,
            outputs: self.inputs,
            in_size: self.out_size(),
            out_size: self.in_size(),
            axes: [d.transposed(true), h.transposed(true), w.transposed(false)],
            kernel: self.kernel(),
            weights,
            output_stride: taps,
            input_stride: self.inputs * taps,
        };
        dense.run(source, epilogue)
    }

    /// `[groups * outputs, inputs, kd, kh, kw]` from the input and the output's gradient.
    pub(crate) fn weight_gradient(&self, input: &[f32], gradient: &[f32]) -> Vec<f32> {
        if let Some(depthwise) = Depthwise::of(self) {
            return depthwise.weight_gradient(input, gradient);
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
