//! Convolutions with their gradients, by shape.

use burn_cubecl::tensor::CubeTensor;

use super::direct::{self, AxisLaunch, ExtentsLaunch, Form, SourceLaunch};
use super::interleave::{LANES, interleaved};
use super::lattice::{self, Family};
use super::launch::{Place, contiguous, element, single};
use super::pointwise::Kind;
use super::reduce;
use super::weight;
use crate::kernel::shape::{Conv, Extent};
use crate::nn::Activation;

/// Channels on both sides of a convolution as the kernel sees it, and where weights are.
struct Channels {
    groups: usize,
    inputs: usize,
    outputs: usize,
    /// Steps in the weights' memory from an output to the next, and from an input.
    output_step: usize,
    input_step: usize,
}

/// Added after the sum.
pub(super) struct Epilogue<'a> {
    pub(super) bias: Option<&'a CubeTensor>,
    pub(super) activation: Option<Activation>,
}

impl Conv {
    /// Whether the transposed convolution only copies voxels apart: kernel and stride are 2.
    fn spreads(&self) -> bool {
        let even = |axis: &Extent| {
            (axis.kernel, axis.stride, axis.low, axis.dilation) == (2, 2, 0, 1)
                && axis.input == 2 * axis.output
        };
        self.groups == 1 && self.extent.iter().all(even)
    }

    /// `[batch, groups * outputs, ..]` from the input and weights `[groups * outputs, inputs, ..]`.
    pub(super) fn run_forward(
        &self,
        input: &CubeTensor,
        weights: &CubeTensor,
        epilogue: &Epilogue<'_>,
    ) -> CubeTensor {
        let taps: usize = self.kernel().iter().product();
        let channels = Channels {
            groups: self.groups,
            inputs: self.inputs,
            outputs: self.outputs,
            output_step: self.inputs * taps,
            input_step: taps,
        };
        let place = Place::of(input);
        let [d, h, w] = self.out_size();
        let shape = [self.batch, self.groups * self.outputs, d, h, w];
        let out = place.empty_of(shape, input.dtype);
        let families = self.extent.each_ref().map(lattice::forward);
        let size = self.in_size().iter().product();
        let (input, lanes_in) = input_vectors(&place, input, &channels, self.batch, size);
        let run = Run {
            place: &place,
            conv: self,
            channels: &channels,
            input: &input,
            lanes_in,
            weights: &contiguous(weights),
            epilogue,
            spread: false,
        };
        run.launch(&families, &out);
        out
    }

    /// `[batch, groups * inputs, ..]` from the output's gradient: the transposed convolution.
    pub(super) fn run_transposed(
        &self,
        gradient: &CubeTensor,
        weights: &CubeTensor,
        epilogue: &Epilogue<'_>,
    ) -> CubeTensor {
        let taps: usize = self.kernel().iter().product();
        let place = Place::of(gradient);
        let [d, h, w] = self.in_size();
        let shape = [self.batch, self.groups * self.inputs, d, h, w];
        let out = place.empty_of(shape, gradient.dtype);
        let channels = Channels {
            groups: self.groups,
            inputs: self.outputs,
            outputs: self.inputs,
            output_step: taps,
            input_step: self.inputs * taps,
        };
        let size = self.out_size().iter().product();
        let (input, lanes_in) = input_vectors(&place, gradient, &channels, self.batch, size);
        let run = Run {
            place: &place,
            conv: self,
            channels: &channels,
            input: &input,
            lanes_in,
            weights: &contiguous(weights),
            epilogue,
            spread: false,
        };
        if self.spreads() {
            let channels = Channels {
                outputs: 8 * self.inputs,
                output_step: 1,
                ..channels
            };
            let run = Run {
                channels: &channels,
                spread: true,
                ..run
            };
            // One lattice of blocks of two, and no neighbours.
            let families = self.extent.each_ref().map(|axis| Family {
                out_size: axis.input,
                out_step: 2,
                ..lattice::forward(&Extent {
                    input: axis.output,
                    kernel: 1,
                    stride: 1,
                    ..*axis
                })
            });
            run.launch(&families, &out);
            return out;
        }
        let [planes, rows, columns] = self.extent.each_ref().map(lattice::transposed);
        for plane in &planes {
            for row in &rows {
                for column in &columns {
                    run.launch(&[*plane, *row, *column], &out);
                }
            }
        }
        out
    }

