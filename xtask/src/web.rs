//! `cargo xtask web`: the page that segments in the browser.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::bench::python;
use crate::shell::{cargo, exists, root, run, target_dir};
use crate::test::install_wasm_target;

#[derive(Debug, Args)]
pub(crate) struct Web {
    /// Leave the browser tests out
    #[arg(long)]
    only_build: bool,
    /// Leave the build out and test what is there
    #[arg(long, conflicts_with = "only_build")]
    only_tests: bool,
    /// Run the tests that take many minutes too
    #[arg(long)]
    long: bool,
}

/// The modules, and the features of each.
const MODULES: [(&str, &str); 3] = [
    ("cpu", "cpu"),
    ("cpu-relaxed", "relaxed-simd"),
    ("webgpu", "webgpu"),
];
/// Major version of Node that the page's tools need.
const NODE: u32 = 20;

impl Web {
    pub(crate) fn run(&self) -> Result<()> {
        if let Some(missing) = missing_node() {
            bail!("{missing}");
        }
        if !self.only_tests {
            build()?;
        }
        if !self.only_build {
            test(self.long)?;
        }
        Ok(())
    }
}

/// What is missing of Node, or nothing.
pub(crate) fn missing_node() -> Option<String> {
    let output = Command::new("node").arg("--version").output().ok();
    let version = output.and_then(|o| String::from_utf8(o.stdout).ok());
    let major = version
        .as_deref()
        .and_then(|v| v.trim().strip_prefix('v')?.split('.').next()?.parse().ok());
    match major {
        Some(NODE..) if exists("npm", "--version") => None,
        Some(NODE..) => Some("npm is needed to build the page".into()),
        Some(old) => Some(format!(
            "Node {NODE} is needed to build the page; this is {old}"
        )),
        None => Some(format!("Node {NODE} or later is needed to build the page")),
    }
}

fn folder() -> PathBuf {
    root().join("web")
}

fn npm(args: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(args).current_dir(folder());
    command
}

/// Builds the modules for WebAssembly, their JavaScript, and the page, into `web/dist`.
pub(crate) fn build() -> Result<()> {
    install_wasm_target();
    let target = target_dir();
    let bindgen = target.join("bindgen");
    run(&mut cargo(&[
        "build",
        "--locked",
        "--manifest-path",
        "wasm/bindgen/Cargo.toml",
        "--target-dir",
        &bindgen.to_string_lossy(),
    ]))?;
    for (name, features) in MODULES {
        run(&mut cargo(&[
            "build",
            "--locked",
            "--profile",
            "wasm",
            "--package",
            "amaes-wasm",
            "--target",
            "wasm32-unknown-unknown",
            "--features",
            features,
        ]))?;
        let module = target.join("wasm32-unknown-unknown/wasm/amaes_wasm.wasm");
        run(Command::new(bindgen.join("debug/amaes-bindgen"))
            .arg(module)
            .arg(folder().join("pkg").join(name)))?;
    }
    run(&mut npm(&["ci"]))?;
    run(&mut npm(&["run", "build"]))?;
    println!("page        {}", folder().join("dist").display());
    println!("Look at it with `amaes serve`.");
    Ok(())
}

/// Runs the tests in a browser, where there is one; `long` those too that take many minutes.
pub(crate) fn test(long: bool) -> Result<()> {
    let Some(browser) = browser() else {
        eprintln!("note: no Chromium; skipped: the tests of the page (web/test)");
        return Ok(());
    };
    let program = program()?;
    let mut command = npm(&["test"]);
    command
        .env("AMAES_PROGRAM", program)
        .env("AMAES_BROWSER", browser);
    match nibabel() {
        Ok(python) => {
            command.env("AMAES_PYTHON", python);
        }
        Err(error) => eprintln!("note: {error:#}; skipped: the comparison with nibabel"),
    }
    if long {
        command.env("AMAES_LONG", "1");
    }
    run(&mut command)
}

/// Builds the command, which serves the page.
pub(crate) fn program() -> Result<PathBuf> {
    run(&mut cargo(&[
        "build",
        "--release",
        "--locked",
        "--workspace",
        "--bin",
        "amaes",
    ]))?;
    let program = target_dir().join("release/amaes");
    let program = program
        .canonicalize()
        .with_context(|| program.display().to_string())?;
    Ok(program)
}

/// A Python that has nibabel.
fn nibabel() -> Result<PathBuf> {
    let python = python()?;
    let has = Command::new(&python)
        .args(["-c", "import nibabel"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has {
        run(Command::new(&python).args(["-m", "pip", "install", "-q", "nibabel"]))?;
    }
    Ok(python)
}

/// Chromium; installed by apt where there is none.
pub(crate) fn browser() -> Option<PathBuf> {
    let find = || {
        ["chromium", "chromium-browser", "google-chrome"]
            .map(|name| PathBuf::from("/usr/bin").join(name))
            .into_iter()
            .find(|path| path.exists())
    };
    find().or_else(|| {
        if exists("apt-get", "--version") {
            let update = run(Command::new("apt-get").args(["update", "-q"]));
            let install = ["install", "-y", "-q", "--no-install-recommends", "chromium"];
            if let Err(error) = update.and_then(|()| run(Command::new("apt-get").args(install))) {
                eprintln!("note: {error}");
            }
        }
        find()
    })
}
