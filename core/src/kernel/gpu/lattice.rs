//! Which inputs meet which outputs along one axis, as numbers for the convolution kernel.
//!
//! Outputs are cut into lattices whose inputs lie on a lattice too: output `first + slope * r +
//! step * j` of lattice `r` reads, for tap `t`, the input `first + slope * r + step * j + tap * t`
//! with its own four numbers. Neighbouring outputs of a lattice then share inputs whatever the
//! dilation. A transposed convolution of stride s is s such families, each with a part of the taps.

use crate::kernel::shape::Extent;

/// One family of lattices along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// Lattices in the family, and outputs of the largest.
    pub(super) lattices: usize,
    pub(super) count: usize,
    pub(super) out_size: usize,
    pub(super) out_first: usize,
    pub(super) out_slope: usize,
    pub(super) out_step: usize,
    pub(super) in_size: usize,
    pub(super) in_first: i64,
    pub(super) in_slope: usize,
    /// Step of the input from one output to the next, in steps of a tap: 1 or the stride.
    pub(super) ratio: usize,
    pub(super) tap_step: usize,
    /// Number of taps; tap `t` is element `tap_first + tap_slope * t` of the kernel.
    pub(super) taps: usize,
    pub(super) tap_first: usize,
    pub(super) tap_slope: i64,
}

fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}

/// The lattices of a convolution's outputs.
pub(super) fn forward(axis: &Extent) -> Family {
    let shared = common(axis.stride, axis.dilation);
    let lattices = (axis.dilation / shared).min(axis.output);
    let step = axis.dilation / shared;
    Family {
        lattices,
        count: axis.output.div_ceil(step),
        out_size: axis.output,
        out_first: 0,
        out_slope: 1,
        out_step: step,
        in_size: axis.input,
        in_first: -(axis.low as i64),
        in_slope: axis.stride,
        ratio: axis.stride / shared,
        tap_step: axis.dilation,
        taps: axis.kernel,
        tap_first: 0,
        tap_slope: 1,
    }
}

/// The lattices of a convolution's inputs, which the transposed convolution writes.
pub(super) fn transposed(axis: &Extent) -> Vec<Family> {
    let (stride, dilation) = (axis.stride, axis.dilation);
    let shared = common(stride, dilation);
    let step = stride * (dilation / shared);
    let tap_slope = stride / shared;
    (0..stride.min(axis.input))
        .map(|first| {
            let meets = |tap: usize| {
                (first + axis.low) as i64 % stride as i64 == (dilation * tap % stride) as i64
            };
            let taps: Vec<usize> = (0..axis.kernel).filter(|&tap| meets(tap)).collect();
            let last = taps.last().copied().unwrap_or(0);
            Family {
                lattices: (dilation / shared).min((axis.input - first).div_ceil(stride)),
                count: (axis.input - first).div_ceil(step),
                out_size: axis.input,
                out_first: first,
                out_slope: stride,
                out_step: step,
                in_size: axis.output,
                // Exact: the last tap is one of those that meet.
                in_first: ((first + axis.low) as i64 - (dilation * last) as i64)
                    .div_euclid(stride as i64),
                in_slope: 1,
                ratio: 1,
                tap_step: dilation / shared,
                taps: taps.len(),
                tap_first: last,
                tap_slope: -(tap_slope as i64),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of input and output with the tap that joins them.
    fn pairs(axis: &Extent) -> Vec<(usize, usize, usize)> {
        let mut pairs = Vec::new();
        for output in 0..axis.output {
            for tap in 0..axis.kernel {
                let at = (output * axis.stride + tap * axis.dilation).checked_sub(axis.low);
                if let Some(input) = at.filter(|&at| at < axis.input) {
                    pairs.push((input, output, tap));
                }
            }
        }
        pairs.sort_unstable();
        pairs
    }

    fn visited(family: &Family) -> Vec<(usize, usize, usize)> {
        let mut pairs = Vec::new();
        for r in 0..family.lattices {
            for j in 0..family.count {
                let output = family.out_first + family.out_slope * r + family.out_step * j;
                for tap in 0..family.taps {
                    let input = family.in_first
                        + (family.in_slope * r
                            + family.ratio * family.tap_step * j
                            + family.tap_step * tap) as i64;
                    if output < family.out_size && (0..family.in_size as i64).contains(&input) {
                        let tap = family.tap_first as i64 + family.tap_slope * tap as i64;
                        pairs.push((input as usize, output, tap as usize));
                    }
                }
            }
        }
        pairs
    }

    #[test]
    fn every_pair_of_input_and_output_is_met_once() {
        for input in [1_usize, 2, 5, 9, 20] {
            for kernel in 1..=5 {
                for stride in 1..=3 {
                    for dilation in [1, 2, 3, 4, 16] {
                        for low in 0..=dilation * (kernel - 1) {
                            let Some(last) =
                                (input + 2 * low).checked_sub(dilation * (kernel - 1) + 1)
                            else {
                                continue;
                            };
                            let axis = Extent {
                                input,
                                output: last / stride + 1,
                                kernel,
                                stride,
                                low,
                                dilation,
                            };
                            let expected = pairs(&axis);
                            let mut found = visited(&forward(&axis));
                            found.sort_unstable();
                            assert_eq!(found, expected, "{axis:?}");
                            let mut found: Vec<_> = transposed(&axis)
                                .iter()
                                .flat_map(visited)
                                .map(|(output, input, tap)| (input, output, tap))
                                .collect();
                            found.sort_unstable();
                            assert_eq!(found, expected, "transposed {axis:?}");
                        }
                    }
                }
            }
        }
    }
}