    /// `[groups * outputs, inputs, kd, kh, kw]` from the input and the output's gradient, in single
    /// precision.
    pub(super) fn run_weight_gradient(
        &self,
        input: &CubeTensor,
        gradient: &CubeTensor,
    ) -> CubeTensor {
        let [input, gradient] = match input.dtype == gradient.dtype {
            true => [input, gradient].map(contiguous),
            false => [input, gradient].map(|x| contiguous(&single(x))),
        };
        weight::gradient(self, &input, &gradient)
    }
}

/// Sums over batch and voxels: the gradient of a bias of `channels` values.
pub(super) fn bias_gradient(gradient: &CubeTensor, shape: [usize; 5]) -> CubeTensor {
    reduce::per_channel(&contiguous(gradient), shape)
}

/// The input in vectors of channels, and how many channels a vector has: one where there are few,
/// or where the padding would make a tensor that cannot be bound.
fn input_vectors(
    place: &Place<'_>,
    input: &CubeTensor,
    channels: &Channels,
    batch: usize,
    voxels: usize,
) -> (CubeTensor, usize) {
    let input = contiguous(input);
    let padded = batch * channels.inputs.next_multiple_of(LANES) * voxels;
    if channels.groups > 1 || channels.inputs < LANES || padded > place.most_elements() {
        return (input, 1);
    }
    let vectors = interleaved(place, &input, batch, channels.inputs, voxels);
    (vectors, LANES)
}

/// One convolution on its way to the device.
struct Run<'a> {
    place: &'a Place<'a>,
    conv: &'a Conv,
    channels: &'a Channels,
    input: &'a CubeTensor,
    /// Channels of a vector of the input.
    lanes_in: usize,
    weights: &'a CubeTensor,
    epilogue: &'a Epilogue<'a>,
    spread: bool,
}

