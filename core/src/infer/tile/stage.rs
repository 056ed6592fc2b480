//! One layer of a MeshNet in a strip through which planes stream.

use burn::tensor::{Tensor, TensorData};

use super::{Span, Strip};
use crate::infer::InferError;
use crate::infer::host::{Host, data};
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
    /// Where rows along y are a neighbour's: before the first, after the last.
    neighbours: [bool; 2],
}

impl Stage {
    /// The planes with the rows beyond this strip's that the layer reads, from its neighbours.
    pub(super) async fn gather<H: Host>(
        &self,
        x: Tensor<5>,
        host: &mut H,
    ) -> Result<Tensor<5>, InferError> {
        if self.neighbours == [false; 2] {
            return Ok(x);
        }
        let [batch, channels, planes, rows, width] = x.dims();
        let d = self.dilation;
        let mut own = [None, None];
        for (side, first) in [0, rows - d].into_iter().enumerate() {
            if self.neighbours[side] {
                let values = data::<H, 5, _>(x.clone().narrow(3, first, d)).await?;
                own[side] = Some(values.convert::<f32>().try_into_vec().map_err(misfit)?);
            }
        }
        let shape = [batch, channels, planes, d, width];
        let options = (&x.device(), x.dtype());
        let place = |values: Vec<f32>| match values.len() == shape.iter().product::<usize>() {
            true => Ok(Tensor::from_data(TensorData::new(values, shape), options)),
            false => Err(misfit("another number of values")),
        };
        let [before, after] = host.exchange(own).await?;
        let before = before.map(place).transpose()?;
        let after = after.map(place).transpose()?;
        if [before.is_some(), after.is_some()] != self.neighbours {
            return Err(misfit("a side without rows"));
        }
        Ok(Tensor::cat(
            before.into_iter().chain([x]).chain(after).collect(),
            3,
        ))
    }

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

/// The layers of a strip.
pub(super) fn stages(dilations: &[usize], strip: &Strip, edges: [usize; 2]) -> Vec<Stage> {
    let mut after: usize = dilations.iter().sum();
    let mut input = strip.grown(after, edges);
    let stages = dilations.iter().map(|&d| {
        after -= d;
        let output = strip.grown(after, edges);
        // With the neighbours' rows.
        let [y, z] = input;
        let [before, behind] = strip.neighbours.map(|there| if there { d } else { 0 });
        let y = Span {
            start: y.start - before,
            end: y.end + behind,
        };
        let padding = [output[0].padding(y, d), output[1].padding(z, d)];
        input = output;
        Stage {
            dilation: d,
            slabs: Vec::new(),
            span: Span { start: 0, end: 0 },
            next: 0,
            padding,
            neighbours: strip.neighbours,
        }
    });
    stages.collect()
}

/// A neighbour's rows that are not those asked for.
fn misfit(problem: impl std::fmt::Debug) -> InferError {
    InferError::Device(format!("rows of a neighbouring strip: {problem:?}"))
}
