//! Signals that end a command.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// The first signal sets `stop`, the second ends the process at once.
pub(super) fn stop_on_signals(stop: &'static AtomicBool) -> Result<()> {
    ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step; once more to stop at once");
    })
    .context("cannot listen to signals")
}
