//! `amaes serve`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use amaes::serve::{Catalogue, Server};
use anyhow::Result;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Folder of the built page
    #[arg(long, default_value = "web/dist")]
    page: PathBuf,
    /// Models to offer beside the page's own: .amaes files, TensorFlow.js folders, or folders of
    /// those
    #[arg(long, num_args = 1..)]
    models: Vec<PathBuf>,
    /// Address to listen on; others than this machine's own let other machines in
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port; 0 takes a free one
    #[arg(long, default_value_t = 8421)]
    port: u16,
}

impl Serve {
    pub(super) fn run(&self) -> Result<()> {
        let mut catalogue = Catalogue::of_page(&self.page)?;
        for path in &self.models {
            for note in catalogue.add(path)? {
                eprintln!("note: left out: {note}");
            }
        }
        let models = catalogue.len();
        let address = SocketAddr::new(self.host, self.port);
        let server = Server::bind(address, &self.page, catalogue)?;
        super::print(&format!(
            "http://{} ({models} models); end with Ctrl-C\n",
            server.address()?
        ))?;
        server.run();
        Ok(())
    }
}
