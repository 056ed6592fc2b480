//! `amaes augment`: what augmentation does to an image.

use std::fs;
use std::path::{Path, PathBuf};

use amaes::picture::{Grid, Slice, plane_names};
use amaes::{Error, volumes};
use amaes_core::augment::{AugmentConfig, Pipeline, Preset};
use amaes_core::preprocess::Plan;
use amaes_core::pretext::BlockMask;
use amaes_core::volume::{ReadOptions, Volume};
use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(super) struct Augment {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draw samples of an image before and after augmentation, their targets and masked inputs
    Preview(Preview),
}

#[derive(Debug, Args)]
struct Preview {
    /// The image
    image: PathBuf,
    /// PNG to write
    #[arg(long)]
    out: PathBuf,
    /// TOML or JSON with the augmentation, as a run's configuration has it
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// A configuration by name
    #[arg(long, value_enum, default_value_t = Named::All)]
    preset: Named,
    /// Do what the reference does where that is probably not intended
    #[arg(long)]
    reference_quirks: bool,
    /// Seed of the first sample; the others have the seeds after it
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Samples
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=64))]
    count: u64,
    /// Edge of the patch in voxels
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=512))]
    patch: u16,
    /// Edge of the masked blocks in voxels
    #[arg(long, default_value_t = 4)]
    block: usize,
    /// Share of the blocks that is masked
    #[arg(long, default_value_t = 0.6)]
    mask_ratio: f64,
    /// Take the voxels as they are, without reorienting, cropping, normalising and resampling
    #[arg(long)]
    as_is: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Named {
    None,
    Basic,
    Spatial,
    All,
}

impl From<Named> for Preset {
    fn from(named: Named) -> Self {
        match named {
            Named::None => Self::None,
            Named::Basic => Self::Basic,
            Named::Spatial => Self::Spatial,
            Named::All => Self::All,
        }
    }
}

impl Augment {
    pub(super) fn run(&self) -> Result<()> {
        match &self.command {
            Command::Preview(preview) => preview.run(),
        }
    }
}

impl Preview {
    fn run(&self) -> Result<()> {
        let mut config = match &self.config {
            Some(path) => read_config(path)?,
            None => AugmentConfig::preset(self.preset.into()),
        };
        config.reference_quirks |= self.reference_quirks;
        let pipeline = Pipeline::new(config)?;
        let volume = self.volume()?;
        let named = |e| Error::unsuitable(&self.image, format!("{e}"));
        let patch = [usize::from(self.patch); 3];
        // The middle of the image, as the loader would cut a source from it.
        let middle = Pipeline::new(AugmentConfig::preset(Preset::None))?;
        let cut = |size| {
            let cut = middle.apply(volume.data(), volume.grid().shape, size, 0);
            cut.map(|sample| sample.input).map_err(named)
        };
        let size = pipeline.source_size(patch);
        let (source, before) = (cut(size)?, cut(patch)?);
        let range = before
            .iter()
            .fold([f32::MAX, f32::MIN], |[a, b], &v| [a.min(v), b.max(v)]);

        let planes = plane_names(volume.grid().orientation()?);
        let mask = BlockMask::new(patch, self.block, self.mask_ratio)?;
        let columns = ["before", "after", "target", "masked"];
        let mut grid = Grid::new(
            columns
                .iter()
                .flat_map(|column| planes.map(|plane| format!("{column} {plane}"))),
        );
        for seed in self.seed..self.seed.saturating_add(self.count) {
            let sample = pipeline.apply(&source, size, patch, seed).map_err(named)?;
            let drawn = pipeline.draw(patch, 1, seed);
            let masked = masked(&sample.input, patch, &mask.draw(seed));
            let shown = [&before, &sample.input, &sample.target, &masked];
            let slices = shown.into_iter().flat_map(|v| Slice::middle(v, patch));
            grid.row(format!("seed {seed}: {drawn}"), slices, range);
        }
        grid.write(&self.out)?;
        Ok(())
    }

    fn volume(&self) -> Result<Volume<f32>> {
        let (volume, _) = volumes::read(&self.image, &ReadOptions::default())?;
        if self.as_is {
            return Ok(volume);
        }
        let prepared = Plan::reference().apply(volume);
        let prepared = prepared.with_context(|| self.image.display().to_string())?;
        Ok(prepared.volume)
    }
}

/// A patch, first axis fastest, without what a mask, last axis fastest, hides.
fn masked(input: &[f32], [nx, ny, nz]: [usize; 3], mask: &[f32]) -> Vec<f32> {
    let hidden = |i: usize| mask[i / (nx * ny) + nz * (i / nx % ny + ny * (i % nx))] == 1.0;
    let value = |(i, &v): (usize, &f32)| if hidden(i) { f32::NAN } else { v };
    input.iter().enumerate().map(value).collect()
}

fn read_config(path: &Path) -> Result<AugmentConfig> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let config = if path.extension().is_some_and(|e| e == "json") {
        serde_json::from_str(&text).map_err(anyhow::Error::from)
    } else {
        toml::from_str(&text).map_err(anyhow::Error::from)
    };
    config.with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_hide_the_voxels_that_they_name() {
        // Voxel (1, 0, 2) of 2 x 3 x 4.
        let mut mask = vec![0.0; 24];
        mask[2 + 4 * 3] = 1.0;
        let input: Vec<f32> = (0..24).map(|v| v as f32).collect();
        let out = masked(&input, [2, 3, 4], &mask);
        let hidden: Vec<usize> = (0..24).filter(|&i| out[i].is_nan()).collect();
        assert_eq!(hidden, [1 + 2 * 3 * 2]);
    }
}
