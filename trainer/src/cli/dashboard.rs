//! `amaes dashboard`: runs in a browser or in the terminal.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use amaes::dashboard::{Dashboard, Follower, History, Monitor, State, find_runs, line};
use amaes::train::log::{Record, now};
use anyhow::{Result, bail};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct DashboardCommand {
    /// Folder of a run, or of many
    folder: PathBuf,
    /// Show one run in this terminal in place of a page
    #[arg(long)]
    terminal: bool,
    /// Address to listen on; others than this machine's own let other machines in
    #[arg(long, default_value = "127.0.0.1", conflicts_with = "terminal")]
    host: IpAddr,
    /// Port; 0 takes a free one
    #[arg(long, default_value_t = 8422, conflicts_with = "terminal")]
    port: u16,
}

impl DashboardCommand {
    pub(super) fn run(&self) -> Result<()> {
        if self.terminal {
            return self.watch();
        }
        let address = SocketAddr::new(self.host, self.port);
        let dashboard = Dashboard::bind(address, &self.folder)?;
        super::print(&format!(
            "http://{}; end with Ctrl-C\n",
            dashboard.address()?
        ))?;
        dashboard.run();
        Ok(())
    }

    /// Follows a run until it ends.
    fn watch(&self) -> Result<()> {
        let runs = find_runs(&self.folder)?;
        let [folder] = runs.as_slice() else {
            bail!(
                "{}: there are {} runs here; name the folder of one",
                self.folder.display(),
                runs.len()
            );
        };
        let mut follower = Follower::new(folder);
        let mut monitor = Monitor::new(false);
        loop {
            if follower.poll()? || monitor.has_screen() {
                monitor.show(follower.history());
                if !monitor.has_screen() {
                    report(follower.history())?;
                }
            }
            match follower.history().state(now()) {
                State::Running | State::Silent => thread::sleep(Duration::from_secs(1)),
                State::Finished | State::Interrupted | State::Failed => return Ok(()),
            }
        }
    }
}

/// A line about the last step.
fn report(history: &History) -> Result<()> {
    let last = history.steps.last().map(|s| Record::Step(*s));
    match last.and_then(|record| line(&record, history)) {
        Some(line) => super::print(&format!("{line}\n")),
        None => Ok(()),
    }
}
