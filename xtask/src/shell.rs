//! Running other programs.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Where builds go: `CARGO_TARGET_DIR`, or a folder of the user's cache, so that a second clone
/// builds nothing twice.
pub(crate) fn target_dir() -> PathBuf {
    let cache = || {
        let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
        base.or_else(home).map(|base| base.join("amaes/target"))
    };
    env::var_os("CARGO_TARGET_DIR")
        .map(PathBuf::from)
        .or_else(cache)
        .unwrap_or_else(|| root().join("target"))
}

/// Cargo, in the workspace's root and with its target folder.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(args)
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target_dir());
    command
}

/// Prints a command, runs it and fails where it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect();
    let shown = shown.join(" ");
    eprintln!("$ {shown}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Whether a program can be run.
pub(crate) fn exists(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
