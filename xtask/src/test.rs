//! `cargo xtask test`: everything that must hold.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::shell::{cargo, exists, run};
use crate::web;

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Leave formatting and lints out
    #[arg(long)]
    only_tests: bool,
    /// Leave the page and its tests in a browser out
    #[arg(long)]
    no_web: bool,
    /// Run the tests of the page that take many minutes too
    #[arg(long)]
    long: bool,
    /// Run only the tests of several processes, which need Open MPI and libclang
    #[arg(long)]
    mpi: bool,
}

impl Test {
    pub(crate) fn run(&self) -> Result<()> {
        if self.mpi {
            return mpi();
        }
        install_software_gpu();
        if !self.only_tests {
            run(&mut cargo(&["fmt", "--all", "--check"]))?;
            run(&mut cargo(&[
                "clippy",
                "--release",
                "--locked",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]))?;
        }
        // Two tests at a time on two cores would each slow the other's threads.
        run(cargo(&["test", "--release", "--locked", "--workspace"]).env("RUST_TEST_THREADS", "1"))?;
        if self.no_web {
            return Ok(());
        }
        if let Some(missing) = web::missing_node() {
            eprintln!("note: {missing}; skipped: the page and its tests (web/test)");
            install_wasm_target();
            return run(&mut cargo(&[
                "check",
                "--release",
                "--locked",
                "-p",
                "amaes-core",
                "--target",
                "wasm32-unknown-unknown",
            ]));
        }
        web::build()?;
        web::test(self.long)
    }
}

/// Training by several processes, in a build of its own: the default one needs no MPI library.
fn mpi() -> Result<()> {
    let mut command = cargo(&["test", "--release", "--locked", "--workspace"]);
    command.args([
        "--features",
        "amaes/mpi",
        "--test",
        "pretrain",
        "--test",
        "finetune",
    ]);
    command.args(["--", "process", "--test-threads", "1"]);
    run(&mut command)
}

/// Installs a software Vulkan driver where there is none and apt can: without a driver the tests
/// on the graphics card skip themselves by name.
fn install_software_gpu() {
    let drivers = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    if drivers.iter().any(|d| {
        Path::new(d)
            .read_dir()
            .is_ok_and(|mut d| d.next().is_some())
    }) {
        return;
    }
    if !exists("apt-get", "--version") {
        eprintln!("note: no Vulkan driver; tests on the graphics card will skip themselves");
        return;
    }
    let update = run(Command::new("apt-get").args(["update", "-q"]));
    let install = [
        "install",
        "-y",
        "-q",
        "--no-install-recommends",
        "mesa-vulkan-drivers",
        "libvulkan1",
    ];
    if let Err(error) = update.and_then(|()| run(Command::new("apt-get").args(install))) {
        eprintln!(
            "note: no Vulkan driver ({error}); tests on the graphics card will skip themselves"
        );
    }
}

/// Adds the target by rustup where it is missing; without rustup the check says so itself.
pub(crate) fn install_wasm_target() {
    if exists("rustup", "--version")
        && let Err(error) =
            run(Command::new("rustup").args(["target", "add", "wasm32-unknown-unknown"]))
    {
        eprintln!("note: {error}");
    }
}
