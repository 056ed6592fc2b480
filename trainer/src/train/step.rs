//! One optimiser step.

use amaes_core::model::{Model, Spec};
use amaes_core::nn::Precision;
use amaes_core::weights::{LoadOptions, StateDict, collect, load_into, parameters_of};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};

use super::adamw::AdamW;
use super::average::{Average, reshaped};
use super::checkpoint::Checkpoint;
use super::error::{Result, TrainError};
use super::exchange::{Exchange, mean_gradients};
use super::gradients::GradientSum;
use super::loss_scale::LossScale;
use super::network::Network;
use super::task::{Settings, Task};

/// A network in training: its weights, optimiser and average.
#[derive(Debug)]
pub struct Learner {
    model: Model,
    optimizer: AdamW,
    average: Option<Average>,
    scale: LossScale,
    settings: Settings,
    /// Whether each parameter is one of the encoder's.
    encoder: Vec<bool>,
    /// Whether the encoder stays as it is.
    frozen: bool,
    device: Device,
}

impl Learner {
    /// A network that begins with `weights`.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when the weights are not the network's.
    pub fn new(
        settings: Settings,
        spec: &Spec,
        weights: &StateDict,
        device: &Device,
    ) -> Result<Self> {
        let model = build(spec, weights, settings, device)?;
        let average = settings.ema.map(|decay| Average::new(decay, &model));
        let encoder = in_encoder(&model, spec);
        let optimizer = AdamW::new(settings.optimizer).delayed(delays(&encoder, settings.frozen));
        Ok(Self {
            model,
            optimizer,
            average,
            scale: LossScale::default(),
            settings,
            encoder,
            frozen: false,
            device: device.clone(),
        })
    }

    /// The network of a checkpoint, to go on with.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when the checkpoint's tensors are not the network's.
    pub fn resume(settings: Settings, checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        let model = build(&checkpoint.state.spec, &checkpoint.model, settings, device)?;
        let mut moments = Vec::with_capacity(checkpoint.moments.len());
        let scale = checkpoint.state.loss_scale;
        let taken = checkpoint.state.step.saturating_sub(scale.skipped);
        if taken > 0 {
            for (name, shape) in parameters_of(&model) {
                let count = shape.iter().product::<usize>();
                let of = checkpoint.moments.get(&name);
                let of = of.filter(|m| m.iter().all(|d| d.num_elements() == count));
                let of = of.ok_or_else(|| TrainError::Config {
                    field: "resume",
                    message: format!("the checkpoint has no moments of `{name}`"),
                })?;
                moments.push(
                    of.clone().map(|data| {
                        Tensor::from_data(reshaped(data, [count]), (device, DType::F32))
                    }),
                );
            }
        }
        let average = match (settings.ema, &checkpoint.average) {
            (Some(decay), Some(state)) => Some(Average::resume(decay, &model, state, device)?),
            (Some(decay), None) => Some(Average::new(decay, &model)),
            (None, _) => None,
        };
        let encoder = in_encoder(&model, &checkpoint.state.spec);
        let optimizer = AdamW::resume(settings.optimizer, taken, moments)
            .delayed(delays(&encoder, settings.frozen));
        Ok(Self {
            model,
            optimizer,
            average,
            scale,
            settings,
            encoder,
            frozen: false,
            device: device.clone(),
        })
    }

    /// Takes a step on this process's samples. Returns the losses over those of all processes and
    /// the norm of the gradients. In half precision that may be no finite number: the step was
    /// skipped then.
    ///
    /// # Errors
    ///
    /// [`TrainError::Diverged`] when the loss is no number, or gradients are not in single precision
    /// or however the loss is scaled; the weights are left as they were.
    /// [`TrainError::Exchange`].
    pub fn step<T: Task>(
        &mut self,
        task: &T,
        samples: &[T::Sample],
        lr: f64,
        with: &dyn Exchange,
    ) -> Result<(T::Losses, f64)> {
        self.freeze(self.optimizer.steps() < self.settings.frozen);
        let factor = self.loss_scale();
        let parts = self.settings.accumulate.clamp(1, samples.len().max(1));
        let size = samples.len().div_ceil(parts);
        let mut sum = GradientSum::default();
        let mut losses: Vec<f32> = Vec::new();
        for start in (0..samples.len()).step_by(size) {
            let range = start..(start + size).min(samples.len());
            let share = range.len() as f64 / samples.len() as f64;
            let network = Network::new(&self.model, self.settings.checkpoint_activations)
                .with_precision(self.settings.precision);
            let result = task.loss(&network, &samples[range], &self.device);
            let mut loss = result[0].clone() * share;
            if let Some(factor) = factor {
                loss = loss * factor;
            }
            network.backward(loss, |gradients| sum.add(&self.model, gradients));
            let values = read(result);
            losses.resize(values.len(), 0.0);
            for (total, value) in losses.iter_mut().zip(values) {
                *total += share as f32 * value;
            }
        }
        if samples.is_empty() {
            return Err(TrainError::config("patch.batch", "a step without a sample"));
        }
        let gradients = sum.flat(&self.model);
        let mut gradients = mean_gradients(gradients, with)?;
        if let Some(factor) = factor {
            gradients = gradients.scaled(1.0 / factor);
        }
        with.sum(&mut losses)?;
        let world = with.world() as f64;
        let losses: Vec<f64> = losses.iter().map(|&v| f64::from(v) / world).collect();
        let loss = losses[0];
        let norm = gradients.norm();
        let finite = loss.is_finite() && norm.is_finite();
        if !finite {
            if loss.is_finite() && factor.is_some() && self.scale.skip() {
                return Ok((T::losses(&losses), norm));
            }
            let step = self.steps();
            return Err(TrainError::Diverged { step, loss });
        }
        if let Some(clip) = self.settings.clip
            && norm > clip
        {
            gradients = gradients.scaled(clip / (norm + 1e-6));
        }
        self.model = self.optimizer.step(self.model.clone(), gradients, lr);
        if let Some(average) = &mut self.average {
            average.update(&self.model);
        }
        if factor.is_some() {
            self.scale.keep();
        }
        Ok((T::losses(&losses), norm))
    }

