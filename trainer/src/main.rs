//! The `amaes` command.

mod cli;

use std::process::ExitCode;

use amaes::allocator::{Allocator, keep_briefly};
use clap::Parser;

use crate::cli::{Cli, Outcome};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    keep_briefly();
    match cli::run(Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {}", line(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, but not those that the text before them has already.
fn line(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |line, cause| {
        let text = cause.to_string();
        match line.is_empty() {
            true => text,
            false if line.contains(&text) => line,
            false => format!("{line}: {text}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let io = || std::io::Error::other("no space");
        let file = amaes::Error::Io {
            path: "a.nii".into(),
            source: io(),
        };
        assert_eq!(line(&file.into()), "a.nii: no space");
        let error = Err::<(), _>(io()).context("a.nii").expect_err("an error");
        assert_eq!(line(&error), "a.nii: no space");
    }
}
