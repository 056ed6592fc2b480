//! The command line.

mod augment;
mod corpus;
mod dashboard;
mod evaluate;
mod experiment;
mod finetune;
mod import;
mod info;
mod inspect;
mod pretrain;
mod runs;
mod segment;
mod serve;
mod signals;
mod synth;
mod text;
mod training;
#[cfg(feature = "wgpu")]
mod tune;
mod volume;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use amaes::model::Beside;
use amaes_core::volume::ReadOptions;
use amaes_core::weights::Part;
use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};
use serde::Serialize;

/// Segments brain MRI, and looks after the models and volumes that this takes.
///
/// Exit codes: 0 done; 1 an error; 2 a wrong command line; 3 some of several inputs failed.
#[derive(Debug, Parser)]
#[command(name = "amaes", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Label the voxels of images with a network
    Segment(Box<segment::Segment>),
    /// Score label maps, or a model's, against references: tables and a report
    Evaluate(Box<evaluate::Evaluate>),
    /// Find, count, choose and prepare the volumes of a corpus
    #[command(subcommand)]
    Corpus(corpus::Corpus),
    /// Make one .amaes model file of weights in any format
    Import(Box<import::Import>),
    /// Show what is in a model or weights file
    Inspect(inspect::Inspect),
    /// Show what the header of a volume says
    Info(info::Info),
    /// Convert a volume to NIfTI: other format, orientation or type
    Convert(volume::Convert),
    /// Bring a volume to 256^3 voxels of 1 mm, LIA, 0..255, as FreeSurfer does
    Conform(volume::Conform),
    /// Show what augmentation does to an image
    Augment(augment::Augment),
    /// Show runs in a browser, or one in this terminal
    Dashboard(dashboard::DashboardCommand),
    /// Compare runs: settings, losses, speed
    Runs(runs::Runs),
    /// Pretrain a network on a store of volumes: masked autoencoding with augmentation reversal
    Pretrain(Box<pretrain::Pretrain>),
    /// Finetune a network on labelled images: Dice and cross-entropy, from pretrained weights
    Finetune(Box<finetune::Finetune>),
    /// Make labelled brains that never were, as a BIDS tree
    Synth(Box<synth::Synth>),
    /// Pretrain, finetune and test networks in every combination, and compare them in tables
    #[command(subcommand)]
    Experiment(experiment::Experiment),
    /// Serve the page that segments in the browser
    Serve(serve::Serve),
    /// Measure which tile sizes of the kernels suit this graphics card, and keep them
    #[cfg(feature = "wgpu")]
    Tune(tune::Tune),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    SomeFailed,
}

pub(crate) fn run(cli: Cli) -> Result<Outcome> {
    match cli.command {
        Command::Segment(command) => return command.run(),
        Command::Evaluate(command) => return command.run(),
        Command::Corpus(command) => return command.run(),
        Command::Experiment(command) => return command.run(),
        Command::Pretrain(command) => return command.run(),
        Command::Finetune(command) => return command.run(),
        Command::Synth(command) => return command.run(),
        Command::Import(command) => command.run()?,
        Command::Inspect(command) => command.run()?,
        Command::Info(command) => command.run()?,
        Command::Convert(command) => command.run()?,
        Command::Conform(command) => command.run()?,
        Command::Augment(command) => command.run()?,
        Command::Dashboard(command) => command.run()?,
        Command::Runs(command) => command.run()?,
        Command::Serve(command) => command.run()?,
        #[cfg(feature = "wgpu")]
        Command::Tune(command) => command.run()?,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "amaes", &mut io::stdout());
        }
    }
    Ok(Outcome::Done)
}

/// What weights do not say themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
struct BesideArgs {
    /// JSON with the network's sizes, for weights that do not tell them (a MeshNet's dilations)
    #[arg(long, value_name = "JSON")]
    config: Option<PathBuf>,
    /// JSON with the preprocessing, in place of the model's own
    #[arg(long, value_name = "JSON")]
    plan: Option<PathBuf>,
    /// JSON with label names and colours: a brainchop colour map, or a table as `inspect --json`
    /// prints it
    #[arg(long, value_name = "JSON")]
    labels: Option<PathBuf>,
    /// A Python type that a PyTorch file may mention (`module.name`); it is skipped, never run
    #[arg(long, value_name = "NAME")]
    allow_global: Vec<String>,
}

impl BesideArgs {
    fn beside(&self) -> Beside {
        Beside {
            config: self.config.clone(),
            plan: self.plan.clone(),
            labels: self.labels.clone(),
            allow_globals: self.allow_global.clone(),
            part: Part::Whole,
        }
    }
}

/// How a volume is read.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Input")]
struct ReadArgs {
    /// Which volume of a file that holds several, from 0
    #[arg(long, value_name = "INDEX")]
    volume: Option<u64>,
}

impl ReadArgs {
    fn options(self) -> ReadOptions {
        ReadOptions {
            volume: self.volume,
            ..ReadOptions::default()
        }
    }
}

/// Prints to standard output; a reader that went away (`amaes ... | head`) is no error.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints a value as JSON.
fn print_json(value: &impl Serialize) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Bytes from a size such as `512MiB`, `2g` or `1000000`.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(lower.len());
    let number: f64 = lower[..end]
        .parse()
        .map_err(|_| format!("`{text}` is no size"))?;
    let factor = match lower[end..].trim() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        unit => return Err(format!("`{unit}` is no unit; use KiB, MiB or GiB")),
    };
    let bytes = number * factor;
    if !(1.0..1e18).contains(&bytes) {
        return Err(format!("`{text}` is out of range"));
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_bytes("512MiB"), Ok(512 << 20));
        assert_eq!(parse_bytes("1.5g"), Ok(3 << 29));
        assert_eq!(parse_bytes("1000"), Ok(1000));
        assert!(parse_bytes("many").is_err() && parse_bytes("5 apples").is_err());
        assert!(parse_bytes("0").is_err());
    }
}
