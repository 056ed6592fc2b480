//! Instance normalisation with an activation, and its gradients.
//!
//! Statistics are taken chunk by chunk about the chunk's own mean and then merged, so that a mean
//! far from zero costs no digits. A mean is kept as two floats: far from zero one is too coarse.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::launch::{Place, contiguous, element, grid, unit, workgroup};
use super::pointwise::{Kind, apply, derivative};
use super::reduce::{Chunk, Chunks, total};
use super::weight::sum_parts;
use crate::nn::Activation;

/// Numbers kept for each channel of each sample: the mean's two parts, 1 / standard deviation.
const KEPT: usize = 3;

/// What a chunk's statistics are: the mean's two parts, squared deviations.
#[cube(launch)]
fn chunk_statistics<F: Float>(
    x: &[F],
    partial: &mut [f32],
    chunk: Chunk,
    #[comptime] units: u32,
    #[define(F)] _element: ElemType,
) {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(units as usize));
    let here = workgroup();
    if here < chunk.rows * chunk.count {
        let base = here / chunk.count * chunk.voxels;
        let start = here % chunk.count * chunk.length;
        let end = min(start + chunk.length, chunk.voxels);
        let count = (end - start) as f32;
        let mut sum = 0.0f32;
        let mut at = start + UNIT_POS_X;
        while at < end {
            sum += f32::cast_from(x[(base + at) as usize]);
            at += units;
        }
        let mean = total(sum, &mut shared, units) / count;
        let mut rest = 0.0f32;
        let mut squares = 0.0f32;
        let mut at = start + UNIT_POS_X;
        while at < end {
            let off = f32::cast_from(x[(base + at) as usize]) - mean;
            rest += off;
            squares += off * off;
            at += units;
        }
        // What rounding left of the mean.
        let rest = total(rest, &mut shared, units) / count;
        let squares = total(squares, &mut shared, units);
        if UNIT_POS_X == 0 {
            partial[(3 * here) as usize] = mean;
            partial[(3 * here + 1) as usize] = rest;
            partial[(3 * here + 2) as usize] = squares - count * rest * rest;
        }
    }
}

/// Statistics of a row from those of its chunks.
#[cube(launch)]
fn merge_statistics(
    partial: &[f32],
    kept: &mut [f32],
    chunk: Chunk,
    eps: f32,
    #[comptime] units: u32,
) {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(units as usize));
    let row = workgroup();
    if row < chunk.rows {
        let first = row * chunk.count;
        let mean = partial[(3 * first) as usize];
        let mut rest = 0.0f32;
        let mut i = UNIT_POS_X;
        while i < chunk.count {
            let at = 3 * (first + i);
            let count = (min((i + 1) * chunk.length, chunk.voxels) - i * chunk.length) as f32;
            let off = (partial[at as usize] - mean) + partial[(at + 1) as usize];
            rest += off * count;
            i += units;
        }
        let rest = total(rest, &mut shared, units) / chunk.voxels as f32;
        let mut squares = 0.0f32;
        let mut i = UNIT_POS_X;
        while i < chunk.count {
            let at = 3 * (first + i);
            let count = (min((i + 1) * chunk.length, chunk.voxels) - i * chunk.length) as f32;
            let off = (partial[at as usize] - mean) + partial[(at + 1) as usize] - rest;
            squares += partial[(at + 2) as usize] + off * off * count;
            i += units;
        }
        let squares = total(squares, &mut shared, units);
        if UNIT_POS_X == 0 {
            kept[(3 * row) as usize] = mean;
            kept[(3 * row + 1) as usize] = rest;
            kept[(3 * row + 2) as usize] = 1.0 / (squares / chunk.voxels as f32 + eps).sqrt();
        }
    }
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    weight: bool,
    bias: bool,
    kind: Kind,
    units: u32,
}

/// Scale and shift of a channel.
#[cube]
fn affine(weight: &[f32], bias: &[f32], channel: u32, #[comptime] form: Form) -> (f32, f32) {
    let scale = if comptime!(form.weight) {
        weight[channel as usize]
    } else {
        1.0f32.runtime()
    };
    let shift = if comptime!(form.bias) {
        bias[channel as usize]
    } else {
        0.0f32.runtime()
    };
    (scale, shift)
}

