//! Options of commands that read files behind `http://`, `https://` and `s3://`.

use std::path::{Path, PathBuf};

use amaes::store::{CacheOptions, OpenOptions};
use clap::Args;

use crate::cli::parse_bytes;

#[derive(Debug, Args)]
#[command(next_help_heading = "Addresses")]
pub(super) struct RemoteArgs {
    /// A folder that keeps what was fetched
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// What it may take
    #[arg(long, value_parser = parse_bytes, default_value = "64GiB", value_name = "SIZE")]
    cache_size: u64,
    /// Seconds without a byte after which a request has failed
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    timeout: f64,
    /// Requests that are made before a file is given up
    #[arg(long, default_value_t = 8, value_name = "N")]
    attempts: u32,
}

impl RemoteArgs {
    pub(super) fn options(&self) -> OpenOptions {
        OpenOptions {
            timeout: self.timeout,
            attempts: self.attempts,
            cache: self.cache.as_ref().map(|folder| CacheOptions {
                folder: folder.clone(),
                bytes: self.cache_size,
            }),
            ..OpenOptions::default()
        }
    }
}

/// Whether an input is there, as far as can be said before it is asked for.
pub(super) fn may_exist(input: &Path) -> bool {
    amaes::store::is_address(&input.to_string_lossy()) || input.exists()
}
