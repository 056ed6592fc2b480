//! Making an `.amaes` model file of any weights.

use std::path::Path;

use amaes_core::model::Spec;
use amaes_core::weights::{LoadOptions, LoadReport, Partial, Precision, collect, load_into};
use burn::tensor::Device;

use crate::atomic::write_atomic;
use crate::error::{Result, WithPath};
use crate::model::Opened;

/// How the network is changed on its way.
#[derive(Clone, Debug, Default)]
pub struct Reshape {
    /// Take the encoder alone, into this network; its head is drawn anew.
    pub encoder_into: Option<Spec>,
    /// Image channels: the first convolution is repeated and divided by their number.
    pub in_channels: Option<usize>,
    /// Seed of what is drawn.
    pub seed: u64,
}

impl Opened {
    /// Puts the weights into another network: its encoder only, or with more image channels.
    ///
    /// # Errors
    ///
    /// [`Error::Spec`](crate::error::Error::Spec) for an impossible network, [`Error::Weights`](crate::error::Error::Weights) with the report of keys when
    /// the weights do not fit.
    pub fn reshape(&mut self, how: &Reshape, path: &Path, device: &Device) -> Result<LoadReport> {
        let file = &mut self.file;
        let mut spec = how
            .encoder_into
            .clone()
            .unwrap_or_else(|| file.spec.clone());
        if let Some(channels) = how.in_channels {
            let classes = spec.out_channels();
            spec = spec.with_channels(channels, classes);
        }
        device.seed(how.seed);
        let model = spec.init(device).with_path(path)?;
        let options = LoadOptions {
            partial: match how.encoder_into {
                Some(_) => Partial::EncoderOnly(&spec),
                None => Partial::None,
            },
            repeat_stem: how.in_channels.is_some(),
        };
        let (model, report) = load_into(model, &file.state, &options).with_path(path)?;
        file.state = collect(&model).with_path(path)?;
        if file.labels.0.len() != spec.out_channels() {
            file.labels = amaes_core::label::LabelTable::generic(spec.out_channels());
        }
        file.spec = spec;
        Ok(report)
    }

    /// Writes the model file, atomically, and returns its checksum.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::error::Error::Io) and [`Error::Weights`](crate::error::Error::Weights).
    pub fn save(&self, path: &Path, precision: Precision) -> Result<String> {
        let mut sum = String::new();
        write_atomic(path, |w| {
            sum = self.file.write(w, precision).with_path(path)?;
            Ok(())
        })?;
        Ok(sum)
    }
}
