//! `amaes convert` and `amaes conform`.

use std::path::PathBuf;

use amaes::convert::{Conversion, conform, convert};
use amaes_core::volume::Orientation;
use anyhow::Result;
use clap::Args;

use super::ReadArgs;

#[derive(Debug, Args)]
pub(super) struct Convert {
    /// NIfTI (.nii, .nii.gz, .hdr/.img) or MGH (.mgh, .mgz); `-` is standard input
    input: PathBuf,
    /// NIfTI: plain if it ends in .nii, else gzipped; `-` is standard output
    output: PathBuf,
    /// Permute and flip axes to this orientation, such as RAS; no interpolation
    #[arg(long, value_name = "XYZ")]
    orientation: Option<Orientation>,
    /// Apply the scaling and store float32; otherwise voxels keep their type
    #[arg(long)]
    float: bool,
    #[command(flatten)]
    read: ReadArgs,
}

#[derive(Debug, Args)]
pub(super) struct Conform {
    /// NIfTI or MGH; `-` is standard input
    input: PathBuf,
    /// NIfTI; `-` is standard output
    output: PathBuf,
    #[command(flatten)]
    read: ReadArgs,
}

impl Convert {
    pub(super) fn run(&self) -> Result<()> {
        let how = Conversion {
            orientation: self.orientation,
            float: self.float,
        };
        Ok(convert(
            &self.input,
            &self.output,
            &self.read.options(),
            &how,
        )?)
    }
}

impl Conform {
    pub(super) fn run(&self) -> Result<()> {
        Ok(conform(&self.input, &self.output, &self.read.options())?)
    }
}
