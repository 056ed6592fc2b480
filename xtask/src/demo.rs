//! `cargo xtask demo`: segment a real brain, pretrain on real volumes, show the page.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::shell::{cargo, root, run, target_dir};
use crate::web;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// A model; brain-tissue by default
    #[arg(long)]
    model: Option<PathBuf>,
    /// An image of a head; by default a real one beside the workspace, else a made one
    #[arg(long)]
    image: Option<PathBuf>,
    /// End after the segmentation: leave the page out
    #[arg(long)]
    no_page: bool,
}

/// The model that comes with amaes.
const MODEL: &str = "brain-tissue";
/// A T1-weighted image with skull, among the data beside the workspace.
const REAL: &str = "mri/t1_crop.nii.gz";
/// An image made of a label map.
const MADE: &str = "models/brain-tissue/sample.nii.gz";

impl Demo {
    pub(crate) fn run(&self) -> Result<()> {
        let beside =
            env::var_os("AMAES_DATA").map_or_else(|| root().join("../shared"), PathBuf::from);
        let model = self.model.as_deref().filter(|m| *m != Path::new(MODEL));
        for given in [model, self.image.as_deref()].into_iter().flatten() {
            if !given.exists() {
                bail!("{}: not there", given.display());
            }
        }
        let image = match &self.image {
            Some(image) => image.clone(),
            None => [beside.join(REAL), root().join(MADE)]
                .into_iter()
                .find(|path| path.is_file())
                .context("no image; give --image")?,
        };

        // The features of the whole workspace, so that tests and demo share what was built.
        run(&mut cargo(&[
            "build",
            "--release",
            "--locked",
            "--workspace",
            "--bin",
            "amaes",
        ]))?;
        let output = root().join("target/demo");
        let labels = output.join("labels.nii.gz");
        run(Command::new(target_dir().join("release/amaes"))
            .arg("segment")
            .args(["--statistics", "csv", "--keep", "largest"])
            .arg("--model")
            .arg(model.unwrap_or(Path::new(MODEL)))
            .arg("--input")
            .arg(&image)
            .arg("--output")
            .arg(&labels))?;
        println!("\nimage       {}", image.display());
        println!("labels      {}", labels.display());
        println!("statistics  {}", output.join("labels.csv").display());
        println!("Open image and labels together in NiiVue, FSLeyes or ITK-SNAP.\n");
        pretrain(&beside.join("mri"), &output)?;
        if self.no_page {
            return Ok(());
        }
        if let Some(missing) = web::missing_node() {
            println!("The page was left out: {missing}.");
            return Ok(());
        }
        web::build()?;
        page(model)
    }
}

/// Serves the page until Ctrl-C, with the model where one is given, and opens it where there is a
/// desktop.
fn page(model: Option<&Path>) -> Result<()> {
    let mut command = Command::new(target_dir().join("release/amaes"));
    command
        .arg("serve")
        .arg("--page")
        .arg(root().join("web/dist"));
    if let Some(model) = model {
        command.arg("--models").arg(model);
    }
    command.args(["--port", "0"]).stdout(Stdio::piped());
    let mut server = command.spawn()?;
    let mut line = String::new();
    if let Some(stdout) = server.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    match line.split_whitespace().next() {
        Some(address) => {
            println!("\nThe page: {address}\nEnd with Ctrl-C.");
            open(address);
        }
        None => bail!("the page is not served"),
    }
    server.wait()?;
    Ok(())
}

/// Opens an address where there is a desktop; elsewhere it stays printed.
fn open(address: &str) {
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"];
    let (program, there) = match env::consts::OS {
        "macos" => ("open", true),
        "windows" => ("explorer", true),
        _ => ("xdg-open", desktop.iter().any(|v| env::var_os(v).is_some())),
    };
    if there && Command::new(program).arg(address).spawn().is_err() {
        eprintln!("note: no {program}; open the address yourself");
    }
}

/// The preparation of the reference at 6 mm, so that a patch of 32^3 voxels holds a head and a
/// minute is enough to see a network learn.
const PLAN: &str = r#"{"steps": [
    {"step": "reorient", "to": "RAS"},
    {"step": "crop_foreground", "margin": 0},
    {"step": "normalize", "method": "volume_wise"},
    {"step": "resample", "spacing": [6.0, 6.0, 6.0], "interpolation": "trilinear"}
]}"#;

/// Scans, prepares and pretrains on the volumes of a folder, where there is one.
fn pretrain(volumes: &Path, output: &Path) -> Result<()> {
    if !volumes.is_dir() {
        println!(
            "Pretraining was left out: {} is not there.",
            volumes.display()
        );
        return Ok(());
    }
    let folder = output.join("pretraining");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let plan = folder.join("plan.json");
    fs::write(&plan, PLAN)?;
    let amaes = || Command::new(target_dir().join("release/amaes"));
    let (catalogue, store) = (folder.join("catalogue.sqlite"), folder.join("store"));
    run(amaes()
        .args(["corpus", "scan"])
        .arg(volumes)
        .arg("--catalogue")
        .arg(&catalogue))?;
    run(amaes()
        .args(["corpus", "prepare"])
        .arg(&catalogue)
        .arg("--out")
        .arg(&store)
        .arg("--plan")
        .arg(&plan))?;
    let mut command = amaes();
    command.args(["pretrain", "--plain", "--name", "demo", "--store"]);
    command.arg(&store).arg("--set");
    command.arg(format!("run.folder={}", folder.display()));
    for field in [
        "model.filters=8",
        "patch.size=[32,32,32]",
        "patch.batch=4",
        "data.validation=0.2",
        "training.steps=200",
        "training.lr=0.02",
        "output.validate_every=50",
        "output.picture_every=200",
    ] {
        command.args(["--set", field]);
    }
    run(&mut command)?;
    let run = folder.join("demo");
    println!("\nrun         {}", run.display());
    println!("pictures    {}", run.join("pictures").display());
    println!("curves      amaes dashboard {}\n", folder.display());
    Ok(())
}
