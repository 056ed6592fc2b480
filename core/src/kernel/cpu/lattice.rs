//! Which inputs meet which outputs along one axis, for every kind of convolution.
//!
//! A convolution is cut into lattices of outputs whose inputs lie on a lattice too: output
//! `out_base + out_step * q` reads the inputs `in_step * q + offset` for each tap's offset. A
//! strided convolution is one lattice; a dilated one is `dilation` of them, each undilated; a
//! transposed one of stride s is s of them, each with a part of the taps.

use crate::kernel::shape::Extent;

/// One lattice along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Number of outputs.
    pub(crate) count: usize,
    pub(crate) out_base: usize,
    pub(crate) out_step: usize,
    pub(crate) in_size: usize,
    pub(crate) in_step: usize,
    /// Offset of each tap.
    pub(crate) offsets: Vec<isize>,
    /// Index of each tap within the kernel.
    pub(crate) taps: Vec<usize>,
}

impl Axis {
    /// Leaves out the taps that only ever read zeros.
    fn pruned(mut self) -> Self {
        let reach = (self.in_step * (self.count - 1)).cast_signed();
        let size = self.in_size.cast_signed();
        let hits: Vec<bool> = self
            .offsets
            .iter()
            .map(|&offset| offset < size && offset + reach >= 0)
            .collect();
        let mut keep = hits.iter();
        self.offsets.retain(|_| keep.next() == Some(&true));
        let mut keep = hits.iter();
        self.taps.retain(|_| keep.next() == Some(&true));
        self
    }
}

impl Extent {
    /// Lattices of the outputs. With `split`, a dilated axis becomes undilated lattices.
    pub(crate) fn forward(&self, split: bool) -> Vec<Axis> {
        let offsets = (0..self.kernel)
            .map(|k| (k * self.dilation).cast_signed() - self.low.cast_signed())
            .collect::<Vec<_>>();
        self.stepped(
            self.input,
            self.output,
            &offsets,
            (0..self.kernel).collect(),
            split,
        )
    }

    /// Lattices of the inputs, for the gradient with respect to the input: inputs and outputs
    /// change places.
    pub(crate) fn transposed(&self, split: bool) -> Vec<Axis> {
        let stride = self.stride.cast_signed();
        if self.stride == 1 {
            let taps: Vec<usize> = (0..self.kernel).rev().collect();
            let offsets = taps
                .iter()
                .map(|&k| self.low.cast_signed() - (k * self.dilation).cast_signed())
                .collect::<Vec<_>>();
            return self.stepped(self.output, self.input, &offsets, taps, split);
        }
        (0..self.stride.min(self.input))
            .map(|base| {
                let mut offsets = Vec::new();
                let mut taps = Vec::new();
                for k in (0..self.kernel).rev() {
                    let distance =
                        (base + self.low).cast_signed() - (k * self.dilation).cast_signed();
                    if distance.rem_euclid(stride) == 0 {
                        offsets.push(distance.div_euclid(stride));
                        taps.push(k);
                    }
                }
                Axis {
                    count: (self.input - base).div_ceil(self.stride),
                    out_base: base,
                    out_step: self.stride,
                    in_size: self.output,
                    in_step: 1,
                    offsets,
                    taps,
                }
                .pruned()
            })
            .collect()
    }

    fn stepped(
        &self,
        input: usize,
        output: usize,
        offsets: &[isize],
        taps: Vec<usize>,
        split: bool,
    ) -> Vec<Axis> {
        if self.stride > 1 || self.dilation == 1 || !split {
            let axis = Axis {
                count: output,
                out_base: 0,
                out_step: 1,
                in_size: input,
                in_step: self.stride,
                offsets: offsets.to_vec(),
                taps,
            };
            return vec![axis.pruned()];
        }
        (0..self.dilation.min(output))
            .map(|base| {
                Axis {
                    count: (output - base).div_ceil(self.dilation),
                    out_base: base,
                    out_step: self.dilation,
                    in_size: input,
                    in_step: self.dilation,
                    offsets: offsets.iter().map(|o| o + base.cast_signed()).collect(),
                    taps: taps.clone(),
                }
                .pruned()
            })
            .collect()
    }
}

/// How the inputs of a run of outputs are laid out: those that differ by a multiple of the input
/// step are neighbours, in a row per remainder.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Remainders of the offsets that occur.
    pub(crate) phases: Vec<isize>,
    /// Place of the first output's first input.
    low: isize,
    /// Inputs in a row beyond the number of outputs.
    pub(crate) span: usize,
    /// Row and place of each tap for the first output.
    pub(crate) taps: Vec<(usize, usize)>,
    step: isize,
    in_size: isize,
}

impl Window {
    pub(crate) fn new(axis: &Axis) -> Self {
        let step = axis.in_step.cast_signed();
        let mut phases: Vec<isize> = axis.offsets.iter().map(|o| o.rem_euclid(step)).collect();
        phases.sort_unstable();
        phases.dedup();
        let places = || axis.offsets.iter().map(|o| o.div_euclid(step));
        let low = places().min().unwrap_or(0);
        let high = places().max().unwrap_or(0);
        let taps = axis
            .offsets
            .iter()
            .zip(places())
            .map(|(offset, place)| {
                let phase = phases.partition_point(|&p| p < offset.rem_euclid(step));
                (phase, (place - low).cast_unsigned())
            })
            .collect();
        let span = (high - low).cast_unsigned();
        Self {
            phases,
            low,
            span,
            taps,
            step,
            in_size: axis.in_size.cast_signed(),
        }
    }

    /// Input at place `index` of the row of `phase`, for a run that starts at output `first`; `None`
    /// outside the input.
    pub(crate) fn input(&self, phase: usize, first: usize, index: usize) -> Option<usize> {
        let place = (first + index).cast_signed() + self.low;
        let input = place * self.step + self.phases[phase];
        (0..self.in_size)
            .contains(&input)
            .then_some(input.cast_unsigned())
    }

    /// Whether each output reads the input at its own place.
    pub(crate) fn is_plain(&self) -> bool {
        self.step == 1 && self.span == 0 && self.low == 0 && self.phases.len() == 1
    }

    /// From one input of a row to the next.
    pub(crate) fn step(&self) -> usize {
        self.step.cast_unsigned()
    }

    /// For a row of `len` places: the places before the first input, the inputs, the first input.
    pub(crate) fn row(&self, phase: usize, first: usize, len: usize) -> (usize, usize, usize) {
        let place = first.cast_signed() + self.low;
        // First place p with (place + p) * step + phase >= 0, and with >= in_size.
        let reach = |bound: isize| {
            let needed = bound - self.phases[phase];
            let ceil = -((-needed).div_euclid(self.step));
            (ceil - place).clamp(0, len.cast_signed()).cast_unsigned()
        };
        let (from, to) = (reach(0), reach(self.in_size));
        let start = (place + from.cast_signed()) * self.step + self.phases[phase];
        (
            from,
            to - from,
            if to > from { start.cast_unsigned() } else { 0 },
        )
    }
}
