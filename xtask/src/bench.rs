//! `cargo xtask bench`: our times beside those of the programs people use today, in one run.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::corpus;
use crate::shell::{cargo, exists, root, run, target_dir};
use crate::web;

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What is measured
    what: What,
    /// Write the table as JSON too
    #[arg(long)]
    json: Option<PathBuf>,
    /// Arguments of the benchmark itself, such as `--rounds 5`
    #[arg(last = true)]
    more: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Memory and time of scanning and preparing by the number of volumes; `-- --full` prepares
    /// all 45,000
    Corpus,
    /// Augmentation against SciPy
    Augment,
    /// Surface Dice and HD95 of a label map against MONAI
    Metric,
    /// 3-D kernels against PyTorch
    Torch,
    /// 3-D kernels on a graphics card against burn's own operations
    Gpu,
    /// Reading volumes against nibabel
    Volumes,
    /// Loading random patches against zarr-python and memory-mapped .npy
    Loader,
    /// Networks in a browser against onnxruntime-web and TensorFlow.js
    Browser,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        let (bench, packages): (_, Option<&[&str]>) = match self.what {
            What::Corpus => {
                let full = self.more.iter().any(|a| a == "--full");
                return corpus::bench(self.json.as_deref(), full);
            }
            What::Augment => ("augment", Some(&["numpy", "scipy", "scikit-image"])),
            What::Metric => ("metric", Some(&["monai", "nibabel", "scipy"])),
            What::Torch => ("kernels", Some(&["torch", "numpy", "monai", "einops"])),
            What::Gpu => ("gpu", None),
            What::Volumes => ("volumes", Some(&["nibabel", "numpy"])),
            What::Loader => ("loader", Some(&["zarr", "numpy"])),
            What::Browser => return self.browser(),
        };
        let mut command = cargo(&["bench", "--locked", "--workspace", "--bench", bench, "--"]);
        if let Some(packages) = packages {
            let python = python()?;
            run(Command::new(&python)
                .args(["-m", "pip", "install", "-q"])
                .args(packages))?;
            command.env("AMAES_PYTHON", &python);
        }
        if let Some(json) = &self.json {
            command.arg("--json").arg(env::current_dir()?.join(json));
        }
        command.args(&self.more);
        if matches!(self.what, What::Volumes) && self.more.is_empty() {
            let folder = root().join("../shared/mri");
            let names = ["t1_crop", "ds004884_sub-M2051_T1w", "MR_Gd", "spm152"];
            command.args(names.map(|n| folder.join(format!("{n}.nii.gz"))));
        }
        if matches!(self.what, What::Metric) && self.more.is_empty() {
            command.arg(root().join("../shared/labels/t1_crop.model18cls.nii.gz"));
        }
        if matches!(self.what, What::Loader) {
            let folder = root().join("../shared/mri");
            command.arg("--data").arg(target_dir().join("loader-data"));
            let names = [
                "t1_crop",
                "ds004884_sub-M2051_T1w",
                "M2208_T2w",
                "MR_Gd",
                "spm152",
                "T1_head_ext2",
                "T2w",
                "PD25-fusion-template-1mm",
                "CIT168toMNI152-2009c_T1w_brain",
            ];
            command.args(names.map(|n| folder.join(format!("{n}.nii.gz"))));
        }
        run(&mut command)
    }
}

impl Bench {
    /// Runs `web/bench` in a browser; the programs that are compared with are installed beside
    /// the builds.
    fn browser(&self) -> Result<()> {
        if let Some(missing) = web::missing_node() {
            bail!("{missing}");
        }
        let Some(browser) = web::browser() else {
            bail!("Chromium is needed to run the networks in");
        };
        web::build()?;
        let program = web::program()?;
        let peers = target_dir().join("browser-bench");
        fs::create_dir_all(&peers)?;
        let peers = peers.canonicalize()?;
        let bench = root().join("web/bench");
        fs::copy(bench.join("package.json"), peers.join("package.json"))?;
        run(Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(&peers))?;
        let mut command = Command::new("node");
        command
            .arg(bench.join("run.mjs"))
            .arg("--peers")
            .arg(&peers)
            .env("AMAES_PROGRAM", program)
            .env("AMAES_BROWSER", browser);
        if let Some(json) = &self.json {
            command.arg("--json").arg(env::current_dir()?.join(json));
        }
        run(command.args(&self.more))
    }
}

/// A Python of our own beside the builds, or the one that `AMAES_PYTHON` names.
pub(crate) fn python() -> Result<PathBuf> {
    if let Some(python) = env::var_os("AMAES_PYTHON") {
        return Ok(python.into());
    }
    let folder = target_dir().join("python");
    let python = folder.join("bin/python");
    if !python.exists() {
        if !exists("python3", "--version") {
            bail!("python3 is needed to run the programs that are compared with");
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    Ok(python)
}
