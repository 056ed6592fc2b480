//! One optimiser step of pretraining.

use amaes_core::model::{Model, Spec};
use amaes_core::pretext::{LossOver, Reconstruction, reconstruction};
use amaes_core::weights::{LoadOptions, StateDict, collect, load_into, parameters_of};
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};

use super::adamw::AdamW;
use super::average::{Average, reshaped};
use super::checkpoint::Checkpoint;
use super::config::PretrainConfig;
use super::error::{Result, TrainError};
use super::exchange::{Exchange, mean_gradients};
use super::gradients::FlatGradients;
use super::sample::{Batch, Sample};

/// A network in training: its weights, optimiser and average.
#[derive(Debug)]
pub struct Learner {
    model: Model,
    optimizer: AdamW,
    average: Option<Average>,
    settings: Settings,
    device: Device,
}

/// What of the configuration a step needs.
#[derive(Clone, Copy, Debug)]
struct Settings {
    patch: [usize; 3],
    over: LossOver,
    accumulate: usize,
    clip: Option<f64>,
}

/// Squared errors of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// What is minimised.
    pub loss: f64,
    /// Mean over the masked voxels.
    pub masked: f64,
    /// Mean over the visible voxels.
    pub visible: f64,
}

impl Learner {
    /// A network that begins with `weights`.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when the weights are not the network's.
    pub fn new(
        config: &PretrainConfig,
        spec: &Spec,
        weights: &StateDict,
        device: &Device,
    ) -> Result<Self> {
        let model = build(spec, weights, device)?;
        let average = config.training.ema.map(|decay| Average::new(decay, &model));
        Ok(Self {
            model,
            optimizer: AdamW::new(config.optimizer),
            average,
            settings: Settings::new(config),
            device: device.clone(),
        })
    }

    /// The network of a checkpoint, to go on with.
    ///
    /// # Errors
    ///
    /// [`TrainError`] when the checkpoint's tensors are not the network's.
    pub fn resume(
        config: &PretrainConfig,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self> {
        let model = build(&checkpoint.state.spec, &checkpoint.model, device)?;
        let mut moments = Vec::with_capacity(checkpoint.moments.len());
        if checkpoint.state.step > 0 {
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
        let average = match (config.training.ema, &checkpoint.average) {
            (Some(decay), Some(state)) => Some(Average::resume(decay, &model, state, device)?),
            (Some(decay), None) => Some(Average::new(decay, &model)),
            (None, _) => None,
        };
        Ok(Self {
            optimizer: AdamW::resume(config.optimizer, checkpoint.state.step, moments),
            model,
            average,
            settings: Settings::new(config),
            device: device.clone(),
        })
    }

    /// Takes a step on this process's samples. Returns the losses over those of all processes and
    /// the norm of the gradients.
    ///
    /// # Errors
    ///
    /// [`TrainError::Diverged`] when the loss is no number, and the weights are left as they were;
    /// [`TrainError::Exchange`].
    pub fn step(
        &mut self,
        samples: &[Sample],
        lr: f64,
        with: &dyn Exchange,
    ) -> Result<(Losses, f64)> {
        let parts = self.settings.accumulate.clamp(1, samples.len().max(1));
        let size = samples.len().div_ceil(parts);
        let mut sum: Option<FlatGradients> = None;
        let mut losses = [0.0_f32; 3];
        for start in (0..samples.len()).step_by(size) {
            let range = start..(start + size).min(samples.len());
            let share = range.len() as f64 / samples.len() as f64;
            let batch = Batch::new(samples, range, self.settings.patch, &self.device);
            let result = self.losses(&self.model, batch);
            let mut gradients = (result.loss.clone() * share).backward();
            let gradients = FlatGradients::take(&self.model, &mut gradients);
            sum = Some(match sum {
                Some(sum) => sum.plus(gradients),
                None => gradients,
            });
            for (total, value) in losses.iter_mut().zip(read(result)) {
                *total += share as f32 * value;
            }
        }
        let Some(gradients) = sum else {
            return Err(TrainError::config("patch.batch", "a step without a sample"));
        };
        let mut gradients = mean_gradients(gradients, with)?;
        with.sum(&mut losses)?;
        let world = with.world() as f64;
        let [loss, masked, visible] = losses.map(|v| f64::from(v) / world);
        let norm = gradients.norm();
        if !loss.is_finite() || !norm.is_finite() {
            let step = self.optimizer.steps();
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
        let losses = Losses {
            loss,
            masked,
            visible,
        };
        Ok((losses, norm))
    }

    /// The losses of some samples, without learning from them.
    pub fn evaluate(&self, samples: &[Sample]) -> Losses {
        let batch = Batch::new(samples, 0..samples.len(), self.settings.patch, &self.device);
        let result = self.losses(&self.model.valid(), batch);
        let [loss, masked, visible] = read(result).map(f64::from);
        Losses {
            loss,
            masked,
            visible,
        }
    }

    /// What the network makes of a masked patch, `[x, y, z]` with the last axis fastest.
    pub fn restore(&self, sample: &Sample) -> Vec<f32> {
        let batch = Batch::new(
            std::slice::from_ref(sample),
            0..1,
            self.settings.patch,
            &self.device,
        );
        let output = self.model.valid().forward(batch.input);
        output.into_data().iter::<f32>().collect()
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Copies weights, moments and average into a checkpoint.
    ///
    /// # Errors
    ///
    /// [`TrainError::Weights`].
    pub fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        checkpoint.state.step = self.steps();
        checkpoint.model = collect(&self.model)?;
        let names = parameters_of(&self.model).into_iter().map(|(name, _)| name);
        checkpoint.moments = names.zip(self.optimizer.moments()).collect();
        checkpoint.average = match &self.average {
            Some(average) => Some(average.state(&self.model)?),
            None => None,
        };
        Ok(())
    }

    fn losses(&self, model: &Model, batch: Batch) -> Reconstruction {
        let output = model.forward(batch.input);
        reconstruction(output, batch.target, batch.mask, self.settings.over)
    }
}

impl Settings {
    fn new(config: &PretrainConfig) -> Self {
        Self {
            patch: config.patch.size,
            over: config.patch.loss,
            accumulate: config.training.accumulate,
            clip: config.training.clip,
        }
    }
}

fn build(spec: &Spec, weights: &StateDict, device: &Device) -> Result<Model> {
    let model = spec
        .init(&device.clone().autodiff())
        .map_err(|e| TrainError::config("model", e.to_string()))?;
    let (model, _) = load_into(model, weights, &LoadOptions::default())?;
    Ok(model)
}

/// Loss, masked and visible mean, in one transfer from the device.
fn read(result: Reconstruction) -> [f32; 3] {
    let all = [result.loss, result.masked, result.visible].map(Tensor::inner);
    let mut values = [0.0; 3];
    let data = Tensor::cat(all.to_vec(), 0).into_data();
    for (value, read) in values.iter_mut().zip(data.iter::<f32>()) {
        *value = read;
    }
    values
}
