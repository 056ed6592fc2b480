//! `cargo xtask demo`: segment a real brain.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::shell::{cargo, root, run, target_dir};

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// A model; published weights beside the workspace by default
    #[arg(long)]
    model: Option<PathBuf>,
    /// A T1-weighted image; one beside the workspace by default
    #[arg(long)]
    image: Option<PathBuf>,
}

/// Weights of brainchop, by the folders they are kept in.
const MODEL: &str = "weights/brainchop/model18cls";
/// A T1-weighted image with skull.
const IMAGE: &str = "mri/t1_crop.nii.gz";

impl Demo {
    pub(crate) fn run(&self) -> Result<()> {
        let beside =
            env::var_os("AMAES_DATA").map_or_else(|| root().join("../shared"), PathBuf::from);
        let model = existing(
            self.model.clone(),
            &beside.join(MODEL),
            "--model",
            MODEL_HELP,
        )?;
        let image = existing(
            self.image.clone(),
            &beside.join(IMAGE),
            "--image",
            IMAGE_HELP,
        )?;

        run(&mut cargo(&[
            "build",
            "--release",
            "--locked",
            "-p",
            "amaes",
        ]))?;
        let output = root().join("target/demo");
        let labels = output.join("labels.nii.gz");
        run(Command::new(target_dir().join("release/amaes"))
            .arg("segment")
            .args(["--statistics", "csv", "--keep", "largest"])
            .arg("--model")
            .arg(&model)
            .arg("--input")
            .arg(&image)
            .arg("--output")
            .arg(&labels))?;
        println!("\nimage       {}", image.display());
        println!("labels      {}", labels.display());
        println!("statistics  {}", output.join("labels.csv").display());
        println!("Open image and labels together in NiiVue, FSLeyes or ITK-SNAP.");
        Ok(())
    }
}

const MODEL_HELP: &str = "the folder public/models/model18cls of github.com/neuroneural/brainchop";
const IMAGE_HELP: &str = "any T1-weighted NIfTI or MGH volume of a head";

fn existing(given: Option<PathBuf>, default: &Path, option: &str, help: &str) -> Result<PathBuf> {
    let path = given.unwrap_or_else(|| default.to_owned());
    if !path.exists() {
        bail!("{}: not there; give {option} ({help})", path.display());
    }
    Ok(path)
}
