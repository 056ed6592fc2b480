//! A network as a chain of segments whose activations are computed again when gradients are taken,
//! in place of being kept (activation checkpointing, arXiv 1604.06174).

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};

use super::Model;

type Run<'a> = Box<dyn Fn(&[Tensor<5>]) -> Tensor<5> + 'a>;

/// The segments of a network, in the order in which they run. Place 0 holds the network's input;
/// each segment reads places and fills the next one, the last with the network's output.
pub(super) struct Segments<'a> {
    list: Vec<Segment<'a>>,
}

struct Segment<'a> {
    reads: Vec<usize>,
    run: Run<'a>,
}

impl<'a> Segments<'a> {
    /// The place of the network's input.
    pub(super) const INPUT: usize = 0;

    pub(super) fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Adds a segment that reads some places; the place that it fills.
    pub(super) fn push(
        &mut self,
        reads: &[usize],
        run: impl Fn(&[Tensor<5>]) -> Tensor<5> + 'a,
    ) -> usize {
        self.list.push(Segment {
            reads: reads.to_vec(),
            run: Box::new(run),
        });
        self.list.len()
    }
}

/// What a checkpointed forward pass leaves for the gradients.
#[derive(Debug)]
pub struct Tape {
    /// What the places hold, without the output.
    places: Vec<Tensor<5>>,
    /// What the last segment read: the beginnings of its graph.
    leaves: Vec<Tensor<5>>,
}

impl Model {
    /// Whether [`forward_checkpointed`](Self::forward_checkpointed) knows this network's segments.
    pub fn has_segments(&self) -> bool {
        self.segments().is_some()
    }

    /// As [`forward`](Self::forward), but of the activations only those between segments are kept.
    /// The gradients of a loss of the output are those of the last segment alone, until
    /// [`Tape::backward`] completes them. [`None`] for a network that is not divided into segments.
    ///
    /// # Shapes
    ///
    /// As [`forward`](Self::forward); no gradient is taken with respect to the input.
    pub fn forward_checkpointed(&self, x: Tensor<5>) -> Option<(Tensor<5>, Tape)> {
        let plain = self.valid();
        let (segments, tracked) = (plain.segments()?.list, self.segments()?.list);
        let last = tracked.last()?;
        let mut places = vec![x.inner()];
        for segment in &segments[..segments.len() - 1] {
            let inputs: Vec<_> = read(&places, segment).collect();
            places.push((segment.run)(&inputs));
        }
        let leaves = leaves(&places, last);
        let output = (last.run)(&leaves);
        Some((output, Tape { places, leaves }))
    }
}

impl Tape {
    /// Completes the gradients: takes those of the last segment's inputs from `loss`, and goes back
    /// from there, a segment at a time. `take` is given each segment's, of which some parameters
    /// have a part.
    pub fn backward(
        mut self,
        model: &Model,
        loss: &mut Gradients,
        take: &mut dyn FnMut(&mut Gradients),
    ) {
        let Some(Segments { list: segments }) = model.segments() else {
            return;
        };
        let Some((last, earlier)) = segments.split_last() else {
            return;
        };
        let mut wanted: Vec<Option<Tensor<5>>> = vec![None; self.places.len()];
        add(&mut wanted, last, &self.leaves, loss);
        self.leaves.clear();
        for (n, segment) in earlier.iter().enumerate().rev() {
            // Those that read what it gives are done.
            self.places.truncate(n + 1);
            let Some(gradient) = wanted[n + 1].take() else {
                continue;
            };
            let inputs = leaves(&self.places, segment);
            let output = (segment.run)(&inputs);
            // Its gradient with respect to the output is `gradient`.
            let product = (output * gradient.autodiff()).sum();
            let mut gradients = product.backward();
            add(&mut wanted, segment, &inputs, &mut gradients);
            take(&mut gradients);
        }
    }
}

fn read<'a>(
    places: &'a [Tensor<5>],
    segment: &'a Segment<'_>,
) -> impl Iterator<Item = Tensor<5>> + 'a {
    segment.reads.iter().map(|&n| places[n].clone())
}

/// What a segment reads, as beginnings of a graph.
fn leaves(places: &[Tensor<5>], segment: &Segment<'_>) -> Vec<Tensor<5>> {
    let inputs = segment.reads.iter().zip(read(places, segment));
    inputs
        .map(|(&n, x)| x.autodiff().set_require_grad(n != Segments::INPUT))
        .collect()
}

/// Adds the gradients of what a segment read to those of its places.
fn add(
    wanted: &mut [Option<Tensor<5>>],
    segment: &Segment<'_>,
    inputs: &[Tensor<5>],
    gradients: &mut Gradients,
) {
    for (&n, input) in segment.reads.iter().zip(inputs) {
        if n == Segments::INPUT {
            continue;
        }
        let Some(gradient) = input.grad_remove(gradients) else {
            continue;
        };
        wanted[n] = Some(match wanted[n].take() {
            Some(sum) => sum + gradient,
            None => gradient,
        });
    }
}