#[cube(launch)]
fn normalise<F: Float>(
    x: &[F],
    kept: &[f32],
    weight: &[f32],
    bias: &[f32],
    out: &mut [F],
    chunk: Chunk,
    channels: u32,
    slope: f32,
    #[comptime] form: Form,
    #[define(F)] _element: ElemType,
) {
    let here = workgroup();
    if here < chunk.rows * chunk.count {
        let row = here / chunk.count;
        let base = row * chunk.voxels;
        let start = here % chunk.count * chunk.length;
        let end = min(start + chunk.length, chunk.voxels);
        let (mean, rest) = (kept[(3 * row) as usize], kept[(3 * row + 1) as usize]);
        let inverse = kept[(3 * row + 2) as usize];
        let (scale, shift) = affine(weight, bias, row % channels, form);
        let mut at = start + UNIT_POS_X;
        while at < end {
            let value = ((f32::cast_from(x[(base + at) as usize]) - mean) - rest) * inverse;
            let value = apply(value * scale + shift, slope, form.kind);
            out[(base + at) as usize] = F::cast_from(value);
            at += comptime!(form.units);
        }
    }
}

/// Sums of a chunk: of the gradient before scale and shift, and of it times the normalised value.
#[cube(launch)]
fn gradient_sums<F: Float>(
    x: &[F],
    kept: &[f32],
    weight: &[f32],
    bias: &[f32],
    gradient: &[F],
    partial: &mut [f32],
    chunk: Chunk,
    channels: u32,
    slope: f32,
    #[comptime] form: Form,
    #[define(F)] _element: ElemType,
) {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(form.units as usize));
    let here = workgroup();
    if here < chunk.rows * chunk.count {
        let row = here / chunk.count;
        let base = row * chunk.voxels;
        let start = here % chunk.count * chunk.length;
        let end = min(start + chunk.length, chunk.voxels);
        let (mean, rest) = (kept[(3 * row) as usize], kept[(3 * row + 1) as usize]);
        let inverse = kept[(3 * row + 2) as usize];
        let (scale, shift) = affine(weight, bias, row % channels, form);
        let mut sum = 0.0f32;
        let mut product = 0.0f32;
        let mut at = start + UNIT_POS_X;
        while at < end {
            let value = ((f32::cast_from(x[(base + at) as usize]) - mean) - rest) * inverse;
            let pull = f32::cast_from(gradient[(base + at) as usize])
                * derivative(value * scale + shift, slope, form.kind);
            sum += pull;
            product += pull * value;
            at += comptime!(form.units);
        }
        let sum = total(sum, &mut shared, form.units);
        let product = total(product, &mut shared, form.units);
        if UNIT_POS_X == 0 {
            let to = here % chunk.count * 2 * chunk.rows + row;
            partial[to as usize] = sum;
            partial[(to + chunk.rows) as usize] = product;
        }
    }
}

/// Gradients of scale and shift: sums over the batch.
#[cube(launch)]
fn parameter_gradients(
    sums: &[f32],
    weight: &mut [f32],
    bias: &mut [f32],
    batch: u32,
    channels: u32,
) {
    let channel = unit();
    if channel < channels {
        let mut scale = 0.0f32;
        let mut shift = 0.0f32;
        for sample in 0..batch {
            let row = sample * channels + channel;
            shift += sums[row as usize];
            scale += sums[(batch * channels + row) as usize];
        }
        weight[channel as usize] = scale;
        bias[channel as usize] = shift;
    }
}

#[cube(launch)]
fn data_gradient<F: Float>(
    x: &[F],
    kept: &[f32],
    weight: &[f32],
    bias: &[f32],
    gradient: &[F],
    sums: &[f32],
    out: &mut [F],
    chunk: Chunk,
    channels: u32,
    slope: f32,
    #[comptime] form: Form,
    #[define(F)] _element: ElemType,
) {
    let here = workgroup();
    if here < chunk.rows * chunk.count {
        let row = here / chunk.count;
        let base = row * chunk.voxels;
        let start = here % chunk.count * chunk.length;
        let end = min(start + chunk.length, chunk.voxels);
        let (mean, rest) = (kept[(3 * row) as usize], kept[(3 * row + 1) as usize]);
        let inverse = kept[(3 * row + 2) as usize];
        let (scale, shift) = affine(weight, bias, row % channels, form);
        let voxels = chunk.voxels as f32;
        let sum = sums[row as usize] / voxels;
        let product = sums[(chunk.rows + row) as usize] / voxels;
        let mut at = start + UNIT_POS_X;
        while at < end {
            let value = ((f32::cast_from(x[(base + at) as usize]) - mean) - rest) * inverse;
            let pull = f32::cast_from(gradient[(base + at) as usize])
                * derivative(value * scale + shift, slope, form.kind);
            let value = (pull - sum - value * product) * (scale * inverse);
            out[(base + at) as usize] = F::cast_from(value);
            at += comptime!(form.units);
        }
    }
}

/// A normalisation.
pub(super) struct Norm {
    pub(super) shape: [usize; 5],
    pub(super) eps: f64,
    pub(super) activation: Option<Activation>,
}

