//! `amaes import`: one model file of weights in any format.

use std::path::PathBuf;

use amaes::import::Reshape;
use amaes::model::{json, open};
use amaes_core::weights::Precision;
use anyhow::{Result, bail};
use burn::tensor::Device;
use clap::Args;

use super::{BesideArgs, print};

#[derive(Debug, Args)]
pub(super) struct Import {
    /// PyTorch .pth or .ckpt, safetensors, burnpack, or a TensorFlow.js folder
    input: PathBuf,
    /// The .amaes file to write
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    beside: BesideArgs,
    /// Take the encoder alone, into the network that this JSON describes; its head is drawn anew
    #[arg(long, value_name = "JSON")]
    encoder_into: Option<PathBuf>,
    /// Read this many image channels: the first convolution is repeated and divided by it
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// Seed of a head that is drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Store float16: half the size
    #[arg(long)]
    half: bool,
    /// Store whole numbers of 8 bits with a factor for each channel: a quarter of the size
    #[arg(long, conflicts_with = "half")]
    eight_bit: bool,
    /// Edges of the windows it runs in, such as those of the patches it was trained on
    #[arg(long, num_args = 3, value_names = ["X", "Y", "Z"])]
    patch: Option<Vec<usize>>,
    /// Share of a window that the next one covers again
    #[arg(long, value_name = "SHARE")]
    overlap: Option<f64>,
    /// Licence of the weights
    #[arg(long)]
    licence: Option<String>,
    /// Where the weights were published
    #[arg(long)]
    url: Option<String>,
    /// Anything else that users should know
    #[arg(long)]
    notes: Option<String>,
}

impl Import {
    pub(super) fn run(&self) -> Result<()> {
        if self.input == self.output {
            bail!("{}: the input is also the output", self.input.display());
        }
        let mut opened = open(&self.input, &self.beside.beside())?;
        for note in &opened.notes {
            eprintln!("note: {note}");
        }
        if self.encoder_into.is_some() || self.channels.is_some() {
            let how = Reshape {
                encoder_into: self.encoder_into.as_deref().map(json).transpose()?,
                in_channels: self.channels,
                seed: self.seed,
            };
            let report = opened.reshape(&how, &self.input, &host())?;
            eprintln!("{report}");
        }
        let file = &mut opened.file;
        if let Some([x, y, z]) = self.patch.as_deref() {
            file.hints.patch = Some([*x, *y, *z]);
        }
        file.hints.overlap = self.overlap.or(file.hints.overlap);
        let about = &mut file.provenance;
        about.licence = self.licence.clone().or(about.licence.take());
        about.url = self.url.clone().or(about.url.take());
        about.notes = self.notes.clone().or(about.notes.take());
        let precision = match (self.half, self.eight_bit) {
            (true, _) => Precision::Half,
            (_, true) => Precision::Byte,
            _ => Precision::Full,
        };
        let sum = opened.save(&self.output, precision)?;
        let file = &opened.file;
        print(&format!(
            "{}: {} of {} parameters, {} classes, sha256 {sum}\n",
            self.output.display(),
            file.spec.name(),
            file.state.num_values(),
            file.spec.out_channels(),
        ))
    }
}

/// Where weights are moved about: this machine's processor.
fn host() -> Device {
    #[cfg(feature = "flex")]
    return Device::flex();
    #[cfg(not(feature = "flex"))]
    return Device::default();
}
