//! `amaes finetune`.

use std::path::PathBuf;

use amaes::train::finetune::{self, FinetuneConfig};
use anyhow::Result;
use clap::Args;

use super::training::TrainArgs;
use super::{Outcome, print};

#[derive(Debug, Args)]
pub(super) struct Finetune {
    #[command(flatten)]
    train: TrainArgs,
    /// The labelled images: `data.path`
    #[arg(long, value_name = "PATH", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Weights to begin with, such as a pretraining run: `model.weights`
    #[arg(long, value_name = "WEIGHTS", conflicts_with = "resume")]
    weights: Option<PathBuf>,
}

impl Finetune {
    pub(super) fn run(self) -> Result<Outcome> {
        let mut first = Vec::new();
        if let Some(data) = &self.data {
            first.push(format!("data.path={}", data.display()));
        } else if self.train.print_config && !self.train.is_configured() {
            first.push("data.path=DATA".into());
        }
        if let Some(weights) = &self.weights {
            first.push(format!("model.weights={}", weights.display()));
        }
        let (file, set) = self.train.sources(first)?;
        let config = FinetuneConfig::read(file.as_deref(), &set)?;
        if self.train.print_config {
            print(&config.to_toml()?)?;
            return Ok(Outcome::Done);
        }
        self.train
            .run(&config.run, &config.output, "finetune", |from, setting| {
                finetune::run_from(&config, from, setting)
            })
    }
}
