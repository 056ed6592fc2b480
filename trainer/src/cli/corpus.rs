//! `amaes corpus`.

mod assemble;
mod prepare;
mod remote;
mod scan;
mod show;
mod stats;

pub(super) use self::show::Show;
use anyhow::Result;
use clap::Subcommand;

use super::Outcome;

#[derive(Debug, Subcommand)]
pub(super) enum Corpus {
    /// Read every volume of folders and archives and write down what it is
    Scan(scan::Scan),
    /// Show what a catalogue is made of
    Stats(stats::Stats),
    /// Check local copies of a corpus' sources, and choose its volumes
    Assemble(assemble::Assemble),
    /// Bring the volumes of a catalogue to one form, in a store that training reads
    Prepare(Box<prepare::Prepare>),
}

impl Corpus {
    pub(super) fn run(&self) -> Result<Outcome> {
        match self {
            Self::Scan(command) => command.run(),
            Self::Stats(command) => command.run(),
            Self::Assemble(command) => command.run(),
            Self::Prepare(command) => command.run(),
        }
    }
}