    /// The losses of some samples, without learning from them.
    pub fn evaluate<T: Task>(&self, task: &T, samples: &[T::Sample]) -> T::Losses {
        let model = self.model();
        let result = task.loss(&Network::new(&model, false), samples, &self.device);
        let values: Vec<f64> = read(result).into_iter().map(f64::from).collect();
        T::losses(&values)
    }

    /// The network as it is, without gradients.
    pub fn model(&self) -> Model {
        self.model.valid()
    }

    /// The network that is put out in the end, without gradients: that of the averaged weights
    /// where there are any.
    ///
    /// # Errors
    ///
    /// [`TrainError::Weights`].
    pub fn averaged(&self) -> Result<Model> {
        let model = self.model();
        let Some(average) = &self.average else {
            return Ok(model);
        };
        let (model, _) = load_into(model, &average.state(&self.model)?, &LoadOptions::default())?;
        Ok(model)
    }

    /// Its device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Steps, with those that were skipped.
    pub fn steps(&self) -> u64 {
        self.optimizer.steps() + self.scale.skipped
    }

    /// What the next step's loss is multiplied by, where gradients pass through half precision.
    pub fn loss_scale(&self) -> Option<f64> {
        let half = self.settings.precision == Precision::Float16;
        half.then_some(self.scale.factor)
    }

    /// Copies weights, moments and average into a checkpoint.
    ///
    /// # Errors
    ///
    /// [`TrainError::Weights`].
    pub fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        checkpoint.state.step = self.steps();
        checkpoint.state.loss_scale = self.scale;
        checkpoint.model = collect(&self.model)?;
        let names = parameters_of(&self.model).into_iter().map(|(name, _)| name);
        checkpoint.moments = names.zip(self.optimizer.moments()).collect();
        checkpoint.average = match &self.average {
            Some(average) => Some(average.state(&self.model)?),
            None => None,
        };
        Ok(())
    }

    /// Stops or lets learn the encoder.
    fn freeze(&mut self, frozen: bool) {
        if self.frozen != frozen {
            let mut freezer = Freezer {
                encoder: self.encoder.iter(),
                frozen,
            };
            self.model = self.model.clone().map(&mut freezer);
            self.frozen = frozen;
        }
    }
}

/// Whether each parameter is one of the encoder's.
fn in_encoder(model: &Model, spec: &Spec) -> Vec<bool> {
    let all = parameters_of(model);
    all.iter().map(|(name, _)| spec.in_encoder(name)).collect()
}

/// Steps that each parameter does not take part in at first.
fn delays(encoder: &[bool], frozen: u64) -> Vec<u64> {
    encoder
        .iter()
        .map(|e| if *e { frozen } else { 0 })
        .collect()
}

/// Says of the encoder's parameters whether they are trained.
struct Freezer<'a> {
    /// Whether each parameter to come is one of the encoder's.
    encoder: std::slice::Iter<'a, bool>,
    frozen: bool,
}

impl ModuleMapper for Freezer<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.encoder.next() {
            Some(true) => param.set_require_grad(!self.frozen),
            _ => param,
        }
    }
}

fn build(spec: &Spec, weights: &StateDict, settings: Settings, device: &Device) -> Result<Model> {
    let model = spec
        .init(&device.clone().autodiff())
        .map_err(|e| TrainError::config("model", e.to_string()))?;
    if settings.checkpoint_activations && !model.has_segments() {
        let message = format!("{} is not divided into segments", spec.name());
        return Err(TrainError::config(
            "training.checkpoint_activations",
            message,
        ));
    }
    let (model, _) = load_into(model, weights, &LoadOptions::default())?;
    Ok(model)
}

/// Scalars, in one transfer from the device.
fn read(result: Vec<Tensor<1>>) -> Vec<f32> {
    let all = result.into_iter().map(Tensor::inner).collect();
    Tensor::cat(all, 0).into_data().iter::<f32>().collect()
}
