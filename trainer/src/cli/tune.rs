//! `amaes tune`: tile sizes for this machine's graphics card.

use std::path::PathBuf;
use std::time::Duration;

use amaes::device::DeviceKind;
use amaes::tiles;
use amaes::tune::{Trial, tune};
use amaes_core::kernel::{GpuTiles, adapter_name};
use anyhow::{Context, Result, bail};
use clap::Args;

use super::{print, print_json};

#[derive(Debug, Args)]
pub(super) struct Tune {
    /// The graphics card
    #[arg(long, value_enum, default_value_t = DeviceKind::Wgpu)]
    device: DeviceKind,
    /// Seconds after which no other sizes are tried
    #[arg(long, default_value_t = 300.0, value_name = "S")]
    seconds: f64,
    /// Measure, but keep nothing
    #[arg(long)]
    dry_run: bool,
    /// Forget what was measured on this card: the built-in table holds again
    #[arg(long, conflicts_with_all = ["seconds", "dry_run", "json"])]
    forget: bool,
    /// Print the sizes as JSON, as the browser library's `gpuTiles` takes them
    #[arg(long)]
    json: bool,
}

impl Tune {
    pub(super) fn run(&self) -> Result<()> {
        let limit = Duration::try_from_secs_f64(self.seconds)
            .with_context(|| format!("--seconds {}", self.seconds))?;
        let device = self.device.open()?;
        if self.forget {
            let Some(adapter) = adapter_name(&device) else {
                bail!("the device `{}` is not a graphics card", self.device.name());
            };
            let path = place()?;
            tiles::keep(&path, &adapter, None)?;
            return print(&format!("{}: nothing of {adapter}\n", path.display()));
        }
        // What cannot be kept is said before minutes are spent.
        let path = (!self.dry_run).then(place).transpose()?;
        let tuned = tune(&device, limit, &mut |trial| eprintln!("{}", line(trial)))?;
        if let Some(path) = &path {
            tiles::keep(path, &tuned.adapter, Some(tuned.tiles))?;
        }
        if self.json {
            return print_json(&tuned.tiles);
        }
        let complete = match tuned.complete {
            true => "",
            false => "; there was no time to try everything (--seconds)",
        };
        let kept = match &path {
            Some(path) => format!("kept in {}", path.display()),
            None => "not kept".to_owned(),
        };
        print(&format!(
            "{}: {}\n{:.2} times as fast as with the table{complete}\n{kept}\n",
            tuned.adapter,
            sizes(&tuned.tiles),
            1.0 / tuned.ratio,
        ))
    }
}

fn place() -> Result<PathBuf> {
    tiles::path().with_context(|| {
        let variable = tiles::VARIABLE;
        format!("no folder for configurations is known; name a file in {variable}, or --dry-run")
    })
}

fn line(trial: &Trial) -> String {
    let verdict = if trial.kept { ", kept" } else { "" };
    let (tiles, change) = (sizes(&trial.tiles), 100.0 * (trial.ratio - 1.0));
    format!("{:<15} {tiles}: {change:+.0} % time{verdict}", trial.part)
}

fn sizes(tiles: &GpuTiles) -> String {
    let [planes, rows] = tiles.voxels;
    format!(
        "quads {}, voxels {planes} x {rows}, pointwise {}, gradient {}, workgroup {}, busy {}",
        tiles.quads, tiles.pointwise_quads, tiles.gradient_quads, tiles.workgroup, tiles.busy
    )
}
