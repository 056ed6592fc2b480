//! One layer of a MeshNet in a column through which planes stream.

use burn::tensor::Tensor;

use super::Span;
use crate::kernel::{joined_slabs, planes};
use crate::model::MeshNet;

/// A layer's place in the stream.
pub(super) struct Stage {
    dilation: usize,
    /// Planes of the input, as they came in, from the first that the next output needs.
    slabs: Vec<Tensor<5>>,
    /// Where they are in the volume.
    span: Span,
    /// Next plane to put out.
    next: usize,
    /// Zeros at the ends of y and z.
    padding: [[usize; 2]; 2],
}

impl Stage {
    /// Takes planes in, if there are any; puts out those of `n` that can be computed now, `most` at
    /// once.
    pub(super) fn push(
        &mut self,
        (net, layer): (&MeshNet, usize),
        x: Option<Tensor<5>>,
        most: usize,
        n: usize,
    ) -> Option<Tensor<5>> {
        let d = self.dilation;
        if let Some(x) = x {
            self.span.end += x.dims()[2];
            self.slabs.push(x);
        }
        let known = if self.span.end == n {
            n
        } else {
            self.span.end.saturating_sub(d)
        };
        let end = known.min(self.next + most);
        if end <= self.next {
            return None;
        }
        let output = Span {
            start: self.next,
            end,
        };
        let read = output.grown(d, n);
        let padding = [output.padding(read, d), self.padding[0], self.padding[1]];
        let slabs = joined_slabs(std::mem::take(&mut self.slabs));
        let y = net.layer(layer, &slabs, read.len(), padding);
        self.next = end;
        if end < n {
            self.keep(slabs, end.saturating_sub(d));
        }
        Some(y)
    }

    /// Keeps the planes of `slabs` from the volume's plane `from` on.
    fn keep(&mut self, slabs: Vec<Tensor<5>>, from: usize) {
        let mut start = self.span.start;
        for x in slabs {
            let end = start + x.dims()[2];
            if start >= from {
                self.slabs.push(x);
            } else if end > from {
                self.slabs.push(planes(&x, from - start..end - start));
            }
            start = end;
        }
        self.span.start = from;
    }
}

/// The layers of a column that puts out `y` x `z`.
pub(super) fn stages(net: &MeshNet, y: Span, z: Span, ny: usize, nz: usize) -> Vec<Stage> {
    let mut after: usize = net.dilations().iter().sum();
    let mut input = [y.grown(after, ny), z.grown(after, nz)];
    let stages = net.dilations().iter().map(|&d| {
        after -= d;
        let output = [y.grown(after, ny), z.grown(after, nz)];
        let padding = [0, 1].map(|a| output[a].padding(input[a], d));
        input = output;
        let span = Span { start: 0, end: 0 };
        Stage {
            dilation: d,
            slabs: Vec::new(),
            span,
            next: 0,
            padding,
        }
    });
    stages.collect()
}