impl Run<'_> {
    fn launch(&self, families: &[Family; 3], out: &CubeTensor) {
        let taps = families.each_ref().map(|family| family.taps);
        // Outputs that no tap reaches get the bias alone.
        let reached = taps.iter().all(|&taps| taps > 0);
        let depthwise = self.channels.groups > 1;
        let (form, lanes) = self.form(families);
        let block = form.vectors * lanes;
        let blocks = if depthwise {
            self.channels.groups
        } else {
            self.channels.outputs.div_ceil(block)
        };
        let packed = self.pack(families, form, blocks, block);
        let (kind, slope) = Kind::of(self.epilogue.activation);
        let form = Form { kind, ..form };
        let each = [form.depth, form.rows, 1];
        let along: [usize; 3] =
            std::array::from_fn(|axis| families[axis].count.div_ceil(each[axis]));
        let units = self.conv.batch
            * families
                .iter()
                .zip(along)
                .map(|(family, blocks)| family.lattices * blocks)
                .product::<usize>();
        let axis = |i: usize| {
            let family = &families[i];
            AxisLaunch::new(
                family.lattices as u32,
                along[i] as u32,
                family.out_size as u32,
                family.out_first as u32,
                family.out_slope as u32,
                family.out_step as u32,
                family.in_size as u32,
                family.in_first as i32,
                family.in_slope as i32,
                (family.ratio * family.tap_step) as i32,
                family.tap_step as i32,
            )
        };
        let volume = |size: [usize; 3]| size.iter().product::<usize>() as u32;
        let groups = self.channels.groups;
        let outputs = if depthwise {
            groups
        } else {
            self.channels.outputs
        };
        let inputs = self.channels.inputs.div_ceil(self.lanes_in);
        let extents = ExtentsLaunch::new(
            units as u32,
            if reached { inputs as u32 } else { 0 },
            (groups * inputs) as u32,
            outputs as u32,
            if self.spread { outputs / 8 } else { outputs } as u32,
            volume(families.each_ref().map(|family| family.in_size)),
            volume(families.each_ref().map(|family| family.out_size)),
        );
        let bias = self.epilogue.bias.unwrap_or(self.weights);
        // SAFETY: the kernel reads zeros for coordinates beyond the input, writes only within the
        // output, and the packed weights have a value for every block, input and tap.
        unsafe {
            direct::convolution::launch_unchecked(
                self.place.client(),
                self.place.grid(units, blocks),
                self.place.workgroup(),
                self.lanes_in,
                lanes,
                self.input.clone().into_buffer_arg(),
                packed.into_buffer_arg(),
                contiguous(bias).into_buffer_arg(),
                out.clone().into_buffer_arg(),
                axis(0),
                axis(1),
                axis(2),
                extents,
                slope,
                form,
                element(self.input),
            );
        }
    }

    /// Sizes of an invocation's part, and lanes of its vectors.
    fn form(&self, families: &[Family; 3]) -> (Form, usize) {
        let tiles = self.place.tiles;
        let depthwise = self.channels.groups > 1;
        let taps = families.each_ref().map(|family| family.taps.max(1));
        let alone = |axis: usize| taps[axis] <= families[axis].ratio;
        let quads = if alone(0) && alone(1) {
            tiles.pointwise_quads
        } else {
            tiles.quads
        };
        // Powers of two: fewer kernels to compile.
        let most = self.channels.outputs.div_ceil(LANES).next_power_of_two();
        let (mut vectors, lanes) = if depthwise {
            (1, 1)
        } else {
            (quads.min(most), LANES)
        };
        let [mut depth, mut rows] = tiles.voxels;
        if depthwise {
            // All planes of taps come from one window, which two planes of outputs share.
            depth = depth.max(2);
        }
        // Wide windows of a large kernel would fill the registers.
        let wide = |family: &Family| family.taps > 3 || family.ratio > 2;
        if wide(&families[0]) || wide(&families[1]) {
            (depth, rows) = (depth.min(2), rows.min(2));
        }
        depth = depth.min(families[0].count.next_power_of_two());
        rows = rows.min(families[1].count.next_power_of_two());
        let lines = families[2].lattices * families[2].count * self.conv.batch;
        let invocations = |vectors: usize, depth: usize, rows: usize| {
            let blocks = if depthwise {
                self.channels.groups
            } else {
                self.channels.outputs.div_ceil(vectors * lanes)
            };
            blocks
                * lines
                * families[0].lattices
                * families[0].count.div_ceil(depth)
                * families[1].lattices
                * families[1].count.div_ceil(rows)
        };
        while invocations(vectors, depth, rows) < tiles.busy {
            if depth > 1 && depth >= rows {
                depth /= 2;
            } else if rows > 1 {
                rows /= 2;
            } else if vectors > 1 {
                vectors /= 2;
            } else {
                break;
            }
        }
        let form = Form {
            vectors,
            depth,
            rows,
            taps,
            ratio: [families[0].ratio, families[1].ratio],
            depthwise,
            spread: self.spread,
            bias: self.epilogue.bias.is_some(),
            kind: Kind::None,
            plane: self.place.plane(),
        };
        (form, lanes)
    }

    fn pack(&self, families: &[Family; 3], form: Form, blocks: usize, block: usize) -> CubeTensor {
        let Channels {
            inputs,
            outputs,
            groups,
            output_step,
            input_step,
        } = *self.channels;
        let [_, kh, kw] = self.conv.kernel();
        let taps: usize = form.taps.iter().product();
        let padded = inputs.next_multiple_of(self.lanes_in);
        let count = blocks * padded * taps * block;
        let packed = self.place.empty([count]);
        let steps = [(kh * kw) as i64, kw as i64, 1];
        let first: usize = families
            .iter()
            .zip(steps)
            .map(|(family, step)| family.tap_first * step as usize)
            .sum();
        let step = |axis: usize| (families[axis].tap_slope * steps[axis]) as i32;
        let (outputs, output_step) = if groups > 1 {
            // Weights of a group follow each other.
            (groups, self.conv.kernel().iter().product())
        } else {
            (outputs, output_step)
        };
        direct::pack::launch(
            self.place.client(),
            self.place.grid(count, 1),
            self.place.workgroup(),
            self.weights.clone().into_buffer_arg(),
            packed.clone().into_buffer_arg(),
            SourceLaunch::new(
                count as u32,
                inputs as u32,
                outputs as u32,
                block as u32,
                form.taps[2] as u32,
                form.taps[1] as u32,
                form.taps[0] as u32,
                form.inner() as u32,
                self.lanes_in as u32,
                output_step as u32,
                input_step as u32,
                first as u32,
                step(0),
                step(1),
                step(2),
            ),
        );
        packed
    }
}
