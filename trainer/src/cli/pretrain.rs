//! `amaes pretrain`.

use amaes::train::config::PretrainConfig;
use amaes::train::pretrain;
use anyhow::Result;
use clap::Args;

use super::training::TrainArgs;
use super::{Outcome, print};

#[derive(Debug, Args)]
pub(super) struct Pretrain {
    #[command(flatten)]
    train: TrainArgs,
    /// The store that `amaes corpus prepare` wrote: `data.store`
    #[arg(long, value_name = "STORE", conflicts_with = "resume")]
    store: Option<String>,
}

impl Pretrain {
    pub(super) fn run(self) -> Result<Outcome> {
        let mut first = Vec::new();
        if let Some(store) = &self.store {
            first.push(format!("data.store={store}"));
        } else if self.train.print_config && !self.train.is_configured() {
            first.push("data.store=STORE".into());
        }
        let (file, set) = self.train.sources(first)?;
        let config = PretrainConfig::read(file.as_deref(), &set)?;
        if self.train.print_config {
            print(&config.to_toml()?)?;
            return Ok(Outcome::Done);
        }
        self.train
            .run(&config.run, &config.output, "pretrain", |from, setting| {
                pretrain::run_from(&config, from, setting)
            })
    }
}
