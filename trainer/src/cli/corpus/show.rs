//! What a long command shows while it runs: one bar on a terminal, and lines above it.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error; hidden where that is no terminal.
pub(in crate::cli) struct Show {
    bar: ProgressBar,
}

impl Show {
    /// `total` pieces of work, `None` where their number is not known.
    pub(in crate::cli) fn new(total: Option<u64>, quiet: bool) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{wide_bar} {pos}/{len} {msg}, {eta} left",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
        };
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: bar.with_style(style),
        }
    }

    /// A line that stays.
    pub(in crate::cli) fn line(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// How far it is.
    pub(in crate::cli) fn at(&self, done: u64, message: String) {
        self.bar.set_position(done);
        self.bar.set_message(message);
    }

    pub(in crate::cli) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
