//! `cargo xtask`: the workspace's own commands.

mod bench;
mod corpus;
mod demo;
mod fuzz;
mod shell;
mod test;
mod web;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The workspace's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure beside PyTorch and nibabel
    Bench(bench::Bench),
    /// Build amaes, segment a brain and show the result
    Demo(demo::Demo),
    /// Format, lint, build for wasm32 and run every test, those of the page too
    Test(test::Test),
    /// Run every fuzz target for a bounded time
    Fuzz(fuzz::Fuzz),
    /// Build the page that segments in the browser, and test it
    Web(web::Web),
}

fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Bench(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Fuzz(command) => command.run(),
        Command::Web(command) => command.run(),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
