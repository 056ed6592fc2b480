//! `cargo xtask fuzz`: every parser of untrusted bytes, for a bounded time.

use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::shell::{cargo, exists, root, run, target_dir};

#[derive(Debug, Args)]
pub(crate) struct Fuzz {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only these targets
    targets: Vec<String>,
}

impl Fuzz {
    pub(crate) fn run(&self) -> Result<()> {
        if !exists("cargo-fuzz", "--version") {
            run(&mut cargo(&["install", "--locked", "cargo-fuzz"]))?;
        }
        let mut targets = self.targets.clone();
        if targets.is_empty() {
            let list = cargo(&["fuzz", "list"])
                .output()
                .context("cannot start `cargo fuzz list`")?;
            targets.extend(
                String::from_utf8_lossy(&list.stdout)
                    .lines()
                    .map(str::to_owned),
            );
        }
        if targets.is_empty() {
            bail!("no fuzz targets found");
        }
        for target in &targets {
            let corpus = root().join("fuzz/corpus").join(target);
            fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
            let seeds = root().join("fuzz/seeds").join(target);
            // Stable Rust has no sanitizers; libFuzzer's coverage works without.
            let mut command = cargo(&["fuzz", "run", "--sanitizer", "none", target]);
            command
                .arg(&corpus)
                .args(seeds.is_dir().then_some(seeds))
                .arg("--");
            command
                .arg(format!("-max_total_time={}", self.seconds))
                .args(["-max_len=65536", "-rss_limit_mb=1024", "-timeout=10"])
                .env("CARGO_TARGET_DIR", target_dir().join("fuzz"));
            run(&mut command)?;
        }
        println!(
            "{} targets, {} s each: nothing found",
            targets.len(),
            self.seconds
        );
        Ok(())
    }
}
