//! How the processes of one run agree on gradients.

use burn::tensor::{DType, Tensor, TensorData};

use super::error::{Result, TrainError};
use super::gradients::FlatGradients;

/// Values that are sent in one message: 4 MiB.
const BUCKET: usize = 1 << 20;

/// The processes of one run.
pub trait Exchange {
    /// This process, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn world(&self) -> usize;

    /// Replaces every value by its sum over all processes. All call it with as many values.
    ///
    /// # Errors
    ///
    /// [`TrainError::Exchange`] when a message fails.
    fn sum(&self, values: &mut [f32]) -> Result<()>;
}

/// A run of one process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Exchange for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn world(&self) -> usize {
        1
    }

    fn sum(&self, _values: &mut [f32]) -> Result<()> {
        Ok(())
    }
}

/// The mean of the gradients of all processes, in buckets of a few MiB.
///
/// # Errors
///
/// [`TrainError::Exchange`] when a message fails.
pub fn mean_gradients(gradients: FlatGradients, with: &dyn Exchange) -> Result<FlatGradients> {
    if with.world() == 1 {
        return Ok(gradients);
    }
    let factor = 1.0 / with.world() as f32;
    let mut means = Vec::with_capacity(gradients.0.len());
    let mut waiting: Vec<Tensor<1>> = Vec::new();
    let mut size = 0;
    for gradient in gradients.0 {
        size += gradient.dims()[0];
        waiting.push(gradient);
        if size >= BUCKET {
            exchange(&mut waiting, factor, with, &mut means)?;
            size = 0;
        }
    }
    exchange(&mut waiting, factor, with, &mut means)?;
    Ok(FlatGradients(means))
}

fn exchange(
    waiting: &mut Vec<Tensor<1>>,
    factor: f32,
    with: &dyn Exchange,
    means: &mut Vec<Tensor<1>>,
) -> Result<()> {
    let Some(first) = waiting.first() else {
        return Ok(());
    };
    let device = first.device();
    let lengths: Vec<usize> = waiting.iter().map(|g| g.dims()[0]).collect();
    let all = Tensor::cat(std::mem::take(waiting), 0);
    let mut values = all
        .into_data()
        .try_into_vec::<f32>()
        .map_err(|e| TrainError::Exchange {
            rank: with.rank(),
            message: format!("gradients are not float32: {e:?}"),
        })?;
    with.sum(&mut values)?;
    for value in &mut values {
        *value *= factor;
    }
    let mut rest = values.as_slice();
    for length in lengths {
        let (part, others) = rest.split_at(length);
        let data = TensorData::new(part.to_vec(), [length]);
        means.push(Tensor::from_data(data, (&device, DType::F32)));
        rest = others;
    }
    Ok(())
}