/// Gradients of the inputs.
pub(super) struct Gradients {
    pub(super) data: CubeTensor,
    pub(super) weight: CubeTensor,
    pub(super) bias: CubeTensor,
}

impl Norm {
    fn form(
        &self,
        place: &Place<'_>,
        weight: Option<&CubeTensor>,
        bias: Option<&CubeTensor>,
    ) -> (Form, f32) {
        let (kind, slope) = Kind::of(self.activation);
        let form = Form {
            weight: weight.is_some(),
            bias: bias.is_some(),
            kind,
            units: place.tiles.workgroup,
        };
        (form, slope)
    }

    /// The output, and what its gradient needs besides the inputs.
    pub(super) fn forward(
        &self,
        x: &CubeTensor,
        weight: Option<&CubeTensor>,
        bias: Option<&CubeTensor>,
    ) -> (CubeTensor, CubeTensor) {
        let x = contiguous(x);
        let place = Place::of(&x);
        let units = place.tiles.workgroup;
        let chunks = Chunks::of(&place, self.shape);
        let partial = place.empty([chunks.rows * chunks.count * KEPT]);
        let kept = place.empty([chunks.rows, KEPT]);
        chunk_statistics::launch(
            place.client(),
            chunks.grid(),
            place.workgroup(),
            x.clone().into_buffer_arg(),
            partial.clone().into_buffer_arg(),
            chunks.argument(),
            units,
            element(&x),
        );
        merge_statistics::launch(
            place.client(),
            grid(chunks.rows, 1),
            place.workgroup(),
            partial.into_buffer_arg(),
            kept.clone().into_buffer_arg(),
            chunks.argument(),
            self.eps as f32,
            units,
        );
        let out = place.empty_of(self.shape, x.dtype);
        let (form, slope) = self.form(&place, weight, bias);
        normalise::launch(
            place.client(),
            chunks.grid(),
            place.workgroup(),
            x.clone().into_buffer_arg(),
            kept.clone().into_buffer_arg(),
            contiguous(weight.unwrap_or(&kept)).into_buffer_arg(),
            contiguous(bias.unwrap_or(&kept)).into_buffer_arg(),
            out.clone().into_buffer_arg(),
            chunks.argument(),
            self.shape[1] as u32,
            slope,
            form,
            element(&x),
        );
        (out, kept)
    }

    pub(super) fn backward(
        &self,
        x: &CubeTensor,
        weight: Option<&CubeTensor>,
        bias: Option<&CubeTensor>,
        kept: &CubeTensor,
        gradient: &CubeTensor,
    ) -> Gradients {
        let (x, gradient) = (contiguous(x), contiguous(gradient));
        let place = Place::of(&x);
        let [batch, channels, ..] = self.shape;
        let chunks = Chunks::of(&place, self.shape);
        let (form, slope) = self.form(&place, weight, bias);
        let scale = contiguous(weight.unwrap_or(kept));
        let shift = contiguous(bias.unwrap_or(kept));
        let partial = place.empty([chunks.count * 2 * chunks.rows]);
        gradient_sums::launch(
            place.client(),
            chunks.grid(),
            place.workgroup(),
            x.clone().into_buffer_arg(),
            kept.clone().into_buffer_arg(),
            scale.clone().into_buffer_arg(),
            shift.clone().into_buffer_arg(),
            gradient.clone().into_buffer_arg(),
            partial.clone().into_buffer_arg(),
            chunks.argument(),
            channels as u32,
            slope,
            form,
            element(&x),
        );
        let sums = place.empty([2, chunks.rows]);
        sum_parts(&place, partial, &sums, 2 * chunks.rows, chunks.count);
        let result = Gradients {
            data: place.empty_of(self.shape, x.dtype),
            weight: place.empty([channels]),
            bias: place.empty([channels]),
        };
        parameter_gradients::launch(
            place.client(),
            place.grid(channels, 1),
            place.workgroup(),
            sums.clone().into_buffer_arg(),
            result.weight.clone().into_buffer_arg(),
            result.bias.clone().into_buffer_arg(),
            batch as u32,
            channels as u32,
        );
        data_gradient::launch(
            place.client(),
            chunks.grid(),
            place.workgroup(),
            x.clone().into_buffer_arg(),
            kept.clone().into_buffer_arg(),
            scale.into_buffer_arg(),
            shift.into_buffer_arg(),
            gradient.into_buffer_arg(),
            sums.into_buffer_arg(),
            result.data.clone().into_buffer_arg(),
            chunks.argument(),
            channels as u32,
            slope,
            form,
            element(&x),
        );
        result
    }
}
